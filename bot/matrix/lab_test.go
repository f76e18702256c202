package matrix_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/matrix"
	"github.com/jarvisops/jarvis/lab/real"
)

const (
	me      = "@jarvis:" + real.MatrixServer
	alices  = "@alice:" + real.MatrixServer
	ops     = "#ops:" + real.MatrixServer
	waiting = 40 * time.Second
)

// heard collects what the frontend hands to the bot.
type heard struct {
	mu   sync.Mutex
	list []bot.Message
	more chan struct{}
}

func newHeard() *heard { return &heard{more: make(chan struct{}, 1)} }

func (h *heard) in(m bot.Message) {
	h.mu.Lock()
	h.list = append(h.list, m)
	h.mu.Unlock()
	select {
	case h.more <- struct{}{}:
	default:
	}
}

func (h *heard) all() []bot.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]bot.Message(nil), h.list...)
}

// wait gives all messages up to the one with that text.
func (h *heard) wait(t *testing.T, text string) []bot.Message {
	t.Helper()
	limit := time.After(real.Patience(waiting))
	for {
		list := h.all()
		for i, m := range list {
			if m.Text == text {
				return list[:i+1]
			}
		}
		select {
		case <-h.more:
		case <-limit:
			t.Fatalf("%q was not heard; what was: %+v", text, list)
		}
	}
}

func server(t *testing.T, o real.DendriteOptions, accounts ...string) *real.Dendrite {
	t.Helper()
	s, err := real.StartDendrite(o, append(accounts, "jarvis", "alice")...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the homeserver said: %s", s.Log())
		}
		s.Stop()
	})
	return s
}

func person(t *testing.T, s *real.Dendrite, name string) *real.MatrixClient {
	t.Helper()
	c, err := real.DialMatrix(t.Context(), s, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// opsRoom has somebody make the room that config names.
func opsRoom(t *testing.T, c *real.MatrixClient) string {
	t.Helper()
	return must(c.MakeRoom(t.Context(), "ops", false))(t)
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func config(t *testing.T, s *real.Dendrite) matrix.Config {
	return matrix.Config{Homeserver: s.URL, User: me, Password: "pw-jarvis-lab", CA: s.CA, Rooms: []string{ops}, State: t.TempDir()}
}

// running is a frontend with its log; stop ends it, as the end of the test does.
type running struct {
	*matrix.Frontend
	log  *real.Buffer
	stop func()
}

func link(t *testing.T, cfg matrix.Config, in func(bot.Message)) *running {
	t.Helper()
	log := &real.Buffer{}
	f, err := matrix.New(cfg, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return run(t, f, log, in)
}

// run has a frontend speak, which may have spoken before.
func run(t *testing.T, f *matrix.Frontend, log *real.Buffer, in func(bot.Message)) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	if in == nil {
		in = func(bot.Message) {}
	}
	go func() { done <- f.Run(ctx, in) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(log.String())
		}
		for _, secret := range []string{"pw-jarvis-lab"} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("the log has %s", secret)
			}
		}
	})
	t.Cleanup(stop)
	return &running{f, log, stop}
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(real.Patience(waiting)); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("it never came to: %s", what)
}

func (r *running) until(t *testing.T, line string) {
	t.Helper()
	until(t, "the log has "+line, func() bool { return strings.Contains(r.log.String(), line) })
}

func hear(t *testing.T, c *real.MatrixClient, pattern string) string {
	t.Helper()
	l, err := c.Wait(pattern, waiting)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func deliver(t *testing.T, f *running, place, line string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), real.Patience(waiting))
	defer cancel()
	return f.Deliver(ctx, bot.Notice{Place: place, Line: line})
}

func refuses(t *testing.T, f *running, place string) {
	t.Helper()
	if err := deliver(t, f, place, "into nothing"); !errors.Is(err, bot.ErrRefused) {
		t.Errorf("Deliver to %s = %v, want bot.ErrRefused", place, err)
	}
}

func noFiles(t *testing.T, dir string) {
	t.Helper()
	if list := must(os.ReadDir(dir))(t); len(list) > 0 {
		t.Errorf("%s has %v", dir, list)
	}
}
