package remote

import (
	"context"
	"fmt"
	"strings"
)

// maxSh bounds what a script may print: as much as a line of package converge's protocol.
const maxSh = 64 << 20

// Shell runs scripts on a host, as package converge wants its hosts.
type Shell struct {
	Client *Client
	Sudo   *Sudo // nil: as whoever logs in
}

// Sh runs a POSIX shell script of any length; its commands find nothing on stdin. Its output is kept whole; one that
// prints more than 64 MiB is ended, and that is the error.
func (s Shell) Sh(ctx context.Context, script string) (stdout, stderr string, exit int, err error) {
	out := Kept{Most: maxSh}
	// The shell reads the whole before it begins, so that nothing in it can read on.
	res, err := s.Client.Run(ctx, Command{Args: []string{"sh", "-c", `s=$(cat; printf .); eval "${s%.}" < /dev/null`}, Sudo: s.Sudo, Stdin: strings.NewReader(script), Output: &out})
	return out.String(), res.Stderr, res.Exit, err
}

// Kept keeps what a host says, up to a bound: no host may fill our memory. It is not safe for use by several at once.
type Kept struct {
	Most int // bytes
	b    strings.Builder
	err  error
}

// Write implements io.Writer. From the first bytes that would be more than Most it takes nothing; the error says so.
func (k *Kept) Write(p []byte) (int, error) {
	if k.err == nil && len(p) > k.Most-k.b.Len() {
		k.err = fmt.Errorf("the host says more than %d MiB, and no more is taken", k.Most>>20)
	}
	if k.err != nil {
		return 0, k.err
	}
	return k.b.Write(p)
}

// Err gives the error of Write, once there was one.
func (k *Kept) Err() error { return k.err }

// String gives what was written.
func (k *Kept) String() string { return k.b.String() }

// Reset frees what was written.
func (k *Kept) Reset() { k.b.Reset() }
