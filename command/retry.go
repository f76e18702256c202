package command

import (
	"context"
	"fmt"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

func retry() Verb {
	return Verb{
		Name: "retry", Usage: "HOST | CLUSTER [from STEP]", Role: access.Deploy, Min: 1, Max: 3, Acts: true,
		Doc:     "goes on at the failed stage, or at an earlier one; does the later stages of a host that is ready again",
		Example: "retry loki from dns:update_host",
		API:     []API{runAPI("retry", Param{Name: "from", In: InBody, Doc: "step of an earlier stage, or its number", Word: "from"})},
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
				return eachMember(*cl, "going on with", func(r pipeline.Run) (pipeline.Run, error) {
					return e.Engine.Retry(ctx, r.ID, stepOf(r, from), c.Person.Name)
				})
			}
			from = stepOf(r, from)
			if r.State == pipeline.Ready {
				return e.repeat(ctx, c, r, from)
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

// stepOf gives the step of a stage that is named by its number, as `failed at stage 4/19` tells it; any other word as
// it is.
func stepOf(r pipeline.Run, stage string) string {
	if n, err := StageOf(r, stage); err == nil {
		return r.Steps[n-1]
	}
	return stage
}

// repeat does stages of a run that is ready again, once a second person allows it: the host is in production.
func (e *Env) repeat(ctx context.Context, c *Call, r pipeline.Run, from string) (Answer, error) {
	if e.Approvals.Off {
		r, err := e.Engine.Repeat(ctx, r.ID, from, c.Person.Name)
		if err != nil {
			return Answer{}, err
		}
		a := say("%s goes on at %s.", r.Host, r.Where())
		a.Run, a.Data = &r, r
		return a, nil
	}
	p, err := e.Engine.AskRepeat(ctx, r, from, who(c), pipeline.NeedApproval{Why: r.Host + " is in production", For: e.Approvals.Expires})
	if err != nil {
		return Answer{}, err
	}
	return asked(p, "%s: to do run %d again from %s on. %s", r.Host, r.ID, p.Step, waitsFor(p.Why, fmt.Sprint(r.ID), p.Expires)), nil
}
