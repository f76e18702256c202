package command

import (
	"context"
	"strings"

	"github.com/jarvisops/jarvis/access"
)

// Clipboard is what `show` gives: YAML with its secrets masked.
type Clipboard struct {
	Clipboard string `json:"clipboard"`
}

func show() Verb {
	return Verb{
		Name: "show", Usage: "HOST", Role: access.View, Min: 1, Max: 1,
		Doc:     "shows a host's clipboard, secrets masked",
		Example: "show loki",
		API:     []API{{Method: "GET", Path: "/v1/runs/{run}/clipboard", Params: []Param{runParam(byHostName)}, Gives: Clipboard{}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			r, err := find(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			text, err := e.Engine.Clipboard(ctx, r.ID)
			if err != nil {
				return Answer{}, err
			}
			return Answer{Lines: strings.Split(strings.TrimRight(text, "\n"), "\n"), Data: Clipboard{text}}, nil
		},
	}
}
