package command

import (
	"context"
	"fmt"

	"github.com/jarvisops/jarvis/access"
)

func retry() Verb {
	return Verb{
		Name: "retry", Usage: "HOST [from STEP]", Role: access.Deploy, Min: 1, Max: 3, Acts: true,
		Doc:     "goes on at the failed stage, or at an earlier one",
		Example: "retry loki from dns:update_host",
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			from := ""
			switch {
			case len(c.Args) == 3 && c.Args[1] == "from":
				from = c.Args[2]
			case len(c.Args) != 1:
				return Answer{}, &UserError{Msg: "`retry` is used as: retry HOST [from STEP]", Kind: ErrUsage}
			}
			r, err := find(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			if r, err = e.Engine.Retry(ctx, r.ID, from, c.Person.Name); err != nil {
				return Answer{}, err
			}
			a := say("%s goes on at %s.", r.Host, r.Where())
			a.Run, a.Data = &r, r
			return a, nil
		},
	}
}

func skip() Verb {
	return Verb{
		Name: "skip", Usage: "HOST", Role: access.Deploy, Min: 1, Max: 1, Acts: true,
		Doc:     "goes on behind the stage that failed or waits for a person",
		Example: "skip loki",
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
			a.Run, a.Data = &r, r
			return a, nil
		},
	}
}

func cancel() Verb {
	return Verb{
		Name: "cancel", Usage: "HOST", Role: access.Deploy, Min: 1, Max: 1, Acts: true,
		Doc:     "stops a run and says what it leaves standing",
		Example: "cancel loki",
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			r, err := find(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			if r, err = e.Engine.Cancel(ctx, r.ID, c.Person.Name); err != nil {
				return Answer{}, err
			}
			a := say("%s: stopping at %s.", r.Host, r.Where())
			a.Run, a.Data = &r, r
			return a, nil
		},
	}
}

func undo() Verb {
	return Verb{
		Name: "undo", Usage: "HOST", Role: access.Deploy, Min: 1, Max: 1, Acts: true,
		Doc:     "takes back what a host's last run did, last step first",
		Example: "undo loki",
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			r, err := find(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			if r, err = e.Engine.Undo(ctx, r.ID, c.Person.Name); err != nil {
				return Answer{}, err
			}
			a := say("%s: taking back run %d, from %s on.", r.Host, r.ID, fmt.Sprintf("stage %d/%d", min(r.Stage+1, len(r.Steps)), len(r.Steps)))
			a.Run, a.Data = &r, r
			return a, nil
		},
	}
}
