package command

import (
	"context"
	"fmt"

	"github.com/jarvisops/jarvis/access"
)

func undo() Verb {
	return Verb{
		Name: "undo", Usage: "HOST | CLUSTER", Role: access.Deploy, Min: 1, Max: 1, Acts: true,
		Doc:     "takes back what a host's last run did, last step first",
		Example: "undo loki",
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			r, cl, err := findAny(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
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
