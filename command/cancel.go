package command

import (
	"context"
	"fmt"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

func cancel() Verb {
	return Verb{
		Name: "cancel", Usage: "HOST | CLUSTER", Role: access.Deploy, Min: 1, Max: 1, Acts: true,
		Doc:     "stops a run and says what it leaves standing; gives up an undo that is stuck, once a second person agrees",
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
			if r.Ending == pipeline.EndUndonePart {
				return e.giveUp(ctx, c, r)
			}
			if r, err = e.Engine.Cancel(ctx, r.ID, who(c)); err != nil {
				return Answer{}, err
			}
			a := say("%s: stopping at %s.", r.Host, r.Where())
			if !r.HasBegun() {
				a = say("%s: run %d does not start.", r.Host, r.ID) // it was proposed, or planned
			}
			a.Run, a.Data = &r, r
			return a, nil
		},
	}
}

// giveUp frees the host of a run whose undo is stuck, once a second person allows it: what stays is nobody's from then
// on.
func (e *Env) giveUp(ctx context.Context, c *Call, r pipeline.Run) (Answer, error) {
	if e.Approvals.Off {
		r, err := e.Engine.GiveUp(ctx, r.ID, c.Person.Name)
		if err != nil {
			return Answer{}, err
		}
		a := say("%s: run %d is %s.", r.Host, r.ID, r.Error)
		a.Run, a.Data = &r, r
		return a, nil
	}
	p, err := e.Engine.AskGiveUp(ctx, r, who(c), pipeline.NeedApproval{Why: "it would leave standing ", For: e.Approvals.Expires})
	if err != nil {
		return Answer{}, err
	}
	return asked(p, "%s: to give up run %d. %s", r.Host, r.ID, waitsFor(p.Why, fmt.Sprint(r.ID), p.Expires)), nil
}
