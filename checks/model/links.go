package model

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// Dependency is a check on which another one depends: its name, or with more to say {task: T, host: H, skip: true}.
type Dependency struct {
	Task string `yaml:"task" json:"task" doc:"the task; host: whether the host answers at all"`
	Host string `yaml:"host,omitempty" json:"host,omitempty" doc:"on this host; empty: on the same one"`
	Skip bool   `yaml:"skip,omitempty" json:"skip,omitempty" doc:"while it is a problem, what depends on it is not run either"`
}

// UnmarshalYAML reads a name, or the whole.
func (d *Dependency) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		return n.Load(&d.Task)
	}
	type whole Dependency
	return n.Load((*whole)(d), yaml.WithKnownFields())
}

// Link is a pair on which another one depends.
type Link struct {
	Key
	Skip bool // what depends on it is not run while it is a problem
}

// links is what the catalog knows of what depends on what.
type links struct {
	// Links are the pairs on which a pair depends. What is not declared is left out.
	Links map[Key][]Link
	// Asked are the hosts that are asked by the clock whether they are up.
	Asked map[string]Alive
	// Runs are the hosts of which it is found out whether they are up: those, and where something runs.
	Runs map[string]bool
	// Needed are the pairs that others depend on, in any way.
	Needed map[Key]bool
}

// Linked reports whether any pair depends on another.
func (l *links) Linked() bool { return len(l.Needed) > 0 }

// link finds what depends on what. elsewhere are hosts that another server checks.
func (c *Catalog) link(elsewhere map[string]bool) {
	checked, runs := map[string]bool{}, map[string]bool{}
	c.links = links{Links: map[Key][]Link{}, Asked: map[string]Alive{}, Runs: runs, Needed: map[Key]bool{}}
	for k, p := range c.Plans {
		checked[k.Host] = true
		if !p.Def.Passive {
			runs[c.WhereOf(k)] = true
		}
	}
	for name := range c.Hosts {
		if a := c.AliveOf(name); a.Asked() && (checked[name] || !elsewhere[name]) {
			c.Asked[name], runs[name] = a, true
			c.Needed[Key{HostAnswers, name}] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Hosts)) {
		for _, parent := range c.Hosts[name].Parents {
			c.Needed[Key{HostAnswers, parent}] = true
			if !runs[parent] && !elsewhere[parent] {
				c.Unclear = append(c.Unclear, fmt.Sprintf("host %s: its parent %s is not checked, so nobody knows whether it is up; give it a check, or alive: ping", name, parent))
			}
		}
	}
	for k, p := range c.Plans {
		for _, d := range p.Def.Depends {
			c.linkOne(k, d, runs)
		}
	}
	slices.Sort(c.Unclear)
	c.Unclear = slices.Compact(c.Unclear)
}

// linkOne adds what a pair depends on. A pair that would depend on itself, as the gateway among all that depend on it,
// does not.
func (c *Catalog) linkOne(k Key, d Dependency, runs map[string]bool) {
	to := Key{d.Task, k.Host}
	if d.Host != "" {
		to.Host = d.Host
	}
	_, there := c.Plans[to]
	switch {
	case to == k:
	case there, to.Task == HostAnswers && runs[to.Host]:
		c.Needed[to] = true
		if i := slices.IndexFunc(c.Links[k], func(l Link) bool { return l.Key == to }); i >= 0 { // written twice
			c.Links[k][i].Skip = c.Links[k][i].Skip || d.Skip
			return
		}
		c.Links[k] = append(c.Links[k], Link{to, d.Skip})
	case d.Host != "":
		c.Unclear = append(c.Unclear, fmt.Sprintf("task %s depends on %s, which is not declared", k.Task, to))
	}
}

// checkHost says what is wrong with a host.
func (d *Defs) checkHost(h *Host) error {
	var wrong sentence
	for _, g := range h.Groups {
		if !defName.MatchString(g) {
			wrong.add("%q is no name of a group", g)
		}
	}
	if strings.ContainsFunc(h.Address, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		wrong.add("address is %q; it is [user@]host[:port]", h.Address)
	}
	_, err := ParseAlive(h.Alive)
	wrong.err(err)
	for _, p := range h.Parents {
		if !defName.MatchString(p) {
			wrong.add("parents: %q is no name of a host", p)
		}
	}
	return wrong.all()
}

// checkDepends says what is wrong with what a task depends on.
func (d *Defs) checkDepends(t *Task, wrong *sentence) {
	for _, x := range t.Depends {
		switch {
		case x.Host != "" && !defName.MatchString(x.Host):
			wrong.add("depends: %q is no name of a host", x.Host)
		case x.Task == HostAnswers && x.Host == "":
			wrong.add("depends: a check depends on its own host anyway; name another as {task: host, host: NAME}")
		case x.Task == HostAnswers:
		case x.Task == t.Name && x.Host == "":
			wrong.add("depends: it cannot depend on itself")
		case !slices.ContainsFunc(d.Tasks, func(o Task) bool { return !o.Template && o.Name == x.Task }):
			wrong.add("depends: %v", d.noTask(x.Task))
		}
	}
}

// parentLoop gives a sentence when a host is behind itself; "" otherwise.
func (d *Defs) parentLoop() (name string, err error) {
	parents := map[string][]string{}
	for _, h := range d.Hosts {
		parents[h.Name] = append(parents[h.Name], h.Parents...)
	}
	round := circle(slices.Sorted(maps.Keys(parents)), func(h string) []string { return parents[h] })
	if round == nil {
		return "", nil
	}
	return round[0], fmt.Errorf("host %s: it is its own parent: %s", round[0], strings.Join(append(round, round[0]), " → "))
}

// dependLoop is parentLoop for tasks. A task on no host in particular stands for any: what is round there is round on
// each.
func (d *Defs) dependLoop() (name string, err error) {
	tasks := map[string][]Dependency{}
	var all []Key
	for _, t := range d.Tasks {
		tasks[t.Name] = t.Depends
		all = append(all, Key{Task: t.Name})
	}
	round := circle(all, func(k Key) (out []Key) {
		for _, x := range tasks[k.Task] {
			to := Key{x.Task, k.Host}
			if x.Host != "" {
				to.Host = x.Host
			}
			if to != k {
				out = append(out, to)
			}
		}
		return out
	})
	if round == nil {
		return "", nil
	}
	var words []string
	for _, k := range append(round, round[0]) {
		if k.Host == "" {
			words = append(words, k.Task)
		} else {
			words = append(words, k.String())
		}
	}
	return round[0].Task, errors.New("task " + round[0].Task + ": it depends on itself: " + strings.Join(words, " → "))
}

// circle gives the first things that lead round to themselves; nil: there are none.
func circle[T comparable](all []T, next func(T) []T) []T {
	over := map[T]bool{}
	on := map[T]int{} // where it is in the path, from 1
	var path []T
	var walk func(T) []T
	walk = func(x T) []T {
		if at := on[x]; at > 0 {
			return slices.Clone(path[at-1:])
		}
		if over[x] {
			return nil
		}
		path = append(path, x)
		on[x] = len(path)
		for _, y := range next(x) {
			if round := walk(y); round != nil {
				return round
			}
		}
		path = path[:len(path)-1]
		delete(on, x)
		over[x] = true
		return nil
	}
	for _, x := range all {
		if round := walk(x); round != nil {
			return round
		}
	}
	return nil
}
