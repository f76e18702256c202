package pipeline_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// TestARestoredRecordAsks: what may have gone on after the backup asks, whatever its steps say; what waits for a person
// still does; and nothing of it is called before somebody says so.
func TestARestoredRecordAsks(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var calls atomic.Int64
		var free atomic.Bool
		begun := make(chan struct{}, 10)
		blocks := func(ctx context.Context, _ *clipboard.Clipboard) error {
			calls.Add(1)
			if free.Load() {
				return nil
			}
			begun <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}
		noop := func(context.Context, *clipboard.Clipboard) error { return nil }
		w.reg.Add(
			pipeline.Step{Name: "toy:block", Do: blocks},
			pipeline.Step{Name: "toy:wait", Do: func(context.Context, *clipboard.Clipboard) error {
				calls.Add(1)
				if free.Load() {
					return nil
				}
				begun <- struct{}{}
				return pipeline.Wait(time.Hour, "nothing there yet")
			}},
			pipeline.Step{Name: "toy:back", Do: noop, Undo: blocks},
			pipeline.Step{Name: "toy:fail", Do: func(context.Context, *clipboard.Clipboard) error { return pipeline.Permanentf("no") }},
		)
		w.start()
		run := func(host string, need *pipeline.NeedApproval, steps ...string) int64 {
			c, err := clipboard.Parse([]byte("instance:\n  hostname: " + host + "\n  provider: ESX\n"))
			if err != nil {
				t.Fatal(err)
			}
			r, err := w.e.Start(t.Context(), pipeline.Request{Clipboard: c, Kind: kind("deploy/esx"), Steps: steps, By: "alice", Approval: need})
			if err != nil {
				t.Fatal(err)
			}
			return r.ID
		}
		running := run("running", nil, "toy:block")
		waiting := run("waiting", nil, "toy:wait")
		undoing := run("undoing", nil, "toy:back", "toy:fail")
		proposed := run("proposed", &pipeline.NeedApproval{Why: "it is in production", For: time.Hour}, "toy:block")
		<-begun
		<-begun
		w.wait(undoing, pipeline.Failed)
		if _, err := w.e.Undo(t.Context(), undoing, "alice"); err != nil {
			t.Fatal(err)
		}
		<-begun
		w.wait(waiting, pipeline.Waiting)
		w.stop()

		db, err := store.Open(t.Context(), w.opts)
		if err != nil {
			t.Fatal(err)
		}
		e, err := pipeline.New(t.Context(), pipeline.Config{DB: db, Registry: w.reg, Key: w.key})
		if err != nil {
			t.Fatal(err)
		}
		var asks []pipeline.Run
		err = db.Write(t.Context(), func(tx store.Tx) (err error) {
			asks, err = e.Restored(t.Context(), tx, time.Now())
			return err
		})
		if err != nil || len(asks) != 3 || asks[0].ID != running || asks[1].ID != waiting || asks[2].ID != undoing {
			t.Fatalf("Restored = %+v, %v", asks, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		free.Store(true)
		before := calls.Load()
		w.start()
		for id, want := range map[int64]pipeline.State{running: pipeline.Asking, waiting: pipeline.Asking, undoing: pipeline.Failed, proposed: pipeline.Proposed} {
			r, err := w.e.Get(t.Context(), id)
			if err != nil || r.State != want || want != pipeline.Proposed && !strings.Contains(r.Error, "from a backup of") {
				t.Errorf("%s is %s (%s), %v; want %s", r.Host, r.State, r.Error, err, want)
			}
		}
		for _, id := range []int64{running, waiting} {
			if _, err := w.e.Retry(t.Context(), id, "", "alice"); err != nil {
				t.Fatal(err)
			}
			w.wait(id, pipeline.Ready)
		}
		if _, err := w.e.Undo(t.Context(), undoing, "alice"); err != nil {
			t.Fatal(err)
		}
		w.wait(undoing, pipeline.Undone)
		if got := calls.Load() - before; got != 3 {
			t.Errorf("%d calls of steps, want the 3 that somebody said", got)
		}
	})
}
