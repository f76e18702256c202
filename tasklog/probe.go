package tasklog

import (
	"context"
	"os"
)

// Probe asks each repository for its branches, and changes nothing. each is told the name, and what is wrong.
func (l *Log) Probe(ctx context.Context, each func(name string, err error)) {
	for _, r := range l.repos {
		err := os.MkdirAll(r.git.dir, 0o700)
		if err == nil {
			_, err = r.git.run(ctx, "ls-remote", "--heads", "--", r.git.url())
		}
		each(r.cfg.Name, err)
	}
}
