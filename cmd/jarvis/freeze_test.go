package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestFreeze: in a freeze nothing begins, what was asked before is not approved, and who is excepted may, from the
// reload on.
func TestFreeze(t *testing.T) {
	write := writeIn(t, t.TempDir())
	write("w/toy", "#!/bin/sh\n[ \"$1\" = --steps ] && { echo '[{name: toy:a, resume: again}]'; exit; }\ncat\n", 0o755)
	text := func(except string) string {
		return fmt.Sprintf("data: ./data\nlisten: \"\"\nworkers: {external: {dir: w}}\npipelines: {deploy: {toy: [\"toy:a\"]}}\nfreeze: [{when: %q, because: the fair, except: [%s]}]\n",
			time.Now().UTC().Add(-48*time.Hour).Format("2006-01-02 15:04")+"–"+time.Now().UTC().Add(48*time.Hour).Format("2006-01-02 15:04"), except)
	}
	conf := write("jarvis.yaml", text(""), 0o600)
	clip := write("loki.yaml", "instance: {hostname: loki, provider: toy}\n", 0o600)
	serveInProcess(t, conf)
	say := func(want int, args ...string) string {
		t.Helper()
		code, out, errs := jarvis(t, "", append([]string{"--config", conf}, args...)...)
		if code != want {
			t.Fatalf("%q: %d %s%s", args, code, out, errs)
		}
		return out + errs
	}
	if out := say(exitDenied, "deploy", clip); !strings.Contains(out, "there is a freeze until ") || !strings.Contains(out, "(the fair): nothing begins; what is under way goes on") {
		t.Errorf("deploy: %s", out)
	}
	say(0, "plan", clip)
	if err := os.WriteFile(conf, []byte(text("admin")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := say(0, "reload"); !strings.Contains(out, "freeze") {
		t.Errorf("reload: %s", out)
	}
	if out := say(0, "deploy", clip); !strings.Contains(out, "which is not for you") {
		t.Errorf("deploy by an admin: %s", out)
	}
}
