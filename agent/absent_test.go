package agent_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/agent"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// TestACutAgentBeginsNothing: the engine may have another agent for it, or lets the run wait for the silo and says so.
// No try is lost, and nobody is written down as the one who has it.
func TestACutAgentBeginsNothing(t *testing.T) {
	ledger := ledgerOf(t, nil)
	w := worldOf(&world{t: t, engine: newEngine(), key: newKey(t), ledger: ledger}, time.Minute)
	g := newGate()
	w.run(w.options(g.step("esx:make", pipeline.Ask)))
	s := w.engine.step(t, 0, "esx:make")
	_, under := begin(t.Context(), t, w, s, newHost(1))
	wait(t, "the step", g.began)
	w.front.cut(true)
	w.engine.until(t, 0) // long before the time of grace is over
	_, out := begin(t.Context(), t, w, s, newHost(2))
	if err := wait(t, "the answer", out); !errors.Is(err, pipeline.ErrNotBegun) {
		t.Fatalf("Do = %v", err)
	}
	if o, _ := ledger.Owner(t.Context(), 2); o.ID != "" {
		t.Errorf("run 2 belongs to %+v", o)
	}
	g.release <- struct{}{}
	w.front.open()
	if err := wait(t, "the outcome of what was under way", under); err != nil {
		t.Fatal(err)
	}
	w.engine.until(t, 1)
	g.release <- struct{}{}
	_, out = begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), newHost(2))
	if err := wait(t, "the outcome", out); err != nil || g.calls.Load() != 2 {
		t.Fatalf("Do = %v, ran %d times", err, g.calls.Load())
	}
}

// TestWhatWasNeverSentAsksNobody: a server notes that a step is under way, and dies before it sends it. What agent had
// the run before is on record, with what it was sent; so nothing may have half happened.
func TestWhatWasNeverSentAsksNobody(t *testing.T) {
	for name, before := range map[string]agent.Owner{
		"by the same agent": {ID: "AGENTONE", Name: "box", Call: "0 esx:find do 0", Over: true},
		"by another":        {ID: "AGENTTWO", Name: "other", Call: "0 esx:find do 0", Over: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := worldOf(&world{t: t, engine: newEngine(), key: newKey(t), ledger: ledgerOf(t, map[int64]agent.Owner{1: before})}, 10*time.Second)
			g := newGate()
			w.run(w.options(g.step("esx:make", pipeline.Ask)))
			h := newHost(1)
			h.facts.Stage, h.facts.Resumed = 1, true
			g.release <- struct{}{}
			_, out := begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), h)
			if err := wait(t, "the outcome", out); err != nil || g.calls.Load() != 1 {
				t.Fatalf("Do = %v, ran %d times", err, g.calls.Load())
			}
		})
	}
	t.Run("what was sent", func(t *testing.T) {
		w := worldOf(&world{t: t, engine: newEngine(), key: newKey(t), ledger: ledgerOf(t, map[int64]agent.Owner{1: {ID: "AGENTONE", Name: "box", Call: "1 esx:make do 0"}})}, 10*time.Second)
		g := newGate()
		w.run(w.options(g.step("esx:make", pipeline.Ask)))
		h := newHost(1)
		h.facts.Stage, h.facts.Resumed = 1, true
		_, out := begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), h)
		if err := wait(t, "the outcome", out); !pipeline.IsAskPerson(err) || g.calls.Load() != 0 {
			t.Fatalf("Do = %v, ran %d times", err, g.calls.Load())
		}
	})
}

// TestATwinIsRefused: two agents with a copy of one data folder would each be told to go on with what the other has in
// hand.
func TestATwinIsRefused(t *testing.T) {
	w := newWorld(t, time.Minute)
	g := newGate()
	first := w.run(w.options(g.step("esx:make", pipeline.Probe)))
	_, out := begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), newHost(1))
	wait(t, "the step", g.began)
	twin, err := agent.New(w.options(g.step("esx:make", pipeline.Probe)))
	if err != nil {
		t.Fatal(err)
	}
	var refused *agent.RefusedError
	if err := twin.Line(t.Context(), w.web.URL); !errors.As(err, &refused) || !strings.Contains(err.Error(), "another agent with the same number is connected, box from 127.0.0.1:") {
		t.Fatalf("Line = %v", err)
	}
	if _, err := twin.Try(t.Context(), w.web.URL); err != nil {
		t.Fatalf("a look whether it could be taken beside the living one: %v", err)
	}
	for range 2 {
		w.front.cut(false) // the first comes back, and is no twin of itself
	}
	g.release <- struct{}{}
	if err := wait(t, "the outcome", out); err != nil || g.calls.Load() != 1 {
		t.Fatalf("Do = %v, ran %d times", err, g.calls.Load())
	}
	first.stop()
	w.run(w.options(g.step("esx:make", pipeline.Probe))) // a new process with the folder
	w.engine.step(t, 0, "esx:make")
}

