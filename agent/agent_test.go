package agent_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jarvisops/jarvis/agent"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engine is a small one: it keeps what agents offer, and calls it as pipeline.Engine would.
type engine struct {
	mu        sync.Mutex
	steps     []map[string]pipeline.Step // one for each agent
	news      chan struct{}
	ended     map[int64]bool // runs that want no step any more
	corrected []string
}

func (e *engine) Wants(_ context.Context, run int64, _ int, _ string) (bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.ended[run], nil
}

func (e *engine) Correct(_ context.Context, run int64, was, is string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.corrected = append(e.corrected, fmt.Sprintf("%d: %s -> %s", run, was, is))
	return nil
}

func (e *engine) ServedElsewhere(context.Context, string, string) (bool, error) { return false, nil }

func (e *engine) end(run int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended[run] = true
}

func newEngine() *engine { return &engine{news: make(chan struct{}), ended: map[int64]bool{}} }

func (e *engine) Takes(silo string, steps []pipeline.Step) (left []string, err error) {
	for _, s := range steps {
		if !strings.HasPrefix(s.Name, "esx:") {
			left = append(left, s.Name)
		}
	}
	switch {
	case silo != "vmware" && silo != "berlin":
		return nil, fmt.Errorf("there is no silo %s", silo)
	case len(left) == len(steps):
		return nil, errors.New("no step that is offered belongs to the silo")
	}
	return left, nil
}

func (e *engine) Serve(silo, _ string, steps []pipeline.Step) (func(), error) {
	if _, err := e.Takes(silo, steps); err != nil {
		return nil, err
	}
	by := map[string]pipeline.Step{}
	for _, s := range steps {
		by[s.Name] = s
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.steps = append(e.steps, by)
	e.tell()
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		for i, o := range e.steps {
			if fmt.Sprintf("%p", o) == fmt.Sprintf("%p", by) {
				e.steps = append(e.steps[:i:i], e.steps[i+1:]...)
				break
			}
		}
		e.tell()
	}, nil
}

func (e *engine) tell() { close(e.news); e.news = make(chan struct{}) }

// step waits until the n-th agent offers one.
func (e *engine) step(t *testing.T, n int, name string) pipeline.Step {
	t.Helper()
	for {
		e.mu.Lock()
		if len(e.steps) > n {
			s, ok := e.steps[n][name]
			e.mu.Unlock()
			if !ok {
				t.Fatalf("the agent offers no %s", name)
			}
			return s
		}
		news := e.news
		e.mu.Unlock()
		select {
		case <-news:
		case <-time.After(20 * time.Second):
			t.Fatal("no agent came")
		}
	}
}

func (e *engine) until(t *testing.T, agents int) {
	t.Helper()
	for {
		e.mu.Lock()
		n, news := len(e.steps), e.news
		e.mu.Unlock()
		if n == agents {
			return
		}
		select {
		case <-news:
		case <-time.After(20 * time.Second):
			t.Fatalf("%d agents are served, want %d", n, agents)
		}
	}
}

// host is that of a run, as the engine has one.
type host struct {
	facts pipeline.Facts
	said  chan string
	mu    sync.Mutex
	lines []string
	keeps []string
	keep  func() error
}

func (h *host) Progress(l string) { h.add(l) }
func (h *host) Log(l string)      { h.add("log: " + l) }
func (h *host) add(l string) {
	h.mu.Lock()
	h.lines = append(h.lines, l)
	h.mu.Unlock()
	select {
	case h.said <- l:
	default:
	}
}

func (h *host) Keep(_ context.Context, c *clipboard.Clipboard) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keeps = append(h.keeps, c.Text())
	if h.keep != nil {
		return h.keep()
	}
	return nil
}
func (h *host) Facts() pipeline.Facts { return h.facts }

func (h *host) all() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.lines, "\n")
}

