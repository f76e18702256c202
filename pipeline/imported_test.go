package pipeline_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

const importedKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHmsXB8UmyDRG5BtT69cTBkmSITs9hRTGAwgwpCA5frO"

func TestImportPutsHostsOnRecordAndMakesNothing(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(set("a", "1x"))
		w.start()
		w.wait(w.deploy("test:set_a").ID, pipeline.Ready) // loki
		root := pipeline.Who{Name: "root"}
		say := func(try bool, list ...pipeline.Import) string {
			t.Helper()
			done, err := w.e.Import(t.Context(), list, root, try)
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for _, d := range done {
				out = append(out, strings.TrimSuffix(fmt.Sprintf("%s %s %s %d: %s", d.FQDN, d.What, d.Addr, d.Keys, d.Why), ": "))
			}
			return strings.Join(out, "\n")
		}
		web := pipeline.Import{Host: "web1", FQDN: "web1.example.org", Reach: pipeline.Reach{Addr: "192.0.2.7", Login: clipboard.Login{User: "admin"}}, Groups: []string{"web"}}
		loki := pipeline.Import{Host: "loki", FQDN: "loki", Reach: pipeline.Reach{Addr: "192.0.2.9"}, Groups: []string{"web"}}
		want := "web1.example.org new 192.0.2.7 0\nloki kept  0: run 1 deployed it"
		if got := say(true, web, loki); got != want {
			t.Errorf("dry run: %s", got)
		}
		if _, err := w.e.FindHost(t.Context(), "web1"); !errors.Is(err, pipeline.ErrNotFound) {
			t.Errorf("after a dry run: %v", err)
		}
		if got := say(false, web, loki); got != want {
			t.Errorf("got %s", got)
		}
		if got := say(false, web); got != "web1.example.org same 192.0.2.7 0" {
			t.Errorf("again: %s", got)
		}
		// Keys come from another file, under another name.
		keys := pipeline.Import{Host: "www", FQDN: "www.example.org", Also: []string{"www.example.org", "192.0.2.7"}, Reach: pipeline.Reach{Keys: []string{importedKey}}}
		if got := say(false, keys); got != "web1.example.org changed 192.0.2.7 1: its host keys are known now" {
			t.Errorf("keys: %s", got)
		}
		keys.Reach.Keys = []string{importedKey + "X"}
		if got := say(false, keys); !strings.HasPrefix(got, "web1.example.org same 192.0.2.7 1: the file has other host keys") {
			t.Errorf("other keys: %s", got)
		}
		h, err := w.e.FindHost(t.Context(), "web1")
		if err != nil || !h.IsImport() || h.State != pipeline.Ready || h.Reach.Addr != "192.0.2.7" || h.Reach.Login.User != "admin" || len(h.Reach.Keys) != 1 {
			t.Fatalf("%+v %v", h, err)
		}
		if list, err := w.e.Members(t.Context(), "web"); err != nil || len(list) != 2 {
			t.Errorf("@web is %v, %v", list, err)
		}
		for what, do := range map[string]func() error{
			"retry": func() error { _, err := w.e.Retry(t.Context(), h.ID, "", "alice"); return err },
			"skip":  func() error { _, err := w.e.Skip(t.Context(), h.ID, "alice"); return err },
			"undo":  func() error { _, err := w.e.Undo(t.Context(), h.ID, "alice"); return err },
		} {
			var state *pipeline.StateError
			if err := do(); !errors.As(err, &state) || !strings.Contains(err.Error(), "web1 was imported and never deployed here") {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := w.e.InProduction(t.Context(), "web1.example.org"); !errors.Is(err, pipeline.ErrNotFound) {
			t.Errorf("in production: %v", err)
		}
		var not *pipeline.NotReadyError
		if _, err := w.e.Look(t.Context(), h); !errors.As(err, &not) {
			t.Errorf("look: %v", err)
		}
		if _, err := w.e.Forget(t.Context(), "web1.example.org"); err != nil {
			t.Fatal(err)
		}
		if list, err := w.e.Members(t.Context(), "web"); err != nil || len(list) != 1 || list[0].Host != "loki" {
			t.Errorf("@web after forget is %v, %v", list, err)
		}
	})
}

func TestImportIsWholeOrNotAtAll(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.start()
		good := pipeline.Import{Host: "a", FQDN: "a"}
		bad := pipeline.Import{Host: "b", FQDN: "b", Reach: pipeline.Reach{Addr: strings.Repeat("x", 70<<10)}} // no clipboard holds it
		if _, err := w.e.Import(t.Context(), []pipeline.Import{good, bad}, pipeline.Who{Name: "root"}, false); err == nil {
			t.Fatal("it was taken")
		}
		if _, err := w.e.FindHost(t.Context(), "a"); !errors.Is(err, pipeline.ErrNotFound) {
			t.Errorf("half of it is on record: %v", err)
		}
	})
}
