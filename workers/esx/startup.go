package esx

import (
	"context"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// startup powers the machine on.
func (w *Worker) startup() pipeline.Step {
	return pipeline.Step{
		Name:    "esx:startup",
		Doc:     "powers the machine on",
		Needs:   []string{"hostname", "provider_id?"},
		Timeout: 10 * time.Minute,
		Resume:  pipeline.Again,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			vm, err := w.machine(ctx, c)
			if err != nil {
				return err
			}
			if vm == nil {
				return pipeline.Permanentf("there is no machine %s on %s", c.Get("hostname"), w.url.Host)
			}
			changed, err := w.power(ctx, "power the machine on", vm.PowerOn)
			if err == nil && !changed {
				pipeline.Progress(ctx, "nothing to do: it is on")
			}
			return err
		},
	}
}