func newHost(run int64) *host {
	return &host{facts: pipeline.Facts{Run: run, Token: fmt.Sprintf("jarvis-0badcafe-%d", run), By: "alice"}, said: make(chan string, 1000)}
}

// world is a hub on a real HTTP server, behind an address that can be cut.
type world struct {
	t      *testing.T
	engine *engine
	hub    *agent.Hub
	web    *httptest.Server
	key    *clipboard.Key
	front  *relay
	ledger agent.Ledger // nil: of the hub itself

	mu      sync.Mutex
	revoked bool
	silo    string // of the token; "": vmware
}

const testToken = "jarvis_agent-token"

func newWorld(t *testing.T, grace time.Duration) *world {
	t.Helper()
	key, err := clipboard.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return worldOf(&world{t: t, engine: newEngine(), key: key}, grace)
}

// worldOf starts a hub for what is given.
func worldOf(w *world, grace time.Duration) *world {
	t := w.t
	w.newHub(grace)
	w.web = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		revoked := w.revoked
		w.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer "+testToken || revoked {
			rw.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(rw, `{"detail": "this token is not known here"}`)
			return
		}
		w.mu.Lock()
		hub, silo := w.hub, cmp.Or(w.silo, "vmware")
		w.mu.Unlock()
		hub.Serve(rw, r, agent.Guest{Silo: silo, Addr: r.RemoteAddr, Still: func(context.Context) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.revoked {
				return agent.ErrRevoked
			}
			return nil
		}})
	}))
	w.front = newRelay(t, w.web.Listener.Addr().String())
	t.Cleanup(func() {
		w.hub.Close()
		w.front.close()
		w.web.Close()
	})
	return w
}

func (w *world) newHub(grace time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hub = agent.NewHub(agent.HubConfig{Engine: w.engine, Key: w.key, Ledger: w.ledger, Grace: grace, Version: "1.0", Log: logger(w.t)})
}

func logger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// running is an agent that dials again and again.
type running struct {
	a    *agent.Agent
	end  context.CancelFunc
	over chan struct{}
	last chan error
}

func (w *world) options(steps ...pipeline.Step) agent.Options {
	return agent.Options{Config: agent.Config{Servers: []string{"http://" + w.front.addr()}, Token: testToken, Silo: "vmware", Name: "box"}, ID: "AGENTONE", Steps: steps, Version: "1.0", Log: logger(w.t)}
}

