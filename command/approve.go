package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

// Approvals says what waits for a second person.
type Approvals struct {
	Off     bool          `yaml:"off" doc:"nothing waits for a second person: for teams of one"`
	Expires time.Duration `yaml:"expires" doc:"how long a run waits for its approval" default:"24h"`
}

const defaultExpires = 24 * time.Hour

// askFirst marks the requests that a second person has to approve: whatever destroys, and whatever touches a host that
// is in production. For a host that is to be deployed again, a directory that does not answer counts as yes.
func (e *Env) askFirst(ctx context.Context, verb string, o *ordered) error {
	if e.Approvals.Off {
		return nil
	}
	var why []string
	for _, q := range o.requests {
		reason, err := e.reason(ctx, verb, q)
		if err != nil {
			return err
		}
		if reason != "" {
			why = append(why, reason)
		}
	}
	if len(why) == 0 {
		return nil
	}
	for i := range o.requests { // a cluster waits as a whole
		o.requests[i].Approval = &pipeline.NeedApproval{Why: strings.Join(why, "; "), For: e.Approvals.Expires}
	}
	return nil
}

// reason says why a request needs a second person; "" when it does not.
func (e *Env) reason(ctx context.Context, verb string, q pipeline.Request) (string, error) {
	in, err := q.Clipboard.Instance()
	if err != nil {
		return "", err
	}
	destroys := verb == "destroy"
	for _, s := range q.Steps {
		destroys = destroys || ownSteps(q.Pipeline) && strings.HasSuffix(s, ":destroy")
	}
	if destroys {
		return "it destroys " + in.Hostname, nil
	}
	switch r, err := e.Engine.InProduction(ctx, in.FQDN); {
	case err == nil:
		return fmt.Sprintf("%s is in production since run %d", in.Hostname, r.ID), nil
	case !errors.Is(err, pipeline.ErrNotFound):
		return "", err
	}
	if e.InDirectory == nil {
		return "", nil
	}
	what, yes, err := e.InDirectory(ctx, q.Clipboard)
	switch {
	case err != nil && verb == "deploy":
		// A new host that nothing here knows of. Where it matters, the pipeline asks the directory again, and fails.
		e.Log.Warn("see whether a host is in production", "host", in.Hostname, "err", err)
		return "", nil
	case err != nil:
		return fmt.Sprintf("I can not see whether %s is in production: %s", in.Hostname, clip(err.Error(), 200)), nil
	case yes:
		return in.Hostname + " is " + what, nil
	}
	return "", nil
}

// waitsFor is the second half of an answer about something that waits.
func waitsFor(why, name string, until time.Time) string {
	return fmt.Sprintf("It waits for a second person, because %s: `approve %s`, until %s.", why, name, until.Format("15:04 on 2 January"))
}

func approve() Verb {
	return Verb{
		Name: "approve", Usage: "RUN | HOST | CLUSTER", Role: access.Deploy, Min: 1, Max: 1, Acts: true,
		Doc:     "lets go ahead what somebody else asked for, and what waits for a second person",
		Example: "approve 12",
		API:     []API{runAPI("approve")},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			r, cl, err := findAsked(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			if cl != nil {
				return e.approveCluster(ctx, *cl, c.Person.Name)
			}
			r, p, err := e.Engine.Approve(ctx, r.ID, c.Person.Name)
			if err != nil {
				return Answer{}, err
			}
			a := say("%s: run %d starts, %d %s.", r.Host, r.ID, len(r.Steps), plural(len(r.Steps), "stage"))
			if p.What == pipeline.ToUndo {
				a = say("%s: taking back run %d.", r.Host, r.ID)
			}
			a.Run, a.Data = &r, r
			return a, nil
		},
	}
}

// findAsked gives what was asked for as one: a run, or the whole cluster that it belongs to.
func findAsked(ctx context.Context, e *Env, word string) (pipeline.Run, *pipeline.Cluster, error) {
	r, cl, err := findAny(ctx, e, word)
	if err != nil || cl != nil || r.Cluster == 0 {
		return r, cl, err
	}
	whole, err := e.Engine.ClusterOf(ctx, r)
	return r, &whole, err
}

func (e *Env) approveCluster(ctx context.Context, cl pipeline.Cluster, by string) (Answer, error) {
	if p, err := e.Engine.Pending(ctx, cl.Runs[0].ID); err == nil && p.What == pipeline.ToUndo && p.Cluster > 0 {
		if _, _, err := e.Engine.Approve(ctx, cl.Runs[0].ID, by); err != nil {
			return Answer{}, err
		}
		a := say("%s: taking back %d hosts.", cl.Name, len(cl.Runs))
		a.Data, a.Cluster = cl, &cl
		return a, nil
	}
	return eachMember(cl, "approved", func(r pipeline.Run) (pipeline.Run, error) {
		r, _, err := e.Engine.Approve(ctx, r.ID, by)
		return r, err
	})
}
