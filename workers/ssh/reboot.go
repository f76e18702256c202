package ssh

import (
	"context"
	"errors"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// reboot reboots the host once and waits until it is back. Its boot id is on record before.
func (w *Worker) reboot() pipeline.Step {
	return pipeline.Step{
		Name:    "ssh:reboot",
		Doc:     "reboots the host and waits until it is back",
		Needs:   []string{"ipaddress", "hostkeys", "login?", "ssh_port?", "reboot_from?", "reboot_asked?"},
		Gives:   []string{"reboot_from", "reboot_asked"},
		Timeout: 20 * time.Minute,
		Resume:  pipeline.Probe,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			now, err := w.BootID(ctx, c)
			if err != nil {
				return err
			}
			switch from := c.Get("reboot_from"); {
			case from == "":
				if err := errors.Join(c.Set("reboot_from", now), pipeline.Keep(ctx, c)); err != nil {
					return err
				}
			case from != now:
				pipeline.Progress(ctx, "rebooted")
				return errors.Join(c.Delete("reboot_from"), c.Delete("reboot_asked"))
			}
			// Asked once a minute at most: a second reboot would hit the steps after this one.
			if t, err := time.Parse(time.RFC3339, c.Get("reboot_asked")); err == nil && time.Since(t) < time.Minute {
				return pipeline.Wait(pause(ctx), "the host is rebooting")
			}
			if err := errors.Join(c.Set("reboot_asked", time.Now().UTC().Format(time.RFC3339)), pipeline.Keep(ctx, c)); err != nil {
				return err
			}
			if err := w.Reboot(ctx, c); err != nil {
				return err
			}
			return pipeline.Wait(500*time.Millisecond, "the host is rebooting")
		},
	}
}
