package ssh

import (
	"context"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// installConfigManagement looks before it installs, where the command table says how.
func (w *Worker) installConfigManagement() pipeline.Step {
	return pipeline.Step{
		Name:    "ssh:install_config_management",
		Doc:     "installs configuration management on the host, by the command table of the configuration",
		Needs:   []string{"ipaddress", "hostkeys", "login?", "ssh_port?", "hostname", "fqdn?", "config_management?"},
		Timeout: 30 * time.Minute,
		Resume:  pipeline.Probe,
		Plan: func(_ context.Context, c *clipboard.Clipboard) (string, error) {
			name, m, err := w.management(c)
			return "would install " + name + ": " + m.Install, err
		},
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			name, m, err := w.management(c)
			if err != nil {
				return err
			}
			if m.Install == "" {
				pipeline.Progress(ctx, "nothing to do: "+name+" needs no installation")
				return nil
			}
			if m.Check != "" {
				there, err := w.output(ctx, c, "look for "+name, "if { "+m.Check+"; } >/dev/null 2>&1; then echo yes; else echo no; fi")
				if err != nil {
					return err
				}
				if strings.TrimSpace(there) == "yes" {
					pipeline.Progress(ctx, "nothing to do: "+name+" is installed")
					return nil
				}
			}
			exit, tail, err := w.job(ctx, c, "install", m.Install, false)
			if err != nil {
				return err
			}
			if exit != 0 {
				return pipeline.Permanentf("installing %s ended with exit code %d: %s", name, exit, tail)
			}
			return nil
		},
	}
}
