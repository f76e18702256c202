// Package remote is one host over SSH: its key, the connection, commands, and commands that outlive the connection.
//
//	ssh:wait, ssh:run … ── Dial(Target) ──► Client ── Run ──► exit status, stdout and stderr line by line
//	                                          └────── Job ──► started once on the host, followed, adopted again
//
// A host key is always verified: a Target without HostKeys is refused, and a host that offers another key is a
// *HostKeyError, never a question. A Client may be used by several goroutines; each Run has a session of its own.
// Goroutines of a Run end before Run returns. It imports nothing of ours.
package remote

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// Target says which host, as whom, and by which key the host must prove itself.
type Target struct {
	Addr     string            // host:port
	User     string            // login name
	Signers  []gossh.Signer    // our keys, tried in order
	HostKeys []gossh.PublicKey // the host must offer one of these
	Timeout  time.Duration     // TCP connect and handshake together; 0 means 10 s
}

// ErrUnreachable: nobody answers there (yet): refused, no route, or no answer in time.
var ErrUnreachable = errors.New("unreachable")

// ErrRefused: the host is who it should be, but does not let us in.
var ErrRefused = errors.New("login refused")

// HostKeyError: the host offered a key that is none of those it should have. That is an alarm, not a question.
type HostKeyError struct {
	Addr string
	Got  string // SHA256:… of the key offered; "" when it offers no key of the wanted kinds
	Want []string
}

func (e *HostKeyError) Error() string {
	if e.Got == "" {
		return fmt.Sprintf("%s offers none of the host keys it should have (%s): it is another machine, or somebody is in between", e.Addr, strings.Join(e.Want, ", "))
	}
	return fmt.Sprintf("%s offered the host key %s, but must have %s: it is another machine, or somebody is in between", e.Addr, e.Got, strings.Join(e.Want, " or "))
}

// Client is an open connection.
type Client struct {
	conn *gossh.Client
	key  gossh.PublicKey
}

