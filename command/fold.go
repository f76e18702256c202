package command

import (
	"context"
	"fmt"

	"github.com/jarvisops/jarvis/pipeline"
)

// foldAbove is how many hosts of a cluster are told one by one. Of a larger one, what happens to all of them is one
// line.
const foldAbove = 3

// ofCluster gives the notice of what happened to a host as a part of its cluster, "" when another line tells it. folded
// is false for what is told of each host: what went wrong, and what somebody did with one of them.
func ofCluster(ctx context.Context, e *pipeline.Engine, r pipeline.Run, ev pipeline.Event) (line string, folded bool) {
	if ev.Kind != pipeline.EvReady && !(ev.Kind == pipeline.EvApproved && ev.Diff == pipeline.ToStart) {
		return "", false
	}
	if ev.Kind == pipeline.EvReady { // what was ready, and is again, is so because somebody did something with it alone
		before, err := e.Events(ctx, pipeline.EventFilter{Run: r.ID, Kinds: []pipeline.EventKind{pipeline.EvReady}, Limit: 1})
		if err != nil || len(before) > 0 && before[0].ID != ev.ID {
			return "", false
		}
	}
	s, err := e.SizeOf(ctx, r)
	if err != nil || s.Runs <= foldAbove {
		return "", false
	}
	if ev.Kind == pipeline.EvReady || r.ID != s.First {
		return "", true // the cluster's own line tells when all are; all were approved as one
	}
	goes := "go on"
	if !r.At.IsZero() {
		goes = "are to begin on " + beginsOn(r)
	}
	return fmt.Sprintf("%s: its %d runs, from %d on, are approved %s, and %s.", s.Name, s.Runs, s.First, ev.Text, goes), true
}

// soFar says, after what went wrong with a host, how far its cluster is: its hosts are not told one by one.
func soFar(ctx context.Context, e *pipeline.Engine, r pipeline.Run) string {
	s, err := e.SizeOf(ctx, r)
	if err != nil || s.Runs <= foldAbove {
		return ""
	}
	return fmt.Sprintf(" Of %s %d of %d hosts are ready so far.", s.Name, s.Ready, s.Runs)
}
