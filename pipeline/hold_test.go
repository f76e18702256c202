package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// TestAHeldHostIsNobodys: whoever holds it; what is under way ends, and nothing begins, goes on or is taken back.
func TestAHeldHostIsNobodys(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		fails := true
		w.reg.Add(pipeline.Step{Name: "toy:a", Doc: "a", Resume: pipeline.Again, Do: func(context.Context, *clipboard.Clipboard) error {
			if fails {
				return pipeline.Permanent(errors.New("no"))
			}
			return nil
		}, Undo: func(context.Context, *clipboard.Clipboard) error { return nil }})
		e := w.start()
		ctx, alice := t.Context(), pipeline.Who{Name: "alice"}
		ask := func(need *pipeline.NeedApproval) (pipeline.Run, error) {
			return e.Start(ctx, pipeline.Request{Clipboard: w.clip(""), Kind: pipeline.Kind{Verb: "deploy", Provider: "esx"}, Steps: []string{"toy:a"}, By: "bob", Approval: need})
		}
		refused := func(what string, err error) {
			t.Helper()
			var held *pipeline.HeldError
			if !errors.As(err, &held) || held.By != "alice" || held.Why != "the disk" {
				t.Errorf("%s: %v", what, err)
			}
		}
		r, err := ask(nil)
		if err != nil {
			t.Fatal(err)
		}
		w.wait(r.ID, pipeline.Failed)
		if _, err := e.Hold(ctx, r.FQDN, "alice", "the disk"); err != nil {
			t.Fatal(err)
		}
		_, err = e.Hold(ctx, r.FQDN, "bob", "mine")
		refused("hold", err)
		_, err = e.Retry(ctx, r.ID, "", "bob")
		refused("retry", err)
		_, err = e.Skip(ctx, r.ID, "bob")
		refused("skip", err)
		_, err = e.Undo(ctx, r.ID, "bob")
		refused("undo", err)
		if _, err := e.Cancel(ctx, r.ID, alice); err != nil { // leaves all as it is
			t.Errorf("cancel: %v", err)
		}
		_, err = ask(nil)
		refused("deploy", err)

		// It outlives the process.
		w.stop()
		e = w.start()
		_, err = ask(nil)
		refused("deploy after a restart", err)
		if h, err := e.Release(ctx, r.FQDN); err != nil || h.By != "alice" {
			t.Errorf("release: %+v, %v", h, err)
		}
		if _, err := e.Release(ctx, r.FQDN); !errors.Is(err, pipeline.ErrNotFound) {
			t.Errorf("release again: %v", err)
		}
		r, err = ask(&pipeline.NeedApproval{Why: "so", For: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Hold(ctx, r.FQDN, "alice", "the disk"); err != nil {
			t.Fatal(err)
		}
		_, _, err = e.Approve(ctx, r.ID, alice, "")
		refused("approve", err)
		if list, err := e.Holds(ctx); err != nil || len(list) != 1 || list[0].Host != r.FQDN {
			t.Errorf("Holds = %+v, %v", list, err)
		}
		fails = false
		if _, err := e.Release(ctx, r.FQDN); err != nil {
			t.Fatal(err)
		}
		if _, _, err = e.Approve(ctx, r.ID, alice, ""); err != nil {
			t.Errorf("approve: %v", err)
		}
		w.wait(r.ID, pipeline.Ready)
	})
}

// TestAHeldMemberStays: a host that is held is not taken back because another of its cluster fails, nor by the next
// start.
func TestAHeldMemberStays(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Name("esx", "ESX")
		goOn := make(chan struct{})
		w.reg.Add(pipeline.Step{Name: "toy:a", Doc: "a", Resume: pipeline.Again, Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			if in, err := c.Instance(); err != nil || in.Hostname == "web1" {
				return err
			}
			<-goOn
			return pipeline.Permanent(errors.New("no"))
		}, Undo: func(context.Context, *clipboard.Clipboard) error { return nil }})
		e := w.start()
		cl, reqs := members(t, "on_failure: undo\nsteps: [\"toy:a\"]\ninstances:\n- {hostname: web1, provider: ESX}\n- {hostname: web2, provider: ESX}\n")
		c, err := e.StartCluster(t.Context(), cl, reqs)
		if err != nil {
			t.Fatal(err)
		}
		w.wait(c.Runs[0].ID, pipeline.Ready)
		if _, err := e.Hold(t.Context(), c.Runs[0].FQDN, "alice", "the disk"); err != nil {
			t.Fatal(err)
		}
		close(goOn)
		w.wait(c.Runs[1].ID, pipeline.Undone)
		until(t, "its log says that it stays", func() bool {
			evs, err := e.Events(t.Context(), pipeline.EventFilter{Run: c.Runs[0].ID, Kinds: []pipeline.EventKind{pipeline.EvStays}})
			return err == nil && len(evs) == 1
		})
		if _, err := e.Release(t.Context(), c.Runs[0].FQDN); err != nil {
			t.Fatal(err)
		}
		w.stop()
		e = w.start()
		time.Sleep(500 * time.Millisecond) // it looks for clusters that are to be undone when it starts
		if !w.is(c.Runs[0].ID, pipeline.Ready) {
			t.Error("the host that was held is taken back by the next start")
		}
		if _, err := e.UndoCluster(t.Context(), c.ID); err != nil { // a person still can
			t.Fatal(err)
		}
		w.wait(c.Runs[0].ID, pipeline.Undone)
	})
}
