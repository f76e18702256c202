package command

import (
	"context"
	"fmt"

	"github.com/jarvisops/jarvis/access"
)

func plan() Verb {
	return Verb{
		Name: "plan", Usage: sourceUsage, Role: access.View, Min: 1, Max: 1,
		Doc:     "says what deploy would do, and does nothing",
		Example: "plan https://gist.github.com/912450",
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			q, err := request(ctx, e, c, "deploy")
			if err != nil {
				return Answer{}, err
			}
			list, err := e.Engine.Plan(ctx, q)
			if err != nil {
				return Answer{}, err
			}
			a := Answer{Data: list}
			for i, l := range list {
				a.Lines = append(a.Lines, fmt.Sprintf("%d/%d %s: %s", i+1, len(list), l.Step, l.Text))
			}
			return a, nil
		},
	}
}
