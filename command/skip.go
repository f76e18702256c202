package command

import (
	"context"

	"github.com/jarvisops/jarvis/access"
)

func skip() Verb {
	return Verb{
		Name: "skip", Usage: "HOST [at STAGE]", Role: access.Deploy, Min: 1, Max: 3, Acts: true,
		Doc:     "goes on after the stage that failed or waits for a person; with at, only when that is the one",
		Example: "skip loki",
		API:     []API{runAPI("skip", Param{Name: "at", In: InBody, Doc: "the stage that is meant, its number or its step: another one is not skipped", Word: "at"})},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			r, err := find(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			stage := -1
			switch {
			case len(c.Args) == 3 && c.Args[1] == "at":
				n, err := StageOf(r, c.Args[2])
				if err != nil {
					return Answer{}, err
				}
				stage = n - 1
			case len(c.Args) > 1:
				return Answer{}, &UserError{Msg: "`skip` is used as: skip HOST [at STAGE]", Kind: ErrUsage}
			}
			was := r.Step()
			if r, err = e.Engine.SkipAt(ctx, r.ID, stage, c.Person.Name); err != nil {
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
