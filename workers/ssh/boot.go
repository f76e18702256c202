package ssh

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
)

// BootID gives what changes with every boot of the host: the kernel's boot id, and when its first process began, for
// a container that restarts under the same kernel. A pipeline.Wait while the host does not answer.
func (w *Worker) BootID(ctx context.Context, c *clipboard.Clipboard) (string, error) {
	out, err := w.output(ctx, c, "read the host's boot id", "cat /proc/sys/kernel/random/boot_id /proc/1/stat")
	if err != nil {
		return "", err
	}
	boot, stat, _ := strings.Cut(strings.TrimSpace(out), "\n")
	// proc(5): field 22 is the start time; the second field, in brackets, may hold spaces.
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if boot == "" || len(f) < 20 {
		return "", fmt.Errorf("read the host's boot id: it printed %q", out)
	}
	return boot + "/" + f[19], nil
}

// Reboot asks the host to reboot, a moment after the connection has ended.
func (w *Worker) Reboot(ctx context.Context, c *clipboard.Clipboard) error {
	_, err := w.output(ctx, c, "reboot the host", "nohup sh -c 'sleep 1; systemctl reboot || reboot || shutdown -r now' >/dev/null 2>&1 &")
	return err
}

// answerTime is how long a short script may take. A host that reboots may take its side of the connection with it
// unsaid: behind a NAT or in qemu's own network, nobody tells us that it is gone. A variable for the tests.
var answerTime = time.Minute

// output runs a short script on the host and gives what it printed.
func (w *Worker) output(ctx context.Context, c *clipboard.Clipboard, what, script string, args ...string) (string, error) {
	cl, err := w.dial(ctx, c)
	if err != nil {
		return "", err
	}
	defer func() { _ = cl.Close() }()
	one, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	res, err := cl.Run(one, remote.Command{Args: append([]string{"sh", "-c", script, "jarvis"}, args...)})
	if err != nil {
		if ctx.Err() != nil {
			return "", err
		}
		return "", pipeline.Wait(pause(ctx), fmt.Sprintf("%s: %v", what, err)) // the connection broke: it may be rebooting
	}
	if res.Exit != 0 {
		return "", fmt.Errorf("%s: %s", what, last(res.Stderr, fmt.Sprintf("exit %d", res.Exit)))
	}
	return res.Stdout, nil
}
