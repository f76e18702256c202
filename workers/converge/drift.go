package converge

import (
	"context"
	"errors"
	"fmt"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/converge"
	"github.com/jarvisops/jarvis/pipeline"
)

// drift has the program say how the host differs from what it wants, and do nothing about it.
func (w *Worker) drift(ctx context.Context, c *clipboard.Clipboard) ([]pipeline.Difference, error) {
	name, report, err := w.run(ctx, c, "", converge.Look)
	if errors.Is(err, converge.ErrNoReport) {
		err = fmt.Errorf("%w; one that was built with an older library cannot look without changing: build it again", err)
	}
	if err != nil {
		return nil, err
	}
	var out []pipeline.Difference
	for _, d := range report.Drift().Differs {
		out = append(out, pipeline.Difference{What: d.Resource + ", for " + name, Want: d.After, Have: d.Before})
	}
	return out, nil
}
