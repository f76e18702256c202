package agent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/agent"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// gate is a step that can be watched and held.
type gate struct {
	calls   atomic.Int64
	began   chan context.Context
	release chan struct{}
}

func newGate() *gate {
	return &gate{began: make(chan context.Context, 100), release: make(chan struct{}, 100)}
}

func (g *gate) step(name string, r pipeline.Resume) pipeline.Step {
	do := func(ctx context.Context, c *clipboard.Clipboard) error {
		g.calls.Add(1)
		pipeline.Progress(ctx, "began")
		g.began <- ctx
		select {
		case <-g.release:
			pipeline.Progress(ctx, "over")
			return c.Set("ipaddress", "192.0.2.7")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return pipeline.Step{Name: name, Doc: "waits", Gives: []string{"ipaddress"}, Resume: r, Do: do, Undo: func(context.Context, *clipboard.Clipboard) error { return nil }}
}

// begin calls a step as the engine would, and gives what comes of it.
func begin(ctx context.Context, t *testing.T, w *world, s pipeline.Step, h *host) (*clipboard.Clipboard, chan error) {
	c := opened(t, w.key)
	out := make(chan error, 1)
	go func() { out <- s.Do(pipeline.WithHost(ctx, h), c) }()
	return c, out
}

// rejoin calls a step as whoever takes its run up does, and gives what comes of it.
func rejoin(t *testing.T, w *world, h *host) (*clipboard.Clipboard, error) {
	t.Helper()
	h.facts.Resumed = true
	c, out := begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), h)
	return c, wait(t, "the outcome", out)
}

func wait[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatalf("%s: nothing came", what)
		panic("unreachable")
	}
}

func TestACutLineEndsNoStepAndRunsNoneTwice(t *testing.T) {
	w := newWorld(t, time.Minute)
	g := newGate()
	w.run(w.options(g.step("esx:make", pipeline.Ask)))
	h := newHost(1)
	c, out := begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), h)
	wait(t, "the step", g.began)
	for range 3 {
		w.front.cut(false)
	}
	w.front.cut(true)
	g.release <- struct{}{} // it ends while nobody hears
	w.front.open()
	if err := wait(t, "the outcome", out); err != nil || c.Get("ipaddress") != "192.0.2.7" {
		t.Fatalf("Do = %v, ipaddress %q", err, c.Get("ipaddress"))
	}
	if n := g.calls.Load(); n != 1 {
		t.Errorf("the step ran %d times", n)
	}
	if all := h.all(); strings.Count(all, "began") != 1 || strings.Count(all, "over") != 1 {
		t.Errorf("the lines are\n%s", all)
	}
}

func TestAStepGoesOnLongerThanTheServerWaits(t *testing.T) {
	w := newWorld(t, 300*time.Millisecond)
	g := newGate()
	w.run(w.options(g.step("esx:make", pipeline.Ask)))
	h := newHost(1)
	_, out := begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), h)
	ctx := wait(t, "the step", g.began)
	w.front.cut(true)
	if err := wait(t, "the outcome", out); !errors.Is(err, pipeline.ErrStopping) {
		t.Fatalf("Do = %v, want ErrStopping: whoever takes it up joins it", err)
	}
	w.engine.until(t, 0)
	if ctx.Err() != nil {
		t.Fatal("the step was stopped")
	}
	w.front.open()
	s := w.engine.step(t, 0, "esx:make")
	h.facts.Resumed = true
	c, out := begin(t.Context(), t, w, s, h)
	g.release <- struct{}{}
	if err := wait(t, "the outcome", out); err != nil || c.Get("ipaddress") != "192.0.2.7" || g.calls.Load() != 1 {
		t.Fatalf("Do = %v, ipaddress %q, ran %d times", err, c.Get("ipaddress"), g.calls.Load())
	}
	// Once more, as after a crash of the server before it had written that down.
	c, out = begin(t.Context(), t, w, s, h)
	if err := wait(t, "the outcome", out); err != nil || c.Get("ipaddress") != "192.0.2.7" || g.calls.Load() != 1 {
		t.Fatalf("the second time Do = %v, ipaddress %q, ran %d times", err, c.Get("ipaddress"), g.calls.Load())
	}
	// And after another try was asked for, it runs.
	h.facts.Resumed = false
	g.release <- struct{}{}
	_, out = begin(t.Context(), t, w, s, h)
	if err := wait(t, "the outcome", out); err != nil || g.calls.Load() != 2 {
		t.Fatalf("the third time Do = %v, ran %d times", err, g.calls.Load())
	}
}

