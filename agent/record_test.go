package agent_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/jarvisops/jarvis/agent"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// TestTheRecordOfWhatMayGoOn: what an agent may still do of one run concerns all runs of that host, and no other's.
func TestTheRecordOfWhatMayGoOn(t *testing.T) {
	ctx := t.Context()
	db, err := store.Open(ctx, store.Options{Dir: filepath.Join(t.TempDir(), "data")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	reg := pipeline.NewRegistry()
	reg.Add(pipeline.Step{Name: "esx:make", Doc: "makes", Do: func(context.Context, *clipboard.Clipboard) error { return nil }})
	e, err := pipeline.New(ctx, pipeline.Config{DB: db, Registry: reg, Key: newKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(host string) int64 {
		c, err := clipboard.Parse([]byte("instance: {hostname: " + host + ", provider: esx}\n"))
		if err != nil {
			t.Fatal(err)
		}
		r, err := e.Start(ctx, pipeline.Request{Clipboard: c, Kind: pipeline.Kind{Verb: "deploy", Provider: "esx"}, Steps: []string{"esx:make"}, By: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		return r.ID
	}
	l := agent.Record{DB: db}
	if err := l.Open(ctx); err != nil {
		t.Fatal(err)
	}
	loose := func(run int64) (out []agent.Loose) {
		t.Helper()
		out, err := l.Loose(ctx, run)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	first := ask("loki")
	one := agent.Owner{ID: "ONE", Name: "box1", Call: "0 esx:make do 0"}
	must(l.Own(ctx, first, one))
	if list := loose(first); len(list) != 0 {
		t.Errorf("what is wanted is loose: %+v", list)
	}
	must(db.Write(ctx, func(tx store.Tx) error { // by whom that came when its agent was out of sight
		_, err := tx.Exec(ctx, "UPDATE runs SET state = 'cancelled', live = 0 WHERE id = ?", first)
		return err
	}))
	second, other := ask("loki"), ask("thor")
	if list := loose(second); len(list) != 1 || list[0].Run != first || list[0].ID != "ONE" {
		t.Errorf("of the host's new run is loose: %+v", list)
	}
	if list := loose(other); len(list) != 0 {
		t.Errorf("of another host is loose: %+v", list)
	}
	must(l.LetGo(ctx, first, one))
	if list := loose(second); len(list) != 1 || list[0].Call != one.Call {
		t.Errorf("of the host's new run is loose: %+v", list)
	}
	says, err := l.GoesOn(ctx, db, first)
	if err != nil || len(says) != 1 || says[0] != "esx:make may go on at the agent box1, which is told to stop as soon as it can be reached" {
		t.Errorf("GoesOn = %q, %v", says, err)
	}
	must(l.Asked(ctx, first, "ONE"))
	if list := loose(second); !list[0].Asked {
		t.Error("nobody was asked")
	}
	must(l.Stopped(ctx, list1(loose(second))))
	owns, held, err := l.Holds(ctx, "ONE")
	if err != nil || len(loose(second)) != 0 || len(owns) != 0 || len(held) != 0 {
		t.Errorf("after it has stopped: %+v, %+v, %v", owns, held, err)
	}
	// Another agent takes it over from one that does not answer.
	must(l.Own(ctx, other, one))
	must(l.Own(ctx, other, agent.Owner{ID: "TWO", Name: "box2", Call: "0 esx:make do 1"}))
	if list := loose(other); len(list) != 1 || list[0].ID != "ONE" {
		t.Errorf("after it went to another: %+v", list)
	}
	must(l.Own(ctx, other, agent.Owner{ID: "ONE", Name: "box1", Call: "0 esx:make do 2"}))
	if list := loose(other); len(list) != 1 || list[0].ID != "TWO" {
		t.Errorf("after it went back: %+v", list)
	}
}

func list1(l []agent.Loose) agent.Loose { return l[0] }
