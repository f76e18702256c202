package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// old makes runs and their events as old as a number of days.
func (w *world) old(days int, runs ...int64) {
	w.t.Helper()
	ended := time.Now().Add(-time.Duration(days) * 24 * time.Hour).UnixMilli()
	for _, id := range runs {
		w.spoil(fmt.Sprintf("UPDATE runs SET started = %d, ended = CASE WHEN ended > 0 THEN %d ELSE 0 END WHERE id = %d", ended, ended, id))
		w.spoil("UPDATE events SET at = ? WHERE run = ?", ended, id)
	}
}

func ago(days int) time.Time { return time.Now().Add(-time.Duration(days) * 24 * time.Hour) }

// there lists which of the runs are on record, with the number of their events.
func (w *world) there(runs ...int64) string {
	w.t.Helper()
	var out []string
	for _, id := range runs {
		if _, err := w.e.Get(w.t.Context(), id); errors.Is(err, pipeline.ErrNotFound) {
			continue
		} else if err != nil {
			w.t.Fatal(err)
		}
		evs, err := w.e.Events(w.t.Context(), pipeline.EventFilter{Run: id})
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%d:%v", id, len(evs) > 0))
	}
	return strings.Join(out, " ")
}

func (w *world) prune(a pipeline.Ages) pipeline.Removed {
	w.t.Helper()
	if a.Heard == 0 {
		a.Heard = math.MaxInt64
	}
	n, err := w.e.Prune(w.t.Context(), a)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func TestPruneLeavesWhatHostsStandBy(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		fail := pipeline.Step{Name: "test:fail", Do: func(context.Context, *clipboard.Clipboard) error { return errors.New("no") }}
		w.reg.Add(set("a", "1x"), fail)
		w.start()
		var ready []int64
		for range 5 {
			ready = append(ready, w.wait(w.deploy("test:set_a").ID, pipeline.Ready).ID)
		}
		failed := w.wait(w.deploy("test:fail").ID, pipeline.Failed).ID
		all := append(ready, failed)
		w.old(500, all...)
		if n := w.prune(pipeline.Ages{}); n != (pipeline.Removed{}) {
			t.Errorf("without ages it removed %+v", n)
		}
		if n := w.prune(pipeline.Ages{Runs: ago(400), Heard: 1}); n.Runs != 0 {
			t.Errorf("what nobody was told of: removed %+v", n)
		}
		w.prune(pipeline.Ages{Events: ago(400)})
		// The host stands by the failed run; an undo of that leads to the fifth, which was ready.
		if got := w.there(all...); got != "1:false 2:false 3:false 4:false 5:true 6:true" {
			t.Errorf("after keep.events: %s", got)
		}
		n := w.prune(pipeline.Ages{Runs: ago(400)})
		if got := w.there(all...); got != "5:true 6:true" || n.Runs != 4 {
			t.Errorf("after keep.runs: %s, %+v", got, n)
		}
		var gone *pipeline.GoneError
		if _, err := w.e.Get(t.Context(), 2); !errors.As(err, &gone) || gone.Run != 2 || !strings.Contains(err.Error(), "run 2 is no longer on record") {
			t.Errorf("Get(2) = %v", err)
		}
		if _, err := w.e.Get(t.Context(), 7); err != pipeline.ErrNotFound {
			t.Errorf("Get(7) = %v", err)
		}
		if r, err := w.e.Undo(t.Context(), failed, "alice"); err != nil {
			t.Errorf("Undo = %v, %v", r, err)
		}
		w.wait(failed, pipeline.Undone)
		if h, err := w.e.FindHost(t.Context(), "loki"); err != nil || h.ID != 5 {
			t.Errorf("the host stands by %d, %v", h.ID, err)
		}
		if n := w.prune(pipeline.Ages{Runs: ago(400), Events: ago(400)}); n.Runs != 0 {
			t.Errorf("a second sweep removed %+v", n)
		}
	})
}

