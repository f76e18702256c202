// Package remote is one host over SSH: its key, the connection, commands, files, and commands that outlive the
// connection.
//
//	Resolver ──► Target ── Dial, or a Pool ──► Client ──┬─ Run     stdin, stdout and stderr apart, exit status, signal
//	                                                    └─ Job     started once on the host, followed, adopted again
//
// A Resolver makes a Target of a host as ssh would: by ~/.ssh/config, known_hosts, key files and the agent. A Target
// that is filled in by hand does as well.
//
// A host key is always verified: a Target without HostKeys is refused, and a host that offers another key is a
// *HostKeyError, never a question. A Client may be used by several goroutines; each Run has a session of its own.
// Goroutines of a Run end before Run returns. Of ours it imports
// no package but small internal ones, so it can be used by itself.
package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/internal/guard"
)

// Target says which host, as whom, and how both sides prove who they are.
type Target struct {
	Addr     string   // host:port
	User     string   // login name
	HostKeys HostKeys // by which key the host proves itself; nil: nothing is known, and Dial fails
	// KnownAt says in words into which file people put the key of a host of which nothing is known: told then. "":
	// nothing is.
	KnownAt string
	Jump    *Target // reached through this host; nil: directly
	// Through connects where this machine has no way of its own, and Way names that; nil: this machine connects.
	Through func(ctx context.Context, addr string) (net.Conn, error)
	Way     string
	Network string // "tcp4" or "tcp6": by that only; "": either
	// Algorithms of the connection; the zero value stands for those of x/crypto/ssh.
	Algorithms Algorithms
	// Proof of ours, tried in this order: keys that are named for this host, the agent's, our others, the password.
	// Each may be missing. A key is offered once.
	Named   []gossh.Signer
	Agent   func() ([]gossh.Signer, error)
	Signers []gossh.Signer
	Missing []string // what could not be offered, and why: told when the host does not let us in
	// PublicKey says in words which public key a host needs that does not let us in, and where it is: told then. "":
	// nothing is.
	PublicKey string
	// Ask answers what a host asks beside the password (RFC 4256), as a second factor does: who asks, what, and whether
	// the answer may be shown. nil: such a login is refused.
	Ask      func(who, question string, echo bool) (string, error)
	Password func() (string, error) // also answers keyboard-interactive questions; asked at most once a connection
	// Timeout bounds TCP connect, handshake and login together; 0 means 10 s. It waits while Asking says that somebody
	// is being asked something; nil: never.
	Timeout time.Duration
	Asking  func() bool
}

// Key names the connection that a Pool shares: who logs in where, and by which way.
func (t Target) Key() string {
	k := t.User + "@" + t.Addr
	if t.Jump != nil {
		k += " by " + t.Jump.Key()
	}
	if t.Way != "" {
		k += " through " + t.Way
	}
	return k
}

const defaultTimeout = 10 * time.Second

// ErrNoWay is what a Through gives when the way itself is missing, of which the host knows nothing.
var ErrNoWay = errors.New("no way there")

// ErrUnreachable: nobody answers there (yet): refused, no route, or no answer in time. Nothing has happened.
var ErrUnreachable = errors.New("unreachable")

// ErrRefused: the host is who it should be, but does not let us in.
var ErrRefused = errors.New("login refused")

// ErrLost: the connection broke while the command ran; what became of it is not known.
var ErrLost = errors.New("the connection was lost")

// Client is an open connection.
type Client struct {
	conn *gossh.Client
	wire *wire
	key  gossh.PublicKey
	addr string
	jump *Client // closed with it; nil: none

	target Target // for a second connection

	second sync.Mutex // of the next two
	more   *Client    // a second connection, where the first has no room; closed with it; nil: none
	closed bool

	mu     sync.Mutex
	active int           // sessions open
	held   int           // of these, for as long as their callers like
	plains int           // and of these, plain lines
	freed  chan struct{} // closed when one ends
	quick  []*quickShell // free ones
	// noQuick: the host gives no shell that stays open.
	noQuick bool
	// quickIdle is how long a shell stays open that nobody uses.
	quickIdle time.Duration
}

// Dial connects and verifies. The error wraps ErrUnreachable, ErrRefused or ErrUnknownHost (by an *UnknownHostError),
// or is a *HostKeyError.
func Dial(ctx context.Context, t Target) (*Client, error) {
	var jump *Client
	if t.Jump != nil {
		var err error
		if jump, err = Dial(ctx, *t.Jump); err != nil {
			return nil, fmt.Errorf("by %s: %w", t.Jump.Addr, err)
		}
	}
	c, err := dial(ctx, t, jump)
	if err != nil {
		if jump != nil {
			_ = jump.Close()
		}
		return nil, err
	}
	c.jump = jump
	return c, nil
}

// dial connects directly, or over another connection.
func dial(ctx context.Context, t Target, jump *Client) (*Client, error) {
	if t.HostKeys == nil {
		return nil, t.vouched(ErrUnknownHost)
	}
	c, err := dialWithin(ctx, t, jump)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return c, err
}

