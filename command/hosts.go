package command

import (
	"context"
	"fmt"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

func hosts() Verb {
	return Verb{
		Name: "hosts", Role: access.View,
		Doc:     "lists the hosts on record",
		Example: "hosts",
		API:     []API{{Method: "GET", Path: "/v1/hosts", Gives: []pipeline.Standing{}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			list, err := e.Engine.Hosts(ctx, "", maxListed)
			if err != nil {
				return Answer{}, err
			}
			if len(list) == 0 {
				return say("no host is on record yet; `help deploy` says how to begin"), nil
			}
			a := Answer{Data: list}
			for _, h := range list {
				line := fmt.Sprintf("%s: %s, run %d by %s, %s ago", h.FQDN, stateWord(h.Run), h.ID, h.By, Short(e.Now().Sub(h.Started)))
				if p, err := e.Engine.Proposal(ctx, h); err == nil && p.ID != h.ID {
					line += "; " + proposalRemark(p)
				}
				a.Lines = append(a.Lines, line)
			}
			return a, nil
		},
	}
}
