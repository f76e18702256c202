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
			why, err := e.undoNeeds(ctx, r, cl)
			if err != nil {
				return Answer{}, err
			}
			if why != "" {
				return e.askUndo(ctx, c, r, cl, why)
			}
			if cl != nil {
				left, err := e.Engine.UndoCluster(ctx, cl.ID)
				if err != nil {
					return Answer{}, err
				}
				n := len(cl.Runs) - len(left)
				a := say("%s: taking back %d %s; those under way stop first.", cl.Name, n, plural(n, "host"))
				for _, l := range left {
					a.Lines = append(a.Lines, fmt.Sprintf("%s: not %s: %s", cl.Name, l.Host, sentence(l.Why)))
				}
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

// undoNeeds says why an undo waits for a second person: it takes down what is in production, or takes back what a run
// changed about it. "" when it does not.
func (e *Env) undoNeeds(ctx context.Context, r pipeline.Run, cl *pipeline.Cluster) (string, error) {
	if e.Approvals.Off {
		return "", nil
	}
	list := []pipeline.Run{r}
	if cl != nil {
		list = cl.Runs
	}
	var up []string
	for _, r := range list {
		before, err := e.Engine.StoodBefore(ctx, r)
		if err != nil {
			return "", err
		}
		if r.State == pipeline.Ready && over(r) == "ready" || before && r.HasBegun() && r.State.Resting() && r.State != pipeline.Undone && over(r) == "ready" {
			up = append(up, r.Host)
		}
	}
	if len(up) == 0 {
		return "", nil
	}
	return strings.Join(up, ", ") + " is in production", nil
}

// askUndo has a second person asked. For a cluster the question is with its first run.
func (e *Env) askUndo(ctx context.Context, c *Call, r pipeline.Run, cl *pipeline.Cluster, why string) (Answer, error) {
	need := pipeline.NeedApproval{Why: why, For: e.Approvals.Expires}
	if cl != nil {
		p, err := e.Engine.AskUndo(ctx, cl.Runs[0], cl.ID, who(c), need)
		if err != nil {
			return Answer{}, err
		}
		return asked(p, "%s: to undo. %s", cl.Name, waitsFor(p.Why, fmt.Sprint(cl.Runs[0].ID), p.Expires)), nil
	}
	p, err := e.Engine.AskUndo(ctx, r, 0, who(c), need)
	if err != nil {
		return Answer{}, err
	}
	return asked(p, "%s: to undo run %d. %s", r.Host, r.ID, waitsFor(p.Why, fmt.Sprint(r.ID), p.Expires)), nil
}
