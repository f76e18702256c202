package config

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNamesThatNothingHas: what stands for nothing is no mistake, for it may come, and is told with its line and the
// nearest name.
func TestNamesThatNothingHas(t *testing.T) {
	dir := writeAll(t, map[string]string{
		"jarvis.yaml": `data: ./data
people: [{name: alice, irc: alice, roles: [view]}]
chat:
  - irc: {server: "a.example.org:6667", channels: ["#ops"]}
checks:
  dir: checks.d
  contacts:
    - {name: ops, channel: "#opps"}
    - {name: room, channel: "#ops"}
    - name: phone
      person: alcie
  actions:
    - name: tell
      notify: [ops]
      tasks: [laod, "di*", "x*"]
      hosts: ["@wb", lokki, "web[1-2]", "!thor"]
`,
		"checks.d/a.yaml": `hosts:
  - {name: web1, groups: [web]}
  - {name: web2, groups: [web], parents: [nope, loki]}
tasks:
  - {name: load, command: x}
  - name: disk
    command: x
    depends:
      - {task: load, host: webb1}
periods: [{name: nights, when: ["22:00-06:00"]}]
nodes: [{name: one}]
host_tasks:
  - {tasks: [load, disk], hosts: ["@web", loki], node: two}
  - {tasks: [load], hosts: ["@wbe"]}
downtimes:
  - {name: dump, tasks: [dsik], hosts: ["db*", "*"], period: nights}
`,
	})
	c, err := Verify(filepath.Join(dir, "jarvis.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range c.Doubts() {
		got = append(got, strings.ReplaceAll(l, dir+"/", ""))
	}
	for _, want := range []string{
		`jarvis.yaml, line 8: checks.contacts[0].channel: contact ops: there is no channel #opps in chat; did you mean #ops?`,
		`jarvis.yaml, line 11: checks.contacts[2].person: contact phone: there is no alcie in people; did you mean alice?`,
		`jarvis.yaml, line 15: checks.actions[0].tasks[0]: action tell: there is no task laod; did you mean load?`,
		`jarvis.yaml, line 15: checks.actions[0].tasks[2]: action tell: no task is called as x*`,
		`jarvis.yaml, line 16: checks.actions[0].hosts[0]: action tell: no host here is in a group wb`,
		`jarvis.yaml, line 16: checks.actions[0].hosts[1]: action tell: no host here is called lokki; did you mean loki?`,
		`jarvis.yaml, line 16: checks.actions[0].hosts[3]: action tell: no host here is called thor`,
		`checks.d/a.yaml, line 3: hosts[1].parents[0]: host web2: no host here is called nope`,
		`checks.d/a.yaml, line 9: tasks[1].depends[0].host: task disk: no host here is called webb1; did you mean web1?`,
		`checks.d/a.yaml, line 13: host_tasks[0].node: host_tasks (load, disk on @web, loki): there is no two in nodes`,
		`checks.d/a.yaml, line 14: host_tasks[1].hosts[0]: host_tasks (load on @wbe): no host here is in a group wbe; did you mean @web?`,
		`checks.d/a.yaml, line 16: downtimes[0].tasks[0]: downtime dump: there is no task dsik; did you mean disk?`,
		`checks.d/a.yaml, line 16: downtimes[0].hosts[0]: downtime dump: no host here is called as db*`,
	} {
		i := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, want) })
		if i < 0 {
			t.Errorf("not told: %s", want)
			continue
		}
		got = slices.Delete(got, i, i+1)
	}
	for _, l := range got {
		t.Errorf("not expected: %s", l)
	}
}

// TestChecksOfWhichNobodyIsTold: without chat, and without an action that reaches anybody in another way, one line says
// it.
func TestChecksOfWhichNobodyIsTold(t *testing.T) {
	const check, mail = "checks:\n  tasks: [{name: disk, command: x}]\n  host_tasks: [{tasks: [disk], hosts: [loki]}]\n", "mail: {server: \"smtp.example.org:587\", from: jarvis@example.org}\n"
	const chat = "chat: [{irc: {server: \"a.example.org:6667\", channels: [\"#ops\"]}}]\n"
	for text, untold := range map[string]bool{
		"name: jarvis\n": false, check: true, chat + check: false,
		mail + check + "  contacts: [{name: a, mail: a@example.org}]\n":                                         true,
		mail + check + "  contacts: [{name: a, mail: a@example.org}]\n  actions: [{name: tell, notify: [a]}]\n": false,
		mail + check + "  contacts: [{name: a, channel: \"#ops\"}]\n  actions: [{name: tell, notify: [a]}]\n":   true,
		mail + check + "  actions: [{name: tell, on: [problem], webhook: \"https://hooks.example.org/x\"}]\n":   false,
		mail + check + "  actions: [{name: graphs, on: [result], graphite: \"graphite.example.org:2003\"}]\n":   true,
	} {
		c, err := Verify(filepath.Join(writeAll(t, map[string]string{"jarvis.yaml": text}), "jarvis.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if said := strings.Contains(strings.Join(c.Doubts(), "\n"), "nobody is told of a problem"); said != untold || (c.Untold() != "") != untold {
			t.Errorf("%s: %q", text, c.Doubts())
		}
	}
}
