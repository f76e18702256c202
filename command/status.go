package command

import (
	"context"
	"fmt"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

// maxListed bounds what a list verb reads.
const maxListed = 200

func status() Verb {
	return Verb{
		Name: "status", Usage: "[HOST | RUN]", Role: access.View, Max: 1,
		Doc:     "says where a host stands; without a name, lists what is under way",
		Example: "status loki",
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			if len(c.Args) == 1 {
				r, err := find(ctx, e, c.Args[0])
				if err != nil {
					return Answer{}, err
				}
				a := say("%s", e.statusLine(ctx, r))
				a.Data, a.Run = r, &r
				return a, nil
			}
			live, err := e.Engine.Live(ctx, maxListed)
			if err != nil {
				return Answer{}, err
			}
			if len(live) == 0 {
				return say("nothing is under way"), nil
			}
			a := Answer{Data: live}
			for _, r := range live {
				a.Lines = append(a.Lines, e.statusLine(ctx, r))
			}
			return a, nil
		},
	}
}

func (e *Env) statusLine(ctx context.Context, r pipeline.Run) string {
	u, err := e.Engine.Usual(ctx, r.Pipeline)
	if err != nil {
		e.Log.Error("usual times", "err", err)
	}
	return StatusLine(r, e.Engine.Line(r.ID), u.Stage(r.Stage, r.Step()), e.Now())
}

// find gives the newest run of a host, or says that there is none.
func find(ctx context.Context, e *Env, name string) (pipeline.Run, error) {
	r, err := e.Engine.Find(ctx, name)
	if err == pipeline.ErrNotFound {
		return r, &UserError{Msg: fmt.Sprintf("I have no host or run %q on record", clip(name, 80)), Hint: "`hosts` lists them", Kind: ErrNotFound}
	}
	return r, err
}

func hosts() Verb {
	return Verb{
		Name: "hosts", Role: access.View,
		Doc:     "lists the hosts on record",
		Example: "hosts",
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			list, err := e.Engine.Hosts(ctx, maxListed)
			if err != nil {
				return Answer{}, err
			}
			if len(list) == 0 {
				return say("no host is on record yet; `help deploy` says how to begin"), nil
			}
			a := Answer{Data: list}
			for _, r := range list {
				a.Lines = append(a.Lines, fmt.Sprintf("%s: %s, run %d by %s, %s ago", r.FQDN, r.State, r.ID, r.By, Short(e.Now().Sub(r.Started))))
			}
			return a, nil
		},
	}
}

func history() Verb {
	return Verb{
		Name: "history", Usage: "HOST", Role: access.View, Min: 1, Max: 1,
		Doc:     "lists the runs of a host, newest first",
		Example: "history loki",
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			if _, err := find(ctx, e, c.Args[0]); err != nil {
				return Answer{}, err
			}
			list, err := e.Engine.History(ctx, c.Args[0], 50)
			if err != nil {
				return Answer{}, err
			}
			a := Answer{Data: list}
			for _, r := range list {
				line := fmt.Sprintf("run %d, %s: %s", r.ID, r.Started.Format("2006-01-02 15:04"), r.State)
				if r.State != pipeline.Ready {
					line += " at " + r.Where()
				}
				line += ", by " + r.By
				if !r.Ended.IsZero() {
					line += ", took " + Short(r.Ended.Sub(r.Started))
				}
				a.Lines = append(a.Lines, line)
			}
			return a, nil
		},
	}
}