// TestALookSaysWhyStepsAreNotTaken: `jarvis agent --check` must not say that all is well before a start that is
// refused.
func TestALookSaysWhyStepsAreNotTaken(t *testing.T) {
	w := newWorld(t, time.Minute)
	a, err := agent.New(w.options(newGate().step("dns:make", pipeline.Probe)))
	if err != nil {
		t.Fatal(err)
	}
	_, looked := a.Try(t.Context(), w.web.URL)
	began := a.Line(t.Context(), w.web.URL)
	for _, err := range []error{looked, began} {
		if err == nil || !strings.Contains(err.Error(), "refuses: no step that is offered belongs to the silo") {
			t.Errorf("it says %v", err)
		}
	}
}

// TestATokenThatIsRevokedLeavesTheStep: nothing more begins over there, the server waits no longer, and the step goes
// on; with a new token its outcome comes.
func TestATokenThatIsRevokedLeavesTheStep(t *testing.T) {
	w := newWorld(t, time.Minute)
	g := newGate()
	w.run(w.options(g.step("esx:make", pipeline.Ask)))
	h := newHost(1)
	_, out := begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), h)
	step := wait(t, "the step", g.began)
	revoke := func(yes bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.revoked = yes
	}
	revoke(true)
	if err := wait(t, "the outcome", out); !errors.Is(err, pipeline.ErrStopping) || step.Err() != nil {
		t.Fatalf("Do = %v, the step %v", err, step.Err())
	}
	w.engine.until(t, 0)
	revoke(false)
	g.release <- struct{}{}
	c, err := rejoin(t, w, h)
	if err != nil || c.Get("ipaddress") != "192.0.2.7" || g.calls.Load() != 1 {
		t.Fatalf("Do = %v, ran %d times", err, g.calls.Load())
	}
}

// TestAnAgentKeepsSoManyOutcomes: one that lives for years must still be let in, and its folder must not grow for ever.
func TestAnAgentKeepsSoManyOutcomes(t *testing.T) {
	w := newWorld(t, time.Minute)
	s := pipeline.Step{Name: "esx:make", Doc: "is done at once", Do: func(context.Context, *clipboard.Clipboard) error { return nil }}
	o := w.options(s)
	o.Dir, o.Log = t.TempDir(), nil
	w.run(o)
	far := w.engine.step(t, 0, "esx:make")
	c := opened(t, w.key)
	for run := range int64(agent.MaxHolds + 200) {
		if err := far.Do(pipeline.WithHost(t.Context(), newHost(run+1)), c); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(o.Dir, "call-*"))
	if err != nil || len(files) > agent.MaxHolds+1 || len(files) < agent.MaxHolds/2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	if b, err := os.ReadFile(files[0]); err != nil || len(b) == 0 {
		t.Fatal(err)
	}
	w.front.cut(false)
	w.engine.until(t, 1)
}

// TestARefusedDialLeavesNoConnection: an agent whose token is revoked dials for weeks.
func TestARefusedDialLeavesNoConnection(t *testing.T) {
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	srv.Config.ConnState = func(c net.Conn, s http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		open[c] = s != http.StateClosed
	}
	srv.Start()
	defer srv.Close()
	w := newWorld(t, time.Minute)
	a, err := agent.New(w.options(newGate().step("esx:make", pipeline.Probe)))
	if err != nil {
		t.Fatal(err)
	}
	var refused *agent.RefusedError
	for range 10 {
		if err := a.Line(t.Context(), srv.URL); !errors.As(err, &refused) {
			t.Fatal(err)
		}
	}
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		n := 0
		mu.Lock()
		for _, is := range open {
			if is {
				n++
			}
		}
		dialled := len(open)
		mu.Unlock()
		if n == 0 && dialled == 10 {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%d connections of %d are open", n, dialled)
		}
	}
}

