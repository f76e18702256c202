package pipeline_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// spoil changes the record while nobody runs on it.
func (w *world) spoil(q string, args ...any) {
	w.t.Helper()
	w.stop()
	db, err := store.Open(w.t.Context(), w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	err = db.Write(w.t.Context(), func(tx store.Tx) error {
		_, err := tx.Exec(w.t.Context(), q, args...)
		return err
	})
	if err = errors.Join(err, db.Close()); err != nil {
		w.t.Fatal(err)
	}
	w.start()
}

// TestAPanicOfTheEngineFailsThatRunAlone: what is on record makes the engine's own code panic, beside the step. River
// took the job back and had it carried again, for ever; nobody heard of it, and the host stayed held.
func TestAPanicOfTheEngineFailsThatRunAlone(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var broken atomic.Bool
		w.reg.Add(set("a", "1x"), pipeline.Step{Name: "test:later", Do: func(context.Context, *clipboard.Clipboard) error {
			if broken.Load() {
				return errors.New("try again")
			}
			return pipeline.Wait(50*time.Millisecond, "not yet")
		}})
		w.start()
		r := w.wait(w.deploy("test:later").ID, pipeline.Waiting)
		before := guard.Panics()
		broken.Store(true)
		w.spoil("UPDATE runs SET attempts = -7 WHERE id = ?", r.ID)
		r = w.wait(r.ID, pipeline.Failed)
		if !strings.Contains(r.Error, "a bug in Jarvis itself") || r.Where() != "stage 1/1 test:later" {
			t.Errorf("it failed with %q at %s", r.Error, r.Where())
		}
		if !strings.HasSuffix(w.kinds(r.ID), " failed") || guard.Panics() == before {
			t.Errorf("events = %s; %d panics", w.kinds(r.ID), guard.Panics()-before)
		}
		if _, err := w.e.Cancel(t.Context(), r.ID, pipeline.Who{Name: "alice"}); err != nil {
			t.Errorf("the host cannot be freed: %v", err)
		}
		w.wait(w.deploy("test:set_a").ID, pipeline.Ready)
	})
}

// TestUndoOfAStepThatIsGone: a program of one's own was removed, and then its run is undone. The engine had no step to
// speak of, and panicked on that.
func TestUndoOfAStepThatIsGone(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(set("a", "1x"))
		w.start()
		r := w.wait(w.deploy("test:set_a").ID, pipeline.Ready)
		w.stop()
		w.reg = pipeline.NewRegistry()
		w.start()
		if _, err := w.e.Undo(t.Context(), r.ID, "alice"); err != nil {
			t.Fatal(err)
		}
		r = w.wait(r.ID, pipeline.Undone, pipeline.Failed)
		if !strings.Contains(r.Error, "test:set_a") || strings.Contains(r.Error, "bug") {
			t.Errorf("it is %s: %s", r.State, r.Error)
		}
	})
}

// TestAnUndoThatBreaksTheEngineEnds: what is on record is out of bounds.
func TestAnUndoThatBreaksTheEngineEnds(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(set("a", "1x"))
		w.start()
		r := w.wait(w.deploy("test:set_a").ID, pipeline.Ready)
		w.spoil("UPDATE runs SET state = 'undoing', live = 1, undoing = 1, undo_at = 7 WHERE id = ?", r.ID)
		r = w.wait(r.ID, pipeline.Failed)
		if !strings.Contains(r.Error, "a bug in Jarvis itself") || !strings.HasSuffix(w.kinds(r.ID), "undo_failed") {
			t.Errorf("it failed with %q; events = %s", r.Error, w.kinds(r.ID))
		}
		if _, err := w.e.Undo(t.Context(), r.ID, "alice"); err != nil {
			t.Fatal(err)
		}
		w.wait(r.ID, pipeline.Undone)
	})
}

func TestAPlanThatPanicsIsALineOfThePlan(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(set("a", "1x"), pipeline.Step{Name: "test:plan_panics", Do: func(context.Context, *clipboard.Clipboard) error { return nil },
			Plan: func(context.Context, *clipboard.Clipboard) (string, error) { panic("boom") }})
		w.start()
		lines, err := w.e.Plan(t.Context(), pipeline.Request{Clipboard: w.clip(""), Kind: kind("deploy/esx"), Steps: []string{"test:plan_panics", "test:set_a"}})
		if err != nil || len(lines) != 2 || !strings.Contains(lines[0].Text, "the step has a bug") {
			t.Errorf("Plan = %v, %v", lines, err)
		}
	})
}

