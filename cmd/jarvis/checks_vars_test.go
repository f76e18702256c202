package main

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/internal/contract"
)

// TestVariablesReachTheHost: the value of a host, of a host_task and of a task, in a command, in a plugin's arguments
// and under sudo; what stands in a value is read by no shell.
func TestVariablesReachTheHost(t *testing.T) {
	s := newCheckSite(t, 2, 142, `
hosts:
  - {name: server, template: true, vars: {text: "5% of $(reboot) 'all'"}}
  - {name: web1, use: server, vars: {warn: 30}}
  - {name: web2, use: server}
tasks:
  - {name: base, template: true, schedule: "@every 12h", vars: {warn: 10, crit: 20}}
  - {name: line, use: base, command: 'echo "OK $JARVIS_VAR_warn/$JARVIS_VAR_crit [$JARVIS_VAR_text]"'}
  - {name: root, use: line, sudo: true}
  - {name: args, use: base, plugin: check_flag, args: ["$JARVIS_VAR_warn;${JARVIS_VAR_text}"]}
  - {name: lacks, use: base, command: 'echo "OK $JARVIS_VAR_nobody"'}
host_tasks:
  - {tasks: [line, root, args], hosts: [web1, web2], vars: {crit: 40}}
  - {tasks: [lacks], hosts: ["web2"], vars: {nobody: somebody}}
`)
	s.inside(t, 1, "echo red > /flag")
	var got struct{ Data []checks.View }
	if err := contract.Unmarshal([]byte(s.cli("check", "run", "*", "on", "*", "--json")), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"line on web1":  "OK 30/40 [5% of $(reboot) 'all']",
		"line on web2":  "OK 10/40 [5% of $(reboot) 'all']",
		"root on web1":  "OK 30/40 [5% of $(reboot) 'all']",
		"root on web2":  "OK 10/40 [5% of $(reboot) 'all']",
		"args on web1":  "FLAG 30;5% of $(reboot) 'all' - red",
		"args on web2":  "FLAG OK",
		"lacks on web2": "OK somebody",
	}
	for _, v := range got.Data {
		k := v.Task + " on " + v.Host
		if w, ok := want[k]; ok && v.Line != w {
			t.Errorf("%s says %q, want %q", k, v.Line, w)
		}
		delete(want, k)
	}
	if len(want) > 0 {
		t.Errorf("these did not run: %v", want)
	}
	code, out, errs := jarvis(t, "", "--config", s.conf, "check", "define", "host_task", "more", "{tasks: [lacks], hosts: [web1]}")
	if say := "nobody sets nobody for lacks on web1"; code == 0 || !strings.Contains(errs, say) {
		t.Errorf("exit %d: %s%s; want %s", code, out, errs, say)
	}
}
