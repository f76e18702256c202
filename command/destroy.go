package command

import (
	"context"

	"github.com/jarvisops/jarvis/access"
)

func destroy() Verb {
	return Verb{
		Name: "destroy", Usage: "HOST | " + sourceUsage, Role: access.Deploy, Min: 1, Max: 1, Acts: true,
		Doc:     "deletes a host's machine and what points at it; refuses while services point at it",
		Example: "destroy loki",
		API:     []API{sourceAPI("destroy", true)},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			o, err := e.again(ctx, c, "destroy")
			if err != nil {
				return Answer{}, err
			}
			return e.begin(ctx, c, "destroy", o)
		},
	}
}
