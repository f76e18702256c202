package tasklog

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
)

// wrote is who wrote a commit, and when it was committed; of a merge, who wrote what it brought.
type wrote struct {
	author string
	at     time.Time
}

// authors learns who wrote commits, by two processes however many they are.
func (l *Repo) authors(ctx context.Context, commits []string) error {
	known := map[string]wrote{}
	brought := map[string]string{} // by merge
	read := func(commits []string, each func(commit, parents, name string, at time.Time)) error {
		if len(commits) == 0 {
			return nil
		}
		out, err := l.git.feed(ctx, strings.Join(commits, "\n")+"\n", "log", "--no-walk=unsorted", "--stdin", "--format=%H%x09%P%x09%ct%x09%an")
		for line := range strings.Lines(out) {
			if f := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 4); len(f) == 4 {
				n, _ := strconv.ParseInt(f[2], 10, 64)
				name := plain.Line(f[3])
				if name == "" {
					name = "somebody"
				}
				each(f[0], f[1], name, time.Unix(n, 0))
			}
		}
		return err
	}
	if err := read(commits, func(commit, parents, name string, at time.Time) {
		known[commit] = wrote{name, at}
		if _, second, merge := strings.Cut(parents, " "); merge {
			brought[commit], _, _ = strings.Cut(second, " ")
		}
	}); err != nil {
		return err
	}
	names := map[string]string{}
	seconds := slices.Compact(slices.Sorted(maps.Values(brought)))
	if err := read(seconds, func(commit, _, name string, _ time.Time) { names[commit] = name }); err != nil {
		return err
	}
	for commit, second := range brought {
		known[commit] = wrote{names[second], known[commit].at}
	}
	l.wrote = known
	return nil
}

// by gives who wrote a commit.
func (l *Repo) by(ctx context.Context, commit string) wrote {
	if w, ok := l.wrote[commit]; ok {
		return w
	}
	had := l.wrote
	err := l.authors(ctx, []string{commit})
	w, ok := l.wrote[commit]
	l.wrote = had
	if err != nil || !ok {
		return wrote{author: "somebody"}
	}
	return w
}

func (l *Repo) author(ctx context.Context, commit string) string { return l.by(ctx, commit).author }

func (l *Repo) date(ctx context.Context, commit string) time.Time { return l.by(ctx, commit).at }

// signed checks the signatures of the commits that bring tasks.
func (l *Repo) signed(ctx context.Context, p *plan) error {
	if !l.cfg.RequireSigned {
		return nil
	}
	for _, c := range p.merge {
		if !slices.ContainsFunc(p.pending, func(t Pending) bool { return t.Commit == c }) {
			continue
		}
		if _, err := l.git.run(ctx, "verify-commit", c); err != nil {
			return troublef("the commit %.8s by %s is not signed by a key of %s", c, l.author(ctx, c), l.cfg.AllowedSigners)
		}
	}
	return nil
}

// signer gives who of `people` signed a commit: a name in allowed_signers that is one of theirs. "" when nobody did:
// the name and the address of an author are whatever somebody writes.
func (l *Repo) signer(ctx context.Context, commit string) string {
	if l.cfg.AllowedSigners == "" || l.log.world.Known == nil {
		return ""
	}
	out, err := l.git.run(ctx, "log", "-1", "--format=%G?%x09%GS", commit)
	good, name, _ := strings.Cut(out, "\t")
	if err != nil || good != "G" || !l.log.world.Known(name) {
		return ""
	}
	return name
}
