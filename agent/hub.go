package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
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
	Serve(silo string, steps []pipeline.Step) (stop func(), err error)
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

	mu    sync.Mutex
	peers map[string]*peer // by silo and the agent's ID: an ID that comes along with a copied folder opens no other silo
	lines sync.WaitGroup
	done  bool

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
		c.Ledger = &memory{}
	}
	return &Hub{HubConfig: c, peers: map[string]*peer{}, stopped: make(chan struct{})}
}

// peer is an agent, with a line or, for a while, without.
type peer struct {
	id, name, silo string

	mu      sync.Mutex
	session *yamux.Session // nil: the line is cut
	since   time.Time      // of the line, or of its cut
	news    chan struct{}  // closed when session changes
	gone    bool           // it does not come back in time, or said goodbye: nothing waits for it
	stop    func()         // of the engine; nil: it is not served
	offers  []offered
	holds   []held
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
	if answer.Refused = h.refuse(hi, g); answer.Refused == "" && !hi.Passing {
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
	p, err := h.arrive(session, hi)
	if err != nil {
		return err
	}
	h.Log.Info("an agent is here", "silo", p.silo, "agent", p.name, "address", g.Addr, "version", hi.Version, "steps", len(hi.Steps), "holds", len(hi.Holds))
	bye := make(chan error, 1)
	guard.Send(bye, func() error {
		f, err := control.receive()
		if err == nil && f.Bye != "" {
			return &byeError{plain.Line(f.Bye)}
		}
		return err
	})
	defer func() { _ = session.Close(); <-bye }()
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

// ErrRevoked is what Guest.Still says of a token that counts no more. Any other error is one of the database, and cuts nothing.
var ErrRevoked = errors.New("its token counts no more")

// accept is AcceptStream with a bound in time.
func accept(ctx context.Context, s *yamux.Session, d time.Duration) (*yamux.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return s.AcceptStreamWithContext(ctx)
}

// clean makes texts from outside plain.
func (hi *hello) clean() {
	hi.Version, hi.ID, hi.Name, hi.Silo = short(hi.Version), short(hi.ID), short(hi.Name), short(hi.Silo)
	for i := range hi.Steps {
		s := &hi.Steps[i]
		s.Doc = clip(plain.Line(s.Doc))
	}
}

func short(s string) string {
	if s = plain.Line(s); len(s) > 100 {
		s = strings.ToValidUTF8(s[:100], "")
	}
	return s
}

func clip(s string) string {
	if len(s) > maxLine {
		s = strings.ToValidUTF8(s[:maxLine], "") + "…"
	}
	return s
}

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

// arrive gives an agent its line, in the place of an older one, and has the engine use its steps.
func (h *Hub) arrive(session *yamux.Session, hi *hello) (*peer, error) {
	h.mu.Lock()
	p := h.peers[peerKey(hi.Silo, hi.ID)]
	if p == nil {
		p = &peer{id: hi.ID, silo: hi.Silo, news: make(chan struct{})}
		h.peers[peerKey(hi.Silo, hi.ID)] = p
	}
	h.mu.Unlock()
	p.mu.Lock()
	old := p.session
	p.name, p.session, p.since, p.gone, p.holds = hi.Name, session, time.Now(), false, hi.Holds
	stop, same := p.stop, slices.EqualFunc(p.offers, hi.Steps, offered.equal)
	close(p.news)
	p.news = make(chan struct{})
	p.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	if stop != nil && same {
		return p, nil
	}
	fresh, err := h.Engine.Serve(p.silo, h.steps(p, hi.Steps))
	if err != nil {
		h.leave(p, session, true)
		return nil, err
	}
	p.mu.Lock()
	p.stop, p.offers = fresh, hi.Steps
	p.mu.Unlock()
	if stop != nil { // it waits for the calls in hand, which go on over the new line
		guard.Go(guard.Log(h.Log, "end what an agent offered before"), stop)
	}
	return p, nil
}

func peerKey(silo, id string) string { return silo + "/" + id }

func (o offered) equal(b offered) bool {
	return o.Name == b.Name && o.Doc == b.Doc && o.Resume == b.Resume && o.Timeout == b.Timeout && o.Silence == b.Silence &&
		slices.Equal(o.Aliases, b.Aliases) && slices.Equal(o.Needs, b.Needs) && slices.Equal(o.Gives, b.Gives) && slices.Equal(o.Has, b.Has)
}

// leave notes that a line is over. Who said goodbye is not waited for; others are, for a while.
func (h *Hub) leave(p *peer, session *yamux.Session, forGood bool) {
	p.mu.Lock()
	if p.session != session {
		p.mu.Unlock()
		return // a newer line has its place
	}
	p.session, p.since = nil, time.Now()
	news := p.news
	p.mu.Unlock()
	if forGood {
		h.drop(p)
		return
	}
	time.AfterFunc(h.Grace, guard.Func(guard.Log(h.Log, "give up an agent"), func() {
		select {
		case <-news: // it came back
		default:
			h.drop(p)
		}
	}))
}

// drop has the engine send nothing more to an agent, and ends the waiting for it.
func (h *Hub) drop(p *peer) {
	p.mu.Lock()
	if p.session != nil || p.gone {
		p.mu.Unlock()
		return
	}
	p.gone = true
	stop := p.stop
	p.stop, p.offers = nil, nil
	close(p.news)
	p.news = make(chan struct{})
	name, silo := p.name, p.silo
	p.mu.Unlock()
	h.Log.Warn("an agent is gone", "silo", silo, "agent", name)
	if stop != nil {
		stop()
	}
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
