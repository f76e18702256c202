package agent_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/agent"
	"github.com/jarvisops/jarvis/pipeline"
)

// A run that is over goes on nowhere: an agent that may still do what nobody wants is told to stop, whoever ended the
// run, and however long its line was cut.

// TestACancelledRunGoesOnNowhere: the server that had sent a step is gone, and another one, or none, ended the run.
func TestACancelledRunGoesOnNowhere(t *testing.T) {
	for name, cut := range map[string]bool{"while the line is there": false, "while the line is cut": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, time.Minute)
			g := newGate()
			w.run(w.options(g.step("esx:make", pipeline.Ask)))
			ctx, stop := context.WithCancelCause(t.Context())
			_, out := begin(ctx, t, w, w.engine.step(t, 0, "esx:make"), newHost(1))
			step := wait(t, "the step", g.began)
			stop(pipeline.ErrStopping)
			if err := wait(t, "the outcome", out); !errors.Is(err, pipeline.ErrStopping) || step.Err() != nil {
				t.Fatalf("Do = %v", err)
			}
			w.front.cut(cut)
			w.engine.end(1)
			w.front.open()
			wait(t, "the end of the step", step.Done())
			w.engine.until(t, 1)
		})
	}
}

// TestACancelIsToldByWhoTakesTheRunUp: the run ends when its step has.
func TestACancelIsToldByWhoTakesTheRunUp(t *testing.T) {
	w := newWorld(t, time.Minute)
	g := newGate()
	w.run(w.options(g.step("esx:make", pipeline.Probe)))
	ctx, stop := context.WithCancelCause(t.Context())
	h := newHost(1)
	_, out := begin(ctx, t, w, w.engine.step(t, 0, "esx:make"), h)
	step := wait(t, "the step", g.began)
	stop(pipeline.ErrStopping)
	wait(t, "the outcome", out)
	ctx, stop = context.WithCancelCause(t.Context())
	stop(errors.New("cancelled by bob"))
	h.facts.Resumed = true
	_, out = begin(ctx, t, w, w.engine.step(t, 0, "esx:make"), h)
	if err := wait(t, "the outcome", out); err == nil || err.Error() != "cancelled by bob" || step.Err() == nil || g.calls.Load() != 1 {
		t.Fatalf("Do = %v, the step %v, ran %d times", err, step.Err(), g.calls.Load())
	}
}

// TestARetryWhileTheLineIsCutAsksFirst: cancel and retry, while the first agent cannot be told; the other begins when a
// person, who was told of that, says so again.
func TestARetryWhileTheLineIsCutAsksFirst(t *testing.T) {
	for _, fn := range []string{"do", "undo"} {
		t.Run(fn, func(t *testing.T) {
			ledger := ledgerOf(t, nil)
			w := worldOf(&world{t: t, engine: newEngine(), key: newKey(t), ledger: ledger}, 300*time.Millisecond)
			a, b := newGate(), newGate()
			w.run(w.options(a.step("esx:make", pipeline.Probe)))
			ctx, stop := context.WithCancelCause(t.Context())
			h := newHost(1)
			_, out := begin(ctx, t, w, w.engine.step(t, 0, "esx:make"), h)
			first := wait(t, "the step", a.began)
			w.front.cut(true)
			w.engine.until(t, 0)
			o := w.options(b.step("esx:make", pipeline.Probe))
			o.ID, o.Name, o.Servers = "AGENTTWO", "other", []string{w.web.URL}
			w.run(o)
			s := w.engine.step(t, 0, "esx:make")
			stop(errors.New("cancelled by bob"))
			wait(t, "the outcome", out)
			call := func() error {
				h.facts.Try++
				b.release <- struct{}{}
				if fn == "undo" {
					return s.Undo(pipeline.WithHost(t.Context(), h), opened(t, w.key))
				}
				return s.Do(pipeline.WithHost(t.Context(), h), opened(t, w.key))
			}
			err := call()
			if err == nil || !strings.Contains(err.Error(), "the agent box had esx:make in hand and has not come back") || !pipeline.IsAskPerson(err) || b.calls.Load() != 0 {
				t.Fatalf("%v, the other ran it %d times", err, b.calls.Load())
			}
			if err := call(); err != nil {
				t.Fatal(err)
			}
			if first.Err() != nil {
				t.Fatal("nobody could stop the first")
			}
			w.front.open()
			wait(t, "the end of the first", first.Done())
			for limit := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				if list, err := ledger.Loose(t.Context(), 1); err == nil && len(list) == 0 {
					break
				} else if time.Now().After(limit) {
					t.Fatalf("%v, %v is still loose", err, list)
				}
			}
		})
	}
}

// TestAnAgentThatComesBackIsStoppedFirst: what is loose there ends before the other begins.
func TestAnAgentThatComesBackIsStoppedFirst(t *testing.T) {
	ledger := ledgerOf(t, nil)
	w := worldOf(&world{t: t, engine: newEngine(), key: newKey(t), ledger: ledger}, time.Minute)
	a, b := newGate(), newGate()
	w.run(w.options(a.step("esx:make", pipeline.Probe)))
	_, _ = begin(t.Context(), t, w, w.engine.step(t, 0, "esx:make"), newHost(1))
	first := wait(t, "the step", a.began)
	o := w.options(b.step("esx:make", pipeline.Probe))
	o.ID, o.Name, o.Servers = "AGENTTWO", "other", []string{w.web.URL}
	w.run(o)
	s := w.engine.step(t, 1, "esx:make")
	if err := ledger.LetGo(t.Context(), 1, agent.Owner{ID: "AGENTONE", Name: "box", Call: "0 esx:make do 0"}); err != nil {
		t.Fatal(err)
	}
	h := newHost(1)
	h.facts.Try = 1
	_, out := begin(t.Context(), t, w, s, h)
	wait(t, "the other", b.began)
	if first.Err() == nil {
		t.Error("both do it")
	}
	b.release <- struct{}{}
	if err := wait(t, "the outcome", out); err != nil {
		t.Fatal(err)
	}
}