func TestAServerThatStopsLeavesTheStep(t *testing.T) {
	w := newWorld(t, time.Minute)
	g := newGate()
	w.run(w.options(g.step("esx:make", pipeline.Probe)))
	h := newHost(1)
	ctx, stop := context.WithCancelCause(t.Context())
	_, out := begin(ctx, t, w, w.engine.step(t, 0, "esx:make"), h)
	step := wait(t, "the step", g.began)
	stop(pipeline.ErrStopping)
	if err := wait(t, "the outcome", out); !errors.Is(err, pipeline.ErrStopping) {
		t.Fatalf("Do = %v", err)
	}
	old := w.hub
	w.newHub(time.Minute) // another process
	old.Close()
	w.engine.until(t, 1)
	h.facts.Resumed = true
	c, out := begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), h)
	if step.Err() != nil {
		t.Fatal("the step was stopped")
	}
	g.release <- struct{}{}
	if err := wait(t, "the outcome", out); err != nil || c.Get("ipaddress") != "192.0.2.7" || g.calls.Load() != 1 {
		t.Fatalf("Do = %v, ipaddress %q, ran %d times", err, c.Get("ipaddress"), g.calls.Load())
	}
}

func TestCancelReachesTheAgent(t *testing.T) {
	w := newWorld(t, time.Minute)
	g := newGate()
	w.run(w.options(g.step("esx:make", pipeline.Probe)))
	s := w.engine.step(t, 0, "esx:make")
	why := errors.New("cancelled by bob")
	for _, cut := range []bool{false, true} {
		ctx, stop := context.WithCancelCause(t.Context())
		_, out := begin(ctx, t, w, s, newHost(1))
		step := wait(t, "the step", g.began)
		w.front.cut(cut)
		stop(why)
		if cut {
			select {
			case err := <-out:
				t.Fatalf("Do = %v, and the agent does not know that it is cancelled", err)
			case <-time.After(100 * time.Millisecond):
			}
			w.front.open()
		}
		if err := wait(t, "the outcome", out); err == nil || err.Error() != why.Error() {
			t.Errorf("Do = %v", err)
		}
		<-step.Done()
	}
}

func TestACancelThatCouldNotBeToldIsToldLater(t *testing.T) {
	w := newWorld(t, 300*time.Millisecond)
	g := newGate()
	w.run(w.options(g.step("esx:make", pipeline.Probe)))
	ctx, stop := context.WithCancelCause(t.Context())
	_, out := begin(ctx, t, w, w.engine.step(t, 0, "esx:make"), newHost(1))
	step := wait(t, "the step", g.began)
	w.front.cut(true)
	stop(errors.New("cancelled by bob"))
	err := wait(t, "the outcome", out)
	if what, ok := pipeline.AsGoesOn(err); !ok || what != "esx:make may go on at the agent box, which is told to stop as soon as it can be reached" || !strings.HasPrefix(err.Error(), "cancelled by bob; ") {
		t.Errorf("Do = %v", err)
	}
	if step.Err() != nil {
		t.Fatal("it could be told")
	}
	w.front.open()
	<-step.Done()
}

func TestATimeOutEndsAStepWithoutItsServer(t *testing.T) {
	w := newWorld(t, 100*time.Millisecond)
	g := newGate()
	w.run(w.options(g.step("esx:make", pipeline.Probe)))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, out := begin(ctx, t, w, w.engine.step(t, 0, "esx:make"), newHost(1))
	step := wait(t, "the step", g.began)
	w.front.cut(true)
	<-step.Done()
	_ = wait(t, "the outcome", out)
}

// crash gives an agent as a new process finds it: with the files of the old one, which is still under way.
func (w *world) crash(t *testing.T, o agent.Options, old *running) *running {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a[1]*") // a name that is a pattern, too
	if err := os.CopyFS(dir, os.DirFS(o.Dir)); err != nil {
		t.Fatal(err)
	}
	w.front.cut(true) // it says no goodbye
	old.end()
	<-old.over
	w.front.open()
	o.Dir = dir
	return w.run(o)
}