// Dial connects and verifies. The error wraps ErrUnreachable or ErrRefused, or is a *HostKeyError.
func Dial(ctx context.Context, t Target) (*Client, error) {
	if len(t.HostKeys) == 0 {
		return nil, fmt.Errorf("connect to %s: no host key is known for it", t.Addr)
	}
	if t.Timeout == 0 {
		t.Timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", t.Addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrUnreachable, reason(err))
	}
	c := &Client{}
	var offered *HostKeyError
	var want []string
	for _, k := range t.HostKeys {
		want = append(want, gossh.FingerprintSHA256(k))
	}
	cfg := &gossh.ClientConfig{
		User:              t.User,
		Auth:              []gossh.AuthMethod{gossh.PublicKeys(t.Signers...)},
		ClientVersion:     "SSH-2.0-jarvis",
		HostKeyAlgorithms: algorithms(t.HostKeys),
		HostKeyCallback: func(_ string, _ net.Addr, key gossh.PublicKey) error {
			for _, k := range t.HostKeys {
				if bytes.Equal(k.Marshal(), key.Marshal()) {
					c.key = key
					return nil
				}
			}
			offered = &HostKeyError{Addr: t.Addr, Got: gossh.FingerprintSHA256(key), Want: want}
			return offered
		},
	}
	// The handshake has no context of its own: the deadline ends it, and so does a cancel.
	if dl, ok := ctx.Deadline(); ok {
		_ = raw.SetDeadline(dl)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	conn, chans, reqs, err := gossh.NewClientConn(raw, t.Addr, cfg)
	if !stop() && err == nil {
		_ = conn.Close()
		err = ctx.Err()
	}
	if err != nil {
		_ = raw.Close()
		switch {
		case offered != nil:
			return nil, offered
		case strings.Contains(err.Error(), "no common algorithm for host key"):
			return nil, &HostKeyError{Addr: t.Addr, Want: want}
		case strings.Contains(err.Error(), "unable to authenticate"):
			return nil, fmt.Errorf("%w: %s does not take our key for %s", ErrRefused, t.Addr, t.User)
		}
		return nil, fmt.Errorf("%w: %s", ErrUnreachable, reason(err))
	}
	_ = raw.SetDeadline(time.Time{})
	c.conn = gossh.NewClient(conn, chans, reqs)
	return c, nil
}

// algorithms gives the host key algorithms that the known keys can prove: otherwise the server picks one we do not
// know, and a good host looks like a bad one.
func algorithms(keys []gossh.PublicKey) []string {
	var out []string
	for _, k := range keys {
		if k.Type() == gossh.KeyAlgoRSA {
			out = append(out, gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256)
			continue
		}
		out = append(out, k.Type())
	}
	return out
}

// reason shortens a network error to what a person needs.
func reason(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "it closed the connection"
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return strings.TrimPrefix(err.Error(), "ssh: ")
}

// HostKey gives the key by which the host proved itself.
func (c *Client) HostKey() gossh.PublicKey { return c.key }

// Close ends the connection and every session on it.
func (c *Client) Close() error { return c.conn.Close() }

// Command to run on the host.
type Command struct {
	Args   []string          // each is quoted: nothing in them reaches the shell
	Stdin  io.Reader         // nil: nothing
	Stdout func(line string) // called for each line, never at once with Stderr; nil: kept in Result
	Stderr func(line string)
}

// Result of a command that ran.
type Result struct {
	Exit   int
	Signal string // "KILL" when a signal ended it
	Stdout string // when Command.Stdout is nil; at most MaxOutputBytes
	Stderr string
}

// MaxOutputBytes bounds what a Result keeps of one stream, and maxLine one line.
const (
	MaxOutputBytes = 1 << 20
	maxLine        = 64 << 10
)

// ErrLost: the connection broke while the command ran; what became of it is not known.
var ErrLost = errors.New("the connection was lost")

// Run runs a command and waits for it. A command that ran and failed is no error: look at Exit. When ctx ends, the
// remote process is killed.
func (c *Client) Run(ctx context.Context, cmd Command) (Result, error) {
	s, err := c.conn.NewSession()
	if err != nil {
		return Result{}, fmt.Errorf("%w: %s", ErrLost, reason(err))
	}
	defer func() { _ = s.Close() }()
	s.Stdin = cmd.Stdin
	var res Result
	var mu sync.Mutex
	out := &lines{mu: &mu, f: cmd.Stdout, keep: &res.Stdout}
	errs := &lines{mu: &mu, f: cmd.Stderr, keep: &res.Stderr}
	s.Stdout, s.Stderr = out, errs
	if err := s.Start(Quote(cmd.Args...)); err != nil {
		return Result{}, fmt.Errorf("%w: %s", ErrLost, reason(err))
	}
	done := make(chan error, 1)
	go func() { done <- s.Wait() }()
	select {
	case err = <-done:
	case <-ctx.Done():
		_ = s.Signal(gossh.SIGKILL)
		_ = s.Close()
		select {
		case <-done:
		case <-time.After(2 * time.Second):
			_ = c.conn.Close() // a half-open connection never answers
			<-done
		}
		return Result{}, context.Cause(ctx)
	}
	out.flush()
	errs.flush()
	var exit *gossh.ExitError
	switch {
	case err == nil, errors.Is(err, io.EOF):
		// EOF: the command ended well without reading all of its stdin. A lost connection is an ExitMissingError.
		return res, nil
	case errors.As(err, &exit):
		res.Exit, res.Signal = exit.ExitStatus(), exit.Signal()
		return res, nil
	}
	return res, fmt.Errorf("%w: %s", ErrLost, reason(err))
}

// lines cuts a stream into lines, or keeps it.
type lines struct {
	mu   *sync.Mutex // shared by both streams, so that two callbacks never run at once
	f    func(string)
	keep *string
	buf  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		if room := MaxOutputBytes - l.buf.Len(); room > 0 {
			l.buf.Write(p[:min(room, len(p))])
		}
		return len(p), nil
	}
	l.buf.Write(p)
	for {
		b := l.buf.Bytes()
		i := bytes.IndexByte(b, '\n')
		if i < 0 && len(b) < maxLine {
			return len(p), nil
		}
		if i < 0 {
			i = maxLine - 1
		}
		line := string(bytes.TrimRight(b[:i+1], "\r\n"))
		l.buf.Next(i + 1)
		l.f(line)
	}
}

func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		*l.keep = l.buf.String()
		return
	}
	sc := bufio.NewScanner(&l.buf)
	for sc.Scan() {
		l.f(sc.Text())
	}
}

// Quote writes arguments for a POSIX shell so that each reaches the program as it is.
func Quote(args ...string) string {
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		if a != "" && strings.IndexFunc(a, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:=@%+,", r))
		}) < 0 {
			b.WriteString(a)
			continue
		}
		b.WriteByte('\'')
		b.WriteString(strings.ReplaceAll(a, "'", `'\''`))
		b.WriteByte('\'')
	}
	return b.String()
}
