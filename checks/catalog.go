package checks

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/fleet"
)

// Key names a pair: a task on a host.
type Key struct {
	Task string `json:"task"`
	Host string `json:"host"`
}

func (k Key) String() string { return k.Task + " on " + k.Host }

// plan is all that is known of what a pair is to do.
type plan struct {
	Key
	task     *Task
	schedule Schedule
	attempts int
	expect   *regexp.Regexp // nil: none
}

// expect gives the pattern of the output; it was checked. Nil: none.
func (t *Task) expect() *regexp.Regexp {
	if t.Expect.Output == "" {
		return nil
	}
	return regexp.MustCompile(t.Expect.Output)
}

// catalog is the definitions put together with what is on record.
type catalog struct {
	defs     *Defs
	hosts    map[string]Host // by name, those that are listed
	plans    map[Key]plan
	actions  []*action
	contacts map[string]Contact
	silos    map[string]string // of hosts on record
	pins     map[string]string // the node that must check a host, by the host that runs
	// unclear says of hosts that host_tasks name several nodes for them.
	unclear []string
	// idle says of host_tasks that they stand for no host at all.
	idle []string
}

// record is what the engine knows of hosts.
type record struct {
	hosts    []string
	clusters map[string][]string
	silos    map[string]string // by host
}

// newCatalog expands the definitions. They have been checked. What is for another node than ours, in the words of
// host_tasks, is left out; with "" everything is there.
func newCatalog(d *Defs, rec record, ours string) (*catalog, error) {
	c := &catalog{defs: d, hosts: map[string]Host{}, plans: map[Key]plan{}, contacts: map[string]Contact{}, pins: map[string]string{}, silos: rec.silos}
	for _, h := range d.Hosts {
		c.hosts[h.Name] = h
	}
	for _, x := range d.Contacts {
		c.contacts[x.Name] = x
	}
	known := slices.Sorted(maps.Keys(c.hosts))
	for _, h := range rec.hosts {
		if _, listed := c.hosts[h]; !listed {
			known = append(known, h)
		}
	}
	groups := maps.Clone(rec.clusters)
	if groups == nil {
		groups = map[string][]string{}
	}
	own := map[string][]string{}
	for _, h := range d.Hosts {
		for _, g := range h.Groups {
			own[g] = append(own[g], h.Name)
		}
	}
	maps.Copy(groups, own)
	for _, ht := range d.HostTasks {
		hosts := expandHosts(ht.Hosts, known, groups)
		if len(hosts) == 0 {
			c.idle = append(c.idle, ht.label())
		}
		if ht.Node != "" && ours != "" && ht.Node != ours {
			continue
		}
		for i := range d.Tasks {
			t := &d.Tasks[i]
			if !slices.ContainsFunc(ht.Tasks, func(p string) bool { return match(p, t.Name) }) {
				continue
			}
			s, err := d.schedule(cmp.Or(ht.Schedule, t.Schedule), t.Jitter)
			if err != nil {
				return nil, fmt.Errorf("task %s: %w", t.Name, err)
			}
			if t.Passive {
				s = t.passiveSchedule()
			}
			p := plan{task: t, schedule: s, attempts: cmp.Or(ht.Attempts, t.Attempts, 3), expect: t.expect()}
			for _, h := range hosts {
				p.Key = Key{t.Name, h}
				c.plans[p.Key] = p // what comes later counts
				if ht.Node != "" {
					c.pin(c.whereOf(p.Key), ht.Node)
				}
			}
		}
	}
	declared := slices.Collect(maps.Keys(c.plans))
	for i := range d.Actions {
		a := &action{Action: &d.Actions[i]}
		if len(a.Hosts) > 0 {
			a.hosts = map[string]bool{}
			all := known
			for _, k := range declared {
				all = append(all, k.Host)
			}
			for _, h := range expandHosts(a.Hosts, all, groups) {
				a.hosts[h] = true
			}
		}
		c.actions = append(c.actions, a)
		if a.Task != "" {
			c.planActions(a, declared)
		}
	}
	return c, nil
}

// pin has a host checked by one node: all of it, for its checks share a connection and what is known of it.
func (c *catalog) pin(host, node string) {
	if was := c.pins[host]; was != "" && was != node {
		c.unclear = append(c.unclear, fmt.Sprintf("host_tasks name %s and %s for %s; %s checks it", was, node, host, node))
	}
	c.pins[host] = node
}

// planActions makes the pairs that an action may have run, where no schedule does.
func (c *catalog) planActions(a *action, declared []Key) {
	i := slices.IndexFunc(c.defs.Tasks, func(t Task) bool { return t.Name == a.Task })
	task := &c.defs.Tasks[i] // it was checked
	p := plan{task: task, attempts: 1}
	p.expect = task.expect()
	for _, k := range declared {
		p.Key = Key{a.Task, cmp.Or(a.TaskHost, k.Host)}
		if _, ok := c.plans[p.Key]; !ok && a.mayFollow(k) {
			c.plans[p.Key] = p
		}
	}
}

// expandHosts gives the hosts that words stand for, each once: names, patterns over what is known, @groups; ! takes away.
func expandHosts(words, known []string, groups map[string][]string) []string {
	var out []string
	seen := map[string]bool{}
	for _, w := range words {
		word, away := strings.CutPrefix(w, "!")
		var list []string
		if g, ok := strings.CutPrefix(word, "@"); ok {
			list = groups[g]
		} else {
			names, err := fleet.Expand(word)
			if err != nil {
				continue // it was checked
			}
			for _, n := range names {
				if !strings.ContainsAny(n, "*?") {
					list = append(list, n)
					continue
				}
				for _, k := range known {
					if match(n, k) {
						list = append(list, k)
					}
				}
			}
		}
		for _, h := range list {
			if away {
				delete(seen, h)
			} else if !seen[h] {
				seen[h] = true
				out = append(out, h)
			}
		}
	}
	return slices.DeleteFunc(out, func(h string) bool { return !seen[h] })
}

// action is an Action with its hosts expanded.
type action struct {
	*Action
	hosts map[string]bool // nil: all
}

// follows reports whether the action is for a transition ("stays" and "result" too) of a pair.
func (a *action) follows(k Key, on string) bool {
	if len(a.On) == 0 && (on == onStays || on == onResult) || len(a.On) > 0 && !slices.Contains(a.On, on) {
		return false
	}
	return a.mayFollow(k)
}

// heeds reports whether an action is for that status: of a recovery, for one of those that were told before.
func (a *action) heeds(st *State, on string) bool {
	if len(a.Status) == 0 || on == string(Flaps) || on == string(Steady) {
		return true
	}
	seen := st.Through
	if on != string(Recovery) {
		seen = 1 << st.Hard
	}
	return seen == 0 || slices.ContainsFunc(a.Status, func(word string) bool {
		status, err := ParseStatus(word)
		return err == nil && seen&(1<<status) != 0
	})
}

func (a *action) mayFollow(k Key) bool {
	if a.hosts != nil && !a.hosts[k.Host] {
		return false
	}
	return len(a.Tasks) == 0 || slices.ContainsFunc(a.Tasks, func(p string) bool { return match(p, k.Task) })
}

// notifies reports whether any action tells people; without one, the first channel hears everything.
func (c *catalog) notifies() bool {
	return slices.ContainsFunc(c.actions, func(a *action) bool { return len(a.Notify) > 0 })
}

func cmpKeys(a, b Key) int {
	return cmp.Or(strings.Compare(a.Host, b.Host), strings.Compare(a.Task, b.Task))
}