// hostile is what a program that a step runs can print: it fills a reader's clipboard, clears his screen, writes over
// what was said, turns it around, colours a chat, and holds a byte that is no UTF-8 and one that PostgreSQL never
// takes.
const hostile = "a\x1b]52;c;cm0gLXJmIC8=\x07b\u009b2Jc\u202ed\x02e\x0304,12f\rg\x00h M\xfcnchen"

const harmless = "abcdef gh München"

// TestWhatAStepSaysIsStoredClean: a reader of `status` or `log` had his terminal driven by whatever a step printed, and
// on PostgreSQL one letter in Latin-1 made every write of the run's lines fail.
func TestWhatAStepSaysIsStoredClean(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		waited := false
		w.reg.Add(pipeline.Step{Name: "test:hostile", Doc: "speaks to terminals", Plan: func(context.Context, *clipboard.Clipboard) (string, error) { return hostile, nil },
			Do: func(ctx context.Context, _ *clipboard.Clipboard) error {
				pipeline.Log(ctx, hostile)
				pipeline.Progress(ctx, hostile)
				if !waited {
					waited = true
					return pipeline.Wait(300*time.Millisecond, hostile)
				}
				return pipeline.Permanent(errors.New(hostile))
			}})
		w.start()
		plan, err := w.e.Plan(t.Context(), pipeline.Request{Clipboard: w.clip(""), Kind: kind("deploy/esx"), Steps: []string{"test:hostile"}})
		if err != nil || plan[0].Text != harmless {
			t.Errorf("Plan = %+v, %v", plan, err)
		}
		r, err := w.e.Start(t.Context(), pipeline.Request{Clipboard: w.clip(""), Kind: kind("deploy/esx"), Steps: []string{"test:hostile"}, By: hostile})
		if err != nil {
			t.Fatal(err)
		}
		if got := w.wait(r.ID, pipeline.Waiting); got.Why != harmless || got.By != harmless {
			t.Errorf("it waits for %q, by %q", got.Why, got.By)
		}
		if r = w.wait(r.ID, pipeline.Failed); r.Error != harmless {
			t.Errorf("Error = %q", r.Error)
		}
		evs, err := w.e.Events(t.Context(), pipeline.EventFilter{Run: r.ID})
		if err != nil {
			t.Fatal(err)
		}
		said := map[pipeline.EventKind]int{}
		for _, ev := range evs {
			if plain.Line(ev.Text) != ev.Text {
				t.Errorf("the record has %q", ev.Text)
			}
			if ev.Text == harmless {
				said[ev.Kind]++
			}
		}
		for _, k := range []pipeline.EventKind{pipeline.EvLog, pipeline.EvProgress, pipeline.EvWaiting, pipeline.EvFailed} {
			if said[k] == 0 {
				t.Errorf("no %s says %q: %v", k, harmless, evs)
			}
		}
	})
}

// TestASecretIsMaskedOnBothSidesOfCleaning: a program that wants to show a secret puts a character into it which is
// cleaned away later; and a secret may hold such a character itself.
func TestASecretIsMaskedOnBothSidesOfCleaning(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(pipeline.Step{Name: "test:tells", Needs: []string{"token", "tabbed"}, Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			v, err := c.String("tabbed")
			if err != nil {
				return err
			}
			pipeline.Log(ctx, "one hun\u200bter22 two hun\x1b[1mter22 three "+v+".")
			return nil
		}})
		w.start()
		r, err := w.e.Start(t.Context(), pipeline.Request{Clipboard: w.clip("  token: !secret hunter22\n  tabbed: !secret \"se\\tcret99\"\n"), Kind: kind("deploy/esx"), Steps: []string{"test:tells"}, By: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		w.wait(r.ID, pipeline.Ready)
		evs, _ := w.e.Events(t.Context(), pipeline.EventFilter{Run: r.ID, Kinds: []pipeline.EventKind{pipeline.EvLog}})
		if len(evs) != 1 || strings.Count(evs[0].Text, clipboard.Mask) != 3 || strings.Contains(evs[0].Text, "cret99") {
			t.Errorf("the record has %v", evs)
		}
	})
}
