package pipeline_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

func TestCheckStopsARunBeforeAnythingIsMade(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var made, checked atomic.Int64
		sixth := make(chan struct{})
		var answer atomic.Pointer[error]
		say := func(err error) { answer.Store(&err) }
		say(pipeline.Permanentf("ns1 refused to write A"))
		w.reg.Add(
			pipeline.Step{Name: "test:make", Do: func(context.Context, *clipboard.Clipboard) error {
				if made.Add(1) == 1 {
					return pipeline.Wait(time.Millisecond, "it boots")
				}
				return nil
			}},
			pipeline.Step{Name: "test:late",
				Check: func(ctx context.Context, _ *clipboard.Clipboard) error {
					if checked.Add(1) == 6 {
						close(sixth)
					}
					pipeline.Log(ctx, "no PTR")
					return *answer.Load()
				},
				Do: func(context.Context, *clipboard.Clipboard) error { return nil }})
		w.start()
		r := w.wait(w.deploy("test:make", "test:late").ID, pipeline.Failed)
		if made.Load() != 0 || checked.Load() != 1 || r.Error != "not begun, because stage 2 test:late would fail: ns1 refused to write A" || r.Where() != "stage 1/2 test:make" {
			t.Errorf("made %d, checked %d: %q at %s", made.Load(), checked.Load(), r.Error, r.Where())
		}
		if got := w.kinds(r.ID); got != "started step log failed" {
			t.Errorf("events = %s", got)
		}
		say(errors.New("ns1 is away")) // may be there at the next try
		if _, err := w.e.Retry(t.Context(), r.ID, "", "bob"); err != nil {
			t.Fatal(err)
		}
		if r = w.wait(r.ID, pipeline.Failed); checked.Load() != 4 || made.Load() != 0 {
			t.Errorf("made %d, checked %d: %s", made.Load(), checked.Load(), r.Error)
		}
		// Who is asked wants to be asked later: no try is counted, and the stage is not past its checks for having
		// waited.
		say(pipeline.Wait(time.Millisecond, "ns1 asks us to slow down"))
		checked.Store(0)
		if _, err := w.e.Retry(t.Context(), r.ID, "", "bob"); err != nil {
			t.Fatal(err)
		}
		<-sixth // more often than a try is repeated
		if r = w.wait(r.ID, pipeline.Waiting); made.Load() != 0 || r.Waits != pipeline.ForCheck || r.Why != "test:late cannot be checked yet: ns1 asks us to slow down" {
			t.Errorf("made %d: %s for %s: %s", made.Load(), r.State, r.Waits, r.Why)
		}
		checked.Store(10)
		say(nil)
		// Then once: the stage that waited for its own is past it.
		if w.wait(r.ID, pipeline.Ready); made.Load() != 2 || checked.Load() > 12 {
			t.Errorf("made %d times, checked %d times", made.Load(), checked.Load())
		}
	})
}

// The attack: the check says that the machine cannot be made again, and a person skips the stage at which that was
// said; or the world changes after the run began. Nothing is deleted before what comes after it can be done.
func TestNothingIsDeletedBeforeTheChecksPass(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var moved, deleted, first atomic.Int64
		var answer atomic.Pointer[error]
		say := func(err error) { answer.Store(&err) }
		no := pipeline.Permanentf("there is no such size")
		say(no)
		count := func(n *atomic.Int64) func(context.Context, *clipboard.Clipboard) error {
			return func(context.Context, *clipboard.Clipboard) error { n.Add(1); return nil }
		}
		w.reg.Add(
			pipeline.Step{Name: "test:look", Do: count(&first)},
			pipeline.Step{Name: "test:move", Do: func(context.Context, *clipboard.Clipboard) error {
				if moved.Add(1) == 2 {
					say(no)
				}
				return nil
			}},
			pipeline.Step{Name: "test:destroy", Do: count(&deleted)},
			pipeline.Step{Name: "test:deploy", Check: func(context.Context, *clipboard.Clipboard) error { return *answer.Load() },
				Do: func(context.Context, *clipboard.Clipboard) error { return nil }})
		w.start()
		said := func(r pipeline.Run, where string) {
			t.Helper()
			if r.Error != "not begun, because stage 4 test:deploy would fail: there is no such size" || r.Where() != where || deleted.Load() != 0 {
				t.Fatalf("deleted %d, moved %d: %q at %s", deleted.Load(), moved.Load(), r.Error, r.Where())
			}
		}
		r := w.wait(w.deploy("test:look", "test:move", "test:destroy", "test:deploy").ID, pipeline.Failed)
		said(r, "stage 1/4 test:look")
		skip := func() {
			t.Helper()
			if _, err := w.e.Skip(t.Context(), r.ID, "bob"); err != nil {
				t.Fatal(err)
			}
			r = w.wait(r.ID, pipeline.Failed)
		}
		skip()
		if said(r, "stage 2/4 test:move"); moved.Load() != 0 {
			t.Errorf("moved %d", moved.Load())
		}
		say(errors.New("the provider is away"))
		skip()
		if r.Error != "not begun, because stage 4 test:deploy would fail: the provider is away" || r.Where() != "stage 3/4 test:destroy" || deleted.Load() != 0 {
			t.Fatalf("deleted %d: %q at %s", deleted.Load(), r.Error, r.Where())
		}
		say(nil)
		if _, err := w.e.Retry(t.Context(), r.ID, "test:move", "bob"); err != nil {
			t.Fatal(err)
		}
		w.wait(r.ID, pipeline.Ready)
		// It was well when the run began, and is not any more when it comes to delete.
		r = w.wait(w.deploy("test:look", "test:move", "test:destroy", "test:deploy").ID, pipeline.Failed)
		if deleted.Load() != 1 || r.Where() != "stage 3/4 test:destroy" {
			t.Errorf("deleted %d: %q at %s", deleted.Load(), r.Error, r.Where())
		}
	})
}

// A stop in the middle of a check leaves a run whose first stage did not begin: nobody is asked whether it half
// happened.
func TestAStopInACheckLeavesNothing(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var block atomic.Bool
		block.Store(true)
		in := make(chan struct{}, 1)
		w.reg.Add(
			pipeline.Step{Name: "test:make", Resume: pipeline.Ask, Do: func(context.Context, *clipboard.Clipboard) error { return nil }},
			pipeline.Step{Name: "test:late",
				Check: func(ctx context.Context, _ *clipboard.Clipboard) error {
					if !block.Load() {
						return nil
					}
					in <- struct{}{}
					<-ctx.Done()
					return ctx.Err()
				},
				Do: func(context.Context, *clipboard.Clipboard) error { return nil }})
		w.drain, w.grace = 10*time.Millisecond, time.Second
		w.start()
		r := w.deploy("test:make", "test:late")
		<-in
		w.stop()
		block.Store(false)
		w.start()
		w.wait(r.ID, pipeline.Ready, pipeline.Asking)
		if r, err := w.e.Get(t.Context(), r.ID); err != nil || r.State != pipeline.Ready {
			t.Errorf("the run is %s (%s), %v", r.State, r.Error, err)
		}
	})
}
