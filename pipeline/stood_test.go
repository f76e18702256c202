package pipeline_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// The attack: a run that destroys was approved once. It fails later, and who asked goes back over the destroying stage
// without another word: what stands there by now is destroyed, too.
func TestAnApprovalIsForOnce(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		destroyed := destroyer(w)
		w.reg.Add(pipeline.Step{Name: "toy:fail", Do: func(context.Context, *clipboard.Clipboard) error { return pipeline.Permanentf("no") }})
		w.start()
		r := w.ask("destroy", time.Hour, "toy:destroy", "toy:fail")
		if _, _, err := w.e.Approve(t.Context(), r.ID, bob, ""); err != nil {
			t.Fatal(err)
		}
		w.wait(r.ID, pipeline.Failed)
		var state *pipeline.StateError
		if _, err := w.e.Retry(t.Context(), r.ID, "toy:destroy", "alice"); !errors.As(err, &state) || !strings.Contains(err.Error(), "it would destroy a second time") {
			t.Errorf("retry from the destroying stage: %v", err)
		}
		if _, err := w.e.Retry(t.Context(), r.ID, "", "alice"); err != nil {
			t.Errorf("retry of what failed: %v", err)
		}
		w.wait(r.ID, pipeline.Failed)
		if n := destroyed.Load(); n != 1 {
			t.Errorf("destroyed %d times", n)
		}
		if _, err := w.e.Skip(t.Context(), r.ID, "alice"); err != nil {
			t.Fatal(err)
		}
		evs, err := w.e.Events(t.Context(), pipeline.EventFilter{Run: r.ID, Kinds: []pipeline.EventKind{pipeline.EvSkipped}})
		if err != nil || len(evs) != 1 || evs[0].Stage != 1 || evs[0].Step != "toy:fail" {
			t.Errorf("skipped: %+v %v", evs, err)
		}
	})
}

// The attack: what stood before a run is still there, and another person's. The run fails, and who asked takes it back:
// the machine, which it had only adopted, is gone. And after a host was taken down, an undo made it "ready" again.
func TestAnUndoLeavesWhatStoodBefore(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		destroyer(w)
		var fail atomic.Bool
		w.reg.Add(pipeline.Step{Name: "toy:maybe", Do: func(context.Context, *clipboard.Clipboard) error {
			if fail.Load() {
				return pipeline.Permanentf("no")
			}
			return nil
		}})
		w.start()
		stood := func(r pipeline.Run) bool {
			yes, err := w.e.StoodBefore(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			return yes
		}
		first := w.wait(w.ask("deploy", 0, "toy:deploy", "toy:maybe").ID, pipeline.Ready)
		if stood(first) {
			t.Error("before the first there was nothing")
		}
		fail.Store(true)
		second := w.wait(w.ask("deploy", 0, "toy:deploy", "toy:maybe").ID, pipeline.Failed)
		if !stood(second) {
			t.Error("the first made it ready")
		}
		if _, err := w.e.Cancel(t.Context(), second.ID, alice); err != nil {
			t.Fatal(err)
		}
		again := w.wait(w.ask("redeploy", 0, "toy:destroy", "toy:maybe").ID, pipeline.Failed)
		if stood(again) {
			t.Error("it has taken down itself what stood")
		}
		if _, err := w.e.Cancel(t.Context(), again.ID, alice); err != nil {
			t.Fatal(err)
		}
		fail.Store(false)
		gone := w.wait(w.ask("destroy", 0, "toy:destroy").ID, pipeline.Ready)
		fail.Store(true)
		last := w.wait(w.ask("deploy", 0, "toy:deploy", "toy:maybe").ID, pipeline.Failed)
		if stood(last) {
			t.Error("it was destroyed")
		}
		if _, err := w.e.Undo(t.Context(), last.ID, "alice"); err != nil {
			t.Fatal(err)
		}
		w.wait(last.ID, pipeline.Undone)
		h, err := w.e.FindHost(t.Context(), last.FQDN)
		if err != nil || h.ID != gone.ID || h.Ending != pipeline.EndDestroyed || h.Reach.OK() {
			t.Errorf("the host stands by run %d, %s, %v; %v", h.ID, h.Ending, h.Reach, err)
		}
	})
}
