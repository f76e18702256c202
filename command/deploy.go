package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/access"
)

const sourceUsage = "URL | cn=NAME"

func deploy() Verb {
	return Verb{
		Name: "deploy", Usage: sourceUsage, Role: access.Deploy, Min: 1, Max: 1, Acts: true,
		Doc:     "deploys the host, or the cluster of hosts, that the clipboard describes",
		Example: "deploy https://gist.github.com/912450",
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			o, err := order(ctx, e, c, "deploy")
			if err != nil {
				return Answer{}, err
			}
			return e.begin(ctx, o)
		},
	}
}

// begin starts what was ordered and says what will happen.
func (e *Env) begin(ctx context.Context, o ordered) (Answer, error) {
	if o.cluster != nil {
		cl, err := e.Engine.StartCluster(ctx, *o.cluster, o.requests)
		if err != nil {
			return Answer{}, err
		}
		var hosts []string
		for _, r := range cl.Runs {
			hosts = append(hosts, r.Host+" on "+provider(r.Pipeline))
		}
		a := say("%s: %d hosts (%s), runs %d to %d. Ask `status %s`.", cl.Name, len(cl.Runs), strings.Join(hosts, ", "), cl.Runs[0].ID, cl.Runs[len(cl.Runs)-1].ID, cl.Name)
		a.Data, a.Cluster = cl, &cl
		return a, nil
	}
	r, err := e.Engine.Start(ctx, o.requests[0])
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
}
