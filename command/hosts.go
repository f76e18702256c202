package command

import (
	"context"
	"fmt"
	"slices"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/tasklog"
)

func hosts() Verb {
	return Verb{
		Name: "hosts", Role: access.View,
		Doc:     "lists the hosts on record",
		Example: "hosts",
		API:     []API{{Method: "GET", Path: "/v1/hosts", Gives: []pipeline.Run{}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			list, err := e.Engine.Hosts(ctx, maxListed)
			if err != nil {
				return Answer{}, err
			}
			list = slices.DeleteFunc(list, func(r pipeline.Run) bool { return tasklog.IsTask(r) })
			if len(list) == 0 {
				return say("no host is on record yet; `help deploy` says how to begin"), nil
			}
			a := Answer{Data: list}
			for _, r := range list {
				a.Lines = append(a.Lines, fmt.Sprintf("%s: %s, run %d by %s, %s ago", r.FQDN, r.State, r.ID, r.By, Short(e.Now().Sub(r.Started))))
			}
			return a, nil
		},
	}
}
