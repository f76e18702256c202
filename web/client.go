package web

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/loopback"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

// Client speaks to a server over its socket, or over its address with a token.
type Client struct {
	where string // for messages
	base  string
	token string
	http  *http.Client

	// Waits is told when the server asks to come again later, and for how long; may be nil.
	Waits func(time.Duration)
}

// NewClient gives a client of a socket; it connects when it is used.
func NewClient(socket string) *Client {
	return &Client{where: socket, base: "http://jarvis", http: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}}
}

// NewRemoteClient gives a client of a server's address. A token goes in clear to this machine only.
func NewRemoteClient(server, token string) (*Client, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, &command.UserError{Msg: fmt.Sprintf("%q is not the address of a server", server), Hint: "as in https://jarvis.example.org", Kind: command.ErrUsage}
	}
	if u.Scheme == "http" && !loopback.Is(u.Hostname()) {
		return nil, &command.UserError{Msg: server + " would carry the token in clear", Hint: "use https://", Kind: command.ErrUsage}
	}
	if token == "" {
		return nil, &command.UserError{Msg: "a server elsewhere needs a token", Hint: "put it into JARVIS_TOKEN; `jarvis token new NAME` makes one there", Kind: command.ErrUsage}
	}
	return &Client{where: server, base: strings.TrimSuffix(server, "/"), token: token, http: &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second}}}, nil
}

// Close frees the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// ErrNoServer: nobody serves the socket or the address.
var ErrNoServer = errors.New("no server is running")

// maxWait bounds how long a request is held back because the server says Retry-After.
const maxWait = time.Minute

// do sends a request, again when the server asks for that: 429, or 503 with Retry-After, says that nothing was done.
func (c *Client) do(ctx context.Context, method, path, accept string, body []byte, header http.Header) (*http.Response, error) {
	for {
		req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		maps.Copy(req.Header, header)
		req.Header.Set("Accept", accept)
		if body != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		res, err := c.send(ctx, req)
		if err != nil {
			return nil, err
		}
		wait := comeAgain(res, method == http.MethodGet || header.Get("Idempotency-Key") != "")
		if wait <= 0 || wait > maxWait {
			return res, nil
		}
		_ = res.Body.Close()
		if c.Waits != nil {
			c.Waits(wait)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// comeAgain gives how long to wait before a request is sent again; 0: it is not. A proxy may say 503 of what was done,
// so that counts only for what may be sent twice.
func comeAgain(res *http.Response, twice bool) time.Duration {
	if res.StatusCode != http.StatusTooManyRequests && (res.StatusCode != http.StatusServiceUnavailable || !twice) {
		return 0
	}
	if d, ok := plain.RetryAfter(res.Header.Get("Retry-After")); ok {
		return max(d, time.Second)
	}
	return 0
}

// send adds who asks, and says in words what fails.
func (c *Client) send(ctx context.Context, req *http.Request) (*http.Response, error) {
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	var uerr *url.Error
	switch {
	case err == nil || ctx.Err() != nil:
		return res, err
	case errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w on %s; start it with `jarvis serve`", ErrNoServer, c.where)
	case errors.Is(err, os.ErrPermission):
		return nil, &command.UserError{Msg: "you may not use the socket " + c.where, Hint: "become a member of its group (`ls -l` names it), or run this as the server's user", Kind: command.ErrDenied}
	case errors.As(err, &uerr):
		err = uerr.Err
	}
	return nil, fmt.Errorf("ask %s: %w", c.where, err)
}

// Command runs one verb. A refusal is a *command.UserError.
func (c *Client) Command(ctx context.Context, q CommandRequest, key string) (command.Envelope, error) {
	var a command.Envelope
	b, err := contract.Marshal(q)
	if err != nil {
		return a, err
	}
	h := http.Header{}
	if key != "" {
		h.Set("Idempotency-Key", key)
	}
	res, err := c.do(ctx, http.MethodPost, "/v1/command", "application/json", b, h)
	if err != nil {
		return a, err
	}
	return a, decode(res, &a)
}

// answersWithin bounds a read: over a link that is dead nothing ever comes, and no error either.
const answersWithin = 30 * time.Second

// Run gives a run's view.
func (c *Client) Run(ctx context.Context, id int64) (RunView, error) {
	var v RunView
	ctx, cancel := context.WithTimeout(ctx, answersWithin+maxWait)
	defer cancel()
	res, err := c.do(ctx, http.MethodGet, fmt.Sprintf("/v1/runs/%d", id), "application/json", nil, nil)
	if err != nil {
		return v, err
	}
	return v, decode(res, &v)
}

// Follow calls f for each event after the given one until the run rests. When the connection breaks before, or is
// silent for so long that it must be dead, the error says so, and the caller may follow again after the last id it saw.
func (c *Client) Follow(ctx context.Context, id, after int64, f func(pipeline.Event)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h := http.Header{}
	if after > 0 {
		h.Set("Last-Event-ID", strconv.FormatInt(after, 10))
	}
	alive := time.AfterFunc(answersWithin+maxWait, guard.Func(guard.Count, func() { cancel(errSilent) }))
	defer alive.Stop()
	res, err := c.do(ctx, http.MethodGet, fmt.Sprintf("/v1/runs/%d/events", id), "text/event-stream", nil, h)
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusNoContent: // nothing more will come
		_ = res.Body.Close()
		return nil
	default:
		return decode(res, nil)
	}
	defer func() { _ = res.Body.Close() }()
	if err := readEvents(res.Body, func() { alive.Reset(silence) }, f); err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	return nil
}

// silence is after how long a stream is dead: the server says something every heartbeat.
const silence = 3 * heartbeat

var errSilent = errors.New("the link is silent")

// readEvents reads a stream until the event rest.
func readEvents(r io.Reader, alive func(), f func(pipeline.Event)) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 4<<20)
	kind := ""
	for sc.Scan() {
		alive()
		field, value, _ := strings.Cut(sc.Text(), ": ")
		switch field {
		case "event":
			kind = value
		case "data":
			if kind == "rest" {
				return nil
			}
			var ev pipeline.Event
			if err := contract.Unmarshal([]byte(value), &ev); err != nil {
				return fmt.Errorf("read an event: %w", err)
			}
			f(ev)
		}
	}
	if err := sc.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

// decode reads an answer into v, and closes it. What the server refuses comes as the UserError that it was there.
func decode(res *http.Response, v any) error {
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode < 300 {
		return contract.NewReader(res.Body).Read(v)
	}
	var p Problem
	if err := contract.NewReader(res.Body).Read(&p); err != nil || p.Detail == "" {
		return fmt.Errorf("the server answered %s", res.Status)
	}
	u := &command.UserError{Msg: p.Detail, Hint: p.Hint}
	for _, k := range command.ErrorKinds() {
		if k.Name == p.Kind {
			u.Kind = k.Err
		}
	}
	return u
}