func TestAnAgentThatDiedDoesAsResumeSays(t *testing.T) {
	for _, r := range []pipeline.Resume{pipeline.Again, pipeline.Probe, pipeline.Ask} {
		t.Run(r.String(), func(t *testing.T) {
			w := newWorld(t, time.Minute)
			g := newGate()
			o := w.options(g.step("esx:make", r))
			o.Dir = t.TempDir()
			old := w.run(o)
			c, out := begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), newHost(1))
			wait(t, "the step", g.began)
			second := newGate()
			o.Steps = []pipeline.Step{second.step("esx:make", r)}
			w.crash(t, o, old)
			if r == pipeline.Ask {
				if err := wait(t, "the outcome", out); !pipeline.IsAskPerson(err) || second.calls.Load() != 0 {
					t.Fatalf("Do = %v, ran %d times again", err, second.calls.Load())
				}
				return
			}
			second.release <- struct{}{}
			if err := wait(t, "the outcome", out); err != nil || c.Get("ipaddress") != "192.0.2.7" || second.calls.Load() != 1 {
				t.Fatalf("Do = %v, ran %d times again", err, second.calls.Load())
			}
		})
	}
}

func TestAnOutcomeOutlivesTheAgentAndIsSealed(t *testing.T) {
	w := newWorld(t, 200*time.Millisecond)
	g := newGate()
	s := g.step("esx:make", pipeline.Ask)
	inner := s.Do
	over := make(chan struct{})
	s.Do = func(ctx context.Context, c *clipboard.Clipboard) error {
		defer close(over)
		if err := inner(ctx, c); err != nil {
			return err
		}
		return c.SetSecret("root", "made-over-there")
	}
	o := w.options(s)
	o.Dir = t.TempDir()
	old := w.run(o)
	_, out := begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), newHost(1))
	wait(t, "the step", g.began)
	w.front.cut(true)
	if err := wait(t, "the outcome", out); !errors.Is(err, pipeline.ErrStopping) {
		t.Fatal(err)
	}
	g.release <- struct{}{}
	<-over
	old.stop()
	files, _ := filepath.Glob(filepath.Join(o.Dir, "*"))
	if len(files) != 1 {
		t.Fatalf("files: %v", files)
	}
	if b, err := os.ReadFile(files[0]); err != nil || strings.Contains(string(b), "made-over-there") || !strings.Contains(string(b), `"outcome"`) {
		t.Fatalf("the file is %s, %v", b, err)
	}
	w.engine.until(t, 0)
	w.front.open()
	w.run(o)
	c, err := rejoin(t, w, newHost(1))
	if err != nil || c.Get("root") != "made-over-there" || g.calls.Load() != 1 {
		t.Fatalf("Do = %v, ran %d times", err, g.calls.Load())
	}
}

func TestARunHasOneCallAtATime(t *testing.T) {
	w := newWorld(t, time.Minute)
	g := newGate()
	undone := make(chan struct{})
	s := g.step("esx:make", pipeline.Probe)
	var first context.Context
	s.Undo = func(context.Context, *clipboard.Clipboard) error {
		if first.Err() == nil {
			t.Error("it is taken back while it is made")
		}
		close(undone)
		return nil
	}
	w.run(w.options(s))
	far := w.engine.step(t, 0, "esx:make")
	h := newHost(1)
	ctx, stop := context.WithCancelCause(t.Context())
	_, out := begin(ctx, t, w, far, h)
	first = wait(t, "the step", g.began)
	stop(pipeline.ErrStopping) // another server takes it over, and has to undo
	_ = wait(t, "the outcome", out)
	if err := far.Undo(pipeline.WithHost(t.Context(), h), opened(t, w.key)); err != nil {
		t.Fatal(err)
	}
	<-undone
}

func TestTwoAgentsDoNotBothBegin(t *testing.T) {
	w := newWorld(t, 500*time.Millisecond)
	a, b := newGate(), newGate()
	w.run(w.options(a.step("esx:make", pipeline.Probe)))
	s := w.engine.step(t, 0, "esx:make")
	h := newHost(1)
	_, out := begin(t.Context(), t, w, s, h)
	first := wait(t, "the step", a.began)
	// The second agent comes by its own way; the first one's line is cut.
	o := w.options(b.step("esx:make", pipeline.Probe))
	o.ID, o.Name, o.Servers = "AGENTTWO", "other", []string{w.web.URL}
	w.run(o)
	w.engine.step(t, 1, "esx:make")
	w.front.cut(true)
	if err := wait(t, "the outcome", out); !errors.Is(err, pipeline.ErrStopping) {
		t.Fatalf("Do = %v", err)
	}
	w.engine.until(t, 1)
	h.facts.Resumed = true
	_, out = begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), h)
	if err := wait(t, "the outcome", out); !pipeline.IsAskPerson(err) || b.calls.Load() != 0 {
		t.Fatalf("Do = %v, the other ran it %d times", err, b.calls.Load())
	}
	// A person says retry: then it is the other's, and the first one is told to stop when it is back.
	h.facts.Resumed, h.facts.Try = false, 1
	b.release <- struct{}{}
	_, out = begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), h)
	wait(t, "the other's step", b.began)
	if err := wait(t, "the outcome", out); err != nil {
		t.Fatal(err)
	}
	w.front.open()
	<-first.Done()
}

