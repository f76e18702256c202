package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
)

// Client speaks to a server over its socket, or over its address with a token.
type Client struct {
	where string // for messages
	base  string
	token string
	http  *http.Client
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
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
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

func (c *Client) do(ctx context.Context, method, path, accept string, body []byte, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("Accept", accept)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for {
		res, err := c.send(ctx, req)
		if err != nil || method != http.MethodGet || res.StatusCode != http.StatusTooManyRequests {
			return res, err
		}
		// A read that comes too often is asked again when the server says; a command is refused, and its person told.
		wait, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if err != nil || wait > 60 {
			return res, nil
		}
		_ = res.Body.Close()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Duration(max(wait, 1)) * time.Second):
		}
	}
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
		return nil, &command.UserError{Msg: "you may not use the socket " + c.where, Hint: "run this as the server's user", Kind: command.ErrDenied}
	case errors.As(err, &uerr):
		err = uerr.Err
	}
	return nil, fmt.Errorf("ask %s: %w", c.where, err)
}

// Command runs one verb. A refusal is a *command.UserError.
func (c *Client) Command(ctx context.Context, q CommandRequest, key string) (command.Answer, error) {
	var a command.Answer
	b, err := json.Marshal(q)
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

// Run gives a run's view.
func (c *Client) Run(ctx context.Context, id int64) (RunView, error) {
	var v RunView
	res, err := c.do(ctx, http.MethodGet, fmt.Sprintf("/v1/runs/%d", id), "application/json", nil, nil)
	if err != nil {
		return v, err
	}
	return v, decode(res, &v)
}

// Follow calls f for each event after the given one until the run rests. When the connection breaks before, the
// error says so, and the caller may follow again after the last id it saw.
func (c *Client) Follow(ctx context.Context, id, after int64, f func(pipeline.Event)) error {
	res, err := c.do(ctx, http.MethodGet, fmt.Sprintf("/v1/runs/%d/events?after=%d", id, after), "text/event-stream", nil, nil)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return decode(res, nil)
	}
	defer func() { _ = res.Body.Close() }()
	sc := bufio.NewScanner(res.Body)
	sc.Buffer(nil, 4<<20)
	kind := ""
	for sc.Scan() {
		field, value, _ := strings.Cut(sc.Text(), ": ")
		switch field {
		case "event":
			kind = value
		case "data":
			if kind == "rest" {
				return nil
			}
			var ev pipeline.Event
			if err := json.Unmarshal([]byte(value), &ev); err != nil {
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

func decode(res *http.Response, v any) error {
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode < 300 {
		return json.NewDecoder(res.Body).Decode(v)
	}
	var p Problem
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil || p.Detail == "" {
		return fmt.Errorf("the server answered %s", res.Status)
	}
	u := &command.UserError{Msg: p.Detail, Hint: p.Hint}
	for _, k := range kinds {
		if k.name == p.Kind {
			u.Kind = k.err
		}
	}
	return u
}
