package command

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/access"
)

const sourceUsage = "URL | cn=NAME"

func deploy() Verb {
	v := Verb{
		Name: "deploy", Usage: sourceUsage + AtUsage, Role: access.Deploy, Min: 1, Max: 4, Acts: true,
		Doc:     "deploys the host, or the cluster of hosts, that the clipboard describes; with a time, begins then",
		Example: "deploy https://gist.github.com/912450",
		API:     []API{sourceAPI("deploy", false, atParam())},
	}
	v.Run = func(ctx context.Context, e *Env, c *Call) (Answer, error) {
		at, err := takeTime(v, c)
		if err != nil {
			return Answer{}, err
		}
		o, err := order(ctx, e, c, "deploy")
		if err != nil {
			return Answer{}, err
		}
		o.at = at
		return e.begin(ctx, c, "deploy", o)
	}
	return v
}

// begin starts what was ordered, or asks for its approval, and says what will happen.
func (e *Env) begin(ctx context.Context, c *Call, verb string, o ordered) (Answer, error) {
	ignored := ""
	if verb != "destroy" { // what takes a host down has no use for most of what made it
		ignored = e.unreadOf(o)
	}
	remark, err := "", e.planTime(c, &o)
	if err == nil {
		remark, err = e.frozen(c.Person, o.requests[0].At, verb)
	}
	if err != nil {
		began, kerr := false, error(nil)
		if c.Key != "" { // it may be a second try of what was asked for before the freeze, or before that time
			began, kerr = e.Engine.Began(ctx, keyOf(c), fingerprint(c))
		}
		if kerr != nil || !began {
			return Answer{}, cmp.Or(kerr, err)
		}
	}
	a, err := e.start(ctx, c, verb, o)
	if err == nil {
		a.Lines = append(a.Lines, slices.DeleteFunc([]string{ignored, remark}, func(l string) bool { return l == "" })...)
	}
	return a, err
}

// keyOf gives a client's idempotency key as the record has it: each person has their own.
func keyOf(c *Call) string { return c.Person.Name + "/" + c.Key }

// start starts what was ordered, or asks for its approval.
func (e *Env) start(ctx context.Context, c *Call, verb string, o ordered) (Answer, error) {
	if err := e.askFirst(ctx, verb, &o); err != nil {
		return Answer{}, err
	}
	if c.Key != "" {
		o.requests[0].Key, o.requests[0].Hash = keyOf(c), fingerprint(c)
	}
	if o.cluster != nil {
		cl, err := e.Engine.StartCluster(ctx, *o.cluster, o.requests)
		if err != nil {
			return Answer{}, err
		}
		var hosts []string
		for _, r := range cl.Runs {
			hosts = append(hosts, r.Host+on(e.Engine, r))
		}
		line := fmt.Sprintf("%s: %d %s (%s), runs %d to %d.", cl.Name, len(cl.Runs), plural(len(cl.Runs), "host"), strings.Join(hosts, ", "), cl.Runs[0].ID, cl.Runs[len(cl.Runs)-1].ID)
		a := say("%s Ask `status %s`.", line, cl.Name)
		if w := e.waitsLine(cl.Runs[0], cl.Name, o.requests[0].Approval); w != "" {
			a = say("%s %s", line, w)
		}
		a.Data, a.Cluster = cl, &cl
		return a, nil
	}
	r, err := e.Engine.Start(ctx, o.requests[0])
	if err != nil {
		return Answer{}, err
	}
	line := fmt.Sprintf("%s%s, %d %s, run %d.", r.FQDN, on(e.Engine, r), len(r.Steps), plural(len(r.Steps), "stage"), r.ID)
	if w := e.waitsLine(r, r.Host, o.requests[0].Approval); w != "" {
		a := say("%s %s", line, w)
		a.Run, a.Data = &r, r
		return a, nil
	}
	if u, err := e.Engine.Usual(ctx, r.Pipeline); err == nil && u.Total > 0 {
		line += " Usually " + Short(u.Total) + "."
	}
	a := say("%s Ask `status %s`.", line, r.Host)
	a.Run, a.Data = &r, r
	return a, nil
}
