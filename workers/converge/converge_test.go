package converge_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jarvisops/jarvis/clipboard"
	lib "github.com/jarvisops/jarvis/converge"
	worker "github.com/jarvisops/jarvis/workers/converge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestApply builds such a program, and runs it as a step on a real host.
func TestApply(t *testing.T) {
	targets, hosts := start(t, 1)
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "motd"), "./testdata/program").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	for name, text := range map[string]string{"silent": "#!/bin/sh\necho broken >&2\n", "chatty": "#!/bin/sh\necho hello\n",
		"endless": "#!/bin/sh\necho hello\nsetsid sleep 300 &\nsleep 300\n", "lost": "#!/no/such/interpreter\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w, err := worker.New(worker.Config{Dir: dir, Shell: func(ctx context.Context, _ *clipboard.Clipboard) (lib.Host, func(), error) {
		return targets[0].Dial(ctx)
	}})
	if err != nil {
		t.Fatal(err)
	}
	step := w.Steps()[0]
	apply := func(more string) (*clipboard.Clipboard, error) {
		c, err := clipboard.Parse([]byte("instance:\n  hostname: web1\n  fqdn: web1.example.org\n  provider: esx\n" + more))
		if err != nil {
			t.Fatal(err)
		}
		return c, step.Do(t.Context(), c)
	}
	c, err := apply("  converge: motd\n")
	if err != nil || c.Get("converged") != "1 done by motd" || read(hosts[0], "etc/motd") != "this is web1.example.org\n" {
		t.Errorf("%v %q %q", err, c.Get("converged"), read(hosts[0], "etc/motd"))
	}
	if c, err := apply("  converge: motd\n"); err != nil || c.Get("converged") != "0 done by motd" {
		t.Errorf("again: %v %q", err, c.Get("converged"))
	}
	// What is no text goes to the program as it is, but for what has a secret in it.
	if c, err := apply("  converge: motd\n  ports: {web: [80, 443]}\n  keep:\n    - a\n    - !secret hunter22\n"); err != nil || c.Get("converged") != "1 done by motd" || read(hosts[0], "etc/ports") != "[80 443] <nil>\n" {
		t.Errorf("%v %q %q", err, c.Get("converged"), read(hosts[0], "etc/ports"))
	}
	// It has the facts of the host, and its own.
	if c, err := apply("  converge: motd\n  groups: [facts]\n"); err != nil || c.Get("converged") != "1 done by motd" || read(hosts[0], "etc/facts") != "web1.example.org debian site of web1\n" {
		t.Errorf("%v %q %q", err, c.Get("converged"), read(hosts[0], "etc/facts"))
	}
	for more, want := range map[string]string{
		"  converge: motd\n  groups: [bad]\n": "run bad: no",
		"  converge: nothing\n":               "there is no program nothing in ",
		"  converge: ../motd\n":               "which is no program's name",
		"  converge: silent\n":                "silent: the program ended without a report: broken",
		"  converge: chatty\n":                "which is no message: it must print nothing itself",
		"  converge: endless\n":               "which is no message: it must print nothing itself",
		"  converge: lost\n":                  "its interpreter, named in its first line, is not there",
		"":                                    "converge",
	} {
		if _, err := apply(more); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", more, err, want)
		}
	}
}

// TestNothingOfAProgramLivesOn: a cancel killed one process group; what had called setsid lived on, and no trap ran.
func TestNothingOfAProgramLivesOn(t *testing.T) {
	dir := t.TempDir()
	text := "#!/bin/bash\ncd " + dir + "\ntrap 'echo ended > trap; exit 1' TERM\nsetsid sleep 300 &\necho \"$! $$\" > pids\nwhile :; do sleep 0.05; done\n"
	if err := os.WriteFile(filepath.Join(dir, "slow"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := worker.New(worker.Config{Dir: dir, Shell: func(context.Context, *clipboard.Clipboard) (lib.Host, func(), error) {
		return nil, func() {}, nil // it asks for nothing
	}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := clipboard.Parse([]byte("instance:\n  hostname: web1\n  provider: esx\n  converge: slow\n"))
	if err != nil {
		t.Fatal(err)
	}
	person := errors.New("cancelled by a person")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Steps()[0].Do(ctx, c) }()
	var pids []string
	for deadline := time.Now().Add(20 * time.Second); len(pids) != 2; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never began")
		}
		b, _ := os.ReadFile(filepath.Join(dir, "pids"))
		pids = strings.Fields(string(b))
	}
	cancel(person)
	if err := <-done; !errors.Is(err, person) {
		t.Errorf("it gave %v", err)
	}
	for _, pid := range pids {
		if _, err := os.Stat("/proc/" + pid); err == nil {
			t.Errorf("process %s lives on", pid)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "trap")); err != nil {
		t.Error("its trap never ran")
	}
}
