package transfer

import (
	"cmp"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/checks/nagios"
)

// dependency is one of a check on another, by the names there.
type dependency struct {
	host, desc string
	skip       bool
}

func (d dependency) String() string {
	s := d.host + "\x01" + d.desc
	if d.skip {
		s += "\x01skip"
	}
	return s
}

// depend notes at each pair what it depends on. On the same host it is the host's own, so that pairs of many hosts stay
// one task.
func (c *carrier) depend() {
	for _, o := range c.tree.Of("servicedependency") {
		for _, a := range []string{"host_name", "hostgroup_name", "service_description", "servicegroup_name", "dependent_host_name", "dependent_hostgroup_name", "dependent_service_description", "dependent_servicegroup_name"} {
			c.take(o, a)
		}
		skip, some := c.criteria(o)
		if !some {
			continue
		}
		masters := c.tree.Pick(o, "")
		same := o.Text("dependent_host_name") == "" && o.Text("dependent_hostgroup_name") == "" && o.Text("dependent_servicegroup_name") == ""
		for _, p := range c.pairs {
			for _, m := range masters {
				if same {
					v, _ := o.Get("dependent_service_description")
					if m.Host == p.Host && slices.Contains(v.List(), p.desc) {
						p.dependOn(dependency{"", m.Name(), skip})
					}
				}
			}
		}
		if !same {
			dependents := c.tree.Pick(o, "dependent_")
			// Where it is written out for one host, as for many others, what depends is one task of them all.
			own := len(masters) == 1 && !slices.ContainsFunc(dependents, func(s nagios.Service) bool { return s.Host != masters[0].Host })
			for _, p := range c.pairs {
				if !slices.Contains(dependents, p.Service) {
					continue
				}
				for _, m := range masters {
					d := dependency{m.Host.Name(), m.Name(), skip}
					if own {
						d.host = ""
					}
					p.dependOn(d)
				}
			}
		}
	}
	for _, o := range c.tree.Of("hostdependency") {
		c.note(o.Pos, o.Type, "hosts depend on their parents only", "write parents of the dependent host, if the other one is on the way to it")
		c.listAll(o)
	}
}

// listAll counts every attribute of an object as one that a note tells of.
func (c *carrier) listAll(o *nagios.Object) {
	for _, a := range o.Attrs {
		c.mark(listed, nagios.Value{From: []*nagios.Attr{a}})
	}
}

// criteria says whether the dependent is not even run, and tells what is not so here. some is false where Nagios hides
// nothing and runs all, as it does without criteria: what depends here is hidden in any case.
func (c *carrier) criteria(o *nagios.Object) (skip, some bool) {
	v, hasRun := o.Get("execution_failure_criteria")
	n, hasTold := o.Get("notification_failure_criteria")
	skip, hides := failing(v), failing(n)
	if !skip && !hides {
		at := o.Pos
		if hasTold {
			at = n.Pos()
		} else if hasRun {
			at = v.Pos()
		}
		c.note(at, "servicedependency", "no problem of the other counts by its failure criteria (without them none does); a dependency here hides what depends", "it was left out")
		c.listAll(o)
		return false, false
	}
	if !hides {
		c.note(o.Pos, "servicedependency", "by its notification_failure_criteria (none is as n) what depends is told of all the same; here it is neither run nor told of while the other is a problem",
			"take it out of depends, if it is to be told of")
	}
	for _, x := range []nagios.Value{v, n} {
		if x.Text == "" || strings.EqualFold(x.Text, "n") || strings.EqualFold(x.Text, "none") {
			continue
		}
		if opts := letters(x.Text, "", false); !opts.warning || !opts.unknown || !opts.critical {
			c.note(x.Pos(), "failure criteria "+x.Text, "here any problem of the other that is believed counts, and nothing else", "")
		}
	}
	c.mark(carried, v)
	c.mark(carried, n)
	if p, ok := o.Get("dependency_period"); ok {
		if always, _ := c.extent(p.Text); always {
			c.mark(carried, p)
		} else {
			c.list("dependency_period", p, "a dependency holds at any time", "")
		}
	}
	return skip, true
}

// failing reports whether criteria name any problem.
func failing(v nagios.Value) bool {
	o := letters(v.Text, "", false)
	return o.warning || o.unknown || o.critical
}

// dependOn adds a dependency, in an order of its own: pairs with the same ones share a task. A check does not depend on
// itself.
func (p *pair) dependOn(d dependency) {
	if d.host == "" && d.desc == p.desc {
		return
	}
	words := parts(p.set.depends)
	if !slices.Contains(words, d.String()) {
		words = append(words, d.String())
		slices.Sort(words)
		p.set.depends = strings.Join(words, "\x02")
	}
}

// parts takes settings.depends apart, which is one string so that settings can be compared.
func parts(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\x02")
}

// resolveDepends writes what tasks depend on, by the names here.
func (c *carrier) resolveDepends() {
	at := map[string]string{}
	for _, p := range c.pairs {
		at[p.Host.Name()+"\x00"+p.desc] = p.task.name
	}
	for _, t := range c.made {
		var out []any
		for _, w := range parts(t.pairs[0].set.depends) {
			f := strings.Split(w, "\x01")
			host, desc, skip := f[0], f[1], len(f) > 2
			named := map[string]string{} // task by host
			for _, p := range t.pairs {
				h := cmp.Or(host, p.Host.Name())
				if name := at[h+"\x00"+desc]; name != "" {
					named[h] = name
				}
			}
			if host == "" {
				one := ""
				for _, h := range sortedKeys(named) {
					if one != "" && one != named[h] {
						c.note(t.entry.pos, "what "+t.name+" depends on", desc+" is several tasks here", "look at its depends")
					}
					one = named[h]
				}
				if one != "" {
					out = append(out, depends(one, "", skip))
				}
				continue
			}
			if name := named[host]; name != "" {
				out = append(out, depends(name, c.hosts.give(host, host), skip))
			}
		}
		if len(out) > 0 {
			t.entry.set("depends", out)
		}
	}
}

// depends gives the short form, a name, where that says all.
func depends(task, host string, skip bool) any {
	if host == "" && !skip {
		return task
	}
	m := []key{{"task", task}}
	if host != "" {
		m = append(m, key{"host", host})
	}
	if skip {
		m = append(m, key{"skip", true})
	}
	return m
}
