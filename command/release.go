package command

import (
	"context"
	"errors"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

func release() Verb {
	return Verb{
		Name: "release", Usage: "HOST", Role: access.Deploy, Min: 1, Max: 1, Acts: true,
		Doc:     "ends a `hold`, whoever said it",
		Example: "release loki",
		API:     []API{{Method: "POST", Path: "/v1/hosts/{host}/release", Gives: pipeline.Hold{}, Params: []Param{hostParam()}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			h, err := held(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			was, err := e.Engine.Release(ctx, h.FQDN)
			if errors.Is(err, pipeline.ErrNotFound) {
				return Answer{}, &UserError{Msg: "nobody holds " + h.FQDN, Hint: "`status " + h.Host + "` says where it stands"}
			} else if err != nil {
				return Answer{}, err
			}
			a := say("%s is free again; it was held by %s for %s: %s", h.FQDN, was.By, Short(e.Now().Sub(was.Since)), sentence(was.Why))
			a.Data = was
			return a, nil
		},
	}
}
