package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

const sourceUsage = "URL | cn=NAME"

func deploy() Verb {
	return Verb{
		Name: "deploy", Usage: sourceUsage, Role: access.Deploy, Min: 1, Max: 1, Acts: true,
		Doc:     "deploys the host that the clipboard describes",
		Example: "deploy https://gist.github.com/912450",
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			q, err := request(ctx, e, c, "deploy")
			if err != nil {
				return Answer{}, err
			}
			r, err := e.Engine.Start(ctx, q)
			if err != nil {
				return Answer{}, err
			}
			line := fmt.Sprintf("%s on %s, %d %s, run %d.", r.FQDN, provider(r.Pipeline), len(r.Steps), plural(len(r.Steps), "stage"), r.ID)
			if u, err := e.Engine.Usual(ctx, r.Pipeline); err == nil && u.Total > 0 {
				line += " Usually " + Short(u.Total) + "."
			}
			a := say("%s Ask `status %s`.", line, r.Host)
			a.Run, a.Data = &r, r
			return a, nil
		},
	}
}

// request reads the clipboard a call names and checks what a person may bring along.
func request(ctx context.Context, e *Env, c *Call, verb string) (pipeline.Request, error) {
	src, err := source(ctx, e, c)
	if err != nil {
		return pipeline.Request{}, err
	}
	cb, err := clipboard.Parse(src)
	if err != nil {
		return pipeline.Request{}, err
	}
	in, err := cb.Instance()
	if err != nil {
		return pipeline.Request{}, err
	}
	if cb.HasSealed() {
		// What is sealed opens with our key: taken from outside, it would show somebody's secret to whoever pasted it.
		return pipeline.Request{}, &UserError{Msg: "this clipboard holds a `!sealed` value, which only the record may", Hint: "write `!secret value`", Kind: ErrDenied}
	}
	q := pipeline.Request{Clipboard: cb, Pipeline: verb + "/" + in.Provider, By: c.Person.Name, Origin: c.Origin}
	if !c.Person.Has(access.Run) {
		if in.Steps != nil {
			return q, &UserError{Msg: "this clipboard brings its own steps, which needs the role \"run\"", Hint: "leave out `steps` to take the pipeline of " + in.Provider, Kind: ErrDenied}
		}
		for _, key := range cb.Keys() {
			if slices.Contains(e.Engine.Registry().Given(), key) {
				return q, &UserError{Msg: fmt.Sprintf("the key %q is for steps to give; to bring it along needs the role \"run\"", key), Hint: "leave it out", Kind: ErrDenied}
			}
		}
		if cb.Has("commands") {
			return q, &UserError{Msg: "this clipboard brings its own commands, which needs the role \"run\"", Hint: "leave out `commands`", Kind: ErrDenied}
		}
	}
	if q.Steps = in.Steps; q.Steps != nil {
		q.Pipeline = "own/" + in.Provider
		return q, nil
	}
	list := e.Pipelines[verb]
	if q.Steps = list[in.Provider]; q.Steps == nil {
		var have []string
		for p := range list {
			have = append(have, provider("/"+p))
		}
		slices.Sort(have)
		switch {
		case len(have) == 0:
			return q, &UserError{Msg: fmt.Sprintf("no provider is configured, so nothing can %s", verb), Hint: "name one under workers in jarvis.yaml", Kind: ErrUsage}
		case pipeline.Nearest(in.Provider, []string{"linode", "ec2", "esx"}) == in.Provider:
			return q, &UserError{Msg: fmt.Sprintf("the provider %s is not configured here; there is %s", provider("/"+in.Provider), strings.Join(have, ", ")), Kind: ErrUsage}
		}
		return q, &UserError{Msg: fmt.Sprintf("I know no provider %q; there is %s", clip(cb.Get("provider"), 40), strings.Join(have, ", ")), Kind: ErrUsage}
	}
	return q, nil
}

// source gets the bytes: from the command line, a URL, the directory, or a file of this machine on the console.
func source(ctx context.Context, e *Env, c *Call) ([]byte, error) {
	if c.File != nil {
		return c.File, nil
	}
	from := c.Args[0]
	switch {
	case strings.HasPrefix(from, "http://"), strings.HasPrefix(from, "https://"):
		if e.Fetch == nil {
			return nil, &UserError{Msg: "I may not fetch anything", Hint: "name URL prefixes under sources.urls in jarvis.yaml", Kind: ErrDenied}
		}
		return e.Fetch(ctx, from)
	case strings.HasPrefix(from, "cn="):
		if e.LDAP == nil {
			return nil, &UserError{Msg: "no directory is configured", Hint: "name one under workers.ldap in jarvis.yaml", Kind: ErrUsage}
		}
		b, err := e.LDAP(ctx, strings.TrimPrefix(from, "cn="))
		if err != nil {
			return nil, &UserError{Msg: clip(strings.TrimSpace(err.Error()), 400)}
		}
		return b, nil
	case c.Local && e.ReadFile != nil:
		b, err := e.ReadFile(from)
		var perr interface{ Unwrap() error }
		if err != nil {
			if errors.As(err, &perr) {
				err = perr.Unwrap()
			}
			return nil, &UserError{Msg: fmt.Sprintf("can not read %s: %v", from, err), Kind: ErrNotFound}
		}
		return b, nil
	}
	return nil, &UserError{Msg: fmt.Sprintf("%q is neither a URL nor cn=NAME", clip(from, 80)), Hint: "files are taken on the command line: `jarvis deploy FILE`", Kind: ErrUsage}
}
