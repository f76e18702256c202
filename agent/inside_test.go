package agent

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// lastOffer is an Engine that takes whatever is offered.
type lastOffer struct{ step atomic.Pointer[pipeline.Step] }

func (e *lastOffer) Takes(string, []pipeline.Step) ([]string, error) { return nil, nil }

func (e *lastOffer) Serve(_, _ string, steps []pipeline.Step) (func(), error) {
	e.step.Store(&steps[0])
	return func() {}, nil
}

func (e *lastOffer) Wants(context.Context, int64, int, string) (bool, error)       { return true, nil }
func (e *lastOffer) Correct(context.Context, int64, string, string) error          { return nil }
func (e *lastOffer) ServedElsewhere(context.Context, string, string) (bool, error) { return false, nil }

// bothEnds gives those of a line.
func bothEnds(t *testing.T) (server, client *yamux.Session) {
	t.Helper()
	near, far := net.Pipe()
	server, err := yamux.Server(near, muxConfig())
	if err != nil {
		t.Fatal(err)
	}
	if client, err = yamux.Client(far, muxConfig()); err != nil {
		t.Fatal(err)
	}
	return server, client
}

// TestAnAgentComesBackUnderAnotherName: lines that come and calls that end name the agent, each by itself. The race
// detector looks at it.
func TestAnAgentComesBackUnderAnotherName(t *testing.T) {
	e := &lastOffer{}
	h := NewHub(HubConfig{Engine: e, Version: "1.0"})
	var ends sync.WaitGroup
	arrive := func(name string) {
		server, client := bothEnds(t)
		h.lines.Add(1) // as Serve does
		ends.Go(func() {
			defer h.lines.Done()
			defer func() { _ = server.Close() }()
			_ = h.line(t.Context(), server, Guest{Silo: "vmware"})
		})
		ends.Go(func() {
			defer func() { _ = client.Close() }()
			s, err := client.OpenStream()
			if err != nil || newLink(s).send(frame{Hello: &hello{Protocol: Protocol, ID: "ONE", Boot: "b", Name: name, Silo: "vmware",
				Steps: []offered{{Name: "esx:make", Doc: name, Has: []string{"do"}}}}}) != nil {
				return
			}
			for {
				s, err := client.AcceptStream()
				if err != nil {
					return
				}
				l := newLink(s)
				if f, err := l.receive(); err == nil && f.Call != nil {
					_ = l.send(frame{Outcome: &outcome{Kind: kindDone, Clipboard: "[what is no clipboard"}})
				}
				_ = l.Close()
			}
		})
	}
	var refused atomic.Int64
	stop := make(chan struct{})
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := e.step.Load()
				if s == nil {
					continue
				}
				c, err := clipboard.Parse([]byte("instance: {hostname: loki}\n"))
				if err != nil {
					t.Error(err)
					return
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				if err := s.Do(ctx, c); err != nil && strings.Contains(err.Error(), "what the agent box") {
					refused.Add(1)
				}
				cancel()
			}
		})
	}
	for i := range 100 {
		arrive(fmt.Sprintf("box%d", i))
		time.Sleep(5 * time.Millisecond)
	}
	close(stop)
	h.Close()
	calls.Wait()
	ends.Wait()
	if refused.Load() == 0 {
		t.Error("no call ended")
	}
}

// TestALineThatIsGreetedWhileTheServerStops: nobody else ends it, and whoever stops waits for it.
func TestALineThatIsGreetedWhileTheServerStops(t *testing.T) {
	h := NewHub(HubConfig{Engine: &lastOffer{}, Version: "1.0"})
	server, client := bothEnds(t)
	defer func() { _, _ = client.Close(), server.Close() }()
	h.lines.Add(1) // as Serve does
	go func() {
		defer h.lines.Done()
		_ = h.line(t.Context(), server, Guest{Silo: "vmware"})
	}()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		h.Close()
	}()
	<-h.stopped
	if s, err := client.OpenStream(); err == nil { // an error: the line was ended before it was greeted
		_ = newLink(s).send(frame{Hello: &hello{Protocol: Protocol, ID: "ONE", Boot: "b", Name: "box", Silo: "vmware",
			Steps: []offered{{Name: "esx:make", Doc: "makes it", Has: []string{"do"}}}}})
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the server does not stop")
		_ = client.Close()
		<-closed
	}
}

// TestAnAgentThatStopsBeginsNothingForALineThatComes: what its server does not want any more is ended, and nothing is
// begun beside the one who waits for all that was.
func TestAnAgentThatStopsBeginsNothingForALineThatComes(t *testing.T) {
	a, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	ctx, stop := context.WithCancelCause(t.Context())
	w := &work{a: a, call: call{ID: "ONE", callKey: callKey{Run: 1, Func: fnDo}}, stop: stop, ended: make(chan struct{}), told: make(chan struct{}), news: make(chan struct{})}
	a.works["ONE"] = w
	a.forget("ONE")
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		a.wg.Wait()
	}()
	select {
	case <-idle:
	case <-time.After(5 * time.Second):
		t.Error("something was begun in an agent that stops")
	}
	if ctx.Err() == nil {
		t.Error("the step goes on")
	}
	close(w.ended)
	<-idle
	a.forget("ONE")
	if a.works["ONE"] != nil {
		t.Error("it has ended, and is not forgotten")
	}
}

// An address is asked about in its IPv4 form, so a network of such addresses means that form too.
func TestWhatIsAllowedOfIPv4InIPv6(t *testing.T) {
	l, err := parseAllowed([]string{"[::ffff:10.0.0.0/104]:22", "[::ffff:192.0.2.7]:22"})
	if err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]bool{"10.1.2.3:22": true, "[::ffff:10.1.2.3]:22": true, "192.0.2.7:22": true, "192.0.2.8:22": false, "11.0.0.1:22": false} {
		if l.has(netip.MustParseAddrPort(to)) != want {
			t.Errorf("%s is allowed: %v", to, !want)
		}
	}
	if _, err := parseAllowed([]string{"[::ffff:10.0.0.0/90]:22"}); err == nil || !strings.Contains(err.Error(), "each entry is a network and a port") {
		t.Errorf("more than IPv4: %v", err)
	}
}
