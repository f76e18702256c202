package command

import (
	"context"
)

func version() Verb {
	return Verb{
		Name: "version", Max: 0,
		Doc:     "says which version runs",
		Example: "version",
		API:     []API{{Method: "GET", Path: "/v1/version"}},
		Run: func(_ context.Context, e *Env, _ *Call) (Answer, error) {
			a := say("%s %s", e.Name, e.Version)
			a.Data = map[string]string{"version": e.Version}
			return a, nil
		},
	}
}
