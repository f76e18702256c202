package pipeline_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

var (
	alice = pipeline.Who{Name: "alice"}
	bob   = pipeline.Who{Name: "bob"}
)

// destroyer adds the steps of a toy provider, and counts how often a machine was destroyed.
func destroyer(w *world) *atomic.Int32 {
	var destroyed atomic.Int32
	w.reg.Add(
		pipeline.Step{Name: "toy:deploy", Gives: []string{"ipaddress", "hostkeys"}, Do: func(_ context.Context, c *clipboard.Clipboard) error {
			return errors.Join(c.Set("ipaddress", "192.0.2.1"), c.Set("hostkeys", []string{"ssh-ed25519 AAAA"}))
		}, Undo: func(context.Context, *clipboard.Clipboard) error { return nil }},
		pipeline.Step{Name: "toy:destroy", Do: func(context.Context, *clipboard.Clipboard) error { destroyed.Add(1); return nil }})
	return &destroyed
}

func (w *world) ask(verb string, need time.Duration, steps ...string) pipeline.Run {
	w.t.Helper()
	q := pipeline.Request{Clipboard: w.clip(""), Kind: pipeline.Kind{Verb: verb, Provider: "toy"}, Steps: steps, By: "alice"}
	if need > 0 {
		q.Approval = &pipeline.NeedApproval{Why: "it destroys loki", For: need}
	}
	r, err := w.e.Start(w.t.Context(), q)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// The attack: `destroy loki` waits for a second person. Somebody ends the proposal, in any of the ways there are; then
// one word says go on, and the machine is gone although nobody ever approved that.
func TestWhatWasNeverAllowedNeverBegins(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		destroyed := destroyer(w)
		w.start()
		w.wait(w.ask("deploy", 0, "toy:deploy").ID, pipeline.Ready)
		for name, end := range map[string]func(id int64) error{
			"denied by another":     func(id int64) error { _, err := w.e.Deny(t.Context(), id, bob, "no"); return err },
			"taken back":            func(id int64) error { _, err := w.e.Deny(t.Context(), id, alice, ""); return err },
			"cancelled":             func(id int64) error { _, err := w.e.Cancel(t.Context(), id, alice); return err },
			"cancelled by another":  func(id int64) error { _, err := w.e.Cancel(t.Context(), id, bob); return err },
			"not approved in time ": nil,
		} {
			need := time.Hour
			if end == nil {
				need = time.Millisecond
			}
			r := w.ask("destroy", need, "toy:destroy")
			if end == nil {
				time.Sleep(2 * time.Millisecond)
				_, _, err := w.e.Approve(t.Context(), r.ID, bob, "")
				end = func(int64) error { return nil }
				if err == nil {
					t.Errorf("%s: approved all the same", name)
				}
			}
			if err := end(r.ID); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			w.wait(r.ID, pipeline.Cancelled)
			var state *pipeline.StateError
			for word, f := range map[string]func() error{
				"retry":      func() error { _, err := w.e.Retry(t.Context(), r.ID, "", "alice"); return err },
				"retry from": func() error { _, err := w.e.Retry(t.Context(), r.ID, "toy:destroy", "alice"); return err },
				"skip":       func() error { _, err := w.e.Skip(t.Context(), r.ID, "alice"); return err },
				"undo":       func() error { _, err := w.e.Undo(t.Context(), r.ID, "alice"); return err },
				"approve":    func() error { _, _, err := w.e.Approve(t.Context(), r.ID, bob, ""); return err },
			} {
				if err := f(); !errors.As(err, &state) {
					t.Errorf("%s, then %s = %v", name, word, err)
				}
			}
			h, err := w.e.FindHost(t.Context(), "loki")
			if err != nil || h.Ending != pipeline.EndReady || h.Reach.Addr != "192.0.2.1" || h.ID == r.ID {
				t.Errorf("%s: loki stands by %+v, %v", name, h, err)
			}
		}
		if n := destroyed.Load(); n != 0 {
			t.Errorf("the machine was destroyed %d times, and nobody approved it", n)
		}
		r := w.ask("destroy", time.Hour, "toy:destroy")
		if _, _, err := w.e.Approve(t.Context(), r.ID, bob, "we agreed"); err != nil {
			t.Fatal(err)
		}
		w.wait(r.ID, pipeline.Ready)
		if h, err := w.e.FindHost(t.Context(), "loki"); err != nil || h.Ending != pipeline.EndDestroyed || h.Reach.OK() {
			t.Errorf("after destroy, loki stands by %+v, %v", h, err)
		}
	})
}

