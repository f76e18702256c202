package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

func forget() Verb {
	return Verb{
		Name: "forget", Usage: "HOST", Role: access.Admin, Min: 1, Max: 1, Acts: true,
		Doc:     "takes a host off the record, with its runs; touches no machine, and refuses while one is the host's",
		Example: "forget loki",
		API: []API{{Method: "POST", Path: "/v1/hosts/{host}/forget", Gives: pipeline.Forgotten{}, Params: []Param{
			{Name: "host", In: InPath, Doc: "name of a host on record", Required: true}}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			if numeric(c.Args[0]) {
				return Answer{}, &UserError{Msg: fmt.Sprintf("%q is the number of a run, and a host is forgotten by its name", clip(c.Args[0], 40)), Hint: "`hosts` lists them", Kind: ErrUsage}
			}
			h, err := findHost(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			if err := e.standsForGood(ctx, h); err != nil {
				return Answer{}, err
			}
			f, err := e.Engine.Forget(ctx, h.FQDN)
			var kept *pipeline.ForgetError
			if errors.As(err, &kept) {
				return Answer{}, cannotForget(h, kept)
			} else if err != nil {
				return Answer{}, err
			}
			a := say("%s is forgotten: %d %s with %d %s, how it is reached and its drift. The audit stays.", h.FQDN, f.Runs, plural(int(f.Runs), "run"), f.Events, plural(int(f.Events), "event"))
			a.Data = f
			a.Lines = append(a.Lines, e.forgetAround(ctx, h)...)
			return a, nil
		},
	}
}

// standsForGood refuses a host in production, where what destroys needs a second person: to forget it is no way around
// that.
func (e *Env) standsForGood(ctx context.Context, h pipeline.Standing) error {
	if e.Approvals.Off {
		return nil
	}
	r, err := e.Engine.InProduction(ctx, h.FQDN)
	switch {
	case errors.Is(err, pipeline.ErrNotFound), err == nil && r.FQDN != h.FQDN:
		return nil
	case err != nil:
		return err
	}
	return &UserError{Msg: fmt.Sprintf("%s is in production since run %d", h.FQDN, r.ID), Hint: fmt.Sprintf("`destroy %s` takes it down, once a second person agrees, also when its machine is gone already; then `forget %s`", h.Host, h.Host)}
}

// cannotForget adds what has to come first.
func cannotForget(h pipeline.Standing, e *pipeline.ForgetError) error {
	if e.Pending > 0 {
		return &UserError{Msg: e.Error(), Hint: fmt.Sprintf("`deny %d` first", e.Pending)}
	}
	return &UserError{Msg: e.Error(), Hint: fmt.Sprintf("`destroy %s` takes it down, also when it is gone already; then `forget %s`", h.Host, h.Host)}
}

// forgetAround takes the host's keys out of known_hosts, and says what stays elsewhere.
func (e *Env) forgetAround(ctx context.Context, h pipeline.Standing) []string {
	var out []string
	if e.ForgetKeys != nil && h.Reach.Addr != "" {
		if err := e.ForgetKeys(ctx, h); err != nil {
			e.Log.Error("take a forgotten host out of known_hosts", "host", h.FQDN, "err", err)
			out = append(out, "its keys could not be taken out of known_hosts, and still count there: "+clip(err.Error(), 200))
		} else {
			out = append(out, "its keys are out of known_hosts.")
		}
	}
	if e.Checks != nil {
		out = append(out, "results of its checks go as checks.keep says; a check that names it in jarvis.yaml stays.")
	}
	return out
}
