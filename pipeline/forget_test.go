package pipeline_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

func TestForgetTakesAHostOffTheRecordAlone(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		fail := pipeline.Step{Name: "test:fail", Do: func(context.Context, *clipboard.Clipboard) error { return errors.New("no") }}
		w.reg.Add(set("a", "1x"), fail)
		w.start()
		w.wait(w.deploy("test:set_a").ID, pipeline.Ready)
		thor, err := clipboard.Parse([]byte("instance: {hostname: thor, provider: ESX}\n"))
		if err != nil {
			t.Fatal(err)
		}
		other, err := w.e.Start(t.Context(), pipeline.Request{Clipboard: thor, Kind: kind("deploy/esx"), Steps: []string{"test:set_a"}, By: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		w.wait(other.ID, pipeline.Ready)
		held := w.wait(w.deploy("test:fail").ID, pipeline.Failed)
		var busy *pipeline.BusyError
		if _, err := w.e.Forget(t.Context(), "loki"); !errors.As(err, &busy) || busy.Run.ID != held.ID {
			t.Errorf("held by a run: %v", err)
		}
		if _, err := w.e.Cancel(t.Context(), held.ID, pipeline.Who{Name: "alice"}); err != nil {
			t.Fatal(err)
		}
		w.wait(held.ID, pipeline.Cancelled)
		w.spoil("INSERT INTO machines (provider, account, id, fqdn, run, marked) VALUES ('esx', '', 'vm-1', 'loki', 1, 1)")
		var kept *pipeline.ForgetError
		if _, err := w.e.Forget(t.Context(), "loki"); !errors.As(err, &kept) || kept.Error() != "loki has a machine on record: vm-1 at esx" {
			t.Errorf("with a machine: %v", err)
		}
		if r, err := w.e.Get(t.Context(), 1); err != nil || w.kinds(r.ID) == "" {
			t.Errorf("what was refused took something: %v", err)
		}
		w.spoil("DELETE FROM machines")
		if f, err := w.e.Forget(t.Context(), "loki"); err != nil || f.Runs != 2 || f.Events < 6 {
			t.Errorf("Forget = %+v, %v", f, err)
		}
		if _, err := w.e.Forget(t.Context(), "loki"); !errors.Is(err, pipeline.ErrNotFound) {
			t.Errorf("again: %v", err)
		}
		if got := w.there(1, held.ID, other.ID); got != "2:true" {
			t.Errorf("there are %s", got)
		}
		if r := w.wait(w.deploy("test:set_a").ID, pipeline.Ready); r.ID != 4 {
			t.Errorf("the next run is %d", r.ID)
		}
	})
}
