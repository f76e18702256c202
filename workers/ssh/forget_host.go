package ssh

import (
	"context"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// forgetHost is for hosts that are destroyed: the next machine of that name or address has other keys.
func (w *Worker) forgetHost() pipeline.Step {
	return pipeline.Step{
		Name:    "ssh:forget_host",
		Doc:     "takes the host's keys out of known_hosts",
		Needs:   []string{"hostname", "fqdn?", "ipaddress?", "hostkeys?", "login?", "ssh_port?", "hostkeys_forgotten?"},
		Gives:   []string{"hostkeys_forgotten"},
		Timeout: time.Minute,
		Resume:  pipeline.Again,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			if c.Has("ipaddress") && c.Has("hostkeys") {
				if err := c.Set("hostkeys_forgotten", "yes"); err != nil {
					return err
				}
			}
			return w.forget(ctx, c)
		},
		Undo: func(_ context.Context, c *clipboard.Clipboard) error {
			if c.Has("hostkeys_forgotten") {
				return pipeline.Stays("its host keys stay out of known_hosts")
			}
			return nil
		},
	}
}
