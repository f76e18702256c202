package monitor

import (
	"context"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// suppress is for a bounded time: if we never come back, monitoring wakes up by itself.
func (w *Worker) suppress() pipeline.Step {
	return pipeline.Step{
		Name:    "monitor:suppress",
		Doc:     "keeps monitoring quiet about the host, under the run's own mark and for a bounded time",
		Needs:   []string{"hostname", "fqdn?"},
		Timeout: 5 * time.Minute,
		Resume:  pipeline.Again,
		Do: w.all(func(ctx context.Context, q quieter, in clipboard.Instance, m mark) (string, bool, error) {
			return q.Suppress(ctx, in, m, time.Now().Add(w.cfg.Longest))
		}),
		Undo: w.all(resumeOne),
	}
}

func resumeOne(ctx context.Context, q quieter, in clipboard.Instance, m mark) (string, bool, error) {
	return q.Resume(ctx, in, m)
}

// all does the same at every monitoring system and says what came of it.
func (w *Worker) all(f func(context.Context, quieter, clipboard.Instance, mark) (string, bool, error)) func(context.Context, *clipboard.Clipboard) error {
	return func(ctx context.Context, c *clipboard.Clipboard) error {
		in, err := c.Instance()
		if err != nil {
			return pipeline.Permanent(err)
		}
		var said []string
		changes := false
		for _, q := range w.quiet {
			line, changed, err := f(ctx, q, in, markOf(ctx))
			if err != nil {
				return err
			}
			said, changes = append(said, line), changes || changed
		}
		line := strings.Join(said, "; ")
		if !changes {
			line = "nothing to do: " + line
		}
		pipeline.Progress(ctx, line)
		return nil
	}
}