// TestWithALineToEachServerOneIsEnough: a step goes on when the server that had it is lost, whoever takes it up joins
// it over the other line, and what the first one still says about it is not heard.
func TestWithALineToEachServerOneIsEnough(t *testing.T) {
	ledger := ledgerOf(t, nil)
	one := worldOf(&world{t: t, engine: newEngine(), key: newKey(t), ledger: ledger}, 500*time.Millisecond)
	two := worldOf(&world{t: t, engine: newEngine(), key: one.key, ledger: ledger}, 500*time.Millisecond)
	g := newGate()
	o := one.options(g.step("esx:make", pipeline.Ask))
	o.Servers = append(o.Servers, "http://"+two.front.addr())
	one.run(o)
	h := newHost(1)
	first, giveUp := context.WithCancelCause(t.Context())
	_, out := begin(first, t, one, one.engine.step(t, 0, "esx:make"), h)
	step := wait(t, "the step", g.began)
	other := newHost(1)
	other.facts.Resumed = true
	c, joined := begin(t.Context(), t, two, two.engine.step(t, 0, "esx:make"), other)
	for !strings.Contains(other.all()+h.all(), "began") { // the lines go on where they were
		time.Sleep(10 * time.Millisecond)
	}
	two.engine.step(t, 0, "esx:make")
	giveUp(pipeline.ErrStopping)
	if err := wait(t, "the first server's end", out); !errors.Is(err, pipeline.ErrStopping) {
		t.Errorf("Do = %v", err)
	}
	one.front.cut(true) // and then its line as well
	one.engine.until(t, 0)
	g.release <- struct{}{}
	if err := wait(t, "the outcome", joined); err != nil || c.Get("ipaddress") != "192.0.2.7" || g.calls.Load() != 1 {
		t.Errorf("Do = %v, ipaddress %q, ran %d times, the step's end: %v", err, c.Get("ipaddress"), g.calls.Load(), context.Cause(step))
	}
	// What begins now goes over the line that is left.
	_, out = begin(t.Context(), t, two, two.engine.step(t, 0, "esx:make"), newHost(2))
	wait(t, "the next step", g.began)
	g.release <- struct{}{}
	if err := wait(t, "the outcome", out); err != nil {
		t.Error(err)
	}
}

// TestAServerThatWasTakenForDeadCancelsNothing: it wakes up with a time-out that is over, and another has the step.
func TestAServerThatWasTakenForDeadCancelsNothing(t *testing.T) {
	dead := ledgerOf(t, nil)
	one := worldOf(&world{t: t, engine: newEngine(), key: newKey(t), ledger: dead}, 500*time.Millisecond)
	two := worldOf(&world{t: t, engine: newEngine(), key: one.key}, 500*time.Millisecond)
	g := newGate()
	o := one.options(g.step("esx:make", pipeline.Probe))
	o.Servers = append(o.Servers, "http://"+two.front.addr())
	one.run(o)
	ctx, giveUp := context.WithCancelCause(t.Context())
	_, out := begin(ctx, t, one, one.engine.step(t, 0, "esx:make"), newHost(1))
	step := wait(t, "the step", g.began)
	other := newHost(1)
	other.facts.Resumed = true
	_, joined := begin(t.Context(), t, two, two.engine.step(t, 0, "esx:make"), other)
	dead.lose()
	// Being joined cuts the first one's stream; whether that or the time-out comes first, it is not to end the step.
	giveUp(errors.New("the time of the step is over"))
	if err := wait(t, "the end of the first", out); err == nil {
		t.Error("it has an outcome")
	}
	select {
	case <-step.Done():
		t.Fatalf("the step was ended: %v", context.Cause(step))
	case <-time.After(300 * time.Millisecond):
	}
	g.release <- struct{}{}
	if err := wait(t, "the outcome", joined); err != nil || g.calls.Load() != 1 {
		t.Errorf("Do = %v, %d calls", err, g.calls.Load())
	}
}