// TestAnAgentThatStopsGivesBack: nothing new goes to it while it waits for a step that asks; what it stopped goes on at
// another at once; and neither a plan nor a person hears that it is the server which stops.
func TestAnAgentThatStopsGivesBack(t *testing.T) {
	w := worldOf(&world{t: t, engine: newEngine(), key: newKey(t), ledger: ledgerOf(t, nil)}, time.Minute)
	asks, probes, other := newGate(), newGate(), newGate()
	o := w.options(asks.step("esx:weld", pipeline.Ask), probes.step("esx:make", pipeline.Probe))
	o.Drain, o.Dir = time.Minute, t.TempDir()
	o.Steps[1].Plan = func(context.Context, *clipboard.Clipboard) (string, error) { return "makes it", nil }
	first := w.run(o)
	weld, makeIt := w.engine.step(t, 0, "esx:weld"), w.engine.step(t, 0, "esx:make")
	_, welds := begin(t.Context(), t, w, weld, newHost(1))
	_, makes := begin(t.Context(), t, w, makeIt, newHost(2))
	wait(t, "the one", asks.began)
	wait(t, "the other", probes.began)
	stopped := inBackground(first.stop)
	if err := wait(t, "what can be taken up", makes); !errors.Is(err, pipeline.ErrStopping) {
		t.Fatalf("Do = %v", err)
	}
	w.engine.until(t, 0) // while it is still there
	if _, err := makeIt.Plan(t.Context(), opened(t, w.key)); !errors.Is(err, pipeline.ErrNotBegun) || !strings.Contains(err.Error(), "the agent box is stopping") {
		t.Errorf("Plan = %v", err)
	}
	if err := makeIt.Do(pipeline.WithHost(t.Context(), newHost(3)), opened(t, w.key)); !errors.Is(err, pipeline.ErrNotBegun) {
		t.Errorf("Do of another run = %v", err)
	}
	o.ID, o.Name, o.Steps, o.Dir = "AGENTTWO", "other", []pipeline.Step{other.step("esx:make", pipeline.Probe)}, t.TempDir()
	w.run(o)
	h := newHost(2)
	h.facts.Resumed = true
	other.release <- struct{}{}
	_, again := begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), h)
	if err := wait(t, "the outcome from the other", again); err != nil || other.calls.Load() != 1 {
		t.Fatalf("Do = %v, ran %d times", err, other.calls.Load())
	}
	asks.release <- struct{}{}
	if err := wait(t, "the outcome of what asks", welds); err != nil {
		t.Fatal(err)
	}
	wait(t, "the end", stopped)
}

func inBackground(f func()) chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return done
}

// TestAPersonsRetryDoesNotWaitAgain: the agent that had the step was waited for before the person was asked.
func TestAPersonsRetryDoesNotWaitAgain(t *testing.T) {
	w := worldOf(&world{t: t, engine: newEngine(), key: newKey(t), ledger: ledgerOf(t, map[int64]agent.Owner{1: {ID: "AGENTTWO", Name: "other", Call: "0 esx:make do 0", Asked: true}})}, time.Minute)
	g := newGate()
	w.run(w.options(g.step("esx:make", pipeline.Ask)))
	h := newHost(1)
	h.facts.Try = 1
	g.release <- struct{}{}
	began := time.Now()
	_, out := begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), h)
	if err := wait(t, "the outcome", out); err != nil || time.Since(began) > 20*time.Second {
		t.Fatalf("Do = %v after %s", err, time.Since(began))
	}
}

// TestAnOutcomeThatNobodyHeardIsSentByTheNextProcess: an agent was stopped while its line was cut, and holds what came
// of a step.
func TestAnOutcomeThatNobodyHeardIsSentByTheNextProcess(t *testing.T) {
	w := newWorld(t, 200*time.Millisecond)
	g := newGate()
	o := w.options(g.step("esx:make", pipeline.Probe))
	var log strings.Builder
	var mu sync.Mutex
	o.Dir, o.Log = t.TempDir(), slog.New(slog.NewTextHandler(writer(func(p []byte) { mu.Lock(); defer mu.Unlock(); log.Write(p) }), nil))
	old := w.run(o)
	_, out := begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), newHost(1))
	wait(t, "the step", g.began)
	w.front.cut(true)
	if err := wait(t, "the outcome", out); !errors.Is(err, pipeline.ErrStopping) {
		t.Fatal(err)
	}
	g.release <- struct{}{}
	for limit := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		files, _ := filepath.Glob(filepath.Join(o.Dir, "call-*"))
		if len(files) == 1 {
			if b, _ := os.ReadFile(files[0]); strings.Contains(string(b), `"outcome"`) {
				break
			}
		}
		if time.Now().After(limit) {
			t.Fatalf("files: %v", files)
		}
	}
	old.stop()
	w.engine.until(t, 0)
	w.front.open()
	w.run(o)
	if _, err := rejoin(t, w, newHost(1)); err != nil || g.calls.Load() != 1 {
		t.Fatalf("Do = %v, ran %d times", err, g.calls.Load())
	}
	w.front.cut(false) // its stream is over
	w.engine.until(t, 1)
	mu.Lock()
	defer mu.Unlock()
	if strings.Contains(log.String(), "panic") {
		t.Error(log.String())
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }
