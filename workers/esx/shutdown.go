package esx

import (
	"context"
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// shutdown is stage 4: it asks the guest to shut down, and pulls the plug when that takes more than two minutes.
func (w *Worker) shutdown() pipeline.Step {
	return pipeline.Step{
		Name:    "esx:shutdown",
		Doc:     "shuts the machine down, and powers it off when it does not within two minutes",
		Needs:   []string{"hostname", "provider_id?"},
		Timeout: 10 * time.Minute,
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
			state, err := vm.PowerState(ctx)
			if err != nil {
				return w.say("read the machine's power state", err)
			}
			if state == types.VirtualMachinePowerStatePoweredOff {
				pipeline.Progress(ctx, "nothing to do: it is off")
				return nil
			}
			if pipeline.FactsOf(ctx).Waited < 2*time.Minute {
				// Without VMware Tools the guest can not be asked; then there is nothing to wait for.
				if err := vm.ShutdownGuest(ctx); err == nil {
					return pipeline.Wait(2*time.Second, "the guest is shutting down")
				}
			}
			_, err = w.power(ctx, "power the machine off", vm.PowerOff)
			return err
		},
	}
}
