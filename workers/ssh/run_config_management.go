package ssh

import (
	"context"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// runConfigManagement takes the exit codes that the command table names for success.
func (w *Worker) runConfigManagement() pipeline.Step {
	return pipeline.Step{
		Name:    "ssh:run_config_management",
		Doc:     "runs configuration management once and follows its log to the end",
		Needs:   []string{"ipaddress", "hostkeys", "login?", "ssh_port?", "hostname", "fqdn?", "config_management?"},
		Timeout: 2 * time.Hour,
		Silence: 30 * time.Minute,
		Resume:  pipeline.Probe,
		Plan: func(_ context.Context, c *clipboard.Clipboard) (string, error) {
			name, m, err := w.management(c)
			return "would run " + name + ": " + m.Run, err
		},
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			name, m, err := w.management(c)
			if err != nil {
				return err
			}
			if m.Run == "" {
				pipeline.Progress(ctx, "nothing to do: "+name+" has no run command")
				return nil
			}
			exit, tail, err := w.job(ctx, c, "manage", m.Run, false)
			if err != nil {
				return err
			}
			ok := m.OK
			if len(ok) == 0 {
				ok = []int{0}
			}
			if !slices.Contains(ok, exit) {
				return pipeline.Permanentf("%s ended with exit code %d: %s", name, exit, tail)
			}
			if len(m.Changed) > 0 && !slices.Contains(m.Changed, exit) {
				pipeline.Progress(ctx, "nothing to do: "+name+" changed nothing")
			}
			return nil
		},
	}
}
