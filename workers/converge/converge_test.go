package converge_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
	for name, text := range map[string]string{"silent": "#!/bin/sh\necho broken >&2\n", "chatty": "#!/bin/sh\necho hello\n"} {
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
	for more, want := range map[string]string{
		"  converge: motd\n  groups: [bad]\n": "run bad: no",
		"  converge: nothing\n":               "there is no program nothing in ",
		"  converge: ../motd\n":               "which is no program's name",
		"  converge: silent\n":                "silent: the program ended without a report: broken",
		"  converge: chatty\n":                "which is no message: it must print nothing itself",
		"":                                    "converge",
	} {
		if _, err := apply(more); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", more, err, want)
		}
	}
}
