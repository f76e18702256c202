package esx

import (
	"context"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// destroy is stage 5.
func (w *Worker) destroy() pipeline.Step {
	return pipeline.Step{
		Name:    "esx:destroy",
		Doc:     "deletes the machine and its disks",
		Needs:   []string{"hostname", "provider_id?"},
		Timeout: 15 * time.Minute,
		Resume:  pipeline.Again,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			vm, err := w.machine(ctx, c)
			if err != nil {
				return err
			}
			if vm == nil {
				pipeline.Progress(ctx, "nothing to do: there is no such machine")
				return nil
			}
			if err := w.remove(ctx, vm); err != nil {
				return err
			}
			return c.Delete("provider_id")
		},
	}
}
