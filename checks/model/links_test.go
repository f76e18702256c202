package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

func readDefs(t *testing.T, text string) *Defs {
	t.Helper()
	var d Defs
	if err := readYAML([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

func TestMistakesOfHostsAndDependencies(t *testing.T) {
	for _, x := range []struct{ text, want string }{
		{"hosts: [{name: a, alive: ping}, {name: b, alive: tcp:443, parents: [a, gw]}, {name: c, alive: none}, {name: d, alive: ssh}]", ""},
		{"hosts: [{name: a, alive: icmp}]", `host a: alive is "icmp"; it is ssh, ping, tcp:PORT as in tcp:443, or none`},
		{"hosts: [{name: a, alive: 'tcp:0'}]", `alive is "tcp:0"`},
		{"hosts: [{name: a, parents: ['b c']}]", `host a: parents: "b c" is no name of a host`},
		{"hosts: [{name: a, parents: [a]}]", "host a: it is its own parent: a → a"},
		{"hosts: [{name: x, parents: [a]}, {name: a, parents: [b, x1]}, {name: b, parents: [c]}, {name: c, parents: [a]}]", "host a: it is its own parent: a → b → c → a"},
		{"tasks: [{name: a, command: x, depends: [b, {task: b, host: gw, skip: true}]}, {name: b, command: x}]", ""},
		{"tasks: [{name: a, command: x, depends: [c]}]", "task a: depends: there is no task c"},
		{"tasks: [{name: a, command: x, depends: [a]}]", "task a: depends: it cannot depend on itself"},
		{"tasks: [{name: a, command: x, depends: [host]}]", "a check depends on its own host anyway"},
		{"tasks: [{name: a, command: x, depends: [{task: host, host: gw}, {task: a, host: gw}]}]", ""}, // the gateway's own does not depend on itself
		{"tasks: [{name: a, command: x, depends: [b]}, {name: b, command: x, depends: [{task: a, host: gw}]}]", "task a: it depends on itself: a on gw → b on gw → a on gw"},
		{"tasks: [{name: a, command: x, depends: [b]}, {name: b, command: x, depends: [c]}, {name: c, command: x, depends: [a]}]", "task a: it depends on itself: a → b → c → a"},
		{"tasks: [{name: a, command: x, passive: true}]", "task a: it is passive: Jarvis runs nothing, so it has no command"},
		{"tasks: [{name: a, command: x, fresh: 1h}]", "task a: fresh is for a passive task"},
		{"tasks: [{name: a, passive: true, fresh: 1s}]", "task a: fresh is 1s; it is 10s at least"},
		{"tasks: [{name: a, passive: true}]\nhost_tasks: [{tasks: [a], hosts: [x], schedule: '@hourly'}]", "the task a is passive: it has no schedule"},
		{"tasks: [{name: a, passive: true}]\nactions: [{name: b, task: a}]", "action b: the task a is passive: there is nothing to run"},
	} {
		err := readDefs(t, x.text).Check("")
		if got := ""; err != nil {
			got = err.Error()
			if x.want == "" || !strings.Contains(got, x.want) {
				t.Errorf("%s\n  is %q, want %q", x.text, got, x.want)
			}
		} else if x.want != "" {
			t.Errorf("%s\n  is right, want %q", x.text, x.want)
		}
	}
}

func TestAKeyOfADependencyThatNobodyKnows(t *testing.T) {
	var d Defs
	err := readYAML([]byte("tasks: [{name: a, command: x, depends: [{task: b, hosts: gw}]}]"), &d)
	if err == nil || !strings.Contains(err.Error(), `there is no key "hosts" here`) {
		t.Error(err)
	}
}

func TestWhatDependsOnWhat(t *testing.T) {
	c, err := NewCatalog(readDefs(t, `
hosts:
  - {name: gw, alive: ping}
  - {name: sw, alive: tcp:23, parents: [gw]}
  - {name: web1, parents: [sw, lost]}
tasks:
  - {name: db, command: x}
  - {name: web, command: x, depends: [db, {task: db, host: web1, skip: true}, {task: host, host: gw}, {task: db, host: nowhere}]}
host_tasks: [{tasks: ['*'], hosts: [web1]}, {tasks: [web], hosts: [web2]}]
`), Record{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(c.Asked)); !slices.Equal(got, []string{"gw", "sw"}) {
		t.Errorf("asked: %v", got)
	}
	var got []string
	for k, list := range c.Links {
		for _, l := range list {
			got = append(got, fmt.Sprint(k, " ← ", l.Key, " ", l.Skip))
		}
	}
	slices.Sort(got)
	if want := []string{"web on web1 ← db on web1 true", "web on web1 ← host on gw false", "web on web2 ← db on web1 true", "web on web2 ← host on gw false"}; !slices.Equal(got, want) {
		t.Errorf("links: %q", got)
	}
	if want := []string{"host web1: its parent lost is not checked, so nobody knows whether it is up; give it a check, or alive: ping", "task web depends on db on nowhere, which is not declared"}; !slices.Equal(c.Unclear, want) {
		t.Errorf("unclear: %q", c.Unclear)
	}
}
