package command

import (
	"context"
	"fmt"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

func history() Verb {
	return Verb{
		Name: "history", Usage: "HOST", Role: access.View, Min: 1, Max: 1,
		Doc:     "lists the runs of a host, newest first",
		Example: "history loki",
		API:     []API{{Method: "GET", Path: "/v1/hosts/{host}/runs", Params: []Param{{Name: "host", In: InPath, Doc: "name of a host", Required: true}}, Gives: []pipeline.Run{}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			if _, err := find(ctx, e, c.Args[0]); err != nil {
				return Answer{}, err
			}
			const most = 50
			list, err := e.Engine.History(ctx, c.Args[0], most+1)
			if err != nil {
				return Answer{}, err
			}
			more := len(list) > most
			list = list[:min(len(list), most)]
			a := Answer{Data: list}
			for _, r := range list {
				line := fmt.Sprintf("run %d, %s: %s", r.ID, r.Started.Format("2006-01-02 15:04"), stateWord(r))
				if r.State != pipeline.Ready && r.HasBegun() {
					line += " at " + r.Where()
				}
				line += ", by " + r.By
				if !r.Ended.IsZero() && r.HasBegun() {
					line += ", took " + Short(r.Took(e.Now()))
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
