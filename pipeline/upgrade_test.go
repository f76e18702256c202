package pipeline_test

import (
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// unzip gives what a file of testdata/v1 holds: databases made by the program as it was before the record had values
// (kind, ending, waiting reason) and before hosts had a standing.
func unzip(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "v1", name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// toyKinds are the steps that the old runs have.
func toyKinds(w *world) {
	noop := func(context.Context, *clipboard.Clipboard) error { return nil }
	w.reg.Add(
		pipeline.Step{Name: "keys:create", Gives: []string{"root_password"}, Do: noop},
		pipeline.Step{Name: "esx:deploy", Gives: []string{"ipaddress", "hostkeys", "provider_id"}, Do: func(_ context.Context, c *clipboard.Clipboard) error {
			return c.Set("ipaddress", "203.0.113.9")
		}, Undo: noop},
		pipeline.Step{Name: "esx:destroy", Do: noop},
		pipeline.Step{Name: "ssh:wait", Do: noop},
		pipeline.Step{Name: "rack:label", Resume: pipeline.Ask, Do: noop},
		pipeline.Step{Name: "dns:update_host", Do: noop, Undo: noop})
}

// A database of the program before is carried over: each run and each host is what it was, and goes on.
func TestAnOlderRecordIsCarriedOver(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		key, err := clipboard.ReadKey(filepath.Join("testdata", "v1", "age.key"))
		if err != nil {
			t.Fatal(err)
		}
		w.key = key
		if w.opts.URL == "" {
			err = os.WriteFile(filepath.Join(w.opts.Dir, "jarvis.db"), unzip(t, "jarvis.db.gz"), 0o600)
		} else {
			psql := exec.Command("psql", "-q", "-v", "ON_ERROR_STOP=1", w.opts.URL)
			psql.Stdin = strings.NewReader(string(unzip(t, "postgres.sql.gz")))
			if out, perr := psql.CombinedOutput(); perr != nil {
				t.Fatalf("psql: %v\n%s", perr, out)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		toyKinds(w)
		e := w.start()
		for _, c := range []struct {
			host                string
			verb, variant       string
			ending              pipeline.Ending
			addr                string
			proposed, proposals bool
		}{
			{host: "loki.prod.example.org", verb: "deploy", ending: pipeline.EndReady, addr: "203.0.113.5"},
			{host: "loki.stage.example.org", verb: "deploy", variant: "network", ending: pipeline.EndReady, addr: "203.0.113.5"},
			{host: "gone.example.org", verb: "destroy", ending: pipeline.EndDestroyed},
			{host: "broken.example.org", verb: "deploy", ending: pipeline.EndFailed},
			{host: "denied.example.org", verb: "deploy", ending: pipeline.EndReady, addr: "203.0.113.5", proposals: true},
			{host: "late.example.org", verb: "redeploy", ending: pipeline.EndExpired},
			{host: "asked.example.org", verb: "destroy", proposed: true},
			{host: "stopped.example.org", verb: "redeploy", ending: pipeline.EndCancelled, addr: "203.0.113.5"},
			{host: "undone.example.org", verb: "deploy", ending: pipeline.EndUndone},
			{host: "stuck.example.org", verb: "deploy", ending: pipeline.EndUndonePart, addr: "203.0.113.5"},
			{host: "own.example.org", verb: "own", ending: pipeline.EndReady, addr: "203.0.113.5"},
			{host: "web2.example.org", verb: "deploy", ending: pipeline.EndFailed},
		} {
			h, err := e.FindHost(t.Context(), c.host)
			if err != nil {
				t.Errorf("%s: %v", c.host, err)
				continue
			}
			if h.Verb != c.verb || h.Provider != "esx" || h.Variant != c.variant || h.Ending != c.ending || h.Reach.Addr != c.addr || (h.State == pipeline.Proposed) != c.proposed || (h.Newest != h.ID) != c.proposals {
				t.Errorf("%s stands by run %d %+v %s %q, reached at %q, newest %d", c.host, h.ID, h.Kind, h.State, h.Ending, h.Reach.Addr, h.Newest)
			}
			if never := c.ending == pipeline.EndExpired || c.proposed; h.HasBegun() == never {
				t.Errorf("%s: began %v", c.host, h.Began)
			}
		}
		if list, err := e.Hosts(t.Context(), "", 100); err != nil || len(list) != 17 {
			t.Errorf("%d hosts, %v; a repository of tasks is none", len(list), err)
		}
		find := func(host string) pipeline.Run {
			r, err := e.Newest(t.Context(), host)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		// They go on.
		ask := w.wait(find("asks.example.org").ID, pipeline.Asking)
		if _, err := e.Retry(t.Context(), ask.ID, "", "bob"); err != nil {
			t.Error(err)
		}
		w.wait(ask.ID, pipeline.Ready)
		w.wait(find("waits.example.org").ID, pipeline.Ready)
		if _, _, err := e.Approve(t.Context(), find("asked.example.org").ID, pipeline.Who{Name: "bob"}, ""); err == nil {
			t.Error("what expired an hour after it was asked is approved")
		}
		if _, err := e.Retry(t.Context(), find("web2.example.org").ID, "", "bob"); err != nil {
			t.Error(err)
		}
		for _, h := range []string{"web1", "web2", "web3"} {
			w.wait(find(h+".example.org").ID, pipeline.Ready)
		}
		stuck := find("stuck.example.org")
		if _, err := e.Retry(t.Context(), stuck.ID, "", "bob"); err == nil {
			t.Error("a run that is half taken back goes on")
		}
		if _, err := e.Undo(t.Context(), stuck.ID, "bob"); err != nil {
			t.Error(err)
		}
		w.wait(stuck.ID, pipeline.Undone)
		if h, err := e.FindHost(t.Context(), "stuck"); err != nil || h.Reach.Addr != "" {
			t.Errorf("after its undo, stuck is reached at %+v, %v", h.Reach, err)
		}
		if text, err := e.Clipboard(t.Context(), find("loki.prod.example.org").ID); err != nil || !strings.Contains(text, "root_password: !secret •••") || strings.Contains(text, "hunter22") {
			t.Errorf("%v\n%s", err, text)
		}
		// What never began stays so.
		for _, h := range []string{"late.example.org", "denied.example.org"} {
			if _, err := e.Retry(t.Context(), find(h).ID, "", "bob"); err == nil {
				t.Errorf("%s: what was never approved begins", h)
			}
		}
	})
}
