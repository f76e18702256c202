package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	goslack "github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"github.com/jarvisops/jarvis/internal/guard"
)

// session is one connection: what Slack says that we are, and the way to say things.
type session struct {
	f    *Frontend
	api  *goslack.Client
	me   *goslack.AuthTestResponse
	end  context.CancelCauseFunc
	rest error // what the socket said before it broke
}

var (
	errAsked = errors.New("slack asks for a new connection")
	errHello = errors.New("slack did not say hello")
)

// once is one connection from auth.test to its loss.
func (f *Frontend) once(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	quiet := log.New(io.Discard, "", 0) // the library would write to standard error
	s := &session{f: f, end: end, api: goslack.New(string(f.cfg.BotToken), goslack.OptionAppLevelToken(string(f.cfg.AppToken)), goslack.OptionAPIURL(f.cfg.URL), goslack.OptionHTTPClient(f.http), goslack.OptionLog(quiet))}
	var err error
	if s.me, err = s.api.AuthTestContext(ctx); err != nil {
		return fmt.Errorf("auth.test: %w", err)
	}
	if s.me.User != "" {
		f.nick.Store(&s.me.User)
	}
	if err := s.findRooms(ctx); err != nil {
		return err
	}
	if f.probe {
		return s.try(ctx)
	}
	dialed := false
	client := socketmode.New(s.api, socketmode.OptionLog(quiet), socketmode.OptionPingInterval(f.ping), socketmode.OptionDialer(&websocket.Dialer{
		HandshakeTimeout: callTimeout, WriteBufferSize: 32 << 10,
		// It is asked about every address before it is dialed.
		Proxy: func(r *http.Request) (*url.URL, error) {
			if !secure(r.URL) {
				return nil, fmt.Errorf("slack names a socket without TLS, on %s; it is not used", r.URL.Host)
			}
			if dialed {
				return nil, errAsked // an ack belongs to the connection that its envelope came on: each has a client of its own
			}
			dialed = true
			return http.ProxyFromEnvironment(r)
		},
	}))
	client.Events = make(chan socketmode.Event)
	var wg guard.Group
	run := func(what func(context.Context) error) {
		wg.Go(func(p *guard.Panic) { end(p) }, func() { end(what(ctx)) })
	}
	run(client.RunContext)
	run(func(ctx context.Context) error { return s.read(ctx, client) })
	<-ctx.Done()
	f.link.Drop(s)
	f.mu.Lock()
	f.down = f.clock.now()
	f.mu.Unlock()
	if n := f.out.dropLater(); n > 0 {
		f.log.Info("answers to strangers are dropped with the link", "app", f.name, "messages", n)
	}
	wg.Wait()
	return context.Cause(ctx)
}

// try is once for who only looks: a socket could be opened, and is not.
func (s *session) try(ctx context.Context) error {
	if _, _, err := s.api.StartSocketModeContext(ctx); err != nil {
		return fmt.Errorf("apps.connections.open: %w", err)
	}
	s.f.link.Set(ctx, s)
	<-ctx.Done()
	s.f.link.Drop(s)
	return context.Cause(ctx)
}

// read takes what the library has from the socket. What has an envelope is acked at once, when there is room for it;
// what is not acked comes again.
func (s *session) read(ctx context.Context, client *socketmode.Client) error {
	hello := time.NewTimer(2 * callTimeout)
	defer hello.Stop()
	var wg guard.Group
	defer wg.Wait()
	care, stop := context.WithCancel(ctx)
	defer stop()
	for {
		var ev socketmode.Event
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-hello.C:
			return errHello
		case ev = <-client.Events:
		}
		switch data := ev.Data.(type) {
		case *goslack.ConnectingEvent:
			if data.ConnectionCount > 0 && s.rest != nil {
				return s.rest
			} else if data.ConnectionCount > 0 {
				return errAsked // or it broke: the library does not tell
			}
		case *goslack.ConnectionErrorEvent:
			return fmt.Errorf("open the socket: %w", data.ErrorObj)
		case *goslack.IncomingEventError:
			s.rest = data.ErrorObj
		case *socketmode.ErrorBadMessage: // of a kind that the library does not know
			var req socketmode.Request
			if json.Unmarshal(data.Message, &req) == nil {
				s.take(ctx, client, &req)
			}
		default:
			switch {
			case ev.Type == socketmode.EventTypeHello:
				hello.Stop()
				since := s.hello(ctx)
				wg.Go(guard.Log(s.f.log, "care for the slack link", "app", s.f.name), func() { s.care(care, since) })
			case ev.Request != nil:
				s.take(ctx, client, ev.Request)
			}
		}
	}
}

// hello makes the connection the link, and gives from when on something may have been missed; zero: this is the first.
func (s *session) hello(ctx context.Context) (since time.Time) {
	f := s.f
	f.mu.Lock()
	if f.began.IsZero() {
		f.began = f.clock.now()
	} else if since = f.down.Add(-2 * time.Minute); since.Before(f.began) { // a silent socket is noticed after a minute
		since = f.began
	}
	f.mu.Unlock()
	f.dials.Add(1)
	f.link.Set(ctx, s)
	f.well("link")
	f.log.Info("connected to slack", "app", f.name, "workspace", s.me.Team, "as", s.me.User)
	return since
}

// take acks an envelope and gives what is in it to the hearer.
func (s *session) take(ctx context.Context, client *socketmode.Client, req *socketmode.Request) {
	if req.EnvelopeID == "" {
		return
	}
	switch req.Type {
	case socketmode.RequestTypeEventsAPI, socketmode.RequestTypeInteractive:
		select {
		case s.f.work <- work{s: s, kind: req.Type, payload: req.Payload}:
		default: // it comes again
			s.f.tell("queue", "too much is said on slack at once", fmt.Errorf("%d messages wait; slack sends again what comes now", maxQueued))
			return
		}
	default:
		s.f.log.Debug("slack sends what nobody asked for", "app", s.f.name, "type", req.Type)
	}
	_ = client.AckCtx(ctx, req.EnvelopeID, nil) // it fails when the connection ends, and then the envelope comes again
}

// care reads what was said while there was no connection, and looks in which rooms the bot is.
func (s *session) care(ctx context.Context, since time.Time) {
	if !since.IsZero() {
		s.catchUp(ctx, since)
	}
	look := time.NewTicker(s.f.look)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if err := s.findRooms(ctx); err != nil && ctx.Err() == nil {
			s.f.tell("rooms", "the channels cannot be listed", explain(err, ""))
		} else if err == nil {
			s.f.well("rooms")
		}
	}
}

// clock is Slack's, as the Date of its answers shows it (RFC 9110 §6.6.1, in whole seconds). Ours counts when it is
// that close.
type clock struct {
	base *http.Transport

	mu    sync.Mutex
	ahead time.Duration
}

// RoundTrip is http.RoundTripper.
func (c *clock) RoundTrip(r *http.Request) (*http.Response, error) {
	if !secure(r.URL) {
		return nil, errors.New("a token goes over TLS only")
	}
	resp, err := c.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if at, derr := http.ParseTime(resp.Header.Get("Date")); derr == nil {
		c.mu.Lock()
		if c.ahead = time.Until(at); c.ahead.Abs() < 2*time.Second {
			c.ahead = 0
		}
		c.mu.Unlock()
	}
	return resp, nil
}

// CloseIdleConnections is for http.Client.
func (c *clock) CloseIdleConnections() { c.base.CloseIdleConnections() }

// now is the time by Slack's clock.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}