// The attack: two words about one run in the same moment, each of them answered with yes.
func TestOfTwoWordsAtOnceOneIsAccepted(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		destroyed := destroyer(w)
		w.reg.Add(pipeline.Step{Name: "toy:fail", Do: func(context.Context, *clipboard.Clipboard) error { return pipeline.Permanentf("no") }})
		w.start()
		both := func(a, b func() error) (errA, errB error) {
			var wg sync.WaitGroup
			wg.Go(func() { errA = a() })
			wg.Go(func() { errB = b() })
			wg.Wait()
			return
		}
		for range 30 {
			r := w.ask("destroy", time.Hour, "toy:destroy")
			before := destroyed.Load()
			yes, no := both(
				func() error { _, _, err := w.e.Approve(t.Context(), r.ID, bob, ""); return err },
				func() error { _, err := w.e.Deny(t.Context(), r.ID, bob, ""); return err })
			if (yes == nil) == (no == nil) {
				t.Fatalf("approve = %v, deny = %v", yes, no)
			}
			if yes == nil {
				w.wait(r.ID, pipeline.Ready)
			} else if w.wait(r.ID, pipeline.Cancelled); destroyed.Load() != before {
				t.Fatal("deny was answered with yes, and the machine is gone")
			}
			r = w.ask("deploy", 0, "toy:fail")
			w.wait(r.ID, pipeline.Failed)
			again, back := both(
				func() error { _, err := w.e.Retry(t.Context(), r.ID, "", "alice"); return err },
				func() error { _, err := w.e.Undo(t.Context(), r.ID, "bob"); return err })
			if again == nil && back == nil && !failedBetween(w, r.ID) {
				t.Fatal("retry and undo were both accepted")
			}
			if w.wait(r.ID, pipeline.Failed, pipeline.Undone).State == pipeline.Failed {
				if _, err := w.e.Cancel(t.Context(), r.ID, bob); err != nil {
					t.Fatal(err)
				}
			}
		}
		// cancel against a step that fails in that moment: what was accepted counts.
		for range 30 {
			r := w.ask("deploy", 0, "toy:deploy", "toy:fail")
			_, err := w.e.Cancel(t.Context(), r.ID, bob)
			end := w.wait(r.ID, pipeline.Failed, pipeline.Cancelled)
			if err == nil && end.State != pipeline.Cancelled {
				if end = w.wait(r.ID, pipeline.Cancelled); end.State != pipeline.Cancelled {
					t.Fatalf("cancel was accepted, and the run is %s", end.State)
				}
			}
			if end.State == pipeline.Failed {
				if _, err := w.e.Cancel(t.Context(), r.ID, bob); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// The attack: the database refuses commits while a step runs whose outcome is known when it ends. It ran again, or a
// person was asked what everybody could know.
func TestAKnownOutcomeIsKept(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var ran [2]atomic.Int32
		begun, refused := make(chan struct{}), make(chan struct{})
		for i, resume := range []pipeline.Resume{pipeline.Ask, pipeline.Again} {
			w.reg.Add(pipeline.Step{Name: fmt.Sprintf("toy:s%d", i), Resume: resume, Do: func(_ context.Context, c *clipboard.Clipboard) error {
				ran[i].Add(1)
				begun <- struct{}{}
				<-refused
				return c.Set(fmt.Sprintf("done%d", i), "yes")
			}})
		}
		w.start()
		refuse, allow := w.refusal()
		r := w.ask("deploy", 0, "toy:s0", "toy:s1")
		for range 2 {
			<-begun
			refuse()
			refused <- struct{}{}
			time.Sleep(700 * time.Millisecond) // it is tried, and refused
			allow()
		}
		w.wait(r.ID, pipeline.Ready)
		if a, b := ran[0].Load(), ran[1].Load(); a != 1 || b != 1 {
			t.Errorf("the steps ran %d and %d times", a, b)
		}
		if got := w.kinds(r.ID); got != "started step done step done ready" {
			t.Errorf("on record is %s", got)
		}
		if text, err := w.e.Clipboard(t.Context(), r.ID); err != nil || !strings.Contains(text, "done0: ") || !strings.Contains(text, "done1: ") {
			t.Errorf("%v\n%s", err, text)
		}
	})
}

// refusal gives what makes the database refuse to change runs, and what ends that.
func (w *world) refusal() (refuse, allow func()) {
	if w.opts.URL != "" {
		c, err := pgx.Connect(w.t.Context(), w.opts.URL)
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { _ = c.Close(context.Background()) })
		do := func(q string) {
			if _, err := c.Exec(w.t.Context(), q); err != nil {
				w.t.Fatal(err)
			}
		}
		do(`CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'disk full'; END $$ LANGUAGE plpgsql`)
		return func() {
			do(`CREATE TRIGGER refuse BEFORE UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION refuse()`)
		}, func() { do(`DROP TRIGGER refuse ON runs`) }
	}
	db, err := sql.Open("sqlite", "file:"+w.opts.Dir+"/jarvis.db?_txlock=immediate&_pragma=busy_timeout(20000)")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = db.Close() })
	var tx *sql.Tx
	return func() {
			if tx, err = db.BeginTx(w.t.Context(), nil); err != nil { // another program holds the write lock
				w.t.Fatal(err)
			}
		}, func() {
			if err := tx.Rollback(); err != nil {
				w.t.Fatal(err)
			}
		}
}