func (w *world) run(o agent.Options) *running {
	w.t.Helper()
	a, err := agent.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	r := &running{a: a, end: end, over: make(chan struct{}), last: make(chan error, 100)}
	var lines sync.WaitGroup
	for _, server := range o.Servers {
		lines.Go(func() {
			for ctx.Err() == nil {
				select {
				case r.last <- a.Line(ctx, server):
				default:
				}
				select {
				case <-ctx.Done():
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
	go func() {
		defer close(r.over)
		lines.Wait()
	}()
	w.t.Cleanup(r.stop)
	return r
}

// stop ends it in order.
func (r *running) stop() {
	r.a.Close()
	r.end()
	<-r.over
}

// relay is a TCP proxy whose connections can be cut, and whose door can be shut.
type relay struct {
	l  net.Listener
	to string

	mu    sync.Mutex
	shut  bool
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func newRelay(t *testing.T, to string) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{l: l, to: to, conns: map[net.Conn]bool{}}
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.wg.Add(1)
			go func() {
				defer r.wg.Done()
				r.serve(c)
			}()
		}
	}()
	return r
}

func (r *relay) serve(c net.Conn) {
	r.mu.Lock()
	if r.shut {
		r.mu.Unlock()
		_ = c.Close()
		return
	}
	d, err := net.Dial("tcp", r.to)
	if err != nil {
		r.mu.Unlock()
		_ = c.Close()
		return
	}
	r.conns[c], r.conns[d] = true, true
	r.mu.Unlock()
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(d, c); _ = d.Close(); _ = c.Close() }()
	_, _ = io.Copy(c, d)
	_ = c.Close()
	_ = d.Close()
	<-done
	r.mu.Lock()
	delete(r.conns, c)
	delete(r.conns, d)
	r.mu.Unlock()
}

func (r *relay) addr() string { return r.l.Addr().String() }

// cut breaks what is open; while it is shut, nobody comes in.
func (r *relay) cut(shut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shut = shut
	for c := range r.conns {
		_ = c.Close()
	}
}

func (r *relay) open() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shut = false
}

func (r *relay) close() {
	_ = r.l.Close()
	r.cut(true)
	r.wg.Wait()
}

const doc = `# about loki
instance:
  hostname: loki
  fqdn: loki.example.org
  provider: esx
  memory: 2048 # megabytes
  password: !secret opensesame-1
  other: !secret someoneelses-2
`

func opened(t *testing.T, key *clipboard.Key, needs ...string) *clipboard.Clipboard {
	t.Helper()
	c, err := clipboard.Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Seal(key); err != nil {
		t.Fatal(err)
	}
	if c, err = c.Open(key, needs); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAStepIsDoneByTheAgent(t *testing.T) {
	w := newWorld(t, time.Minute)
	var got string
	w.run(w.options(pipeline.Step{Name: "esx:make", Doc: "makes it", Needs: []string{"memory", "password"}, Gives: []string{"ipaddress"}, Resume: pipeline.Probe,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			got = c.Text()
			pipeline.Progress(ctx, "half of it\x1b[31m, and opensesame-1")
			if err := c.Set("ipaddress", "192.0.2.7"); err != nil {
				return err
			}
			if err := pipeline.Keep(ctx, c); err != nil {
				return err
			}
			return c.SetSecret("root", "made-over-there")
		},
		Plan: func(context.Context, *clipboard.Clipboard) (string, error) { return "would make it", nil },
		Undo: func(ctx context.Context, c *clipboard.Clipboard) error {
			if !pipeline.FactsOf(ctx).Undo {
				return errors.New("not told that it is an undo")
			}
			return pipeline.Stays("the bill")
		}}))
	s := w.engine.step(t, 0, "esx:make")
	if s.Resume != pipeline.Probe || s.Check != nil || s.Drift != nil || s.Doc != "makes it" {
		t.Errorf("the description is %+v", s)
	}
	c := opened(t, w.key, "memory", "password", "ipaddress")
	h := newHost(12)
	if err := s.Do(pipeline.WithHost(t.Context(), h), c); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got, "someoneelses-2") || strings.Contains(got, "other") || !strings.Contains(got, "opensesame-1") {
		t.Errorf("the agent got\n%s", got)
	}
	if want := "at the agent box\nhalf of it, and •••"; h.all() != want {
		t.Errorf("progress is %q, want %q", h.all(), want)
	}
	if len(h.keeps) != 1 || !strings.Contains(h.keeps[0], "ipaddress: 192.0.2.7") || !strings.Contains(h.keeps[0], "# about loki") {
		t.Errorf("kept: %q", h.keeps)
	}
	if v, err := c.Secret("root"); err != nil || string(v) != "made-over-there" {
		t.Errorf("root is %q, %v", string(v), err)
	}
	if err := c.Seal(w.key); err != nil {
		t.Fatal(err)
	}
	if text := c.Text(); strings.Contains(text, "made-over") || strings.Contains(text, "opensesame") || !strings.Contains(text, "memory: 2048 # megabytes") {
		t.Errorf("the clipboard is now\n%s", text)
	}
	if text, err := s.Plan(pipeline.WithHost(t.Context(), h), c); err != nil || text != "would make it" {
		t.Errorf("Plan = %q, %v", text, err)
	}
	h.facts.Undo = true
	if what, ok := pipeline.AsStays(s.Undo(pipeline.WithHost(t.Context(), h), c)); !ok || what != "the bill" {
		t.Errorf("Undo = %q, %v", what, ok)
	}
}

var _ = os.Getpid
