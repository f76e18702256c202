package command

import (
	"context"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

// findAsked gives what was asked for as one: a run, or the whole cluster that it belongs to.
func findAsked(ctx context.Context, e *Env, word string) (pipeline.Run, *pipeline.Cluster, error) {
	r, cl, err := findLive(ctx, e, word)
	if err != nil || cl != nil || r.Cluster == 0 {
		return r, cl, err
	}
	if p, err := e.Engine.Pending(ctx, r.ID); err != nil || !asOne(p) { // of one host, or nothing: the engine says which
		return r, nil, nil
	}
	whole, err := e.Engine.ClusterOf(ctx, r)
	return r, &whole, err
}

func deny() Verb {
	return Verb{
		Name: "deny", Usage: "RUN | HOST | CLUSTER [because REASON]", Role: access.Deploy, Min: 1, Max: -1, Acts: true,
		Doc:     "refuses what waits for a second person; the one who asked may take it back so",
		Example: "deny 12",
		API:     []API{runAPI("deny", becauseParam())},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			reason, err := reasonOf(c, "deny RUN [because REASON]")
			if err != nil {
				return Answer{}, err
			}
			r, cl, err := findAsked(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			if cl != nil {
				return eachMember(*cl, "denied", func(r pipeline.Run) (pipeline.Run, error) {
					_, err := e.Engine.Deny(ctx, r.ID, who(c), reason)
					return r, err
				})
			}
			p, err := e.Engine.Deny(ctx, r.ID, who(c), reason)
			if err != nil {
				return Answer{}, err
			}
			if r, err = e.Engine.Get(ctx, r.ID); err != nil {
				return Answer{}, err
			}
			a := say("%s: run %d does not start.", r.Host, r.ID)
			a.Run, a.Data = &r, r
			if p.What == pipeline.ToUndo {
				a = say("%s: the undo of run %d will not happen; the host stays as it is.", r.Host, r.ID)
				a.Data = r // there is nothing to follow
			}
			if p.What == pipeline.ToRepeat {
				a = say("%s: run %d is not done again; the host stays as it is.", r.Host, r.ID)
				a.Data = r
			}
			if p.What == pipeline.ToGiveUp {
				a = say("%s: run %d is not given up.", r.Host, r.ID)
				a.Data = r
			}
			return a, nil
		},
	}
}
