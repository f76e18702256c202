package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDeliveredResults is what a backup script does: it says by the API and by the command line how it went.
func TestDeliveredResults(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "jarvis.yaml")
	if err := os.WriteFile(conf, []byte(`
data: `+dir+`/data
listen: 127.0.0.1:0
people:
  - {name: alice, roles: [deploy]}
  - {name: victor, roles: [view]}
checks:
  hosts: [{name: printer, address: 127.0.0.1, alive: ping}, {name: gone, address: 127.0.0.1, alive: "tcp:1", parents: [printer]}]
  tasks: [{name: backup, passive: true, fresh: 25h, attempts: 3}]
  host_tasks: [{tasks: [backup], hosts: [printer]}]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, log := serveInProcess(t, conf)
	m := regexp.MustCompile(`the API is served" address=(\S+)`).FindStringSubmatch(log.String())
	if m == nil {
		t.Fatal(log)
	}
	s := &apiSite{conf: conf, url: "http://" + m[1], log: log}
	alice, victor := s.newToken(t, "alice"), s.newToken(t, "victor")
	const path = "/v1/checks/printer/backup"
	for _, x := range []struct {
		token, path, body, key string
		code                   int
		want                   string
	}{
		{victor, path, `{"status": "ok"}`, "", 403, ""},
		{alice, path, `{"output": "saved"}`, "", 400, "status"},
		{alice, path, `{"status": "so-so"}`, "", 400, "is no status"},
		{alice, path, `{"status": "2", "output": "the tape\nis full", "perfdata": "free=0;;1:"}`, "night 1", 200, `"attempt":1`},
		{alice, path, `{"status": "2", "output": "the tape\nis full", "perfdata": "free=0;;1:"}`, "night 1", 200, `"attempt":1`},
		{alice, path, `{"status": "1"}`, "night 1", 400, "came with another result before"},
		{alice, path, `{"status": "critical", "output": "the tape is full|free=0"}`, "night 2", 200, `"attempt":2`},
		{alice, path, `{"status": 2, "output": "the tape is full"}`, "", 200, `"attempt":3`}, // a number, as exit codes are
		{alice, path, `{"status": 2.5}`, "", 400, `\"2.5\" is no status`},
		{alice, path, `{"status": "critical", "at": "3h"}`, "", 400, "is more than 1h ago"},
		{alice, "/v1/checks/odin/backup", `{"status": "ok"}`, "", 404, "declared for other hosts"},
	} {
		var header []string
		if x.key != "" {
			header = []string{"Idempotency-Key", x.key}
		}
		if code, _, text := s.call(t, "POST", x.path+"/result", x.token, x.body, header...); code != x.code || !strings.Contains(text, x.want) {
			t.Errorf("%s %s: %d %s, want %d with %s", x.body, x.key, code, text, x.code, x.want)
		}
	}
	if code, _, text := s.call(t, "GET", "/v1/checks-results?task=backup", alice, ""); code != 200 || strings.Count(text, `"task":"backup"`) != 3 || !strings.Contains(text, `"perfdata":"free=0;;1:"`) || !strings.Contains(text, `"long":"is full"`) {
		t.Error(code, text)
	}
	for host, want := range map[string]string{"printer": `OK host on printer, for \S+: it answers pings in \S+`, "gone": `CRITICAL host on gone.*: 127.0.0.1:1: connection refused`} { // no SSH is asked, and no key need be known
		if code, out, errs := jarvis(t, "", "--config", conf, "check", "run", "host", "on", host); code != 0 || !regexp.MustCompile(want).MatchString(out) {
			t.Error(code, out, errs)
		}
	}
	if code, out, errs := jarvis(t, "", "--config", conf, "config", "check"); code != 0 {
		t.Error(code, out, errs)
	}
	if code, out, errs := jarvis(t, "", "--config", conf, "check", "result", "backup", "on", "printer", "0", "saved"); code != 0 || !strings.Contains(out, ": saved") {
		t.Error(code, out, errs)
	}
}
