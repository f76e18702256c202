package checks

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

// TestTheDatabaseIsLocked has somebody hold the database: checks run once, wait with their results, and go on when it
// is free.
func TestTheDatabaseIsLocked(t *testing.T) {
	g := newGround(t, `
tasks: [{name: disk, command: x, schedule: "@every 1s"}]
host_tasks: [{tasks: [disk], hosts: ["web[1-5]"]}]
`)
	g.start()
	defer func() { g.stop() }()
	until := func(what string, f func() bool) {
		t.Helper()
		for range 600 {
			if f() {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Fatalf("%s: %+v", what, g.Stats(t.Context()))
	}
	results := func() int {
		list, err := g.Results(t.Context(), ResultFilter{Limit: maxResults})
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	until("it runs", func() bool { return results() >= 10 })
	other, err := sql.Open("sqlite", "file:"+filepath.Join(g.dir, "jarvis.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	other.SetMaxOpenConns(1)
	if _, err := other.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	until("all wait", func() bool { return g.Stats(t.Context()).Unwritten == 5 })
	g.forgetRuns()
	until("it is said", func() bool {
		return strings.Contains(g.Stats(t.Context()).Trouble, "the database takes no results since")
	})
	if n := len(g.times(model.Key{Task: "disk", Host: "web1"})); n != 0 {
		t.Errorf("a check ran %d times while its last result waited", n)
	}
	before := results()
	if _, err := other.Exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	until("it goes on", func() bool { return results() >= before+10 && g.Stats(t.Context()).Trouble == "" })
	// Nothing is lost, and nothing is there twice.
	list, err := g.Results(t.Context(), ResultFilter{Limit: maxResults})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range list {
		k := r.Key.String() + r.At.String()
		if seen[k] {
			t.Errorf("%s is on record twice", k)
		}
		seen[k] = true
	}
}
