package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestConvergeExample runs examples/converge as a newcomer does: it looks, is told no, does it, and finds it done.
func TestConvergeExample(t *testing.T) {
	r := newRow(t, 2, 97)
	bin := filepath.Join(t.TempDir(), "converge")
	if out, err := exec.Command("go", "build", "-o", bin, "../../examples/converge").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(stdin string, args ...string) (string, bool) {
		cmd := exec.Command(bin, args...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		return string(out), err == nil
	}
	if out, ok := run("", "-check", "web1", "web2"); !ok || !strings.Contains(out, `"missing":[{"desc":"create the user alice","resource":"user alice","have":"missing","want":"there"}`) || strings.Contains(r.read(1, "etc/passwd"), "alice") {
		t.Errorf("-check: %s", out)
	}
	for _, said := range []string{"", "\n", "nay\n", "never y\n"} { // the end, Enter, anything but yes
		if out, ok := run(said, "web1", "web2"); !ok || !strings.Contains(out, "Do this?") || strings.Contains(r.read(1, "etc/passwd"), "alice") {
			t.Errorf("%q: %s", said, out)
		}
	}
	if out, ok := run("n\n", "web1", "web2"); !ok || !strings.Contains(out, "web2: create the user bob\n") || !strings.Contains(out, "+This is web1, Debian GNU/Linux 12 (bookworm).\nDo") && !strings.Contains(out, "+This is web2, Debian GNU/Linux 12 (bookworm).\nDo") || strings.Contains(r.read(1, "etc/passwd"), "alice") {
		t.Errorf("no: %s", out)
	}
	if out, ok := run("y\n", "-limit", "web2", "web1", "web2"); !ok || strings.Contains(r.read(1, "etc/passwd"), "alice") || !strings.Contains(r.read(2, "etc/passwd"), "alice") || r.read(2, "etc/motd") != "This is web2, Debian GNU/Linux 12 (bookworm).\n" {
		t.Errorf("-limit: %s", out)
	}
	if out, ok := run("", "-yes", "web1", "web2"); !ok || !strings.Contains(r.read(1, "etc/passwd"), "alice") || strings.Contains(out, "web2: create") {
		t.Errorf("-yes: %s", out)
	}
	if out, ok := run("", "web1", "web2"); !ok || strings.Contains(out, "Do this?") || strings.Count(out, `"stable":true,"exchanges":1`) != 2 {
		t.Errorf("again: %s", out)
	}
	if out, ok := run("", "-facts", "web1", "web2"); !ok || strings.Count(out, `"os":{"id":"debian"`) != 2 || !strings.Contains(out, `"hostname":"web2"`) {
		t.Errorf("-facts: %s", out)
	}
	if out, ok := run("", "-yes", "web1", "root@127.97.0.99"); ok || !strings.Contains(out, "root@127.97.0.99") || !strings.Contains(out, `"error":"unreachable: connection refused"`) {
		t.Errorf("one that is not there: %s", out)
	}
}
