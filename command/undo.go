package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

func undo() Verb {
	return Verb{
		Name: "undo", Usage: "HOST | CLUSTER", Role: access.Deploy, Min: 1, Max: 1, Acts: true,
		Doc:     "takes back what a host's last run did, last step first",
		Example: "undo loki",
		API:     []API{runAPI("undo")},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			r, cl, err := findAny(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			if why := e.undoNeeds(r, cl); why != "" {
				return e.askUndo(ctx, c, r, cl, why)
			}
			if cl != nil {
				if err := e.Engine.UndoCluster(ctx, cl.ID); err != nil {
					return Answer{}, err
				}
				a := say("%s: taking back %d hosts; those under way stop first.", cl.Name, len(cl.Runs))
				a.Data, a.Cluster = cl, cl
				return a, nil
			}
			if r, err = e.Engine.Undo(ctx, r.ID, c.Person.Name); err != nil {
				return Answer{}, err
			}
			a := say("%s: taking back run %d, from %s on.", r.Host, r.ID, fmt.Sprintf("stage %d/%d", min(r.Stage+1, len(r.Steps)), len(r.Steps)))
			a.Run, a.Data = &r, r
			return a, nil
		},
	}
}

// undoNeeds says why an undo waits for a second person: it takes down what is in production. "" when it does not.
func (e *Env) undoNeeds(r pipeline.Run, cl *pipeline.Cluster) string {
	if e.Approvals.Off {
		return ""
	}
	list := []pipeline.Run{r}
	if cl != nil {
		list = cl.Runs
	}
	var up []string
	for _, r := range list {
		if r.State == pipeline.Ready && over(r) == "ready" {
			up = append(up, r.Host)
		}
	}
	if len(up) == 0 {
		return ""
	}
	return strings.Join(up, ", ") + " is in production"
}

func (e *Env) askUndo(ctx context.Context, c *Call, r pipeline.Run, cl *pipeline.Cluster, why string) (Answer, error) {
	need := pipeline.NeedApproval{Why: why, For: e.Approvals.Expires}
	if cl != nil {
		p, err := e.Engine.AskUndo(ctx, cl.Runs[0], cl.ID, c.Person.Name, need)
		if err != nil {
			return Answer{}, err
		}
		return say("%s: to undo. %s", cl.Name, waitsFor(p.Why, cl.Name, p.Expires)), nil
	}
	p, err := e.Engine.AskUndo(ctx, r, 0, c.Person.Name, need)
	if err != nil {
		return Answer{}, err
	}
	return say("%s: to undo run %d. %s", r.Host, r.ID, waitsFor(p.Why, fmt.Sprint(r.ID), p.Expires)), nil
}