func TestPruneLeavesWhatIsYoungOrOpen(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(set("a", "1x"))
		w.start()
		for range 4 {
			w.wait(w.deploy("test:set_a").ID, pipeline.Ready)
		}
		w.old(500, 1)
		w.old(300, 2)
		w.spoil("INSERT INTO approvals (run, cluster, what, why, by_whom, asked, expires, decided, decided_by, outcome) VALUES (1, 0, 'undo', '', 'alice', 1, 0, 0, '', '')")
		w.prune(pipeline.Ages{Runs: ago(400), Events: ago(200)})
		if got := w.there(1, 2, 3, 4); got != "1:true 2:false 3:true 4:true" {
			t.Errorf("there are %s", got)
		}
		w.spoil("UPDATE approvals SET outcome = 'denied'")
		w.spoil("INSERT INTO machines (provider, account, id, fqdn, run, marked) SELECT 'esx', '', 'm1', fqdn, 1, 1 FROM hosts")
		w.prune(pipeline.Ages{Runs: ago(400)})
		if got := w.there(1); got != "1:true" {
			t.Errorf("the run that made the machine: %q", got)
		}
		w.spoil("DELETE FROM machines")
		w.spoil("UPDATE runs SET cluster = 7 WHERE id = 1")
		w.spoil("INSERT INTO clusters (id, name, barriers, on_failure, undoing, by_whom, started) VALUES (7, 'web', '[]', 'hold', 0, 'alice', 1)")
		w.prune(pipeline.Ages{Runs: ago(400)})
		if got := w.there(1); got != "1:true" {
			t.Errorf("the newest cluster of its name: %q", got)
		}
		w.spoil("INSERT INTO clusters (id, name, barriers, on_failure, undoing, by_whom, started) VALUES (8, 'web', '[]', 'hold', 0, 'alice', 1)")
		w.prune(pipeline.Ages{Runs: ago(400)})
		if got := w.there(1); got != "" {
			t.Errorf("an earlier cluster: %q", got)
		}
	})
}

// A run's events go whole: whoever is stopped in the middle of many shows none of them, and the next sweep takes the
// rest, also when nothing is kept for a time any more. A run whose events have no room in a transaction waits for the
// next one.
func TestPruneLeavesNoHalfLog(t *testing.T) {
	const many = 12 * store.Piece
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(set("a", "1x"))
		w.start()
		for range 6 {
			w.wait(w.deploy("test:set_a").ID, pipeline.Ready)
		}
		w.old(500, 1, 2, 3, 4, 5, 6)
		add := func(run int64, n int) {
			w.spoil(fmt.Sprintf("INSERT INTO events (run, at, kind, stage, step, text, diff, took) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT %d, 1, 'log', 0, 'test:set_a', 'a line', '', 0 FROM n", n, run))
		}
		add(1, store.Piece-20)
		add(2, 100) // has no room beside run 1
		add(3, many)
		ages := pipeline.Ages{Events: ago(400), Heard: math.MaxInt64}
		rows := func(run int64) (n int) {
			t.Helper()
			if err := writeTo(w, func(tx store.Tx) error {
				return tx.QueryRow(t.Context(), "SELECT count(*) FROM events WHERE run = ?", run).Scan(&n)
			}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		shown := func(run int64) int {
			t.Helper()
			evs, err := w.e.Events(t.Context(), pipeline.EventFilter{Run: run, Limit: 2 * many})
			if err != nil {
				t.Fatal(err)
			}
			return len(evs)
		}
		whole := map[int64]int{1: shown(1), 2: shown(2), 3: shown(3)}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := w.e.Prune(ctx, ages)
			ended <- err
		}()
		for deadline := time.Now().Add(time.Minute); shown(3) > 0 && time.Now().Before(deadline); {
			for run, all := range whole {
				if n := shown(run); n != 0 && n != all {
					t.Errorf("run %d shows %d of %d events", run, n, all)
				}
			}
		}
		stop()
		if err := <-ended; err == nil {
			t.Fatal("the sweep was over before it was stopped")
		}
		if n := rows(3); n == 0 || n == whole[3] {
			t.Fatalf("%d events of %d are there: it was not in the middle", n, whole[3])
		}
		if n := shown(1) + shown(2) + shown(3); n != 0 {
			t.Errorf("%d events are shown", n)
		}
		if n := w.prune(pipeline.Ages{}); n.Events == 0 || rows(3) != 0 || n.Runs != 0 {
			t.Errorf("the next sweep removed %+v, and %d are left", n, rows(3))
		}
		if n := w.prune(pipeline.Ages{}); n != (pipeline.Removed{}) {
			t.Errorf("after the end it removed %+v", n)
		}
		if got := w.there(1, 2, 3, 6); got != "1:false 2:false 3:false 6:true" {
			t.Errorf("there are %s", got)
		}
	})
}

