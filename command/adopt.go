package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

func adopt() Verb {
	return Verb{
		Name: "adopt", Usage: "(HOST | " + sourceUsage + ") PROVIDER-ID", Role: access.Deploy, Min: 2, Max: 2, Acts: true,
		Doc:     "takes a machine that is there already for the host's, once a second person agrees",
		Example: "adopt loki i-0123456789abcdef0",
		API: []API{{Method: "POST", Path: "/v1/adopt", Accepted: true, Params: []Param{
			{Name: "source", In: InBody, Doc: "a host on record, URL of a clipboard, or cn=NAME from the directory", Required: true},
			{Name: "machine", In: InBody, Doc: "id of the machine at the provider", Required: true},
		}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			id := c.Args[1]
			c.Args = c.Args[:1]
			o, err := e.again(ctx, c, "adopt")
			if err != nil {
				return Answer{}, err
			}
			if o.cluster != nil {
				return Answer{}, &UserError{Msg: "a machine is adopted for one host, and this clipboard describes several", Kind: ErrUsage}
			}
			q := &o.requests[0]
			if q.Clipboard.Get("provider_id") != id { // of another machine
				for _, key := range ofMachine {
					if err := q.Clipboard.Delete(key); err != nil {
						return Answer{}, err
					}
				}
			}
			if err := errors.Join(q.Clipboard.Delete("provider_id"), q.Clipboard.Set("adopt_id", id)); err != nil {
				return Answer{}, err
			}
			// Whoever asks for what cannot be is told now.
			if _, refused, err := e.adoptable(ctx, *q, q.Steps[0]); err != nil || refused != "" {
				return Answer{}, cmp.Or[error](err, &UserError{Msg: refused})
			}
			return e.start(ctx, c, "adopt", o)
		},
	}
}

// adoptable asks an adopt step what it would take, or why it would not.
func (e *Env) adoptable(ctx context.Context, q pipeline.Request, step string) (is, refused string, err error) {
	q.Steps = []string{step}
	lines, err := e.Engine.Plan(ctx, q)
	if err != nil {
		return "", "", err
	}
	is, ok := strings.CutPrefix(lines[0].Text, "would adopt ")
	if !ok {
		return "", strings.TrimPrefix(lines[0].Text, "would fail: "), nil
	}
	return is, "", nil
}

// adoptee says what an adopt step would take, to whoever is to agree.
func (e *Env) adoptee(ctx context.Context, q pipeline.Request, step string) (string, error) {
	is, refused, err := e.adoptable(ctx, q, step)
	var needs *pipeline.NeedsError
	switch {
	case errors.As(err, &needs):
		return "it adopts a machine that a step before it names", nil
	case err != nil:
		return "", err
	case refused != "":
		return fmt.Sprintf("it adopts the machine %s, of which is known now: %s", q.Clipboard.Get("adopt_id"), refused), nil
	}
	return "it adopts " + is, nil
}

// adopting gives the request of an adopt its one step.
func (e *Env) adopting(q *pipeline.Request, provider string) error {
	step := provider + ":adopt"
	if !e.Engine.Registry().Has(step, "") {
		return &UserError{Msg: fmt.Sprintf("machines of %s cannot be adopted here", pretty(e.Engine.Registry(), provider)), Kind: ErrUsage}
	}
	q.Kind = pipeline.Kind{Verb: "adopt", Provider: provider}
	q.Steps = []string{step}
	return nil
}
