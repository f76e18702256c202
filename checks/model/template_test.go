package model

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func defs(t *testing.T, text string) *Defs {
	t.Helper()
	var d Defs
	if err := readYAML([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

func TestAFileOfCommentsDeclaresNothing(t *testing.T) {
	if d, err := ReadDefs([]byte("# tasks:\n\n  # - {name: a}\n")); err != nil || len(d.Tasks) > 0 {
		t.Error(d, err)
	}
}

const shared = `
hosts:
  - {name: server, template: true, groups: [linux], vars: {warn: 10%, load: 5}}
  - {name: web1, use: server}
  - {name: db1, use: server, groups: [db], vars: {warn: 5%}}
tasks:
  - {name: base, template: true, schedule: "@every 5m", retry: 1m, attempts: 4, env: {LANG: C, TZ: UTC}, vars: {crit: 2%}}
  - {name: slow, use: base, template: true, schedule: "@every 1h", env: {TZ: CET}}
  - {name: disk, use: slow, command: 'check_disk -w "$JARVIS_VAR_warn" -c ${JARVIS_VAR_crit} -p ${JARVIS_VAR_path:-/}'}
  - {name: load, use: base, timeout: 1m, command: uptime}
host_tasks:
  - {name: all, template: true, hosts: ["@linux", "@db"], attempts: 7, vars: {crit: 3%}}
  - {use: all, tasks: [disk]}
  - {use: all, tasks: [load], hosts: [web1], attempts: 1}
`

func TestTemplatesAreTaken(t *testing.T) {
	d := defs(t, shared)
	if err := d.Check(""); err != nil {
		t.Fatal(err)
	}
	c, err := NewCatalog(d, Record{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Plans) != 3 || len(c.Hosts) != 2 {
		t.Fatalf("there are %d checks on %d hosts", len(c.Plans), len(c.Hosts))
	}
	p := c.Plans[Key{"disk", "db1"}]
	want := Task{Name: "disk", Use: "slow", Command: p.Def.Command, Schedule: "@every 1h", Retry: time.Minute, Attempts: 4, Env: map[string]string{"LANG": "C", "TZ": "CET"}, Vars: map[string]string{"crit": "2%"}}
	if diff := cmp.Diff(want, *p.Def); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"warn": "5%", "crit": "3%", "load": "5"}, p.Vars); diff != "" {
		t.Error(diff)
	}
	if p.Attempts != 7 || c.Plans[Key{"load", "web1"}].Attempts != 1 || c.Plans[Key{"load", "web1"}].Vars["warn"] != "10%" {
		t.Errorf("%+v", c.Plans)
	}
	if len(c.Unclear) > 0 {
		t.Error(c.Unclear)
	}
}

func TestWhatIsWrongWithTemplatesAndVariables(t *testing.T) {
	for name, c := range map[string]struct{ defs, want string }{
		"no such template": {`tasks: [{name: a, use: b, command: w}]`, "task a: it uses b, and no template has that name"},
		"a loop":           {`tasks: [{name: a, use: b, command: w}, {name: b, use: c, template: true}, {name: c, use: a, template: true}]`, "task c: it uses itself: a uses b uses c uses a; take one use away"},
		"itself":           {`tasks: [{name: a, use: a, command: w}]`, "task a: it uses itself: a uses a; take one use away"},
		"a template is run": {"tasks: [{name: a, template: true, command: w}]\nhost_tasks: [{tasks: [a], hosts: [h]}]",
			"host_tasks (a on h): the task a is a template, which is not run; name one that uses it"},
		"a template is run by an action": {"tasks: [{name: a, template: true, command: w}]\nactions: [{name: mend, task: a}]",
			"action mend: the task a is a template, which is not run; name one that uses it"},
		"a command beside a plugin that is taken": {`tasks: [{name: a, template: true, plugin: p, args: [x]}, {name: b, use: a, command: w}]`, "task a: it has a plugin, and checks.plugins names no folder"},
		"no name of a variable":                   {`tasks: [{name: a, command: w, vars: {"a-b": x}}]`, `task a: vars: "a-b" is no name of a variable; it is of letters, digits and underscores`},
		"nobody sets it": {"tasks: [{name: a, command: 'w $JARVIS_VAR_warn $JARVIS_VAR_crit'}]\nhost_tasks: [{tasks: [a], hosts: [web1], vars: {crit: 1}}]",
			"host_tasks (a on web1): nobody sets warn for a on web1; write it into vars of the host, of the host_task, or of the task"},
		"nobody sets it for one of a group": {"hosts: [{name: x, groups: [g], vars: {warn: 1}}, {name: y, groups: [g]}]\ntasks: [{name: a, plugin: p, args: ['-w', '${JARVIS_VAR_warn}']}]\nhost_tasks: [{tasks: [a], hosts: ['@g']}]",
			"host_tasks (a on @g): nobody sets warn for a on y; write it into vars of the host, of the host_task, or of the task"},
		"a host_task without a name is a template": {`host_tasks: [{template: true, hosts: [a]}]`, "host_tasks: entry 1 is a template and has no name; others cannot use it"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range defs(t, c.defs).faults("") {
				got = append(got, f.err.Error())
			}
			if !strings.Contains("\n"+strings.Join(got, "\n")+"\n", "\n"+c.want+"\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), c.want)
			}
		})
	}
}

// Of hosts on record it is known only later what they lack: that is told, and all else runs.
func TestAVariableThatAHostOnRecordLacks(t *testing.T) {
	d := defs(t, "hosts: [{name: x, vars: {warn: 1}}]\ntasks: [{name: a, command: 'w $JARVIS_VAR_warn'}]\nhost_tasks: [{tasks: [a], hosts: ['*']}]")
	if err := d.Check(""); err != nil {
		t.Fatal(err)
	}
	c, err := NewCatalog(d, Record{Hosts: []string{"loki"}}, "")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"nobody sets warn for a on loki; write it into vars of the host, of the host_task, or of the task"}
	if diff := cmp.Diff(want, c.Unclear); diff != "" || len(c.Plans) != 2 {
		t.Errorf("%s%v", diff, c.Plans)
	}
}

