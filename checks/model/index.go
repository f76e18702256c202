package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/checks/calendar"
)

// index finds tasks and hosts by their names: of many definitions each host_task is checked without a look at all the
// others.
type index struct {
	tasks  []Task
	named  map[string][]int // places in tasks, by name
	known  []string         // hosts, sorted
	hosts  map[string]Host
	groups map[string][]string
	// periods are those that are right; nil: schedules are not looked at.
	periods map[string]*calendar.Period
}

// index makes one of definitions with what they take from templates.
func (d *Defs) index() *index {
	x := &index{tasks: d.Tasks, named: map[string][]int{}, hosts: map[string]Host{}, groups: map[string][]string{}}
	for i, t := range d.Tasks {
		x.named[t.Name] = append(x.named[t.Name], i)
	}
	for _, h := range d.Hosts {
		if h.Template {
			continue
		}
		x.known = append(x.known, h.Name)
		x.hosts[h.Name] = h
		for _, g := range h.Groups {
			x.groups[g] = append(x.groups[g], h.Name)
		}
	}
	slices.Sort(x.known)
	return x
}

// matching gives the places of the tasks that a pattern stands for, templates too.
func (x *index) matching(pattern string) []int {
	if !strings.ContainsAny(pattern, `*?[\`) {
		return x.named[pattern]
	}
	var out []int
	for i, t := range x.tasks {
		if Match(pattern, t.Name) {
			out = append(out, i)
		}
	}
	return out
}

// runs reports whether a pattern stands for any task that can be run.
func (x *index) runs(pattern string) bool {
	return slices.ContainsFunc(x.matching(pattern), func(i int) bool { return !x.tasks[i].Template })
}

// of gives the tasks that a host_task names, in the order in which they are declared.
func (x *index) of(ht *HostTask) []*Task {
	at := map[int]bool{}
	for _, p := range ht.Tasks {
		for _, i := range x.matching(p) {
			at[i] = true
		}
	}
	var out []*Task
	for _, i := range slices.Sorted(maps.Keys(at)) {
		out = append(out, &x.tasks[i])
	}
	return out
}

// missingVars says of a host_task for which of the listed hosts a variable is missing. Hosts on record are not known
// here; of those, the catalog tells it.
func (x *index) missingVars(ht *HostTask) error {
	hosts := expandHosts(ht.Hosts, x.known, x.groups)
	for _, t := range x.of(ht) {
		if t.Template {
			continue
		}
		for _, h := range hosts {
			p := Plan{Key: Key{t.Name, h}, Def: t, Vars: varsOf(t.Vars, ht.Vars, x.hosts[h].Vars)}
			if text := p.MissingText(); text != "" {
				return fmt.Errorf("%s", text)
			}
		}
	}
	return nil
}
