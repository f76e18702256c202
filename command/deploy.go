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
	return Verb{
		Name: "deploy", Usage: sourceUsage, Role: access.Deploy, Min: 1, Max: 1, Acts: true,
		Doc:     "deploys the host, or the cluster of hosts, that the clipboard describes",
		Example: "deploy https://gist.github.com/912450",
		API:     []API{sourceAPI("deploy", false)},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			o, err := order(ctx, e, c, "deploy")
			if err != nil {
				return Answer{}, err
			}
			return e.begin(ctx, c, "deploy", o)
		},
	}
}

// begin starts what was ordered, or asks for its approval, and says what will happen.
func (e *Env) begin(ctx context.Context, c *Call, verb string, o ordered) (Answer, error) {
	ignored := ""
	if verb != "destroy" { // what takes a host down has no use for most of what made it
		ignored = e.unreadOf(o)
	}
	remark, err := e.frozen(c.Person)
	if err != nil {
		began, kerr := false, error(nil)
		if c.Key != "" { // it may be a second try of what began before the freeze
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

// keyOf gives a client's idempotency key as the record has it: each person has his own.
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
		if need := o.requests[0].Approval; need != nil {
			a := say("%s: %d %s (%s), runs %d to %d. %s", cl.Name, len(cl.Runs), plural(len(cl.Runs), "host"), strings.Join(hosts, ", "), cl.Runs[0].ID, cl.Runs[len(cl.Runs)-1].ID, waitsFor(need.Why, fmt.Sprint(cl.Runs[0].ID), e.Now().Add(need.For)))
			a.Data, a.Cluster = cl, &cl
			return a, nil
		}
		a := say("%s: %d %s (%s), runs %d to %d. Ask `status %s`.", cl.Name, len(cl.Runs), plural(len(cl.Runs), "host"), strings.Join(hosts, ", "), cl.Runs[0].ID, cl.Runs[len(cl.Runs)-1].ID, cl.Name)
		a.Data, a.Cluster = cl, &cl
		return a, nil
	}
	r, err := e.Engine.Start(ctx, o.requests[0])
	if err != nil {
		return Answer{}, err
	}
	line := fmt.Sprintf("%s%s, %d %s, run %d.", r.FQDN, on(e.Engine, r), len(r.Steps), plural(len(r.Steps), "stage"), r.ID)
	if need := o.requests[0].Approval; need != nil {
		a := say("%s %s", line, waitsFor(need.Why, fmt.Sprint(r.ID), e.Now().Add(need.For)))
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
