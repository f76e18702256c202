package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/pipeline"
)

// The story: somebody with the role run deployed a host with user_data, and nobody with the role deploy could destroy
// it: they were told to leave out what they had not brought.
func TestWhoMayDestroyWhatOthersBrought(t *testing.T) {
	w := must[*lab.World](t)(lab.Start(t.Context(), lab.Options{Block: 107, Port: must[int](t)(freePort())}))
	t.Cleanup(w.Stop)
	dir := t.TempDir()
	a := loadedApp(t, dir, w.Config(filepath.Join(dir, "data"), ""))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	alice, bob := access.Person{Name: "alice", Roles: []string{access.Deploy}}, access.Person{Name: "bob", Roles: []string{access.Deploy, access.Run}}
	do := func(who access.Person, words ...string) (string, error) {
		c := command.Call{Words: words, Person: who}
		if strings.HasSuffix(words[1], ".yaml") {
			b, err := os.ReadFile(words[1])
			if err != nil {
				t.Fatal(err)
			}
			c.File = b
		}
		ans, err := a.table.Do(t.Context(), c)
		return strings.Join(ans.Lines, "\n"), err
	}
	file := filepath.Join(dir, "loki.yaml")
	if err := os.WriteFile(file, []byte(lab.Clipboard("loki")+"  user_data: \"packages: [vim]\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := do(alice, "deploy", file); err == nil || !strings.Contains(err.Error(), "this clipboard brings its own commands (user_data), which needs the role \"run\"; leave out `user_data`") {
		t.Errorf("alice brings commands: %v", err)
	}
	if said, err := do(bob, "deploy", file); err != nil {
		t.Fatal(said, err)
	}
	ready := func(verb string) {
		t.Helper()
		until(t, time.Minute, "loki is ready", func() bool {
			r, err := a.engine.FindHost(t.Context(), "loki")
			return err == nil && r.Kind.Verb == verb && r.State == pipeline.Ready
		})
	}
	ready("deploy")
	if _, err := do(alice, "redeploy", "loki"); err == nil || !strings.Contains(err.Error(), "the clipboard on record of loki brings its own commands (user_data), which needs the role \"run\"; ask somebody with the role `run` to say it") {
		t.Errorf("alice has bob's commands run again: %v", err)
	}
	if said, err := do(alice, "destroy", "loki"); err != nil {
		t.Errorf("alice destroys: %q, %v", said, err)
	}
	ready("destroy")
}
