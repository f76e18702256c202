package tasklog

import (
	"context"
	"maps"
	"slices"

	"github.com/jarvisops/jarvis/internal/plain"
)

// rewritten gives the tasks that have run, or run, and whose commits are not there any more: somebody amended them, or
// the like.
func (l *Repo) rewritten(ctx context.Context, p *plan, running string) (out []walked, err error) {
	last, err := l.past.newestBegun(ctx)
	if err != nil {
		return nil, err
	}
	ids := slices.Sorted(maps.Keys(p.open))
	for _, id := range []string{last, running} {
		if id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		t := pendingOf(id)
		if slices.Contains(p.merge, t.Commit) {
			continue
		}
		w := walked{id: id, p: Pending{Task: Task{Name: p.open[id]}, Commit: t.Commit, Position: t.Position}}
		here, err := l.git.commit(ctx, t.Commit)
		if err != nil {
			return nil, err
		}
		if here != "" {
			if is, err := l.git.within(ctx, t.Commit, p.done); err != nil {
				return nil, err
			} else if is {
				continue
			}
			file, entries, err := l.list(ctx, t.Commit)
			if _, unreadable := err.(*listError); err != nil && !unreadable {
				return nil, err
			}
			if t.Position <= len(entries) {
				e := entries[t.Position-1]
				w.p.Task, w.p.File, w.p.Line, w.p.Author, w.p.At = e.task, file, e.line, l.author(ctx, t.Commit), l.date(ctx, t.Commit)
			}
		}
		if w.p.Task.Name != "" {
			out = append(out, w)
		}
	}
	return out, nil
}

// find takes those of the tasks whose commits are gone that a list has again. One that runs is taken anyway: it may not
// go. Of one whose text this copy never had, the name counts.
func find(lost, list []walked, entries []entry, commit, running string) (found, rest []walked) {
	more := map[string]int{} // how many of a name are new
	for _, e := range entries {
		more[e.task.Name]++
	}
	for _, w := range list {
		more[w.p.Task.Name]--
	}
	for _, w := range lost {
		name := w.p.Task.Name
		if w.p.Task.Shell == "" {
			for _, e := range entries {
				if plain.Joined(e.task.Name) == name {
					w.p.Task, w.p.Line, name = e.task, e.line, e.task.Name
				}
			}
		}
		if more[name] <= 0 && w.id != running {
			rest = append(rest, w)
			continue
		}
		more[name]--
		w.at = commit
		found = append(found, w)
	}
	return found, rest
}
