package command

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jarvisops/jarvis/access"
)

func audit() Verb {
	return Verb{
		Name: "audit", Usage: "[PERSON] [NUMBER]", Role: access.Admin, Max: 2,
		Doc:     "shows the newest commands: who, from where, what, and what came of it",
		Example: "audit alice 50",
		API: []API{{Method: "GET", Path: "/v1/audit", Gives: []access.Record{}, Params: []Param{
			{Name: "person", In: InQuery, Doc: "only of this person"},
			{Name: "limit", In: InQuery, Doc: "at most so many, newest last; 20 without it, 1000 at most", Kind: Number},
		}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			if e.Access == nil {
				return Answer{}, &UserError{Msg: "no audit record is kept here"}
			}
			f := access.AuditFilter{Limit: 20, Before: c.Before}
			for _, arg := range c.Args {
				if n, err := strconv.Atoi(arg); err == nil && n > 0 {
					f.Limit = min(n, 1000)
				} else {
					f.Who = arg
				}
			}
			list, err := e.Access.AuditTail(ctx, f)
			if err != nil {
				return Answer{}, err
			}
			if len(list) == 0 {
				return say("nothing is on record for that"), nil
			}
			a := Answer{Data: list}
			for _, r := range list {
				a.Lines = append(a.Lines, fmt.Sprintf("%s %s via %s: %s — %s", r.At.Format("2006-01-02 15:04:05"), r.Who, r.Via, r.Line, r.Outcome))
			}
			return a, nil
		},
	}
}
