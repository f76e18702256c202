package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/tasklog"
)

func hostParam() Param {
	return Param{Name: "host", In: InPath, Doc: "name of a host on record", Required: true}
}

func hold() Verb {
	return Verb{
		Name: "hold", Usage: "HOST because REASON", Role: access.Deploy, Min: 1, Max: -1, Acts: true,
		Doc:     "has nobody deploy, redeploy, retry, undo or destroy a host until `release`; what is under way goes on",
		Example: "hold loki because its disk is being replaced",
		API:     []API{{Method: "POST", Path: "/v1/hosts/{host}/hold", Gives: pipeline.Hold{}, Params: []Param{hostParam(), {Name: "because", In: InBody, Doc: "why", Word: "because", Required: true}}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			why, err := reasonOf(c, "hold HOST because REASON")
			if err == nil && why == "" {
				err = &UserError{Msg: "whoever is refused wants to know why", Hint: fmt.Sprintf("say `hold %s because …`", clip(c.Args[0], 80)), Kind: ErrUsage}
			}
			if err != nil {
				return Answer{}, err
			}
			h, err := held(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			on, err := e.Engine.Hold(ctx, h.FQDN, c.Person.Name, why)
			if err != nil {
				return Answer{}, err
			}
			a := say("%s is held: nobody deploys, redeploys, retries, undoes or destroys it until `release %s`.", h.FQDN, h.Host)
			if r, err := e.Engine.Holder(ctx, h.FQDN); err == nil && r.State.Moving() {
				a.Lines = append(a.Lines, fmt.Sprintf("Run %d is under way and goes on; `cancel %s` stops it.", r.ID, h.Host))
			}
			a.Data = on
			return a, nil
		},
	}
}

// held gives a host by its name; a repository of tasks is none.
func held(ctx context.Context, e *Env, name string) (pipeline.Standing, error) {
	if numeric(name) {
		return pipeline.Standing{}, &UserError{Msg: fmt.Sprintf("%q is the number of a run, and a host is held by its name", clip(name, 40)), Hint: "`hosts` lists them", Kind: ErrUsage}
	}
	h, err := findHost(ctx, e, name)
	if err == nil && tasklog.IsTask(h.Run) {
		err = &UserError{Msg: h.Host + " is a repository of tasks, and only a host can be held", Hint: "`hosts` lists them", Kind: ErrUsage}
	}
	return h, err
}

// holdRemark says that a host is held; "" when it is not.
func (e *Env) holdRemark(ctx context.Context, fqdn string) string {
	h, err := e.Engine.HoldOf(ctx, fqdn)
	if err != nil {
		if !errors.Is(err, pipeline.ErrNotFound) {
			e.Log.Error("read who holds a host", "host", fqdn, "err", err)
		}
		return ""
	}
	return holdLine(h)
}

func holdLine(h pipeline.Hold) string {
	return fmt.Sprintf("held by %s since %s: %s", h.By, plain.Time(h.Since), strings.TrimRight(h.Why, "."))
}
