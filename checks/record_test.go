package checks

import (
	"context"
	"reflect"
	"testing"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
)

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

// What happened to one host reads that host, and leaves all that is known of the others. In the end what is known is
// what reading everything gives.
func TestAnEventReadsItsHostAlone(t *testing.T) {
	ctx := t.Context()
	db, err := store.Open(ctx, store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	key, err := clipboard.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	e, err := pipeline.New(ctx, pipeline.Config{DB: db, Registry: pipeline.NewRegistry(), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(model.Config{Defs: model.Defs{
		Tasks:     []model.Task{{Name: "a", Command: "x"}, {Name: "b", Command: "x"}},
		HostTasks: []model.HostTask{{Tasks: []string{"a"}, Hosts: []string{"*"}}, {Tasks: []string{"b"}, Hosts: []string{"*", "!*.none"}, Attempts: 1}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Open(ctx, World{DB: db, Engine: e, Target: func(_ context.Context, w string) (remote.Target, error) { return remote.Target{Addr: w}, nil }}); err != nil {
		t.Fatal(err)
	}
	var after int64
	imports := func(in pipeline.Import) {
		t.Helper()
		if _, err := e.Import(ctx, []pipeline.Import{in}, pipeline.Who{Name: "root"}, false); err != nil {
			t.Fatal(err)
		}
		news, err := e.Events(ctx, pipeline.EventFilter{After: after, Kinds: recordChanges})
		if err != nil || len(news) == 0 {
			t.Fatalf("%v, %v", news, err)
		}
		after = news[len(news)-1].ID
		if !m.takes(ctx, news) {
			t.Error("all is to be read again")
		}
		whole, err := m.readRecord(ctx, m.cat.Defs)
		if err != nil || !reflect.DeepEqual(whole, m.onRecord) {
			t.Errorf("it knows %v, and on record is %v (%v)", m.onRecord, whole, err)
		}
	}
	web1 := pipeline.Import{Host: "web1", FQDN: "web1.example.org", Reach: pipeline.Reach{Addr: "192.0.2.1"}, Groups: []string{"web"}}
	imports(web1)
	imports(pipeline.Import{Host: "web2", FQDN: "web2.example.org", Reach: pipeline.Reach{Addr: "192.0.2.2"}, Groups: []string{"web", "all"}})
	known := func() (out []bool) {
		for _, name := range []string{"web1", "web2"} {
			h := m.roster.host(name)
			if h == nil || m.roster.pair(model.Key{Task: "b", Host: name}) == nil {
				t.Fatalf("%s has no checks", name)
			}
			out = append(out, h.target != nil)
			h.target = &remote.Target{Addr: name}
		}
		return out
	}
	known()
	web1.Reach.Keys = []string{hostKey}
	imports(web1)
	if got := known(); got[0] || !got[1] {
		t.Errorf("after web1 has another key the ways to web1 and web2 are known: %v", got)
	}
	web1.Groups = append(web1.Groups, "front")
	imports(web1)
	if got := known(); !got[0] || !got[1] {
		t.Errorf("after web1 is in another group the ways to web1 and web2 are known: %v", got)
	}
	if got := m.rec.Clusters["front"]; len(got) != 1 || got[0] != "web1" {
		t.Errorf("@front is %v", got)
	}
}
