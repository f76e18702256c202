package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// writeAll writes files below a folder of its own, and gives that.
func writeAll(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestMistakesInFilesOfChecks: each is told with its own file and line, not with the line of jarvis.yaml that names the
// folder, and of two in one line both.
func TestMistakesInFilesOfChecks(t *testing.T) {
	dir := writeAll(t, map[string]string{
		"jarvis.yaml":     "data: ./data\nchecks:\n  dir: checks.d\n  tasks:\n    - {name: own, command: x, attempts: -1}\n",
		"checks.d/a.yaml": "# first\ntasks:\n  - {name: disk, comand: x, atempts: 3}\n  - name: load\n    command: x\n    retry: soon\n",
		"checks.d/b.yaml": "tasks:\n  - name: swap\n    command: x\n    attempts: -1\n" +
			"actions:\n  - {name: tell, on: [oops], status: [bad], notify: [nobody]}\n" +
			"contacts:\n  - name: phone\n    command: [/nowhere/sms]\n  - {name: mail, mail: a@example.org, period: never}\n" +
			"host_tasks:\n  - tasks: [swapp, nothing]\n    hosts: ['a b', loki]\n" +
			"downtimes:\n  - {name: night, tasks: ['['], period: nights}\n" +
			"hosts:\n  - {name: web1, alive: perhaps, parents: ['a b']}\n",
		"checks.d/c.yaml": "tasks:\n  - [1\n",
	})
	_, err := Verify(filepath.Join(dir, "jarvis.yaml"))
	var got Errors
	if !errors.As(err, &got) {
		t.Fatalf("Verify = %v", err)
	}
	var said []string
	for _, e := range got {
		rel, _ := filepath.Rel(dir, e.File)
		said = append(said, fmt.Sprintf("%s:%d: %s", rel, e.Line, e.Msg))
	}
	wants := []string{
		`jarvis.yaml:5: checks.tasks[0].attempts is -1; it must not be negative`,
		`checks.d/a.yaml:3: there is no key "tasks[0].comand" here; did you mean "command"?`,
		`checks.d/a.yaml:3: there is no key "tasks[0].atempts" here; did you mean "attempts"?`,
		`checks.d/a.yaml:6: tasks[1].retry must be a duration`,
		`checks.d/b.yaml:4: tasks[0].attempts is -1; it must not be negative`,
		`checks.d/b.yaml:6: actions[0]: action tell: on is "oops"; there are problem, change, recovery, flapping, steady, stays, result; status is "bad"; there are warning, critical and unknown; there is no contact nobody`,
		`checks.d/b.yaml:8: contacts[0]: contact phone has a command that is not there`,
		`checks.d/b.yaml:10: contacts[1]: contact mail: there is no period never`,
		`checks.d/b.yaml:10: contacts[1]: contact mail is told by mail, and mail.server is not set`,
		`checks.d/b.yaml:12: host_tasks[0]: host_tasks (swapp, nothing on a b, loki): there is no task swapp; there is no task nothing; "a b" is no name of a host`,
		`checks.d/b.yaml:15: downtimes[0]: downtime night: there is no period nights; "[" is no pattern`,
		`checks.d/b.yaml:17: hosts[0]: host web1: alive is "perhaps"`,
		`checks.d/c.yaml:`,
	}
	for i, s := range said {
		if at := slices.IndexFunc(wants, func(w string) bool { return strings.HasPrefix(s, w) }); at >= 0 {
			wants = slices.Delete(wants, at, at+1)
		} else {
			t.Errorf("not expected: %s", said[i])
		}
	}
	for _, w := range wants {
		t.Errorf("not told: %s", w)
	}
	if !slices.IsSortedFunc(said, func(a, b string) int {
		return strings.Compare(order(a), order(b))
	}) {
		t.Errorf("not in order:\n%s", strings.Join(said, "\n"))
	}
}

// order sorts what is said: jarvis.yaml first, then file by file, by line.
func order(s string) string {
	file, rest, _ := strings.Cut(s, ":")
	line, _, _ := strings.Cut(rest, ":")
	if file == "jarvis.yaml" {
		file = ""
	}
	return fmt.Sprintf("%s %6s", file, line)
}
