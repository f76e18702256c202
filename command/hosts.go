package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

func hosts() Verb {
	return Verb{
		Name: "hosts", Usage: "[like WORD] [after NAME]", Role: access.View, Max: 4,
		Doc:     "lists the hosts on record by name, 200 at a time",
		Example: "hosts after web200.example.org",
		API: []API{{Method: "GET", Path: "/v1/hosts", Gives: []pipeline.Standing{}, Params: []Param{
			{Name: "like", In: InQuery, Doc: "only hosts whose full name has this in it", Word: "like"},
			{Name: "after", In: InQuery, Doc: "only hosts whose full name comes after this one, 200 at most", Word: "after"}}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			after, like, args := "", "", c.Args
			if len(args) >= 2 && args[0] == "like" {
				like, args = strings.ToLower(args[1]), args[2:]
			}
			if len(args) == 2 && args[0] == "after" {
				after, args = strings.ToLower(args[1]), nil
			}
			if len(args) > 0 {
				return Answer{}, &UserError{Msg: "usage: hosts [like WORD] [after NAME]", Hint: "`status HOST` says where one host stands", Kind: ErrUsage}
			}
			list, err := e.Engine.FindHosts(ctx, like, after, maxListed+1)
			if err != nil {
				return Answer{}, err
			}
			switch {
			case len(list) == 0 && after != "":
				return none(list, "no host comes after %s", clip(after, 80)), nil
			case len(list) == 0 && like != "":
				return none(list, "no host on record has %s in its name", clip(like, 80)), nil
			case len(list) == 0:
				return none(list, "no host is on record yet; `help deploy` says how to begin"), nil
			}
			more := len(list) > maxListed
			list = list[:min(len(list), maxListed)]
			undos, err := e.Engine.Undos(ctx)
			if err != nil {
				return Answer{}, err
			}
			holds, err := e.Engine.Holds(ctx)
			if err != nil {
				return Answer{}, err
			}
			a := Answer{Data: list}
			for _, h := range list {
				line := fmt.Sprintf("%s: %s, run %d by %s, %s ago", h.FQDN, stateWord(h.Run), h.ID, h.By, Short(e.Now().Sub(h.Started)))
				if p, err := e.Engine.Proposal(ctx, h); err == nil && p.ID != h.ID {
					line += "; " + proposalRemark(p)
				}
				if u := undoRemark(undos, h.Run); u != "" {
					line += "; " + u
				}
				if i := slices.IndexFunc(holds, func(on pipeline.Hold) bool { return on.Host == h.FQDN }); i >= 0 {
					line += "; " + holdLine(holds[i])
				}
				a.Lines = append(a.Lines, line)
			}
			if more {
				asked := "hosts "
				if like != "" {
					asked += "like " + JoinWords([]string{like}) + " "
				}
				a.Lines = append(a.Lines, fmt.Sprintf("there are more: `%safter %s`", asked, list[len(list)-1].FQDN))
			}
			return a, nil
		},
	}
}
