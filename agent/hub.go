package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/hashicorp/yamux"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

// Path is where a Hub is mounted.
const Path = "/v1/agent"

// DefaultGrace is how long a line may be cut before the work over it is given back.
const DefaultGrace = time.Minute

// Engine is whoever takes runs for a silo; a *pipeline.Engine.
type Engine interface {
	Serve(silo, who string, steps []pipeline.Step) (stop func(), err error)
	Takes(silo string, steps []pipeline.Step) (left []string, err error)
	Wants(ctx context.Context, run int64, stage int, function string) (bool, error)
	Correct(ctx context.Context, run int64, was, is string) error
	ServedElsewhere(ctx context.Context, silo, who string) (bool, error)
}

// HubConfig of a Hub. Engine must be set.
type HubConfig struct {
	Engine  Engine
	Key     *clipboard.Key // to which agents seal what they keep; nil: they keep it in memory alone
	Ledger  Ledger         // nil: in memory, which is enough for one server with one agent for a silo
	Grace   time.Duration  // 0: DefaultGrace
	Version string
	Log     *slog.Logger
}

// Hub is the server's side: it takes the lines of agents, and has the engine use their steps. Safe for concurrent use.
type Hub struct {
	HubConfig

	mu     sync.Mutex
	cut    map[string]time.Time // by silo and ID: since when an agent has no line
	passed map[int64]time.Time  // by run: since when it is left to another server
	peers  map[string]*peer     // by silo and the agent's ID: an ID that comes along with a copied folder opens no other silo
	lines  sync.WaitGroup
	ends   guard.Group // of what was offered, and is not any more
	done   bool

	stopped chan struct{} // closed with done
}

// NewHub makes one. Close it after the HTTP server has ended.
func NewHub(c HubConfig) *Hub {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Grace <= 0 {
		c.Grace = DefaultGrace
	}
	if c.Ledger == nil {
		c.Ledger = NewMemory()
	}
	return &Hub{HubConfig: c, peers: map[string]*peer{}, cut: map[string]time.Time{}, passed: map[int64]time.Time{}, stopped: make(chan struct{})}
}

// Guest is who opened a line, as its token says.
type Guest struct {
	Silo    string
	Expires time.Time
	Addr    string
	// Still says whether the token still counts; it is asked every few seconds.
	Still func(context.Context) error
}

// How often a token is looked at, and how long the first word may take.
const (
	stillEvery = 3 * time.Second
	helloTime  = 10 * time.Second
)

// muxConfig finds a dead line within 20 seconds.
func muxConfig() *yamux.Config {
	c := yamux.DefaultConfig()
	c.KeepAliveInterval, c.ConnectionWriteTimeout = 10*time.Second, 10*time.Second
	c.StreamOpenTimeout, c.StreamCloseTimeout = 15*time.Second, time.Minute
	c.LogOutput = io.Discard
	return c
}

// Serve takes an agent's line, and returns when that ends.
func (h *Hub) Serve(w http.ResponseWriter, r *http.Request, g Guest) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // it is answered
	}
	h.mu.Lock()
	if h.done {
		h.mu.Unlock()
		_ = ws.Close(websocket.StatusGoingAway, "the server stops")
		return
	}
	h.lines.Add(1)
	h.mu.Unlock()
	defer h.lines.Done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	session, err := yamux.Server(websocket.NetConn(ctx, ws, websocket.MessageBinary), muxConfig())
	if err != nil {
		_ = ws.CloseNow()
		return
	}
	defer func() { _ = session.Close() }()
	if err := h.line(ctx, session, g); err != nil && ctx.Err() == nil {
		h.Log.Warn("the line of an agent has ended", "silo", g.Silo, "address", g.Addr, "err", err)
	}
}

// line is one line, from its first word to its end.
func (h *Hub) line(ctx context.Context, session *yamux.Session, g Guest) error {
	first, err := accept(ctx, session, helloTime)
	if err != nil {
		return fmt.Errorf("it said nothing: %w", err)
	}
	control := newLink(first)
	f, err := control.receiveWithin(helloTime)
	if err != nil || f.Hello == nil {
		return fmt.Errorf("its first word is no greeting: %w", errors.Join(err, io.ErrUnexpectedEOF))
	}
	hi := f.Hello
	hi.clean()
	answer := welcome{Protocol: Protocol, Version: h.Version, Expires: g.Expires, Grace: h.Grace}
	if h.Key != nil {
		answer.Seal = h.Key.Recipient()
	}
	answer.Refused = h.refuse(hi, g)
	if answer.Refused == "" {
		if answer.Left, err = h.Engine.Takes(hi.Silo, h.steps(nil, hi.Steps)); err != nil {
			answer.Refused = err.Error()
		}
	}
	if answer.Refused == "" && !hi.Passing {
		if answer.Forget, err = h.unwanted(ctx, hi); err != nil {
			h.Log.Error("look up the calls of an agent", "silo", hi.Silo, "err", err)
			answer.Refused = "the server cannot reach its database; it is asked again"
		}
	}
	if err := control.send(frame{Welcome: &answer}); err != nil {
		return err
	}
	if answer.Refused != "" || hi.Passing {
		_, _ = control.receiveWithin(helloTime) // it has read the answer, and hangs up
		if answer.Refused != "" {
			h.Log.Warn("an agent is refused", "silo", g.Silo, "address", g.Addr, "agent", hi.Name, "err", answer.Refused)
		}
		return nil
	}
	h.returned(ctx, hi)
	p, err := h.arrive(session, hi, g)
	if err != nil {
		return err
	}
	h.Log.Info("an agent is here", "silo", p.silo, "agent", hi.Name, "address", g.Addr, "version", hi.Version, "steps", len(hi.Steps)-len(answer.Left), "holds", len(hi.Holds))
	bye := make(chan error, 1)
	guard.Send(bye, func() error {
		for {
			f, err := control.receive()
			switch {
			case err != nil:
				return err
			case f.Bye != "":
				return &byeError{plain.Line(f.Bye)}
			case f.Stopping:
				h.Log.Info("an agent stops, and begins nothing more", "silo", p.silo, "agent", hi.Name)
				h.rest(p, session)
			}
		}
	})
	defer func() { _ = session.Close(); <-bye }()
	h.ends.Go(guard.Log(h.Log, "look what an agent is to stop"), func() { h.sweepOn(ctx, p, session) })
	err = h.watch(ctx, session, g, bye)
	var said *byeError
	_ = session.Close() // before anything waits for calls that go on over it
	h.leave(p, session, errors.As(err, &said) || errors.Is(err, ErrRevoked))
	return err
}

