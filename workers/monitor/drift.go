package monitor

import (
	"context"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// driftResume says when something of ours keeps monitoring quiet about a host that is ready.
func (w *Worker) driftResume(ctx context.Context, c *clipboard.Clipboard) ([]pipeline.Difference, error) {
	in, err := c.Instance()
	if err != nil {
		return nil, err
	}
	var left []string
	for _, q := range w.quiet {
		what, err := q.Left(ctx, in, markOf(ctx))
		if err != nil {
			return nil, err
		}
		if what != "" {
			left = append(left, what)
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	return []pipeline.Difference{{What: "monitoring of " + in.FQDN, Want: "on", Have: "kept quiet by " + strings.Join(left, " and ")}}, nil
}
