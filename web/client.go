package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
)

// Client speaks to a server over its socket.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient gives a client; it connects when it is used.
func NewClient(socket string) *Client {
	return &Client{socket, &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}}
}

// Close frees the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// ErrNoServer: nobody serves the socket.
var ErrNoServer = errors.New("no server is running")

func (c *Client) do(req *http.Request) (*http.Response, error) {
	res, err := c.http.Do(req)
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%w on %s; start it with `jarvis serve`", ErrNoServer, c.socket)
	}
	if errors.Is(err, os.ErrPermission) {
		return nil, &command.UserError{Msg: "you may not use the socket " + c.socket, Hint: "run this as the server's user", Kind: command.ErrDenied}
	}
	return res, err
}

// Command runs one verb. A refusal is a *command.UserError.
func (c *Client) Command(ctx context.Context, q CommandRequest) (command.Answer, error) {
	var a command.Answer
	b, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://jarvis/v1/command", bytes.NewReader(b))
	if err != nil {
		return a, err
	}
	res, err := c.do(req)
	if err != nil {
		return a, err
	}
	return a, decode(res, &a)
}

// Run gives a run's view.
func (c *Client) Run(ctx context.Context, id int64) (RunView, error) {
	var v RunView
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://jarvis/v1/runs/%d", id), nil)
	if err != nil {
		return v, err
	}
	res, err := c.do(req)
	if err != nil {
		return v, err
	}
	return v, decode(res, &v)
}

// Follow calls f for each event after the given one until the run is at rest. When the connection breaks before, the
// error says so, and the caller may follow again after the last id it saw.
func (c *Client) Follow(ctx context.Context, id, after int64, f func(pipeline.Event)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://jarvis/v1/runs/%d/events?after=%d", id, after), nil)
	if err != nil {
		return err
	}
	res, err := c.do(req)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return decode(res, nil)
	}
	defer func() { _ = res.Body.Close() }()
	sc := bufio.NewScanner(res.Body)
	sc.Buffer(nil, 4<<20)
	for sc.Scan() {
		var ev pipeline.Event
		if err := json.Unmarshal(sc.Bytes(), &ev); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		f(ev)
	}
	return sc.Err()
}

func decode(res *http.Response, v any) error {
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusOK {
		return json.NewDecoder(res.Body).Decode(v)
	}
	var b ErrorBody
	if err := json.NewDecoder(res.Body).Decode(&b); err != nil {
		return fmt.Errorf("the server answered %s", res.Status)
	}
	kinds := map[string]error{"usage": command.ErrUsage, "denied": command.ErrDenied, "notfound": command.ErrNotFound}
	return &command.UserError{Msg: b.Error, Hint: b.Hint, Kind: kinds[b.Kind]}
}
