package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
)

// GetSecret reads a small file of a host; "" when it is not there.
func (w *Worker) GetSecret(ctx context.Context, c *clipboard.Clipboard, file string) (clipboard.Secret, error) {
	out, err := w.output(ctx, c, "read "+file, `[ ! -e "$1" ] || cat "$1"`, file)
	return clipboard.Secret(strings.TrimSpace(out)), err
}

// PutSecret writes a small file that only root may read, in one rename. The content goes over stdin: an argument would
// show in the host's process list.
func (w *Worker) PutSecret(ctx context.Context, c *clipboard.Clipboard, file string, s clipboard.Secret) error {
	cl, err := w.dial(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = cl.Close() }()
	script := `set -e; mkdir -p "$(dirname "$1")"; umask 277; rm -f "$1.new"; cat > "$1.new"; sync; mv "$1.new" "$1"; chmod 400 "$1"`
	res, err := cl.Run(ctx, remote.Command{Args: []string{"sh", "-c", script, "jarvis", file}, Stdin: strings.NewReader(string(s) + "\n")})
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if res.Exit != 0 {
		return fmt.Errorf("write %s: %s", file, last(res.Stderr, fmt.Sprintf("exit %d", res.Exit)))
	}
	return nil
}

// OnStandby runs commands on another host of ours, each once in a run, by the keys of known_hosts.
func (w *Worker) OnStandby(ctx context.Context, _ *clipboard.Clipboard, host string, commands []string) error {
	cl, err := w.dialKnown(ctx, host)
	if err != nil {
		return err
	}
	defer func() { _ = cl.Close() }()
	f := pipeline.FactsOf(ctx)
	for i, cmd := range commands {
		pipeline.Progress(ctx, fmt.Sprintf("on %s: %s", host, cmd))
		tail := ""
		exit, err := cl.Job(ctx, remote.Job{
			ID: fmt.Sprintf("%s-%d-standby%d-%d", f.Token, f.Stage+1, i+1, f.Try), Command: cmd,
			Line: func(l string) {
				if l = strings.TrimSpace(l); l != "" {
					tail = l
					pipeline.Log(ctx, host+": "+l)
				}
			},
			Kill: func(cause error) bool { return !errors.Is(cause, pipeline.ErrStopping) },
		})
		if errors.Is(err, remote.ErrUnknownOutcome) {
			return pipeline.AskPerson(fmt.Errorf("command %d on %s was %w", i+1, host, err))
		}
		if err != nil {
			return err
		}
		if exit != 0 {
			return pipeline.Permanentf("on %s command %d (%s) ended with exit code %d: %s", host, i+1, cmd, exit, tail)
		}
	}
	return nil
}

// dialKnown connects to a host by name, trusting the keys that known_hosts has for it.
func (w *Worker) dialKnown(ctx context.Context, name string) (*host, error) {
	addr := net.JoinHostPort(name, strconv.Itoa(w.cfg.Port))
	known, err := w.KnownHosts(ctx)
	if err != nil {
		return nil, err
	}
	if known.Algorithms(addr) == nil {
		return nil, pipeline.Permanentf("the key of %s is not known; add it to %s, as ssh-keyscan prints it, after checking it", name, w.cfg.KnownHosts)
	}
	t := w.target(addr, w.cfg.User, nil)
	t.HostKeys = known
	return w.open(ctx, t)
}
