package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/tasklog"
)

// Happened is a notice that was not said when it came.
type Happened struct {
	Kind pipeline.EventKind
	Host string
	Line string // as it would have been said
}

// few is how one kind of notice is told of one host, and of several.
type few struct {
	kind      pipeline.EventKind
	one, many string
}

// inFew says of how many hosts something happened, what asks for somebody first.
var inFew = []few{
	{pipeline.EvFailed, "failed", "failed"}, {pipeline.EvAsking, "waited for somebody", "waited for somebody"}, {pipeline.EvUndoFailed, "could not be undone wholly", "could not be undone wholly"}, {pipeline.EvLapsed, "did not begin", "did not begin"},
	{pipeline.EvProposed, "asked for a second person", "asked for a second person"}, {pipeline.EvSiloAway, "silo was served by nobody", "silos were served by nobody"}, {pipeline.EvSiloBack, "silo was served again", "silos were served again"},
	{pipeline.EvDrift, "drifted", "drifted"}, {pipeline.EvDriftOver, "was put right", "were put right"},
	{pipeline.EvPostponed, "waited for the end of a freeze", "waited for the end of a freeze"}, {pipeline.EvBegins, "began", "began"},
	{pipeline.EvReady, "became ready", "became ready"}, {pipeline.EvAllReady, "cluster became ready", "clusters became ready"}, {pipeline.EvApproved, "was approved", "were approved"},
	{pipeline.EvDenied, "was denied", "were denied"}, {pipeline.EvCancelled, "was cancelled", "were cancelled"}, {pipeline.EvUndone, "was undone", "were undone"},
}

// Folded says in one line what came in quiet hours.
func Folded(list []Happened) string {
	const begin = "While it was quiet: "
	if len(list) == 1 {
		return begin + list[0].Line
	}
	var parts []string
	tell := func(one, many string, is func(pipeline.EventKind) bool) {
		var hosts []string
		for _, h := range list {
			if is(h.Kind) {
				hosts = append(hosts, h.Host)
			}
		}
		if len(hosts) > 0 {
			parts = append(parts, counted(hosts, one, many))
		}
	}
	for _, w := range inFew {
		tell(w.one, w.many, func(k pipeline.EventKind) bool { return k == w.kind })
	}
	// What another version kept back, in words that this one does not have.
	tell("other notice", "other notices", func(k pipeline.EventKind) bool {
		return !slices.ContainsFunc(inFew, func(w few) bool { return w.kind == k })
	})
	return begin + strings.Join(parts, "; ") + "."
}

// namedInFew is how many hosts such a line names of each kind.
const namedInFew = 5

// counted gives "2 became ready (loki, odin)".
func counted(hosts []string, one, many string) string {
	word := many
	if len(hosts) == 1 {
		word = one
	}
	n := len(hosts)
	var names []string
	for _, h := range hosts {
		if h != "" && !slices.Contains(names, h) {
			names = append(names, h)
		}
	}
	if len(names) > namedInFew {
		names = append(names[:namedInFew:namedInFew], "…")
	}
	if len(names) == 0 {
		return fmt.Sprintf("%d %s", n, word)
	}
	return fmt.Sprintf("%d %s (%s)", n, word, strings.Join(names, ", "))
}

// Summary says in one line what happened after an event, and what waits for people now. since is when that was, in the
// zone in which it is told; last the last event of those it counts.
func (t *Table) Summary(ctx context.Context, after int64, since time.Time) (line string, last int64, err error) {
	e := t.env()
	last = after
	var did []string
	hosts := map[string][]string{}
	for {
		evs, err := e.Engine.Events(ctx, pipeline.EventFilter{After: last, Kinds: []pipeline.EventKind{pipeline.EvReady, pipeline.EvFailed, pipeline.EvUndoFailed, pipeline.EvUndone, pipeline.EvLapsed}})
		if err != nil {
			return "", last, err
		}
		if len(evs) == 0 {
			break
		}
		for _, ev := range evs {
			last = ev.ID
			r, err := e.Engine.Get(ctx, ev.Run)
			switch {
			case errors.Is(err, pipeline.ErrNotFound):
				continue
			case err != nil:
				return "", last, err
			}
			hosts[summed(r, ev)] = append(hosts[summed(r, ev)], r.Host)
		}
	}
	for _, w := range summary {
		if list := hosts[w.what]; len(list) > 0 {
			did = append(did, counted(list, w.one, w.many))
		}
	}
	if len(did) == 0 {
		did = []string{"nothing was deployed, and nothing failed"}
	}
	waits, err := e.waitsForPeople(ctx)
	if err != nil {
		return "", last, err
	}
	return fmt.Sprintf("Since %s: %s. Now: %s.", plain.Zoned(since.Truncate(time.Minute)), strings.Join(did, ", "), waits), last, nil
}

var summary = []struct{ what, one, many string }{
	{"ready", "deployed", "deployed"}, {"destroyed", "taken down", "taken down"}, {"undone", "undone", "undone"}, {"task", "task done", "tasks done"}, {"failed", "failed", "failed"}, {"lapsed", "did not begin", "did not begin"},
}

// summed gives what an event counts as.
func summed(r pipeline.Run, ev pipeline.Event) string {
	switch {
	case ev.Kind == pipeline.EvFailed || ev.Kind == pipeline.EvUndoFailed:
		return "failed"
	case ev.Kind == pipeline.EvLapsed:
		return "lapsed"
	case ev.Kind == pipeline.EvUndone:
		return "undone"
	case tasklog.IsCheck(r):
		return ""
	case tasklog.IsTask(r):
		return "task"
	case r.Ending == pipeline.EndDestroyed:
		return "destroyed"
	}
	return "ready"
}

// waitsForPeople says whom and what everything waits for.
func (e *Env) waitsForPeople(ctx context.Context) (string, error) {
	approvals, err := e.Engine.Approvals(ctx)
	if err != nil {
		return "", err
	}
	asks, err := e.Engine.Runs(ctx, pipeline.RunFilter{State: pipeline.Asking, Limit: 1000})
	if err != nil {
		return "", err
	}
	holds, err := e.Engine.Holds(ctx)
	if err != nil {
		return "", err
	}
	var waits []string
	for _, a := range approvals {
		waits = append(waits, fmt.Sprintf("`approve %d`", a.Run))
	}
	for _, r := range asks {
		waits = append(waits, fmt.Sprintf("`status %s`", r.Host))
	}
	out := []string{"nothing waits for anybody"}
	if len(waits) > 0 {
		out[0] = counted(waits, "waits for somebody", "wait for somebody")
	}
	var held []string
	for _, h := range holds {
		held = append(held, h.Host)
	}
	if len(held) > 0 {
		out = append(out, counted(held, "is held", "are held"))
	}
	for _, f := range e.Freeze {
		if until, is, err := f.at(e.Now()); err == nil && is {
			out = append(out, "a freeze until "+plain.Time(until))
		}
	}
	return strings.Join(out, ", "), nil
}