// TestServersOfTwoJarvisesAreRefused: their runs have the same numbers, and other keys.
func TestServersOfTwoJarvisesAreRefused(t *testing.T) {
	one, two := newWorld(t, time.Second), newWorld(t, time.Second)
	o := one.options(newGate().step("esx:make", pipeline.Probe))
	o.Servers = append(o.Servers, "http://"+two.front.addr())
	r := one.run(o)
	err := wait(t, "a refusal", r.last)
	var refused *agent.RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "no server of the same Jarvis") {
		t.Error(err)
	}
}

func newKey(t *testing.T) *clipboard.Key {
	t.Helper()
	key, err := clipboard.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// shared is a Ledger of several hubs, which may be lost.
type shared struct {
	agent.Ledger
	mu   sync.Mutex
	gone bool
}

// ledgerOf has some owners.
func ledgerOf(t *testing.T, by map[int64]agent.Owner) *shared {
	l := &shared{Ledger: agent.NewMemory()}
	for run, o := range by {
		err := l.Own(t.Context(), run, o)
		if err == nil && o.Over {
			err = l.Over(t.Context(), run, o)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (s *shared) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
}

func (s *shared) Owner(ctx context.Context, run int64) (agent.Owner, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return agent.Owner{}, errors.New("the database does not answer")
	}
	return s.Ledger.Owner(ctx, run)
}

func TestATokenThatIsRevokedEndsTheLine(t *testing.T) {
	w := newWorld(t, 100*time.Millisecond)
	g := newGate()
	w.run(w.options(g.step("esx:make", pipeline.Probe)))
	w.engine.step(t, 0, "esx:make")
	w.mu.Lock()
	w.revoked = true
	w.mu.Unlock()
	w.engine.until(t, 0)
}

// TestAnIDOpensNoOtherSilo: an agent's number comes along with a copied folder, and the token says which silo it is
// for.
func TestAnIDOpensNoOtherSilo(t *testing.T) {
	w := newWorld(t, 100*time.Millisecond)
	g := newGate()
	first := w.run(w.options(g.step("esx:make", pipeline.Probe)))
	w.engine.step(t, 0, "esx:make")
	first.stop()
	w.engine.until(t, 0)
	w.mu.Lock()
	w.silo = "berlin"
	w.mu.Unlock()
	o := w.options(g.step("esx:make", pipeline.Probe))
	o.Silo = "berlin"
	w.run(o)
	w.engine.step(t, 0, "esx:make")
	// The line of the first ends after its step was taken back.
	got := w.hub.Connected()
	for end := time.Now().Add(10 * time.Second); got["vmware"] != 0 && time.Now().Before(end); got = w.hub.Connected() {
		time.Sleep(time.Millisecond)
	}
	if got["berlin"] != 1 || got["vmware"] != 0 {
		t.Errorf("connected are %v", got)
	}
}

func TestAnOrderlyStopLeavesWhatCanBeTakenUp(t *testing.T) {
	for _, r := range []pipeline.Resume{pipeline.Probe, pipeline.Ask} {
		t.Run(r.String(), func(t *testing.T) {
			w := newWorld(t, time.Minute)
			g := newGate()
			o := w.options(g.step("esx:make", r))
			o.Dir, o.Drain = t.TempDir(), time.Minute
			first := w.run(o)
			h := newHost(1)
			_, out := begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), h)
			step := wait(t, "the step", g.began)
			if r == pipeline.Ask {
				g.release <- struct{}{}
			}
			first.stop()
			err := wait(t, "the outcome", out)
			if r == pipeline.Ask {
				if err != nil || step.Err() != nil && !errors.Is(step.Err(), context.Canceled) {
					t.Fatalf("Do = %v", err)
				}
				return
			}
			if !errors.Is(err, pipeline.ErrStopping) {
				t.Fatalf("Do = %v", err)
			}
			w.engine.until(t, 0)
			w.run(o)
			h.facts.Resumed = true
			c, out := begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), h)
			wait(t, "the step", g.began)
			g.release <- struct{}{}
			if err := wait(t, "the outcome", out); err != nil || c.Get("ipaddress") == "" {
				t.Fatalf("Do = %v", err)
			}
		})
	}
}
