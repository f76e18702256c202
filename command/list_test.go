package command

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// stage is a table over an engine whose only step is f.
func stage(t *testing.T, f func(context.Context, *clipboard.Clipboard) error) (*Table, *pipeline.Engine) {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	key, err := clipboard.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	reg := pipeline.NewRegistry()
	reg.Add(pipeline.Step{Name: "keys:create", Do: f})
	e, err := pipeline.New(t.Context(), pipeline.Config{DB: db, Registry: reg, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = db.Close()
	})
	return NewTable(&Env{Name: "jarvis", Engine: e, Pipelines: map[string]map[string][]string{"deploy": {"esx": {"keys:create"}}}, Approvals: Approvals{Off: true}, Repos: []string{"ops/web", "dev/*"}}), e
}

func deployOf(t *testing.T, table *Table, doc string, roles ...string) (Answer, error) {
	t.Helper()
	return table.Do(t.Context(), Call{Words: []string{"deploy", "clipboard"}, File: []byte(doc), Person: access.Person{Name: "alice", Roles: roles}, Local: true, Free: true})
}

// TestListsSayThatThereIsMore: what is cut off is named, and how to go on reads every host exactly once.
func TestListsSayThatThereIsMore(t *testing.T) {
	table, e := stage(t, func(context.Context, *clipboard.Clipboard) error { return nil })
	const n = maxListed + 5
	for i := range n {
		if _, err := deployOf(t, table, fmt.Sprintf("instance: {hostname: web%d, provider: ESX}\n", i), access.Deploy); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	words := []string{"hosts"}
	for range 4 {
		a, err := table.Do(t.Context(), Call{Words: words, Person: access.Person{Name: "alice", Roles: []string{access.View}}, Free: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range a.Data.([]pipeline.Standing) {
			if seen[h.FQDN] {
				t.Errorf("%s twice", h.FQDN)
			}
			seen[h.FQDN] = true
		}
		_, next, more := strings.Cut(a.Lines[len(a.Lines)-1], "there are more: `")
		if !more {
			break
		}
		words = strings.Fields(strings.TrimSuffix(next, "`"))
	}
	if len(seen) != n {
		t.Errorf("%d of %d hosts", len(seen), n)
	}
	for {
		live, err := e.Live(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(live) == 0 {
			return
		}
	}
}

// TestTheLogShowsTheEnd: a run that says a lot before it fails still shows why it failed.
func TestTheLogShowsTheEnd(t *testing.T) {
	table, e := stage(t, func(ctx context.Context, _ *clipboard.Clipboard) error {
		for i := range maxLog + 10 {
			pipeline.Log(ctx, fmt.Sprintf("line %d", i))
		}
		return pipeline.Permanentf("the disk is gone")
	})
	a, err := deployOf(t, table, "instance: {hostname: loki, provider: ESX}\n", access.Deploy)
	if err != nil {
		t.Fatal(err)
	}
	for r := *a.Run; r.State != pipeline.Failed; {
		if r, err = e.Get(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
	}
	a, err = table.Do(t.Context(), Call{Words: []string{"log", "loki"}, Person: access.Person{Name: "alice", Roles: []string{access.View}}, Free: true})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(a.Lines[len(a.Lines)-1], "the disk is gone") || !strings.HasPrefix(a.Lines[0], "these are the last 5000 lines of run 1; `log loki STAGE`") {
		t.Errorf("%q … %q", a.Lines[0], a.Lines[len(a.Lines)-1])
	}
}

// TestWhoeverDeploysNamesGrantedRepositories: a host that gets a deploy key reads the repository, and so does its
// owner.
func TestWhoeverDeploysNamesGrantedRepositories(t *testing.T) {
	table, _ := stage(t, func(context.Context, *clipboard.Clipboard) error { return nil })
	for i, c := range []struct {
		repos string
		roles []string
		ok    bool
	}{
		{"[ops/web]", []string{access.Deploy}, true},
		{"[OPS/Web, dev/x]", []string{access.Deploy}, true},
		{"[ops/web, ops/secrets]", []string{access.Deploy}, false},
		{"ops/secrets", []string{access.Deploy}, false},
		{"{a: ops/secrets}", []string{access.Deploy}, false},
		{"!secret ops/secrets", []string{access.Deploy}, false},
		{"[dev/../ops/secrets]", []string{access.Deploy}, true}, // the step refuses what is not owner/name
		{"[dev]", []string{access.Deploy}, false},
		{"[ops/secrets]", []string{access.Deploy, access.Run}, true},
	} {
		_, err := deployOf(t, table, fmt.Sprintf("instance:\n  hostname: h%d\n  provider: ESX\n  repos: %s\n", i, c.repos), c.roles...)
		if (err == nil) != c.ok {
			t.Errorf("%s with %v: %v", c.repos, c.roles, err)
		}
	}
}

// TestNoNameMeansTwoThings: `undo 1` of a host "1" took back run 1, of another host.
func TestNoNameMeansTwoThings(t *testing.T) {
	table, _ := stage(t, func(context.Context, *clipboard.Clipboard) error { return nil })
	cluster := func(name string, hosts ...string) string {
		doc := "cluster: " + name + "\ninstances:\n"
		for _, h := range hosts {
			doc += "- {hostname: " + h + ", provider: ESX}\n"
		}
		return doc
	}
	if _, err := deployOf(t, table, "instance: {hostname: db, provider: ESX}\n", access.Deploy); err != nil {
		t.Fatal(err)
	}
	for doc, want := range map[string]string{
		"instance: {hostname: \"1\", provider: ESX}\n": "number of a run",
		cluster("db", "a1", "a2"):                      "a host on record is named db",
		cluster("\"7\"", "a1", "a2"):                   "number of a run",
		cluster("web", "web", "a2"):                    "are both called web",
		cluster("web", "w1", "\"2\""):                  "number of a run",
	} {
		if _, err := deployOf(t, table, doc, access.Deploy); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s%v", doc, err)
		}
	}
}
