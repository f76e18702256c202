package tasklog

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
)

// TestAFailedTaskIsEditedAndPutBack: the run that said so was ready, the failed one was never run again, nothing said
// what holds the repository, and `task retry` was refused: another run had come after it.
func TestAFailedTaskIsEditedAndPutBack(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	l, err := New([]Config{{Name: "infra", Repo: w.bare, Every: "100ms"}}, dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	e, err := withEngine(ctx, l, dir)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = e.Run(ctx) })
	running.Go(func() { _ = l.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait(); _ = l.world.DB.Close() })
	r, done := l.repos[0], filepath.Join(dir, "done")
	until := func(what string, ok func(Status) bool) {
		t.Helper()
		var s Status
		for end := time.Now().Add(real.Patience(30 * time.Second)); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if s, err = r.Status(ctx, 10); err == nil && ok(s) {
				return
			}
		}
		t.Fatalf("%s: %+v, %v", what, s, err)
	}
	is := func(state pipeline.State, check bool) func(Status) bool {
		return func(s Status) bool { return s.Run != nil && s.Run.State == state && IsCheck(*s.Run) == check }
	}
	one := func(shell string) string { return "- task: {name: a, shell: " + shell + "}\n" }
	failing := "\"test -e " + filepath.Join(dir, "ok") + " && echo x >> " + done + "\""
	w.list(one(failing))
	until("it does not fail", is(pipeline.Failed, false))
	w.list(one("\"true\""))
	until("nothing says that it was edited", is(pipeline.Failed, true))
	w.list(one(failing) + "- task: {name: b, shell: \"true\"}\n")
	until("what holds the others is not said", func(s Status) bool {
		return strings.Contains(s.Elsewhere, "run 1 of it was given up") && strings.Contains(s.Elsewhere, "task retry")
	})
	if err := os.WriteFile(filepath.Join(dir, "ok"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if run, err := r.Retry(ctx, "bob", ""); err != nil {
		t.Fatalf("%+v: %v", run, err)
	}
	until("it is not run again", func(s Status) bool { return len(s.Pending) == 0 && len(s.Started) > 1 && s.Elsewhere == "" })
	if b, err := os.ReadFile(done); string(b) != "x\n" {
		t.Errorf("%q, %v", b, err)
	}
}
