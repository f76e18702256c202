package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/plain"
)

func audit() Verb {
	return Verb{
		Name: "audit", Usage: "[PERSON] [NUMBER] [with WORD …]", Role: access.Admin, Max: -1,
		Doc:     "shows the newest commands: who, from where, what, and what came of it",
		Example: "audit alice 50 with deploy",
		API: []API{{Method: "GET", Path: "/v1/audit", Gives: []access.Record{}, Params: []Param{
			{Name: "person", In: InQuery, Doc: "only of this person"},
			{Name: "limit", In: InQuery, Doc: "at most so many, newest last; 20 without it, 1000 at most", Kind: Number},
			{Name: "with", In: InQuery, Doc: "only with these words, in any case, among the newest 20,000", Word: "with"},
		}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			if e.Access == nil {
				return Answer{}, &UserError{Msg: "no audit record is kept here"}
			}
			f := access.AuditFilter{Limit: 20, Before: c.Before}
			args := c.Args
			if i := slices.Index(args, "with"); i >= 0 {
				if args, f.With = args[:i], strings.Fields(strings.Join(args[i+1:], " ")); len(f.With) == 0 {
					return Answer{}, &UserError{Msg: "`with` is followed by words", Hint: "as in `audit with deploy loki`", Kind: ErrUsage}
				}
			}
			numbers := 0
			for _, arg := range args {
				n, err := strconv.Atoi(arg)
				switch number := err == nil || errors.Is(err, strconv.ErrRange); {
				case number && (err != nil || n < 1):
					return Answer{}, &UserError{Msg: fmt.Sprintf("%q is no number of commands to show", clip(arg, 40)), Hint: "say 1 to 1000, as in `audit alice 50`", Kind: ErrUsage}
				case number:
					numbers++
					f.Limit = min(n, 1000)
				default:
					f.Who = arg
				}
			}
			if len(args) > 2 || len(args) == 2 && numbers != 1 {
				return Answer{}, &UserError{Msg: "`audit` takes one person and one number", Hint: "as in `audit alice 50`", Kind: ErrUsage}
			}
			list, far, err := e.Access.AuditFind(ctx, f)
			if err != nil {
				return Answer{}, err
			}
			if len(list) == 0 && far > 0 {
				return none(list, "nothing has these words among the newest; the page /audit goes further back"), nil
			}
			if len(list) == 0 {
				return none(list, "nothing is on record for that"), nil
			}
			a := Answer{Data: list}
			for _, r := range list {
				a.Lines = append(a.Lines, fmt.Sprintf("%s %s via %s: %s — %s", plain.Time(r.At), r.Who, r.Via, r.Line, r.Outcome))
			}
			if far > 0 {
				a.Lines = append(a.Lines, "these are of the newest 20,000 commands; the page /audit goes further back")
			}
			return a, nil
		},
	}
}
