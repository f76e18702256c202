package command

import (
	"context"

	"github.com/jarvisops/jarvis/access"
)

func skip() Verb {
	return Verb{
		Name: "skip", Usage: "HOST", Role: access.Deploy, Min: 1, Max: 1, Acts: true,
		Doc:     "goes on behind the stage that failed or waits for a person",
		Example: "skip loki",
		API:     []API{runAPI("skip")},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			r, err := find(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			was := r.Step()
			if r, err = e.Engine.Skip(ctx, r.ID, c.Person.Name); err != nil {
				return Answer{}, err
			}
			a := say("%s: %s is skipped; it goes on at %s.", r.Host, was, r.Where())
			if r.Step() == "" {
				a = say("%s: %s is skipped; it was the last stage.", r.Host, was)
			}
			a.Run, a.Data = &r, r
			return a, nil
		},
	}
}
