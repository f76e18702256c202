package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

// maxListed bounds what a list verb reads.
const maxListed = 200

func status() Verb {
	return Verb{
		Name: "status", Usage: "[HOST | CLUSTER | RUN]", Role: access.View, Max: 1,
		Doc:     "says where a host stands; without a name, lists what is under way",
		Example: "status loki",
		API: []API{
			{Method: "GET", Path: "/v1/status", Gives: []pipeline.Run{}},
			{Method: "GET", Path: "/v1/status/{run}", Params: []Param{runParam(byAnyName)}},
		},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			if len(c.Args) == 1 {
				r, cl, err := findAny(ctx, e, c.Args[0])
				if err != nil {
					return Answer{}, err
				}
				if cl != nil {
					a := say("%s", clusterLine(*cl))
					a.Data = cl
					return a, nil
				}
				remarks, err := e.remarks(ctx, r)
				if err != nil {
					return Answer{}, err
				}
				a := say("%s", e.statusLine(ctx, r)+remarks)
				a.Data, a.Run = r, &r
				return a, nil
			}
			live, err := e.Engine.Live(ctx, maxListed+1)
			if err != nil {
				return Answer{}, err
			}
			more := len(live) > maxListed
			live = live[:min(len(live), maxListed)]
			undos, err := e.Engine.Undos(ctx)
			if err != nil {
				return Answer{}, err
			}
			if len(live)+len(undos) == 0 {
				return none(live, "nothing is under way"), nil
			}
			a := Answer{Data: live}
			for _, r := range live {
				a.Lines = append(a.Lines, e.statusLine(ctx, r))
			}
			for _, u := range undos {
				r, err := e.Engine.Get(ctx, u.Run)
				if err != nil {
					return Answer{}, err
				}
				a.Lines = append(a.Lines, r.Host+": is "+stateWord(r)+"; "+undoRemark(undos, r)+".")
			}
			if more {
				a.Lines = append(a.Lines, fmt.Sprintf("these are the %d oldest; there are more: `status HOST` asks for one", maxListed))
			}
			return a, nil
		},
	}
}

// remarks follows a status line: what waits about the run, and whether its host stands all the same.
func (e *Env) remarks(ctx context.Context, r pipeline.Run) (line string, err error) {
	if h, err := e.Engine.FindHost(ctx, r.FQDN); err == nil && h.ID == r.ID {
		if p, err := e.Engine.Proposal(ctx, h); err == nil && p.ID != r.ID {
			line += " " + strings.ToUpper(proposalRemark(p)[:1]) + proposalRemark(p)[1:] + "."
		}
		if s := e.holdRemark(ctx, r.FQDN); s != "" {
			line += " It is " + s + "."
		}
	}
	if s := e.standsRemark(ctx, r); s != "" {
		line += " " + s
	}
	undos, err := e.Engine.Undos(ctx)
	if err != nil {
		return "", err
	}
	if u := undoRemark(undos, r); u != "" {
		line += " " + strings.ToUpper(u[:1]) + u[1:] + "."
	}
	return line, nil
}

// StatusLine says where a run stands, in the words of `status`.
func (t *Table) StatusLine(ctx context.Context, r pipeline.Run) string {
	return t.env().statusLine(ctx, r)
}

// StatusRemarks gives what `status RUN` says after that, with a space before it; "" for nothing. It changes with the
// run's events that are no lines.
func (t *Table) StatusRemarks(ctx context.Context, r pipeline.Run) (string, error) {
	return t.env().remarks(ctx, r)
}

// statusLine leaves the usual time out when it cannot be read.
func (e *Env) statusLine(ctx context.Context, r pipeline.Run) string {
	u, err := e.Engine.Usual(ctx, r.Pipeline)
	if err != nil {
		e.Log.Error("usual times", "err", err)
	}
	return StatusLine(r, e.Engine.Line(ctx, r), u.Stage(r.Stage, r.Step()), e.Now())
}

// findHost gives where a host stands, by its name or the number of one of its runs.
func findHost(ctx context.Context, e *Env, name string) (pipeline.Standing, error) {
	r, err := find(ctx, e, name)
	if err != nil {
		return pipeline.Standing{}, err
	}
	return e.Engine.FindHost(ctx, r.FQDN)
}

// find gives the run that a host stands by, or the run of that number, or says that there is none.
func find(ctx context.Context, e *Env, name string) (pipeline.Run, error) {
	r, err := e.Engine.Find(ctx, name)
	if err == pipeline.ErrNotFound {
		return r, &UserError{Msg: fmt.Sprintf("I have no host or run %q on record", clip(name, 80)), Hint: "`hosts` lists them", Kind: ErrNotFound}
	}
	return r, err
}