// The attack: a text that the database never takes. The step ran again and again, without an end and without a notice.
func TestATextThatNoDatabaseTakes(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var ran atomic.Int32
		w.reg.Add(pipeline.Step{Name: "toy:latin", Do: func(ctx context.Context, _ *clipboard.Clipboard) error {
			ran.Add(1)
			pipeline.Progress(ctx, "gr\xfc\xdfe\x00")
			return pipeline.Permanentf("gr\xfc\xdfe\x00 ended")
		}})
		w.start()
		r := w.wait(w.ask("deploy", 0, "toy:latin").ID, pipeline.Failed)
		if ran.Load() != 1 || r.Error != "grüße ended" {
			t.Errorf("it ran %d times: %q", ran.Load(), r.Error)
		}
	})
}

// The attack: an undo that can never succeed held its host for ever; and retry after it made a run ready without a
// machine.
func TestUndoHasNoDeadEnd(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		destroyer(w)
		var broken atomic.Bool
		broken.Store(true)
		w.reg.Add(pipeline.Step{Name: "toy:dns", Do: func(context.Context, *clipboard.Clipboard) error { return nil }, Undo: func(context.Context, *clipboard.Clipboard) error {
			if broken.Load() {
				return pipeline.Permanentf("refused")
			}
			return nil
		}})
		gone := true
		w.reg.Resolve(func(name string) (pipeline.Step, bool, error) {
			return pipeline.Step{Name: name, Do: func(context.Context, *clipboard.Clipboard) error { return nil }}, name == "rack:install" && !gone, nil
		})
		gone = false
		w.start()
		r := w.wait(w.ask("deploy", 0, "toy:deploy", "rack:install", "toy:dns").ID, pipeline.Ready)
		gone = true
		if _, err := w.e.Undo(t.Context(), r.ID, "bob"); err != nil {
			t.Fatal(err)
		}
		end := w.wait(r.ID, pipeline.Failed, pipeline.Undone)
		if end.Ending != pipeline.EndUndonePart || !strings.Contains(end.Error, "rack:install") || !strings.Contains(end.Error, "toy:dns (refused)") || !strings.Contains(end.Error, "took back toy:deploy") {
			t.Errorf("the undo ended %s: %s", end.Ending, end.Error)
		}
		var state *pipeline.StateError
		if _, err := w.e.Retry(t.Context(), r.ID, "", "bob"); !errors.As(err, &state) {
			t.Errorf("retry of what is half taken back = %v", err)
		}
		if _, err := w.e.Skip(t.Context(), r.ID, "bob"); !errors.As(err, &state) {
			t.Errorf("skip of what is half taken back = %v", err)
		}
		broken.Store(false)
		gone = false
		if _, err := w.e.Undo(t.Context(), r.ID, "bob"); err != nil {
			t.Fatal(err)
		}
		w.wait(r.ID, pipeline.Undone)
	})
}

// The attack: an old run, cancelled long ago, is told to go on over a host that a newer run made.
func TestAnOldRunDoesNotGoOnOverANewerOne(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		destroyer(w)
		w.reg.Add(pipeline.Step{Name: "toy:fail", Do: func(context.Context, *clipboard.Clipboard) error { return pipeline.Permanentf("no") }})
		w.start()
		old := w.wait(w.ask("deploy", 0, "toy:fail", "toy:destroy").ID, pipeline.Failed)
		if _, err := w.e.Cancel(t.Context(), old.ID, bob); err != nil {
			t.Fatal(err)
		}
		w.wait(w.ask("deploy", 0, "toy:deploy").ID, pipeline.Ready)
		var state *pipeline.StateError
		if _, err := w.e.Retry(t.Context(), old.ID, "", "alice"); !errors.As(err, &state) || !strings.Contains(state.Why, "came after it") {
			t.Errorf("retry of the old run = %v", err)
		}
	})
}

// The attack: somebody leaves a transaction open, in this database or in another one of the server; every notice waited
// for its end. And a follower must miss nothing that many writers commit at once.
func TestForeignTransactionsHoldUpNoEvent(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		destroyer(w)
		e := w.start()
		if w.opts.URL != "" {
			other, err := postgres.Database(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, url := range []string{w.opts.URL, other} {
				c, err := pgx.Connect(t.Context(), url)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = c.Close(context.Background()) }()
				for _, q := range []string{"CREATE TABLE IF NOT EXISTS foreign_table (v int)", "BEGIN", "INSERT INTO foreign_table VALUES (1)"} {
					if _, err := c.Exec(t.Context(), q); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		stop, followed := make(chan struct{}), make(chan []int64)
		go func() {
			var seen []int64
			last := int64(0)
			var late time.Time
			for done := false; ; {
				evs, err := e.Events(context.Background(), pipeline.EventFilter{After: last})
				if err != nil {
					t.Error(err)
				}
				for _, ev := range evs {
					seen = append(seen, ev.ID)
					last = ev.ID
				}
				if done && (len(seen) >= 160*6 || time.Now().After(late)) {
					followed <- seen
					return
				}
				select {
				case <-stop:
					if !done { // an event may be told of a moment after its run is over: one before it is under way still
						done, late = true, time.Now().Add(10*time.Second)
					}
					time.Sleep(time.Millisecond)
				case <-time.After(time.Millisecond):
				}
			}
		}()
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for j := range 10 {
					c, err := clipboard.Parse(fmt.Appendf(nil, "instance: {hostname: h%d-%d}", i, j))
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := e.Start(context.Background(), pipeline.Request{Clipboard: c, Kind: kind("own"), Steps: []string{"toy:deploy", "toy:destroy"}, By: "alice"}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if live, err := e.Live(t.Context(), 1); err == nil && len(live) == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the runs do not come to an end")
			}
		}
		close(stop)
		seen := <-followed
		// All that is on record, read past the engine.
		w.stop()
		db, err := store.Open(t.Context(), w.opts)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		all, err := store.Collect(t.Context(), db, func(r store.Row) (id int64, err error) { return id, r.Scan(&id) }, "SELECT id FROM events ORDER BY id")
		if err != nil || len(all) != 160*6 {
			t.Fatalf("%d events are on record, %v", len(all), err)
		}
		if fmt.Sprint(all) != fmt.Sprint(seen) {
			t.Errorf("a follower saw %d events of %d", len(seen), len(all))
		}
	})
}

// TestAFollowerWaitsForWhatIsOpen: three transactions have written an event each, and the one in the middle commits
// last. The end of a snapshot is before all three, and was taken for the end of what is open.
func TestAFollowerWaitsForWhatIsOpen(t *testing.T) {
	url, err := postgres.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	e, err := pipeline.New(t.Context(), pipeline.Config{DB: db, Registry: pipeline.NewRegistry()}) // it does not run, so that nothing else is written
	if err != nil {
		t.Fatal(err)
	}
	// But the lease, every two seconds: begin right after that.
	for before := ""; ; time.Sleep(time.Millisecond) {
		var now string
		if err := db.QueryRow(t.Context(), "SELECT pg_snapshot_xmax(pg_current_snapshot())::text").Scan(&now); err != nil {
			t.Fatal(err)
		}
		if before != "" && now != before {
			break
		}
		before = now
	}
	var open []pgx.Tx
	for range 3 {
		cc, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		cc.RuntimeParams["application_name"] = "jarvis"
		c, err := pgx.ConnectConfig(t.Context(), cc)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close(context.Background()) }()
		tx, err := c.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "INSERT INTO events (run, at, kind, stage, step, text, diff, took) VALUES (1, 1, 'log', 0, '', '', '', 0)"); err != nil {
			t.Fatal(err)
		}
		open = append(open, tx)
	}
	last, seen := int64(0), 0
	for _, i := range []int{-1, 0, 2, 1} {
		if i >= 0 {
			if err := open[i].Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			evs, err := e.Events(t.Context(), pipeline.EventFilter{After: last})
			if err != nil {
				t.Fatal(err)
			}
			for _, ev := range evs {
				if ev.ID <= last {
					t.Errorf("event %d came after event %d", ev.ID, last)
				}
				last, seen = ev.ID, seen+1
			}
		}
	}
	if seen != 3 {
		t.Errorf("a follower saw %d events of 3", seen)
	}
}

// failedBetween reports whether a run that was retried had failed again when it was undone: the second word came after
// what the first one began.
func failedBetween(w *world, id int64) bool {
	w.t.Helper()
	evs, err := w.e.Events(w.t.Context(), pipeline.EventFilter{Run: id, Kinds: []pipeline.EventKind{pipeline.EvRetried, pipeline.EvFailed, pipeline.EvUndoStarted}})
	if err != nil {
		w.t.Fatal(err)
	}
	var kinds []pipeline.EventKind
	for _, ev := range evs {
		kinds = append(kinds, ev.Kind)
	}
	return slices.Equal(kinds, []pipeline.EventKind{pipeline.EvFailed, pipeline.EvRetried, pipeline.EvFailed, pipeline.EvUndoStarted})
}
