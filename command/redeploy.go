package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

func redeploy() Verb {
	v := Verb{
		Name: "redeploy", Usage: "HOST | " + sourceUsage + AtUsage, Role: access.Deploy, Min: 1, Max: 4, Acts: true,
		Doc:     "moves a host's services away, deletes its machine, deploys it again and moves them back; with a time, begins then",
		Example: "redeploy loki",
		API:     []API{sourceAPI("redeploy", true, atParam())},
	}
	v.Run = func(ctx context.Context, e *Env, c *Call) (Answer, error) {
		at, err := takeTime(v, c)
		if err != nil {
			return Answer{}, err
		}
		o, err := e.again(ctx, c, "redeploy")
		if err != nil {
			return Answer{}, err
		}
		o.at = at
		return e.begin(ctx, c, "redeploy", o)
	}
	return v
}

// ofMachine are the keys by which what belongs to a machine is found.
var ofMachine = []string{"ipaddress", "ip6address", "ssh_port", "hostkeys", "root_pubkey"}

// again orders something for a host on record, by the clipboard of its last run, or for a clipboard as deploy does.
func (e *Env) again(ctx context.Context, c *Call, verb string) (ordered, error) {
	if c.File != nil || strings.ContainsAny(c.Args[0], ":=/") {
		o, err := order(ctx, e, c, verb)
		for _, q := range o.requests {
			if err == nil {
				err = e.refuseImported(ctx, q, verb)
			}
		}
		return o, err
	}
	r, err := find(ctx, e, c.Args[0])
	var user *UserError
	if errors.As(err, &user) && c.Local && e.ReadFile != nil {
		return order(ctx, e, c, verb) // a file, on the console
	}
	if err != nil {
		return ordered{}, err
	}
	if r.IsImport() {
		return ordered{}, imported(r, verb)
	}
	cb, err := e.Engine.Stored(ctx, r.ID)
	if err != nil {
		return ordered{}, err
	}
	// What steps gave is the old machine's. Only which machine that is, is still of use.
	keep := []string{"provider_id"}
	if verb == "destroy" || verb == "adopt" {
		keep = append(keep, ofMachine...)
	}
	q, err := fresh(e, c, verb, cb, keep)
	return ordered{requests: []pipeline.Request{q}}, err
}

// imported refuses to make again, take down or take over what was only put on record.
func imported(r pipeline.Run, verb string) error {
	e := &UserError{Msg: fmt.Sprintf("cannot %s %s: it was imported and never deployed here, so nothing of it was made by Jarvis", verb, r.Host), Hint: "deploy it once by a clipboard of its own"}
	if verb == "adopt" {
		e.Hint = "`adopt URL PROVIDER-ID` names a clipboard that says at which provider it is"
	}
	return e
}

// refuseImported does so for a host that a clipboard names. To adopt it is what turns it into one of ours.
func (e *Env) refuseImported(ctx context.Context, q pipeline.Request, verb string) error {
	in, err := q.Clipboard.Instance()
	if err != nil || verb == "adopt" {
		return err
	}
	h, err := e.Engine.FindHost(ctx, in.FQDN)
	if err == nil && h.FQDN == in.FQDN && h.IsImport() {
		return imported(h.Run, verb)
	}
	return nil // whatever else is wrong is told where it is needed
}

// fresh makes a request of a clipboard on record without what its steps gave, but for the keys to keep.
func fresh(e *Env, c *Call, verb string, cb *clipboard.Clipboard, keep []string) (pipeline.Request, error) {
	kept := map[string][]string{}
	for _, key := range e.Engine.Registry().Given() {
		if list, err := cb.Strings(key); err == nil && contains(keep, key) {
			kept[key] = list
		}
		if err := cb.Delete(key); err != nil {
			return pipeline.Request{}, err
		}
	}
	q, err := request(e, c, verb, cb)
	var denied *UserError
	if errors.As(err, &denied) && denied.Kind == ErrDenied {
		// Nobody brought it now, so it cannot be left out.
		denied.Msg = strings.Replace(denied.Msg, "this clipboard", "the clipboard on record of "+cb.Get("hostname"), 1)
		denied.Hint = "ask somebody with the role `run` to say it"
	}
	if err != nil {
		return q, err
	}
	if verb == "destroy" && q.Kind.Verb == pipeline.VerbOwn {
		// The clipboard's own steps made the host; what takes it down is the provider's list.
		if cb.Get("provider") == "" {
			return q, &UserError{Msg: cb.Get("hostname") + " was made by steps of its own, and names no provider whose steps could take it down", Hint: "`undo " + cb.Get("hostname") + "` takes back what they did", Kind: ErrUsage}
		}
		if err := e.choose(&q, verb, strings.ToLower(cb.Get("provider")), cb); err != nil {
			return q, err
		}
	}
	for _, key := range keep {
		var err error
		switch v := kept[key]; {
		case len(v) == 0:
		case key == "hostkeys":
			err = cb.Set(key, v)
		default:
			err = cb.Set(key, v[0])
		}
		if err != nil {
			return q, err
		}
	}
	return q, nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
