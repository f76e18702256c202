package ssh

import (
	"context"
	"net"
	"strconv"

	"github.com/jarvisops/jarvis/remote"
)

// Exec runs one command on a host whose address and keys are on record, for the verb `run`. Lines of both streams go
// to line, one at a time.
func (w *Worker) Exec(ctx context.Context, ip string, hostkeys, args []string, line func(string)) (remote.Result, error) {
	keys, err := parseKeys(hostkeys)
	if err != nil {
		return remote.Result{}, err
	}
	cl, err := remote.Dial(ctx, w.target(net.JoinHostPort(ip, strconv.Itoa(w.cfg.Port)), keys))
	if err != nil {
		return remote.Result{}, err
	}
	defer func() { _ = cl.Close() }()
	return cl.Run(ctx, remote.Command{Args: args, Stdout: line, Stderr: line})
}
