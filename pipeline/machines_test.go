package pipeline_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// TestWhoseMachineItIs: the record knows each machine by its id from the moment a step gives it until one takes it
// away, and believes no clipboard that a person wrote.
func TestWhoseMachineItIs(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		next := 0
		var seen string
		w.reg.Add(pipeline.Step{Name: "esx:deploy", Gives: []string{"provider_id", "provider_account"}, Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			if err := pipeline.Keep(ctx, c); err != nil { // before it has an id: what is there now is a person's
				return err
			}
			next++
			if err := c.Set("provider_account", "eu"); err != nil {
				return err
			}
			return c.Set("provider_id", fmt.Sprintf("vm-%d", next))
		}, Undo: func(_ context.Context, c *clipboard.Clipboard) error { return c.Delete("provider_id") }},
			pipeline.Step{Name: "esx:destroy", Do: func(_ context.Context, c *clipboard.Clipboard) error { return c.Delete("provider_id") }},
			pipeline.Step{Name: "esx:shutdown", Do: func(ctx context.Context, c *clipboard.Clipboard) error {
				list, known, err := pipeline.MachinesOf(ctx)
				if err != nil || !known {
					return fmt.Errorf("known %v: %w", known, err)
				}
				var out []string
				for _, m := range list {
					out = append(out, fmt.Sprintf("%s/%s/%s of %s, marked %v", m.Provider, m.Account, m.ID, m.FQDN, m.Marked))
				}
				for _, account := range []string{"eu", "us", ""} {
					h, _, err := pipeline.HolderOf(ctx, "esx", account, "vm-1")
					if err != nil {
						return err
					}
					out = append(out, account+" "+h.FQDN)
				}
				seen = strings.Join(out, "; ")
				return nil
			}})
		w.start()
		sees := func(host, id, want string) {
			t.Helper()
			text := "instance:\n  hostname: " + host + "\n  provider: ESX\n"
			if id != "" {
				text += "  provider_id: " + id + "\n"
			}
			w.clear(w.run(text, "esx:shutdown"))
			if seen != want {
				t.Errorf("%s sees %q, want %q", host, seen, want)
			}
		}
		const nobody = "eu ; us ;  "
		sees("loki", "", nobody)
		loki := w.run("instance:\n  hostname: loki\n  provider: ESX\n", "esx:deploy")
		w.clear(loki)
		const has = "esx/eu/vm-1 of loki, marked true; eu loki; us ;  loki"
		sees("loki", "", has)
		sees("thor", "vm-1", "eu loki; us ;  loki")
		// thor's clipboard names loki's machine while a step keeps it, and gives one of its own.
		w.clear(w.run("instance:\n  hostname: thor\n  provider: ESX\n  provider_id: vm-1\n", "esx:deploy"))
		sees("loki", "", has)
		sees("thor", "", "esx/eu/vm-2 of thor, marked true; eu loki; us ;  loki")
		// What was on record before the table was.
		w.spoil("DELETE FROM machines")
		w.spoil("UPDATE hosts SET machines = NULL")
		sees("loki", "", "esx/eu/vm-1 of loki, marked false; eu loki; us ;  loki")
		gone := w.run("instance:\n  hostname: odin\n  provider: ESX\n", "esx:deploy")
		w.clear(gone)
		if _, err := w.e.Undo(t.Context(), gone, "alice"); err != nil {
			t.Fatal(err)
		}
		w.wait(gone, pipeline.Undone)
		sees("odin", "", "eu loki; us ;  loki")
		w.clear(w.run("instance:\n  hostname: loki\n  provider: ESX\n", "esx:destroy"))
		sees("loki", "", nobody)
	})
}

// run starts steps for a clipboard.
func (w *world) run(text string, steps ...string) int64 {
	w.t.Helper()
	c, err := clipboard.Parse([]byte(text))
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := w.e.Start(w.t.Context(), pipeline.Request{Clipboard: c, Kind: kind("deploy/esx"), Steps: steps, By: "alice"})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.ID
}

func (w *world) clear(id int64) { w.t.Helper(); w.wait(id, pipeline.Ready) }
