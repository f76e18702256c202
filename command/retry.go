package command

import (
	"context"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

func retry() Verb {
	return Verb{
		Name: "retry", Usage: "HOST | CLUSTER [from STEP]", Role: access.Deploy, Min: 1, Max: 3, Acts: true,
		Doc:     "goes on at the failed stage, or at an earlier one",
		Example: "retry loki from dns:update_host",
		API:     []API{runAPI("retry", Param{Name: "from", In: InBody, Doc: "step of an earlier stage", Word: "from"})},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			from := ""
			switch {
			case len(c.Args) == 3 && c.Args[1] == "from":
				from = c.Args[2]
			case len(c.Args) != 1:
				return Answer{}, &UserError{Msg: "`retry` is used as: retry HOST [from STEP]", Kind: ErrUsage}
			}
			r, cl, err := findAny(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			if cl != nil {
				return eachMember(*cl, "going on with", func(r pipeline.Run) (pipeline.Run, error) { return e.Engine.Retry(ctx, r.ID, from, c.Person.Name) })
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
