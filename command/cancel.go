package command

import (
	"context"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

func cancel() Verb {
	return Verb{
		Name: "cancel", Usage: "HOST | CLUSTER", Role: access.Deploy, Min: 1, Max: 1, Acts: true,
		Doc:     "stops a run and says what it leaves standing",
		Example: "cancel loki",
		API:     []API{runAPI("cancel")},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			r, cl, err := findLive(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			if cl != nil {
				return eachMember(*cl, "stopping", func(r pipeline.Run) (pipeline.Run, error) { return e.Engine.Cancel(ctx, r.ID, who(c)) })
			}
			if r, err = e.Engine.Cancel(ctx, r.ID, who(c)); err != nil {
				return Answer{}, err
			}
			a := say("%s: stopping at %s.", r.Host, r.Where())
			if !r.HasBegun() {
				a = say("%s: run %d does not start.", r.Host, r.ID)
			}
			a.Run, a.Data = &r, r
			return a, nil
		},
	}
}
