package command

import (
	"context"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

func deny() Verb {
	return Verb{
		Name: "deny", Usage: "RUN | HOST | CLUSTER", Role: access.Deploy, Min: 1, Max: 1, Acts: true,
		Doc:     "refuses what waits for a second person; the one who asked may take it back so",
		Example: "deny 12",
		API:     []API{runAPI("deny")},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			r, cl, err := findAsked(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			if cl != nil {
				return eachMember(*cl, "denied", func(r pipeline.Run) (pipeline.Run, error) {
					_, err := e.Engine.Deny(ctx, r.ID, c.Person.Name)
					return r, err
				})
			}
			p, err := e.Engine.Deny(ctx, r.ID, c.Person.Name)
			if err != nil {
				return Answer{}, err
			}
			if r, err = e.Engine.Get(ctx, r.ID); err != nil {
				return Answer{}, err
			}
			a := say("%s: run %d does not start.", r.Host, r.ID)
			if p.What == pipeline.ToUndo {
				a = say("%s: run %d is not taken back.", r.Host, r.ID)
			}
			a.Run, a.Data = &r, r
			return a, nil
		},
	}
}
