package remote

import (
	"context"
	"strings"
)

// Shell runs scripts on a host, as package converge wants its hosts.
type Shell struct {
	Client *Client
	Sudo   *Sudo // nil: as whoever logs in
}

// Sh runs a POSIX shell script of any length; its commands find nothing on stdin. Its output is kept whole.
func (s Shell) Sh(ctx context.Context, script string) (stdout, stderr string, exit int, err error) {
	var out strings.Builder
	// The shell reads the whole before it begins, so that nothing in it can read on.
	res, err := s.Client.Run(ctx, Command{Args: []string{"sh", "-c", `s=$(cat; printf .); eval "${s%.}" < /dev/null`}, Sudo: s.Sudo, Stdin: strings.NewReader(script), Output: &out})
	return out.String(), res.Stderr, res.Exit, err
}
