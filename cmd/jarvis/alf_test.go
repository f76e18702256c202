package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestAlfsWishes runs the command of each row of the wish list in docs/howto/checks-moving.md, against a server with a
// real host.
func TestAlfsWishes(t *testing.T) {
	text := string(must[[]byte](t)(os.ReadFile("../../docs/howto/checks-moving.md")))
	_, wishes, ok := strings.Cut(text, "### What it wished for\n")
	rows := regexp.MustCompile("(?m)^\\|.*\\| `jarvis ([^`]+)` \\|$").FindAllStringSubmatch(wishes, -1)
	if !ok || len(rows) < 15 {
		t.Fatalf("the wish list has %d rows with a command", len(rows))
	}
	s := newCheckSite(t, 1, 198, `
tasks:
  - {name: load, command: "echo 'OK - load | load1=0.5;5;10'", schedule: "@every 5s"}
host_tasks:
  - {tasks: [load], hosts: [web1]}
actions:
  - {name: tell, notify: [ops]}
contacts:
  - {name: ops, channel: "#ops"}
`)
	s.cli("check", "run", "load", "on", "web1")
	for _, row := range rows {
		t.Run(row[1], func(t *testing.T) {
			code, out, errs := jarvis(t, "", append([]string{"--config", s.conf}, strings.Fields(row[1])...)...)
			if code != 0 || strings.TrimSpace(out) == "" {
				t.Errorf("exit %d: %s%s", code, out, errs)
			}
			t.Log(out)
		})
	}
}
