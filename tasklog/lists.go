package tasklog

import (
	"context"
	"slices"
)

// list reads the task list of a commit.
func (l *Repo) list(ctx context.Context, commit string) (file string, entries []entry, err error) {
	found, err := l.lists(ctx, []string{commit})
	if err != nil {
		return "", nil, err
	}
	return found[0].file, found[0].entries, found[0].err
}

// listed is what a commit has for a task list.
type listed struct {
	file    string
	entries []entry
	err     error // a *listError
}

// lists reads the task lists of commits. What the last look read is not read again.
func (l *Repo) lists(ctx context.Context, commits []string) ([]listed, error) {
	places := []string{"envs/" + l.cfg.Env + "/tasks.yaml", "tasks.yaml"}
	var names []string
	for _, c := range commits {
		for _, f := range places {
			names = append(names, c+":"+f)
		}
	}
	blobs, err := l.git.at(l.git.dir).Files(ctx, names)
	if err != nil {
		return nil, err
	}
	out := make([]listed, len(commits))
	for i := range commits {
		out[i] = listed{file: "tasks.yaml", err: &listError{file: places[0], msg: "it is not there, and no tasks.yaml at the top either; a list of no tasks is a file with `---`"}}
		for k, f := range places {
			b := blobs[i*len(places)+k]
			if b.Hash == "" {
				continue
			}
			known, ok := l.parsed[f+" "+b.Hash]
			if !ok {
				known = &listed{file: f}
				known.entries, known.err = parseList(f, b.Text)
				if l.parsed == nil || len(l.parsed) > maxParsed {
					l.parsed = map[string]*listed{}
				}
				l.parsed[f+" "+b.Hash] = known
			}
			out[i] = listed{f, slices.Clip(known.entries), known.err}
			break
		}
	}
	return out, nil
}

// maxParsed is how many task lists are remembered.
const maxParsed = 2000

// lastList reads the newest list up to a commit that can be read. What ran is known by it: were an unreadable one taken
// for an empty one, all would run again when it is mended. What an earlier version read of those that are refused now
// comes after it; several says that there is some.
func (l *Repo) lastList(ctx context.Context, commit string) (list []entry, several bool, err error) {
	older, err := l.git.lines(ctx, "rev-list", "--first-parent", commit, "--", "envs/"+l.cfg.Env+"/tasks.yaml", "tasks.yaml")
	if err != nil {
		return nil, false, err
	}
	var behind []entry
	for _, c := range append([]string{commit}, older...) {
		_, entries, err := l.list(ctx, c)
		le, isList := err.(*listError)
		if !isList {
			return join(entries, behind), behind != nil, err
		}
		behind = join(le.ran, behind)
	}
	return behind, true, nil // there was none yet
}

// join puts after a list what it does not hold already, as often.
func join(list, more []entry) []entry {
	have := map[string]int{}
	for _, e := range list {
		have[e.task.key()]++
	}
	for _, e := range more {
		if k := e.task.key(); have[k] > 0 {
			have[k]--
		} else {
			list = append(list, e)
		}
	}
	return list
}