// dialWithin dials where the jump host is open already, and again while a host hangs up without a word.
func dialWithin(ctx context.Context, t Target, jump *Client) (*Client, error) {
	ctx, stop := t.within(ctx)
	defer stop()
	// A host at its MaxStartups (sshd_config(5)) hangs up before it says a word: it is asked again, a little later.
	for pause := 50 * time.Millisecond; ; pause = min(pause*2, 500*time.Millisecond) {
		raw, err := rawConn(ctx, t, jump)
		if err != nil {
			if errors.Is(err, ErrNoWay) {
				return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
			}
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, fmt.Errorf("%w: %s", ErrUnreachable, reason(err))
		}
		_, program := raw.(*proxyConn) // it says itself why it ended
		c, spoke, err := handshake(ctx, raw, t)
		if err == nil || spoke || program || ctx.Err() != nil {
			return c, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

// within gives a context that ends by the target's timeout.
func (t Target) within(ctx context.Context) (context.Context, func()) {
	limit := cmp.Or(t.Timeout, defaultTimeout)
	ctx, cancel := context.WithCancelCause(ctx)
	var timer *time.Timer
	ready := make(chan struct{})
	timer = time.AfterFunc(limit, guard.Func(guard.Count, func() {
		<-ready
		if t.Asking != nil && t.Asking() {
			timer.Reset(limit)
			return
		}
		cancel(context.DeadlineExceeded)
	}))
	close(ready)
	return ctx, func() { timer.Stop(); cancel(nil) }
}

// rawConn makes the connection below SSH: through the jump host, by Through, or from here.
func rawConn(ctx context.Context, t Target, jump *Client) (net.Conn, error) {
	switch {
	case jump != nil:
		conn, err := jump.conn.DialContext(ctx, "tcp", t.Addr)
		if err != nil {
			return nil, err
		}
		return newHopConn(conn), nil
	case t.Through != nil:
		return t.Through(ctx, t.Addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, cmp.Or(t.Network, "tcp"), t.Addr)
}

// handshake makes an SSH connection of a network connection, which it closes when it fails.
func handshake(ctx context.Context, raw net.Conn, t Target) (c *Client, spoke bool, err error) {
	c = &Client{addr: t.Addr, target: t, quickIdle: quickIdle}
	var keyErr error
	cfg := &gossh.ClientConfig{
		User:              t.User,
		Auth:              t.auth(),
		ClientVersion:     "SSH-2.0-jarvis",
		HostKeyAlgorithms: t.HostKeys.Algorithms(t.Addr),
		HostKeyCallback: func(_ string, _ net.Addr, key gossh.PublicKey) error {
			c.key = key
			keyErr = guard.Call(func() error { return t.HostKeys.Check(t.Addr, key) }) // the library calls it in a goroutine of its own
			return keyErr
		},
	}
	if err := t.Algorithms.apply(cfg); err != nil {
		_ = raw.Close()
		return nil, true, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	// The handshake has no context of its own: the deadline ends it, and so does a cancel.
	heard := newWire(raw)
	stop := context.AfterFunc(ctx, guard.Func(guard.Count, func() { _ = raw.Close() }))
	conn, chans, reqs, err := gossh.NewClientConn(heard, t.Addr, cfg)
	if !stop() && err == nil {
		_ = conn.Close()
		err = ctx.Err()
	}
	if err == nil {
		c.conn, c.wire = gossh.NewClient(conn, chans, reqs), heard
		return c, true, nil
	}
	_ = raw.Close()
	switch {
	case keyErr != nil:
		var wrong *HostKeyError
		if keyErr = t.vouched(keyErr); !errors.As(keyErr, &wrong) && !errors.Is(keyErr, ErrUnknownHost) {
			keyErr = fmt.Errorf("connect to %s: %w", t.Addr, keyErr)
		}
		err = keyErr
	case strings.Contains(err.Error(), "no common algorithm for"):
		err = notCommon(err, t, cfg)
	case errors.Is(err, ErrRefused):
	case errors.Is(err, ErrPassphrase):
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	case strings.Contains(err.Error(), "unable to authenticate"):
		err = t.notTaken()
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %s", ErrUnreachable, reason(context.Cause(ctx)))
	default:
		err = fmt.Errorf("%w: %s", ErrUnreachable, reason(err))
	}
	return nil, heard.spoke(), err
}

// wanted names the keys that a host should have, as well as its source can.
func wanted(t Target) []string {
	if p, ok := t.HostKeys.(Pinned); ok {
		var out []string
		for _, k := range p {
			out = append(out, gossh.FingerprintSHA256(k))
		}
		return out
	}
	return t.HostKeys.Algorithms(t.Addr)
}

// reason shortens a network error to what a person needs.
func reason(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed):
		return "it closed the connection"
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return strings.TrimPrefix(err.Error(), "ssh: ")
}

// HostKey gives the key, or certificate, by which the host proved itself.
func (c *Client) HostKey() gossh.PublicKey { return c.key }

// Close ends the connection and every session on it.
func (c *Client) Close() error {
	err := c.conn.Close()
	c.second.Lock()
	more := c.more
	c.closed, c.more = true, nil
	c.second.Unlock()
	if more != nil {
		err = errors.Join(err, more.Close())
	}
	if c.jump != nil {
		err = errors.Join(err, c.jump.Close())
	}
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Wait returns when the connection is over.
func (c *Client) Wait() { _ = c.conn.Wait() }

// Alive asks the host whether it is still there (keepalive@openssh.com), and closes the connection when it does not
// answer before ctx ends: so nothing hangs on a link that is only half open.
func (c *Client) Alive(ctx context.Context) error {
	stop := context.AfterFunc(ctx, guard.Func(guard.Count, func() { _ = c.conn.Close() }))
	defer stop()
	// Any answer will do; OpenSSH says that it does not know the request.
	if _, _, err := c.conn.SendRequest("keepalive@openssh.com", true, nil); err != nil {
		return fmt.Errorf("%w: %s does not answer", ErrLost, c.addr)
	}
	return nil
}
