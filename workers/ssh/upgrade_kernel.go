package ssh

import (
	"context"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// kernelScript upgrades the kernel packages that are installed, and says in its last line what came of it: "reboot"
// when a newer kernel is installed than runs. A host that runs a kernel which is none of its own (a container, or a
// provider's) needs no reboot for the kernel's age; that is PROVIDER:set_kernel's to know.
const kernelScript = `export DEBIAN_FRONTEND=noninteractive
newest() { ls /boot 2>/dev/null | sed -n 's/^vmlinuz-//p' | sort -V | tail -n 1; }
before=$(newest)
if command -v apt-get >/dev/null; then
  pkgs=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 'linux-image-*' 2>/dev/null | sed -n 's/^installed //p')
  [ -n "$pkgs" ] || { echo "jarvis: none"; exit 0; }
  apt-get -qq update && apt-get -qq -y install --only-upgrade $pkgs </dev/null || exit 1
elif command -v dnf >/dev/null; then
  rpm -q kernel-core >/dev/null 2>&1 || { echo "jarvis: none"; exit 0; }
  dnf -q -y upgrade kernel-core </dev/null || exit 1
else
  echo "jarvis: none"; exit 0
fi
after=$(newest)
running=$(uname -r)
if [ "$before" != "$after" ] || [ -e /run/reboot-required ] || { [ -e "/boot/vmlinuz-$running" ] && [ "$running" != "$after" ]; }; then
  echo "jarvis: reboot $after"
else
  echo "jarvis: current $after"
fi`

// upgradeKernel only notes that a reboot is due; another step does it.
func (w *Worker) upgradeKernel() pipeline.Step {
	return pipeline.Step{
		Name:    "ssh:upgrade_kernel",
		Doc:     "upgrades the kernel packages of the host, and notes when a reboot is due",
		Needs:   []string{"ipaddress", "hostkeys", "login?", "ssh_port?", "hostname", "fqdn?", "reboot_needed?"},
		Gives:   []string{"reboot_needed"},
		Timeout: time.Hour,
		Silence: 30 * time.Minute,
		Resume:  pipeline.Probe,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			exit, tail, err := w.job(ctx, c, "kernel", kernelScript, true)
			if err != nil {
				return err
			}
			said, ok := strings.CutPrefix(tail, "jarvis: ")
			what, version, _ := strings.Cut(said, " ")
			switch {
			case exit != 0 || !ok:
				return pipeline.Permanentf("upgrading the kernel ended with exit code %d: %s", exit, tail)
			case what == "reboot":
				pipeline.Progress(ctx, "the kernel "+version+" is installed and wants a reboot")
				return c.Set("reboot_needed", "yes")
			case what == "none":
				pipeline.Progress(ctx, "nothing to do: the host has no kernel package")
			default:
				pipeline.Progress(ctx, "nothing to do: "+version+" is the newest kernel")
			}
			return nil
		},
	}
}
