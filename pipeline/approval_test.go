package pipeline_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/pipeline"
)

func (w *world) propose(need time.Duration, key, hash string) (pipeline.Run, error) {
	return w.e.Start(w.t.Context(), pipeline.Request{Clipboard: w.clip(""), Kind: kind("deploy/toy"), Steps: []string{"test:set_a"}, By: "alice",
		Approval: &pipeline.NeedApproval{Why: "it is in production", For: need}, Key: key, Hash: hash})
}

// Who stands behind the asker's token is not who asked: it is a denial, of which the asker is told.
func TestWithdrawnIsByWhoAsked(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(set("a", "x"))
		w.start()
		for by, want := range map[string]pipeline.Ending{"Alice": pipeline.EndWithdrawn, "root": pipeline.EndDenied, "bob": pipeline.EndDenied} {
			r, err := w.e.Start(t.Context(), pipeline.Request{Clipboard: w.clip(""), Kind: kind("deploy/toy"), Steps: []string{"test:set_a"}, By: "alice", Behind: []string{"local:root"},
				Approval: &pipeline.NeedApproval{Why: "it is in production", For: time.Hour}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.e.Deny(t.Context(), r.ID, pipeline.Who{Name: by}, ""); err != nil {
				t.Fatal(err)
			}
			if now, err := w.e.Get(t.Context(), r.ID); err != nil || now.Ending != want {
				t.Errorf("denied by %s it is %q (%s), want %q; %v", by, now.Ending, now.Error, want, err)
			}
		}
	})
}

// A run that waits for a second person has done nothing, holds its host, survives a restart, and starts once, however
// many approve it at the same moment.
func TestAProposedRunStartsOnceWhenSomebodyElseApproves(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(set("a", "x"))
		w.start()
		r, err := w.propose(time.Hour, "", "")
		if err != nil || r.State != pipeline.Proposed {
			t.Fatal(r, err)
		}
		var busy *pipeline.BusyError
		if _, err := w.propose(time.Hour, "", ""); !errors.As(err, &busy) {
			t.Errorf("a second one = %v", err)
		}
		w.stop()
		w.start()
		var self *pipeline.SelfError
		if _, _, err := w.e.Approve(t.Context(), r.ID, pipeline.Who{Name: "Alice"}, ""); !errors.As(err, &self) {
			t.Errorf("approve by the asker = %v", err)
		}
		if now, err := w.e.Get(t.Context(), r.ID); err != nil || now.State != pipeline.Proposed || now.Stage != 0 {
			t.Errorf("before the approval it is %+v, %v", now, err)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		yes := 0
		for range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if _, _, err := w.e.Approve(t.Context(), r.ID, pipeline.Who{Name: "bob"}, ""); err == nil {
					mu.Lock()
					yes++
					mu.Unlock()
				}
			}()
		}
		wg.Wait()
		if yes != 1 {
			t.Errorf("%d approvals counted", yes)
		}
		w.wait(r.ID, pipeline.Ready)
		if got := w.kinds(r.ID); got != "proposed approved step done ready" {
			t.Errorf("events: %s", got)
		}
		// The undo of what is ready, denied once and approved then.
		need := pipeline.NeedApproval{Why: "it is in production", For: time.Hour}
		if _, err := w.e.AskUndo(t.Context(), r, 0, pipeline.Who{Name: "alice"}, need); err != nil {
			t.Fatal(err)
		}
		if _, err := w.e.Deny(t.Context(), r.ID, pipeline.Who{Name: "bob"}, ""); err != nil {
			t.Fatal(err)
		}
		if now, _ := w.e.Get(t.Context(), r.ID); now.State != pipeline.Ready {
			t.Errorf("denied, it is %s", now.State)
		}
		if _, err := w.e.AskUndo(t.Context(), r, 0, pipeline.Who{Name: "alice"}, need); err != nil {
			t.Fatal(err)
		}
		if _, a, err := w.e.Approve(t.Context(), r.ID, pipeline.Who{Name: "bob"}, ""); err != nil || a.What != pipeline.ToUndo {
			t.Fatal(a, err)
		}
		w.wait(r.ID, pipeline.Undone)
	})
}

func TestWhatNobodyApprovesEnds(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(set("a", "x"))
		w.start()
		r, err := w.propose(10*time.Millisecond, "", "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		var state *pipeline.StateError
		if _, _, err := w.e.Approve(t.Context(), r.ID, pipeline.Who{Name: "bob"}, ""); !errors.As(err, &state) {
			t.Errorf("approve too late = %v", err)
		}
		r = w.wait(r.ID, pipeline.Cancelled)
		if !strings.HasSuffix(r.Error, "nothing was done") || w.kinds(r.ID) != "proposed denied" {
			t.Errorf("%s: %s", r.Error, w.kinds(r.ID))
		}
		r, err = w.propose(time.Hour, "", "")
		if err != nil {
			t.Fatalf("the host is not free: %v", err)
		}
		if _, err := w.e.Cancel(t.Context(), r.ID, pipeline.Who{Name: "alice"}); err != nil {
			t.Fatal(err)
		}
		w.wait(r.ID, pipeline.Cancelled)
	})
}

// The same key gets the same run, also from many at once and after it ended; for something else it is refused.
func TestAKeyStartsOneRun(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(set("a", "x"))
		w.start()
		var wg sync.WaitGroup
		ids := make([]int64, 8)
		for i := range ids {
			wg.Add(1)
			go func() {
				defer wg.Done()
				r, err := w.e.Start(t.Context(), pipeline.Request{Clipboard: w.clip(""), Kind: kind("deploy/toy"), Steps: []string{"test:set_a"}, By: "alice", Key: "alice/k", Hash: "h"})
				if err != nil {
					t.Error(err)
				}
				ids[i] = r.ID
			}()
		}
		wg.Wait()
		if slices.Max(ids) != slices.Min(ids) || ids[0] == 0 {
			t.Fatalf("runs %v", ids)
		}
		w.wait(ids[0], pipeline.Ready)
		if r, err := w.e.Start(t.Context(), pipeline.Request{Clipboard: w.clip(""), Kind: kind("deploy/toy"), Steps: []string{"test:set_a"}, By: "alice", Key: "alice/k", Hash: "h"}); err != nil || r.ID != ids[0] {
			t.Errorf("later: %d, %v", r.ID, err)
		}
		var repeat *pipeline.RepeatError
		if _, err := w.e.Start(t.Context(), pipeline.Request{Clipboard: w.clip(""), Kind: kind("deploy/toy"), Steps: []string{"test:set_a"}, By: "alice", Key: "alice/k", Hash: "other"}); !errors.As(err, &repeat) {
			t.Errorf("for something else = %v", err)
		}
	})
}

// What a later run made of a host is not pulled from under it.
func TestUndoOfWhatALaterRunReplacedIsRefused(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(set("a", "x"))
		w.start()
		first := w.deploy("test:set_a")
		w.wait(first.ID, pipeline.Ready)
		second := w.deploy("test:set_a")
		w.wait(second.ID, pipeline.Ready)
		var state *pipeline.StateError
		if _, err := w.e.Undo(t.Context(), first.ID, "alice"); !errors.As(err, &state) || !strings.Contains(err.Error(), "run 2 came after it") {
			t.Errorf("undo = %v", err)
		}
		if _, err := w.e.Undo(t.Context(), second.ID, "alice"); err != nil {
			t.Fatal(err)
		}
		w.wait(second.ID, pipeline.Undone)
		if _, err := w.e.Undo(t.Context(), first.ID, "alice"); err != nil {
			t.Error(err)
		}
		w.wait(first.ID, pipeline.Undone)
	})
}
