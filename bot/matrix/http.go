package matrix

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/internal/plain"
)

// clock learns the server's from its answers, and is otherwise the transport that it is in front of. By ours alone, a
// server whose clock is slow would never be obeyed.
type clock struct {
	next *http.Transport

	mu    sync.Mutex
	ahead time.Duration
}

// RoundTrip is http.RoundTripper.
func (c *clock) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := c.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if at, perr := http.ParseTime(res.Header.Get("Date")); perr == nil {
		c.mu.Lock()
		c.ahead = time.Until(at)
		c.mu.Unlock()
	}
	return res, nil
}

// CloseIdleConnections is what http.Client looks for.
func (c *clock) CloseIdleConnections() { c.next.CloseIdleConnections() }

// now gives the time on the server, to a second or so.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// client makes one without a token. It tries nothing again by itself.
func (f *Frontend) client() (*mautrix.Client, error) {
	c, err := mautrix.NewClient(f.cfg.Homeserver, f.me, "")
	if err != nil {
		return nil, err
	}
	c.Client, c.ExternalClient = f.http, f.http
	c.Log = zerolog.Nop()
	c.UserAgent = "jarvis"
	c.IgnoreRateLimit = true
	c.ResponseSizeLimit = maxResponse
	c.StateStore = mautrix.NewMemoryStateStore()
	return c, nil
}

// timed bounds one request.
func timed(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, requestTimeout)
}

// short is an error for people: what the server said, in one line, or the network's own words without the address, in
// which the library may write what we asked for.
func short(err error) error {
	var said mautrix.RespError
	var he mautrix.HTTPError
	var ue *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer in time")
	case errors.As(err, &said):
		return fmt.Errorf("%s: %s", plain.Line(said.ErrCode), plain.Line(said.Err))
	case errors.As(err, &ue):
		return ue.Err
	case errors.As(err, &he) && he.WrappedError == nil && he.Response != nil:
		return fmt.Errorf("HTTP %d", he.Response.StatusCode)
	}
	return err
}

// limited gives how long the server wants us to wait; ok is false when it is something else.
func limited(err error) (wait time.Duration, ok bool) {
	if !errors.Is(err, mautrix.MLimitExceeded) {
		return 0, false
	}
	wait = time.Second
	var said mautrix.RespError
	if errors.As(err, &said) {
		if ms, ok := said.ExtraData["retry_after_ms"].(float64); ok && ms >= 0 {
			wait = time.Duration(ms) * time.Millisecond
		}
	}
	return min(max(wait, 50*time.Millisecond), 5*time.Minute), true
}

// refusal reports whether the server understood, and will not do it; that it does not know our token does not count as
// one.
func refusal(err error) bool {
	var he mautrix.HTTPError
	if !errors.As(err, &he) || he.Response == nil || errors.Is(err, mautrix.MUnknownToken) || errors.Is(err, mautrix.MLimitExceeded) {
		return false
	}
	return he.Response.StatusCode >= 400 && he.Response.StatusCode < 500
}

// failing reports whether the server answered that something is wrong with it, as it does when it is too busy.
func failing(err error) bool {
	var he mautrix.HTTPError
	return errors.As(err, &he) && he.Response != nil && he.Response.StatusCode >= 500
}

// refused has the bot give up a notice: what is not ErrRefused is tried again.
func refused(err error) error { return fmt.Errorf("%w: %w", bot.ErrRefused, short(err)) }

// pause waits; it reports false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
