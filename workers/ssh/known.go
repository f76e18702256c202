package ssh

import (
	"context"
	"fmt"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/remote"
)

// Ledger keeps the lines of known_hosts for all nodes.
type Ledger interface {
	// Known gives what counts now, on every node.
	Known(ctx context.Context) (*remote.KnownHosts, error)
	// Edit changes the lines. edit may be called more than once.
	Edit(ctx context.Context, edit func(old []byte) []byte) error
}

// KnownHosts gives what is known of hosts' keys now.
func (w *Worker) KnownHosts(ctx context.Context) (*remote.KnownHosts, error) {
	if w.cfg.Ledger != nil {
		return w.cfg.Ledger.Known(ctx)
	}
	k := remote.NewKnownHosts(w.cfg.KnownHosts)
	return k, k.Err()
}

// names says under which names known_hosts holds the host.
func (w *Worker) names(in clipboard.Instance, addr string) remote.KnownNames {
	port := addr[strings.LastIndexByte(addr, ':'):]
	n := remote.KnownNames{Host: in.FQDN + port, Addr: addr}
	if in.Hostname != in.FQDN {
		n.Short = in.Hostname + port
	}
	return n
}

// remember writes the host's keys to known_hosts in place of what was there for it; without keys it takes that out.
func (w *Worker) remember(ctx context.Context, in clipboard.Instance, addr string, keys []gossh.PublicKey) (err error) {
	n := w.names(in, addr)
	if w.cfg.Ledger != nil {
		err = w.cfg.Ledger.Edit(ctx, func(old []byte) []byte { return n.Edit(old, keys) })
	} else {
		err = remote.Remember(w.cfg.KnownHosts, n, keys)
	}
	if err != nil {
		return fmt.Errorf("write known_hosts: %w", err)
	}
	return nil
}

// known are the keys that count when they are asked for, and not when the target was made: another node may have
// learned one, or forgotten it, meanwhile.
type known struct{ w *Worker }

var _ remote.HostKeys = known{}

// askWithin bounds how long a handshake waits for the ledger.
const askWithin = 10 * time.Second

func (k known) now() (*remote.KnownHosts, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askWithin) // HostKeys has no context
	defer cancel()
	return k.w.KnownHosts(ctx)
}

// Algorithms implements remote.HostKeys.
func (k known) Algorithms(addr string) []string {
	now, err := k.now()
	if err != nil {
		return nil
	}
	return now.Algorithms(addr)
}

// Check implements remote.HostKeys. What cannot be read vouches for nobody.
func (k known) Check(addr string, key gossh.PublicKey) error {
	now, err := k.now()
	if err != nil {
		return err
	}
	return now.Check(addr, key)
}