type byeError struct{ why string }

func (e *byeError) Error() string { return "the agent stops: " + e.why }

// watch returns when the line is over, or the token counts no more.
func (h *Hub) watch(ctx context.Context, session *yamux.Session, g Guest, bye chan error) error {
	t := time.NewTicker(stillEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-h.stopped: // it came when Close had ended those that there were
			return errors.New("the server stops")
		case <-session.CloseChan(): // a goodbye may have come just before
		case err := <-bye:
			bye <- nil // for who waits
			return overBy(err)
		case <-t.C:
		}
		if session.IsClosed() {
			err := <-bye
			bye <- nil
			return overBy(err)
		}
		if g.Still == nil {
			continue
		}
		look, cancel := context.WithTimeout(ctx, stillEvery)
		err := g.Still(look)
		cancel()
		if errors.Is(err, ErrRevoked) {
			return err
		}
	}
}

// overBy says why a line is over.
func overBy(err error) error {
	var said *byeError
	if errors.As(err, &said) {
		return err
	}
	return errors.New("it was cut")
}

// ErrRevoked is what Guest.Still says of a token that counts no more. Any other error is one of the database, and cuts
// nothing.
var ErrRevoked = errors.New("its token counts no more")

// accept is AcceptStream with a bound in time.
func accept(ctx context.Context, s *yamux.Session, d time.Duration) (*yamux.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return s.AcceptStreamWithContext(ctx)
}

// clean makes texts from outside plain.
func (hi *hello) clean() {
	hi.Version, hi.ID, hi.Boot, hi.Name, hi.Silo = short(hi.Version), short(hi.ID), short(hi.Boot), short(hi.Name), short(hi.Silo)
	for i := range hi.Steps {
		s := &hi.Steps[i]
		s.Doc = clip(plain.Line(s.Doc))
	}
}

// short bounds what an agent calls itself and its parts: one line of 100 bytes.
func short(s string) string {
	if s = plain.Line(s); len(s) > 100 {
		s = strings.ToValidUTF8(s[:100], "")
	}
	return s
}

func clip(s string) string { return plain.Clip(s, maxLine) }

// refuse says why an agent is not taken; "" when it is.
func (h *Hub) refuse(hi *hello, g Guest) string {
	switch {
	case hi.Protocol > Protocol:
		return fmt.Sprintf("this server (%s) is older than the agent (%s), and does not speak its language: update the server", h.Version, hi.Version)
	case hi.Protocol < Protocol:
		return fmt.Sprintf("this agent (%s) is older than the server (%s), which does not speak its language any more: update the agent", hi.Version, h.Version)
	case hi.Silo != g.Silo:
		return fmt.Sprintf("the token is for the silo %s, and agent.silo says %s; make a token for that silo, or correct the configuration", g.Silo, hi.Silo)
	case hi.ID == "" || hi.Name == "":
		return "it does not say who it is"
	case len(hi.Steps) == 0:
		return "it offers no step; configure workers for it"
	case len(hi.Steps) > maxSteps, len(hi.Holds) > 2*maxHolds:
		return "it says more than is taken"
	}
	if addr := h.twin(hi); addr != "" {
		return fmt.Sprintf("another agent with the same number is connected, %s from %s: a data folder serves one agent, so give this one a folder of its own, without the file agent-id of the other", hi.Name, addr)
	}
	return ""
}

// unwanted lists the calls that an agent holds and that are over for us, or are another's.
func (h *Hub) unwanted(ctx context.Context, hi *hello) ([]string, error) {
	var out []string
	for _, c := range hi.Holds {
		owner, err := h.Ledger.Owner(ctx, c.Run)
		if err != nil {
			return nil, err
		}
		if owner.ID != "" && owner.ID != hi.ID {
			out = append(out, c.ID)
		}
	}
	return out, nil
}

// Run returns when ctx has ended and all lines with it.
func (h *Hub) Run(ctx context.Context) error {
	<-ctx.Done()
	h.Close()
	return nil
}

// Close ends all lines, and waits for them. Calls under way are let go of: the agents go on with them.
func (h *Hub) Close() {
	h.mu.Lock()
	if !h.done {
		close(h.stopped)
	}
	h.done = true
	list := make([]*peer, 0, len(h.peers))
	for _, p := range h.peers {
		list = append(list, p)
	}
	h.mu.Unlock()
	for _, p := range list {
		p.mu.Lock()
		s := p.session
		p.mu.Unlock()
		if s != nil {
			_ = s.Close()
		}
	}
	h.lines.Wait()
	for _, p := range list {
		h.drop(p)
	}
	h.ends.Wait()
}

// Connected counts the agents with a line, by silo.
func (h *Hub) Connected() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]int{}
	for _, p := range h.peers {
		p.mu.Lock()
		if p.session != nil {
			out[p.silo]++
		}
		p.mu.Unlock()
	}
	return out
}
