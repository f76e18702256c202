package command

import (
	"context"
	"strings"

	"github.com/jarvisops/jarvis/access"
)

func show() Verb {
	return Verb{
		Name: "show", Usage: "HOST", Role: access.View, Min: 1, Max: 1,
		Doc:     "shows a host's clipboard, secrets masked",
		Example: "show loki",
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			r, err := find(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			text, err := e.Engine.Clipboard(ctx, r.ID)
			if err != nil {
				return Answer{}, err
			}
			return Answer{Lines: strings.Split(strings.TrimRight(text, "\n"), "\n"), Data: map[string]string{"clipboard": text}}, nil
		},
	}
}