// What a step of a removed run gave the host is still known: it says whose an address in DNS is.
func TestPruneKeepsWhatStepsGave(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var given []string
		look := pipeline.Step{Name: "dns:look", Do: func(ctx context.Context, _ *clipboard.Clipboard) (err error) {
			given, _, err = pipeline.Given(ctx, "update_host", "dns_written")
			return err
		}}
		n := 0
		w.reg.Add(look, pipeline.Step{Name: "dns:update_host", Gives: []string{"dns_written"}, Do: func(_ context.Context, c *clipboard.Clipboard) error {
			n++
			return c.Set("dns_written", fmt.Sprintf("A 192.0.2.%d, %s", n/2, strings.Repeat("x", 5000)))
		}})
		w.start()
		for range 5 {
			w.wait(w.deploy("dns:update_host").ID, pipeline.Ready)
		}
		w.wait(w.deploy("dns:look").ID, pipeline.Ready)
		before := given
		if len(before) != 3 {
			t.Fatalf("given are %d values", len(before))
		}
		w.old(500, 1, 2, 3, 4, 5, 6)
		if got := w.prune(pipeline.Ages{Events: ago(400), Runs: ago(400)}); got.Runs != 4 {
			t.Errorf("removed %+v", got)
		}
		w.wait(w.deploy("dns:look").ID, pipeline.Ready)
		if strings.Join(given, "|") != strings.Join(before, "|") {
			t.Errorf("given were %d values and are %d", len(before), len(given))
		}
	})
}

func TestPruneLeavesTheTimingsThatTellWhatIsUsual(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(set("a", "1x"))
		w.start()
		w.wait(w.deploy("test:set_a").ID, pipeline.Ready)
		w.old(500, 1)
		if err := writeTo(w, func(tx store.Tx) error {
			for run := -2100; run < 1; run++ {
				if _, err := tx.Exec(t.Context(), "INSERT INTO timings (pipeline, stage, step, run, took) VALUES ('deploy/esx', 0, 'test:set_a', ?, 60000)", run); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		before, err := w.e.Usual(t.Context(), "deploy/esx")
		if err != nil {
			t.Fatal(err)
		}
		if n := w.prune(pipeline.Ages{Timings: ago(400)}); n.Timings != 2102-20 {
			t.Errorf("removed %+v", n)
		}
		w.stop()
		w.start()
		if after, err := w.e.Usual(t.Context(), "deploy/esx"); err != nil || after.Total != before.Total || after.Total != time.Minute {
			t.Errorf("usual was %v and is %v, %v", before.Total, after.Total, err)
		}
	})
}

// writeTo changes the record while nobody runs on it.
func writeTo(w *world, f func(store.Tx) error) error {
	w.stop()
	db, err := store.Open(w.t.Context(), w.opts)
	if err != nil {
		return err
	}
	err = errors.Join(db.Write(w.t.Context(), f), db.Close())
	w.start()
	return err
}
