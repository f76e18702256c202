package model

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A broken file does not keep a server from starting; what else is right counts, and `config check` tells of the rest.
func TestWhatIsBrokenAtTheStart(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml": "tasks: [{name: disk, command: x}]\nhost_tasks: [{tasks: [disk], hosts: [loki]}]\n",
		"b.yaml": "tasks: [{name: gone, command: x}\n",
		"c.yaml": "tasks: [{name: odd, command: x, attempts: -1}, {name: load, command: x}, {name: disk, command: y}]\nhost_tasks: [{tasks: [odd], hosts: [loki]}, {tasks: [load], hosts: [loki]}]\n",
		"d.yaml": "actions: [{name: mend, on: [problem], task: gone}]\ncontacts: [{name: phone, command: [/nowhere/sms]}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := Config{Dir: dir, Defs: Defs{HostTasks: []HostTask{{Tasks: []string{"gone"}, Hosts: []string{"loki"}}, {Tasks: []string{"load"}, Hosts: []string{"thor"}}}}}
	if err := c.CheckStart(); err != nil {
		t.Error(err)
	}
	if err := c.Check(); err == nil {
		t.Error("config check says nothing")
	}
	all, left := c.LoadStart()
	var said []string
	for _, err := range left {
		said = append(said, err.Error())
	}
	for _, want := range []string{"b.yaml, line ", "task odd: timeout, jitter, attempts", "there are two tasks called disk", "there is no task odd", "there is no task gone", "action mend: there is no task gone"} {
		if !strings.Contains(strings.Join(said, "\n"), want) {
			t.Errorf("%q says nothing of %q", said, want)
		}
	}
	cat, err := NewCatalog(all, Record{}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []Key{{"disk", "loki"}, {"load", "loki"}, {"load", "thor"}} {
		if cat.Plans[k].Def == nil {
			t.Errorf("%s is left out", k)
		}
	}
	if len(cat.Plans) != 3 || len(all.Contacts) != 1 {
		t.Errorf("%v %v", cat.Plans, all.Contacts)
	}
	// The program of a contact is trouble of that contact.
	for _, name := range []string{"b.yaml", "c.yaml", "d.yaml"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	c.Defs = Defs{Contacts: []Contact{{Name: "phone", Command: []string{"/nowhere/sms"}}}}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	if err := c.CheckPrograms(); err == nil || !strings.Contains(err.Error(), "contact phone has a command that is not there") {
		t.Error(err)
	}
	// What stands in jarvis.yaml alone is refused.
	c.Tasks = []Task{{Name: "odd"}}
	if err := c.CheckStart(); err == nil {
		t.Error("a mistake of jarvis.yaml is taken")
	}
	c.Dir, c.Tasks, c.CatchUp = filepath.Join(dir, "none"), nil, "never"
	if err := c.CheckStart(); err == nil || strings.Contains(err.Error(), "none") {
		t.Error(err)
	}
}
