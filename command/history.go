package command

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

func history() Verb {
	return Verb{
		Name: "history", Usage: "HOST", Role: access.View, Min: 1, Max: 1,
		Doc:     "lists the runs of a host, newest first",
		Example: "history loki",
		API:     []API{{Method: "GET", Path: "/v1/hosts/{host}/runs", Params: []Param{{Name: "host", In: InPath, Doc: "name of a host", Required: true}}, Gives: []pipeline.Run{}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			r, err := find(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			name := c.Args[0]
			if _, err := strconv.ParseInt(name, 10, 64); err == nil {
				name = r.FQDN // the number of a run: its host's
			}
			const most = 50
			list, err := e.Engine.History(ctx, name, most+1)
			if err != nil {
				return Answer{}, err
			}
			more := len(list) > most
			list = list[:min(len(list), most)]
			undos, err := e.Engine.Undos(ctx)
			if err != nil {
				return Answer{}, err
			}
			a := Answer{Data: list}
			for _, r := range list {
				line := fmt.Sprintf("run %d, %s, %s: %s", r.ID, didWhat(r), plain.Time(r.Started), stateWord(r))
				if r.State == pipeline.Cancelled && !r.HasBegun() && r.Error != "" { // who refused it, and why
					line = fmt.Sprintf("run %d, %s, %s: never began: %s", r.ID, didWhat(r), plain.Time(r.Started), strings.TrimSuffix(r.Error, "; nothing was done"))
				}
				if r.State != pipeline.Ready && r.HasBegun() {
					line += " at " + r.Where()
				}
				if r.HasBegun() {
					line += ", by " + r.By
				} else {
					line += ", asked for by " + r.By
				}
				if !r.Ended.IsZero() && r.HasBegun() {
					line += ", took " + Short(r.Took(e.Now()))
				}
				if u := undoRemark(undos, r); u != "" {
					line += "; " + u
				}
				a.Lines = append(a.Lines, line)
			}
			if more {
				a.Lines = append(a.Lines, fmt.Sprintf("there are older ones: GET /v1/runs?host=%s&before=%d", list[0].FQDN, list[most-1].ID))
			}
			return a, nil
		},
	}
}

// didWhat says which verb a run was, with its pipeline's name where that is not the usual one of its provider.
func didWhat(r pipeline.Run) string {
	switch {
	case r.IsImport():
		return "import"
	case r.Verb == pipeline.VerbOwn:
		return "steps of its own"
	case r.Variant != "":
		return r.Verb + " (" + r.Pipeline + ")"
	}
	return r.Verb
}