// In args stands what sh knows as well; the rest of its forms is refused, for no shell fills it in.
func TestVariablesOfArgs(t *testing.T) {
	vars := map[string]string{"JARVIS_VAR_warn": "5%", "JARVIS_VAR_empty": "", "JARVIS_HOST": "loki", "JARVIS_VAR_like": "$JARVIS_VAR_warn"}
	look := func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
	for arg, want := range map[string]string{
		"$JARVIS_VAR_warn":                                   "5%",
		"${JARVIS_VAR_warn}x":                                "5%x",
		"${JARVIS_VAR_warn:-10%}":                            "5%",
		"${JARVIS_VAR_crit:-10%}/${JARVIS_VAR_crit-a b}":     "10%/a b",
		"${JARVIS_VAR_empty:-10%}${JARVIS_VAR_empty-20%}":    "10%",
		"${JARVIS_VAR_crit:-}.":                              ".",
		"$JARVIS_VAR_crit ${JARVIS_VAR_crit} $JARVIS_VAR_l$": "$JARVIS_VAR_crit ${JARVIS_VAR_crit} $JARVIS_VAR_l$",
		"$JARVIS_HOST ${JARVIS_HOST} $JARVIS_ADDRESS":        "loki loki $JARVIS_ADDRESS",
		"$JARVIS_VAR_like":                                   "$JARVIS_VAR_warn",
		"$HOME ${PATH:-x}":                                   "$HOME ${PATH:-x}",
	} {
		if got := FillArg(arg, look); got != want {
			t.Errorf("%s gives %q, want %q", arg, got, want)
		}
	}
	for _, arg := range []string{"${JARVIS_VAR_warn:=10%}", "${JARVIS_VAR_warn:-${JARVIS_VAR_other}}", "${JARVIS_VAR_warn:-$JARVIS_VAR_other}", "${JARVIS_VAR_warn", "${#JARVIS_VAR_warn}", "${JARVIS_VAR_warn%x}", "${JARVIS_VAR_}"} {
		d := &Defs{Tasks: []Task{{Name: "disk", Template: true, Plugin: "", Args: []string{arg}}}}
		if err := d.Check(""); err == nil || !strings.Contains(err.Error(), "is not filled in") {
			t.Errorf("%s: %v", arg, err)
		}
	}
	d := &Defs{Tasks: []Task{{Name: "disk", Template: true, Args: []string{"${JARVIS_VAR_warn:-10%}", "$JARVIS_VAR_warn", "$JARVIS_EVENT", "a$"}}}}
	if err := d.Check(""); err != nil {
		t.Error(err)
	}
}
