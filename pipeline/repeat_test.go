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

// TestRepeat: a run that is ready does its later stages again, once a second person allows it, and never makes or takes
// down a machine.
func TestRepeat(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var made, named atomic.Int64
		var broken atomic.Bool
		count := func(n *atomic.Int64) func(context.Context, *clipboard.Clipboard) error {
			return func(context.Context, *clipboard.Clipboard) error {
				n.Add(1)
				if broken.Load() {
					return pipeline.Permanent(errors.New("no"))
				}
				return nil
			}
		}
		w.reg.Add(pipeline.Step{Name: "esx:deploy", Do: count(&made)}, pipeline.Step{Name: "dns:update_host", Do: count(&named)},
			pipeline.Step{Name: "ssh:wait", Do: func(context.Context, *clipboard.Clipboard) error { return nil }})
		w.start()
		ctx, alice, bob := t.Context(), pipeline.Who{Name: "alice"}, pipeline.Who{Name: "bob"}
		need := pipeline.NeedApproval{Why: "loki is in production", For: time.Hour}
		r := w.deploy("esx:deploy", "dns:update_host", "ssh:wait")
		w.wait(r.ID, pipeline.Ready)

		for from, want := range map[string]string{"esx:deploy": "it would make the machine again; `redeploy loki`", "": "`retry loki from STEP`", "dns:updat_host": "it has no stage"} {
			var no *pipeline.StateError
			if _, err := w.e.AskRepeat(ctx, r, from, alice, need); !errors.As(err, &no) || !strings.Contains(err.Error(), want) {
				t.Errorf("from %q: %v, want %q", from, err, want)
			}
		}
		if _, err := w.e.Retry(ctx, r.ID, "dns:update_host", "alice"); err == nil {
			t.Error("Retry moves a run that is ready, without a second person")
		}
		for range 2 {
			if a, err := w.e.AskRepeat(ctx, r, "dns:update_host", alice, need); err != nil || a.Step != "dns:update_host" {
				t.Fatalf("AskRepeat = %+v, %v", a, err)
			}
		}
		var no *pipeline.StateError
		if _, err := w.e.AskUndo(ctx, r, 0, alice, need); !errors.As(err, &no) {
			t.Errorf("an undo takes what waits for its own: %v", err)
		}
		var self *pipeline.SelfError
		if _, _, err := w.e.Approve(ctx, r.ID, alice, ""); !errors.As(err, &self) {
			t.Errorf("who asked approves: %v", err)
		}
		if now, err := w.e.Get(ctx, r.ID); err != nil || now.State != pipeline.Ready {
			t.Errorf("it is %s meanwhile, %v", now.State, err)
		}
		if _, _, err := w.e.Approve(ctx, r.ID, bob, ""); err != nil {
			t.Fatal(err)
		}
		for limit := time.Now().Add(10 * time.Second); named.Load() < 2 && time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
		}
		w.wait(r.ID, pipeline.Ready)
		if made.Load() != 1 || named.Load() != 2 {
			t.Errorf("the machine was made %d times, and named %d times", made.Load(), named.Load())
		}

		// Denied: nothing happens.
		if _, err := w.e.AskRepeat(ctx, r, "ssh:wait", alice, need); err != nil {
			t.Fatal(err)
		}
		if _, err := w.e.Deny(ctx, r.ID, bob, ""); err != nil {
			t.Fatal(err)
		}
		if now, err := w.e.Get(ctx, r.ID); err != nil || now.State != pipeline.Ready {
			t.Errorf("it is %s after a no, %v", now.State, err)
		}

		// One that fails leaves a host in production: to undo it takes a second person.
		broken.Store(true)
		if _, err := w.e.Repeat(ctx, r.ID, "dns:update_host", "alice"); err != nil {
			t.Fatal(err)
		}
		failed := w.wait(r.ID, pipeline.Failed)
		if before, err := w.e.StoodBefore(ctx, failed); err != nil || !before {
			t.Errorf("StoodBefore = %v, %v", before, err)
		}

		// A later run replaces it.
		broken.Store(false)
		if _, err := w.e.Cancel(ctx, r.ID, alice); err != nil {
			t.Fatal(err)
		}
		next := w.deploy("dns:update_host")
		w.wait(next.ID, pipeline.Ready)
		if _, err := w.e.Repeat(ctx, r.ID, "dns:update_host", "alice"); !errors.As(err, &no) {
			t.Errorf("a run that was replaced is done again: %v", err)
		}
	})
}

// TestRepeatOfAMember: were a member's failure to take back its whole cluster, it is not done again for one record's
// sake.
func TestRepeatOfAMember(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		y := newYard(w)
		y.differs("dns:update_host", "the A record", "")
		w.start()
		for on, want := range map[string]string{"undo": "redeploy web1", "hold": "retry web1 from dns:update_host"} {
			cl, reqs := members(t, "on_failure: "+on+"\nsteps: [esx:deploy, dns:update_host]\ninstances:\n- {hostname: web1, provider: ESX}\n- {hostname: web2, provider: ESX}\n")
			c, err := w.e.StartCluster(t.Context(), cl, reqs)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range c.Runs {
				w.wait(r.ID, pipeline.Ready)
			}
			l, err := w.e.Look(t.Context(), w.standing("web1"))
			if err != nil || len(l.Differs) != 1 || l.Differs[0].Fix != want {
				t.Errorf("on_failure: %s: %+v, %v", on, l.Differs, err)
			}
			_, err = w.e.AskRepeat(t.Context(), c.Runs[0], "dns:update_host", pipeline.Who{Name: "alice"}, pipeline.NeedApproval{Why: "so", For: time.Hour})
			if refused := err != nil; refused != (on == "undo") {
				t.Errorf("on_failure: %s: AskRepeat = %v", on, err)
			}
			if !w.is(c.Runs[0].ID, pipeline.Ready) {
				t.Error("it moves")
			}
		}
	})
}

func (w *world) is(id int64, s pipeline.State) bool {
	r, err := w.e.Get(w.t.Context(), id)
	return err == nil && r.State == s
}
