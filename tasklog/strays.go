package tasklog

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// strays finds what done has, the wanted branch has not, and is no mark or merge of done's own: then what ran may be
// wanted under another name now.
func (l *Repo) strays(ctx context.Context, p *plan) error {
	lines, err := l.git.lines(ctx, "log", "--format=%H%x1f%P%x1f%an%x1f%(trailers:key="+trailerTask+",valueonly,separator=%x2c)%x1f%s", p.wanted+".."+p.done)
	if err != nil {
		return err
	}
	ahead := map[string]bool{} // commits that only done has
	for _, line := range lines {
		hash, _, _ := strings.Cut(line, "\x1f")
		ahead[hash] = true
	}
	for _, line := range lines {
		f := strings.SplitN(line, "\x1f", 5)
		if len(f) < 5 || f[3] != "" { // one of our marks
			continue
		}
		hash, parents, author, subject := f[0], strings.Fields(f[1]), f[2], f[4]
		if len(parents) > 1 {
			if own, err := l.merges(ctx, p, parents, subject, ahead); err != nil {
				return err
			} else if own {
				continue
			}
		}
		return troublef("the branch %s holds the commit %.8s by %s (%s), which the wanted branch does not: its history was rewritten, or somebody committed to %[1]s; push the history back, or move %[1]s yourself to what has been run",
			l.cfg.Done, hash, author, subject)
	}
	return nil
}

// merges reports whether a merge took the wanted branch into done, be it ours, a person's or Finglonger's. Another one
// is of a wanted branch that was rewritten: a pull request's that somebody amended has its parents still, and brought
// tasks itself.
func (l *Repo) merges(ctx context.Context, p *plan, parents []string, subject string, ahead map[string]bool) (bool, error) {
	taken := parents[1:]
	if ahead[parents[0]] || len(taken) == 1 && subject == passing(taken[0], l.cfg.Env) {
		return true, nil // what it began at is done's own, or is looked at itself
	}
	chain, err := l.git.lines(ctx, "rev-list", "--first-parent", parents[0]+".."+p.wanted)
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(taken, func(c string) bool { return !slices.Contains(chain, c) }), nil
}

// passing is the subject of a merge of commits without tasks for an environment.
func passing(commit, env string) string {
	return fmt.Sprintf("Merge %.8s: no tasks for %s", commit, env)
}
