package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// plan asks for a run of toy:a that begins at a time.
func (w *world) plan(host string, at time.Time, need *pipeline.NeedApproval) pipeline.Run {
	w.t.Helper()
	c, err := clipboard.Parse([]byte("instance: {hostname: " + host + ", provider: ESX}\n"))
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := w.e.Start(w.t.Context(), pipeline.Request{Clipboard: c, Kind: kind("deploy/esx"), Steps: []string{"toy:a"}, By: "alice", At: at, Needs: "deploy", Approval: need})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// counting is a step that counts how often it is done for each host.
func counting(did *atomic.Int64) pipeline.Step {
	return pipeline.Step{Name: "toy:a", Doc: "a", Resume: pipeline.Ask, Do: func(context.Context, *clipboard.Clipboard) error {
		did.Add(1)
		return nil
	}}
}

// was gives the kinds of a run's events but for those of its steps.
func (w *world) was(id int64) string {
	w.t.Helper()
	return strings.NewReplacer(" step", "", " done", "").Replace(w.kinds(id))
}

// shift moves the times of planned runs, as if so much had passed meanwhile. No engine runs.
func (w *world) shift(d time.Duration) {
	w.t.Helper()
	db, err := store.Open(w.t.Context(), w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.Write(w.t.Context(), func(tx store.Tx) error {
		_, err := tx.Exec(w.t.Context(), "UPDATE runs SET begin_at = begin_at - ?, wake = wake - ? WHERE state = 'planned'", d.Milliseconds(), d.Milliseconds())
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
}

// TestAPlannedRunBeginsOnceAtItsTime: until then it holds its host and does nothing, also when the server starts again.
func TestAPlannedRunBeginsOnceAtItsTime(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var did atomic.Int64
		w.reg.Add(counting(&did))
		w.start()
		at := time.Now().Add(4 * time.Second)
		r := w.plan("loki", at, nil)
		if r.State != pipeline.Planned || r.HasBegun() || r.Waits != pipeline.ForTime || r.State.Resting() || !r.State.Live() {
			t.Fatalf("%+v", r)
		}
		var busy *pipeline.BusyError
		if _, err := w.e.Start(t.Context(), pipeline.Request{Clipboard: w.clip(""), Kind: kind("deploy/esx"), Steps: []string{"toy:a"}, By: "bob"}); !errors.As(err, &busy) || busy.Run.ID != r.ID {
			t.Errorf("a second one: %v", err)
		}
		var state *pipeline.StateError
		if _, err := w.e.Retry(t.Context(), r.ID, "", "bob"); !errors.As(err, &state) {
			t.Errorf("retry: %v", err)
		}
		if _, err := w.e.Undo(t.Context(), r.ID, "bob"); !errors.As(err, &state) {
			t.Errorf("undo: %v", err)
		}
		w.stop()
		w.start()
		if now, err := w.e.Get(t.Context(), r.ID); err != nil || now.State != pipeline.Planned || !now.At.Equal(r.At.Truncate(time.Millisecond)) || now.Needs != "deploy" {
			t.Errorf("after a start: %+v, %v", now, err)
		}
		r = w.wait(r.ID, pipeline.Ready)
		if r.Began.Before(at.Truncate(time.Millisecond)) || did.Load() != 1 || w.was(r.ID) != "planned begins ready" {
			t.Errorf("it began %s after its time, did %d, and was %s", r.Began.Sub(at), did.Load(), w.was(r.ID))
		}
	})
}

// TestAPlannedRunThatIsLate: as soon as somebody is there, and not at all when that is long after its time.
func TestAPlannedRunThatIsLate(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var did atomic.Int64
		w.reg.Add(counting(&did))
		w.start()
		soon, late := w.plan("soon", time.Now().Add(time.Hour), nil), w.plan("late", time.Now().Add(time.Minute), nil)
		w.stop()
		w.shift(time.Hour + 2*time.Minute)
		w.start()
		w.wait(soon.ID, pipeline.Ready)
		late = w.wait(late.ID, pipeline.Cancelled)
		if late.Ending != pipeline.EndLapsed || late.HasBegun() || !strings.Contains(late.Error, "no server was there to begin it for more than 60 minutes") || w.was(late.ID) != "planned lapsed" || did.Load() != 1 {
			t.Errorf("%s: %s, %s, did %d", late.Ending, late.Error, w.was(late.ID), did.Load())
		}
		var state *pipeline.StateError
		if _, err := w.e.Retry(t.Context(), late.ID, "", "bob"); !errors.As(err, &state) || !strings.Contains(err.Error(), "never began") {
			t.Errorf("retry: %v", err)
		}
		again := w.plan("late", time.Now(), nil) // its host is free
		w.wait(again.ID, pipeline.Ready)
	})
}

// TestWhatSpeaksAgainstAPlannedRun: a freeze has it wait, until its end or until somebody takes it away; a hold and
// what is for good end it; that nobody can say yet is asked again.
func TestWhatSpeaksAgainstAPlannedRun(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var did atomic.Int64
		var said atomic.Pointer[map[string]pipeline.Objection]
		say := func(m map[string]pipeline.Objection) { said.Store(&m) }
		w.reg.Add(counting(&did))
		w.mayBegin = func(_ context.Context, r pipeline.Run) (pipeline.Objection, error) {
			o, ok := (*said.Load())[r.Host]
			if !ok {
				return o, errors.New("nobody knows")
			}
			return o, nil
		}
		say(nil)
		w.start()
		now := time.Now()
		frozen, lifted, left, held, fine := w.plan("frozen", now, nil), w.plan("lifted", now, nil), w.plan("left", now, nil), w.plan("held", now, nil), w.plan("fine", now, nil)
		if _, err := w.e.Hold(t.Context(), held.FQDN, "bob", "the disk"); err != nil {
			t.Fatal(err)
		}
		end := time.Now().Add(4 * time.Second)
		say(map[string]pipeline.Objection{"frozen": {Why: "there is a freeze", Until: end}, "lifted": {Why: "there is a freeze", Until: end.Add(time.Hour)}, "left": {Why: "alice is gone"}, "held": {}, "fine": {}})
		w.wait(fine.ID, pipeline.Ready)
		if left = w.wait(left.ID, pipeline.Cancelled); left.Ending != pipeline.EndLapsed || left.Error != "alice is gone; nothing was done" {
			t.Errorf("left: %s, %s", left.Ending, left.Error)
		}
		if held = w.wait(held.ID, pipeline.Cancelled); held.Ending != pipeline.EndLapsed || !strings.Contains(held.Error, "held by bob") {
			t.Errorf("held: %s, %s", held.Ending, held.Error)
		}
		until(t, "both wait for the freeze", func() bool { return w.was(frozen.ID) == "planned postponed" && w.was(lifted.ID) == "planned postponed" })
		if r, err := w.e.Get(t.Context(), lifted.ID); err != nil || r.Waits != pipeline.ForFreeze || r.Why != "there is a freeze" || !r.Wake.Equal(end.Add(time.Hour).Truncate(time.Millisecond)) {
			t.Errorf("%+v, %v", r, err)
		}
		none := map[string]pipeline.Objection{"frozen": {Why: "there is a freeze", Until: end}, "lifted": {}}
		say(none)
		w.wait(lifted.ID, pipeline.Ready)
		if !w.is(frozen.ID, pipeline.Planned) {
			t.Error("it did not wait for the end")
		}
		until(t, "its end has come", func() bool { return time.Now().After(end) })
		say(map[string]pipeline.Objection{"frozen": {}, "lifted": {}}) // the engine reads the one before
		w.wait(frozen.ID, pipeline.Ready)
		if got := w.was(frozen.ID); got != "planned postponed begins ready" || did.Load() != 3 {
			t.Errorf("%s, did %d", got, did.Load())
		}
	})
}

// TestAPlannedRunIsCancelled: by who asked it is withdrawn, by somebody else denied; a cancel at its time either comes
// before it begins or finds it under way.
func TestAPlannedRunIsCancelled(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var did atomic.Int64
		w.reg.Add(counting(&did))
		e := w.start()
		for by, want := range map[string]pipeline.Ending{"Alice": pipeline.EndWithdrawn, "bob": pipeline.EndDenied} {
			r := w.plan("loki", time.Now().Add(time.Hour), nil)
			r, err := e.Cancel(t.Context(), r.ID, pipeline.Who{Name: by})
			if err != nil || r.State != pipeline.Cancelled || r.Ending != want || w.was(r.ID) != "planned denied" {
				t.Errorf("by %s: %s, %s, %v", by, r.Ending, w.was(r.ID), err)
			}
		}
		at := time.Now().Add(1500 * time.Millisecond)
		var runs []pipeline.Run
		for i := range 20 {
			runs = append(runs, w.plan(fmt.Sprintf("web%d", i), at, nil))
		}
		until(t, "the first begins", func() bool { r, err := e.Get(t.Context(), runs[0].ID); return err == nil && r.HasBegun() })
		var never int64
		for _, r := range runs {
			r, err := e.Cancel(t.Context(), r.ID, pipeline.Who{Name: "bob"})
			var state *pipeline.StateError
			if err != nil && !errors.As(err, &state) {
				t.Fatal(err)
			}
			r = w.wait(r.ID, pipeline.Cancelled, pipeline.Ready, pipeline.Asking)
			if !r.HasBegun() {
				never++
			}
		}
		if did.Load()+never > 20 || did.Load() > 20 {
			t.Errorf("%d never began, and %d steps were done", never, did.Load())
		}
	})
}

// TestAPlannedRunIsApprovedBefore: it is asked for at once, begins at its time when somebody agreed, and never when
// nobody did.
func TestAPlannedRunIsApprovedBefore(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var did atomic.Int64
		w.reg.Add(counting(&did))
		e := w.start()
		need := &pipeline.NeedApproval{Why: "it is in production", For: time.Hour}
		at := time.Now().Add(3 * time.Second)
		yes, no := w.plan("yes", at, need), w.plan("no", at, need)
		if a, err := e.Pending(t.Context(), no.ID); err != nil || !a.Expires.Equal(at.Truncate(time.Millisecond)) {
			t.Errorf("it expires %v, %v", a.Expires, err)
		}
		r, _, err := e.Approve(t.Context(), yes.ID, pipeline.Who{Name: "bob"}, "")
		if err != nil || r.State != pipeline.Planned || r.HasBegun() {
			t.Errorf("approved it is %+v, %v", r, err)
		}
		if r = w.wait(yes.ID, pipeline.Ready); r.Began.Before(at.Truncate(time.Millisecond)) || w.was(r.ID) != "proposed approved begins ready" {
			t.Errorf("it began %s, and was %s", r.Began, w.was(r.ID))
		}
		if r = w.wait(no.ID, pipeline.Cancelled); r.Ending != pipeline.EndExpired || did.Load() != 1 {
			t.Errorf("%s, did %d", r.Ending, did.Load())
		}
	})
}

// TestAPlannedClusterBeginsAsOne: all of it, but for who was cancelled, or nothing when one of its hosts is held.
func TestAPlannedClusterBeginsAsOne(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var did atomic.Int64
		w.reg.Name("esx", "ESX")
		w.reg.Add(counting(&did))
		e := w.start()
		ask := func(name string) pipeline.Cluster {
			cl, reqs := members(t, fmt.Sprintf("cluster: %s\nsteps: [\"toy:a\"]\ninstances:\n- {hostname: %[1]s1, provider: ESX}\n- {hostname: %[1]s2, provider: ESX}\n- {hostname: %[1]s3, provider: ESX}\n", name))
			for i := range reqs {
				reqs[i].At = time.Now().Add(2 * time.Second)
			}
			c, err := e.StartCluster(t.Context(), cl, reqs)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		web, db := ask("web"), ask("db")
		var state *pipeline.StateError
		if _, err := e.UndoCluster(t.Context(), web.ID); !errors.As(err, &state) || !strings.Contains(err.Error(), "it has not begun") {
			t.Errorf("undo: %v", err)
		}
		cl, reqs := members(t, "cluster: app\nsteps: [\"toy:a\"]\ninstances:\n- {hostname: app1, provider: ESX}\n- {hostname: app2, provider: ESX}\n")
		for i := range reqs {
			reqs[i].Approval = &pipeline.NeedApproval{Why: "so", For: time.Hour}
		}
		app, err := e.StartCluster(t.Context(), cl, reqs)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.UndoCluster(t.Context(), app.ID); !errors.As(err, &state) || !strings.Contains(err.Error(), fmt.Sprintf("`deny %d`", app.Runs[0].ID)) {
			t.Errorf("undo of what waits for an approval: %v", err)
		}
		for _, r := range app.Runs {
			if _, _, err := e.Approve(t.Context(), r.ID, pipeline.Who{Name: "bob"}, ""); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range app.Runs {
			w.wait(r.ID, pipeline.Ready)
		}
		if _, err := e.Cancel(t.Context(), web.Runs[1].ID, pipeline.Who{Name: "bob"}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Hold(t.Context(), db.Runs[2].FQDN, "bob", "the disk"); err != nil {
			t.Fatal(err)
		}
		w.wait(web.Runs[0].ID, pipeline.Ready)
		w.wait(web.Runs[2].ID, pipeline.Ready)
		for _, r := range db.Runs {
			if r = w.wait(r.ID, pipeline.Cancelled); r.Ending != pipeline.EndLapsed || !strings.Contains(r.Error, "db3 is held by bob") {
				t.Errorf("%s: %s, %s", r.Host, r.Ending, r.Error)
			}
		}
		if did.Load() != 4 {
			t.Errorf("did %d", did.Load())
		}
	})
}

// TestPlannedRunsOfARestoredRecord: what was to begin since the backup may have; what comes later does.
func TestPlannedRunsOfARestoredRecord(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var did atomic.Int64
		w.reg.Add(counting(&did))
		w.start()
		past, coming := w.plan("past", time.Now().Add(time.Hour), nil), w.plan("coming", time.Now().Add(2*time.Hour), nil)
		w.stop()
		w.shift(time.Hour + time.Minute)
		db, err := store.Open(t.Context(), w.opts)
		if err != nil {
			t.Fatal(err)
		}
		e, err := pipeline.New(t.Context(), pipeline.Config{DB: db, Registry: w.reg, Key: w.key})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Write(t.Context(), func(tx store.Tx) error { _, err := e.Restored(t.Context(), tx, time.Now()); return err }); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		w.start()
		if r, err := w.e.Get(t.Context(), past.ID); err != nil || r.Ending != pipeline.EndLapsed || !strings.Contains(r.Error, "from a backup of") || did.Load() != 0 {
			t.Errorf("%+v, %v, did %d", r, err, did.Load())
		}
		if !w.is(coming.ID, pipeline.Planned) {
			t.Error("what comes later is not planned any more")
		}
	})
}

// TestPlannedRunsBeginOnceOnSeveralNodes: also when the node dies, or is cut off, that has them begin.
func TestPlannedRunsBeginOnceOnSeveralNodes(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	var did atomic.Int64
	a, b, c := n.start("a", counting(&did)), n.start("b", counting(&did)), n.start("c", counting(&did))
	at := time.Now().Add(3 * time.Second)
	var runs []pipeline.Run
	for i := range 60 {
		runs = append(runs, a.plan(fmt.Sprintf("web%d", i), at.Add(time.Duration(i)*20*time.Millisecond), nil))
	}
	until(t, "one has the role", func() bool { return role(t, b.db, "plans") != "" })
	first := map[string]*node{"a": a, "b": b, "c": c}[role(t, b.db, "plans")]
	rest := map[*node]*node{a: b, b: c, c: a}[first]
	until(t, "some have begun", func() bool {
		r, err := rest.e.Get(t.Context(), runs[5].ID)
		return err == nil && r.HasBegun()
	})
	first.wire.cut.Store(true)
	asks := int64(0)
	for _, r := range runs {
		limit := time.Now().Add(60 * time.Second)
		for {
			got, err := rest.e.Get(t.Context(), r.ID)
			if err != nil {
				t.Fatal(err)
			}
			if got.State == pipeline.Asking { // its step was in hand there
				asks++
			}
			if got.State == pipeline.Asking || got.State == pipeline.Ready {
				break
			}
			if time.Now().After(limit) {
				t.Fatalf("run %d is %s", r.ID, got.State)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	for _, r := range runs { // events are told when no earlier one can come any more, as of what the other had in hand
		until(t, fmt.Sprintf("run %d began once", r.ID), func() bool { return strings.Count(rest.was(r.ID), "begins") == 1 })
	}
	select {
	case <-first.done:
	case <-time.After(40 * time.Second):
		t.Error("who was cut off goes on")
	}
	if d := did.Load(); d > 60 || d+asks < 60 {
		t.Errorf("%d steps done, %d ask", d, asks)
	}
}

// role gives the name of the node that has a role, "" when none does.
func role(t *testing.T, db *store.DB, name string) (node string) {
	t.Helper()
	err := db.QueryRow(t.Context(), "SELECT jarvis_nodes.name FROM jarvis_roles JOIN jarvis_nodes ON jarvis_nodes.holder = jarvis_roles.holder WHERE jarvis_roles.name = ?", name).Scan(&node)
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		t.Fatal(err)
	}
	return node
}

// TestACancelWhileItIsJudged: between what was asked of the configuration and the beginning, somebody ends it.
func TestACancelWhileItIsJudged(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var did atomic.Int64
		w.reg.Add(counting(&did))
		judged := make(chan error, 100)
		w.mayBegin = func(ctx context.Context, r pipeline.Run) (pipeline.Objection, error) {
			if r.Host == "loki" {
				_, err := w.e.Cancel(ctx, r.ID, pipeline.Who{Name: "bob"})
				judged <- err
			}
			return pipeline.Objection{}, nil
		}
		w.start()
		r := w.plan("loki", time.Now(), nil)
		if err := <-judged; err != nil {
			t.Fatal(err)
		}
		after := w.plan("thor", time.Now(), nil) // what comes later has been judged, so that one has, too
		w.wait(after.ID, pipeline.Ready)
		if r, err := w.e.Get(t.Context(), r.ID); err != nil || r.Ending != pipeline.EndDenied || r.HasBegun() || did.Load() != 1 {
			t.Errorf("%+v, %v, did %d", r, err, did.Load())
		}
	})
}
