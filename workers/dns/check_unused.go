package dns

import (
	"context"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// checkUnused keeps a host from being destroyed while services point at it.
func (w *Worker) checkUnused() pipeline.Step {
	check := func(ctx context.Context, c *clipboard.Clipboard) error {
		rrs, err := w.pointers(ctx, c)
		if err != nil {
			return err
		}
		var list []string
		for _, rr := range rrs {
			list = append(list, describe(rr))
		}
		if len(list) > 0 {
			return pipeline.Permanentf("these names still point at %s: %s; move them first", c.Get("hostname"), strings.Join(list, ", "))
		}
		return nil
	}
	return pipeline.Step{
		Name:    "dns:check_unused",
		Doc:     "stops the run when other names still point at the host",
		Needs:   []string{"hostname", "fqdn", "services?"},
		Timeout: 5 * time.Minute,
		Resume:  pipeline.Again,
		Plan: func(ctx context.Context, c *clipboard.Clipboard) (string, error) {
			return "nothing points at the host", check(ctx, c)
		},
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			if err := check(ctx, c); err != nil {
				return err
			}
			pipeline.Progress(ctx, "nothing to do: nothing points at the host")
			return nil
		},
	}
}
