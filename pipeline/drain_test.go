package pipeline_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// blocks is a step that says when it begins, and ends when it is let go or told to.
func blocks(name string, resume pipeline.Resume, begun chan string, free chan struct{}) pipeline.Step {
	return pipeline.Step{Name: name, Resume: resume, Do: func(ctx context.Context, _ *clipboard.Clipboard) error {
		begun <- name
		select {
		case <-free:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}}
}

// TestAnOrderlyStopLetsStepsEndThatNobodyCanRepeat: every restart left steps of the kind `ask` to a person.
func TestAnOrderlyStopLetsStepsEndThatNobodyCanRepeat(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.drain = time.Minute // longer than the test may take
		begun, free := make(chan string, 10), make(chan struct{})
		stopped := make(chan error, 1)
		w.reg.Add(blocks("a:ask", pipeline.Ask, begun, free), blocks("a:next", pipeline.Ask, begun, free),
			pipeline.Step{Name: "b:again", Do: func(ctx context.Context, _ *clipboard.Clipboard) error {
				begun <- "b:again"
				<-ctx.Done()
				stopped <- context.Cause(ctx)
				return context.Cause(ctx)
			}})
		w.start()
		r := w.deploy("a:ask", "a:next")
		other, err := w.e.Start(t.Context(), pipeline.Request{Clipboard: named(t, "thor"), Kind: kind("deploy/esx"), Steps: []string{"b:again"}, By: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		<-begun
		<-begun
		over := make(chan struct{})
		stop := w.stop
		go func() { defer close(over); stop() }()
		if cause := <-stopped; cause != pipeline.ErrStopping { //nolint:errorlint // the very value
			t.Errorf("the step that may be repeated was stopped by %v", cause)
		}
		select {
		case <-over:
			t.Fatal("the engine stopped before the step that may not be repeated was over")
		default:
		}
		close(free)
		<-over
		select {
		case name := <-begun:
			t.Errorf("%s began while the engine stopped", name)
		default:
		}
		w.start()
		if r = w.wait(r.ID, pipeline.Ready, pipeline.Asking); r.State != pipeline.Ready {
			t.Errorf("after the start the run is %s: %s", r.State, r.Error)
		}
		if name := <-begun; name != "a:next" && name != "b:again" {
			t.Errorf("%s began again", name)
		}
		if _, err := w.e.Cancel(t.Context(), other.ID, pipeline.Who{Name: "alice"}); err != nil {
			t.Error(err)
		}
		w.wait(other.ID, pipeline.Cancelled)
	})
}

// TestAfterTheDrainTimeEverybodyIsTold: and what is not over then is a person's to decide.
func TestAfterTheDrainTimeEverybodyIsTold(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.drain = 300 * time.Millisecond
		begun := make(chan string, 10)
		w.reg.Add(blocks("a:ask", pipeline.Ask, begun, nil))
		w.start()
		r := w.deploy("a:ask")
		<-begun
		began := time.Now()
		w.stop()
		if took := time.Since(began); took < w.drain || took > w.drain+10*time.Second {
			t.Errorf("the stop took %s", took)
		}
		w.start()
		w.wait(r.ID, pipeline.Asking)
	})
}

// TestNoStepBeginsWhileTheEngineStops: steps that cannot be repeated, one after another in many runs, and a stop that
// comes anywhere between. None may be left marked as under way.
func TestNoStepBeginsWhileTheEngineStops(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.drain = time.Minute
		var calls atomic.Int64
		w.reg.Add(pipeline.Step{Name: "a:ask", Resume: pipeline.Ask, Do: func(context.Context, *clipboard.Clipboard) error {
			calls.Add(1)
			return nil
		}})
		const runs, steps = 10, 30
		list := make([]string, steps)
		for i := range list {
			list[i] = "a:ask"
		}
		w.start()
		var ids []int64
		for i := range runs {
			r, err := w.e.Start(t.Context(), pipeline.Request{Clipboard: named(t, fmt.Sprintf("h%02d", i)), Kind: kind("deploy/esx"), Steps: list, By: "alice"})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, r.ID)
		}
		for range 5 {
			for before := calls.Load(); calls.Load() < min(before+20, runs*steps); time.Sleep(time.Millisecond) {
				if t.Context().Err() != nil {
					t.FailNow()
				}
			}
			w.stop()
			w.start()
		}
		for _, id := range ids {
			if r := w.wait(id, pipeline.Ready, pipeline.Asking); r.State != pipeline.Ready {
				t.Errorf("run %d: %s", id, r.Error)
			}
		}
		if n := calls.Load(); n != runs*steps {
			t.Errorf("%d calls for %d steps", n, runs*steps)
		}
	})
}

func named(t *testing.T, host string) *clipboard.Clipboard {
	t.Helper()
	c, err := clipboard.Parse([]byte("instance:\n  hostname: " + host + "\n  provider: ESX\n"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
