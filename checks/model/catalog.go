package model

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/checks/calendar"
	"github.com/jarvisops/jarvis/fleet"
)

// Key names a pair: a task on a host.
type Key struct {
	Task string `json:"task"`
	Host string `json:"host"`
}

// String says it for people: TASK on HOST.
func (k Key) String() string { return k.Task + " on " + k.Host }

// Plan is all that is known of what a pair is to do.
type Plan struct {
	Key
	Def      *Task             // nil: whether the host answers at all
	Schedule Schedule          // the zero Schedule: an action has it run, or a person
	Attempts int               // problems in a row before one is believed
	Expect   *regexp.Regexp    // of the output; nil: none
	Vars     map[string]string // what the task's variables are on this host
}

// Pattern gives the pattern of the output; it was checked. Nil: none.
func (t *Task) Pattern() *regexp.Regexp {
	if t.Expect.Output == "" {
		return nil
	}
	return regexp.MustCompile(t.Expect.Output)
}

// Catalog is the definitions put together with what is on record.
type Catalog struct {
	Defs   *Defs
	Hosts  map[string]Host // by name, those that are listed
	Plans  map[Key]Plan
	Rules  []*Rule // in the order of Defs.Actions
	Quiets []*Quiet
	// Listeners are told at times of their own.
	Listeners []*Listener
	links
	contacts map[string]Contact
	silos    map[string]string // of hosts on record
	Pins     map[string]string // the node that must check a host, by the host that runs
	// Unclear says of hosts that host_tasks name several nodes for them, and of checks that a variable of theirs is set
	// by nobody.
	Unclear []string
	// Idle says of host_tasks that they stand for no host at all.
	Idle    []string
	periods map[string]*calendar.Period

	written  *Defs // as they were declared, templates too
	rec      Record
	warn     sync.Once
	warnings []string
}

// Record is what the engine knows of hosts.
type Record struct {
	Hosts    []string            // those that have an address
	Clusters map[string][]string // hosts, by the name of a cluster or group
	Silos    map[string]string   // by host
}

// NewCatalog expands the definitions. They have been checked. What is for another node than ours, in the words of
// host_tasks, is left out; with "" everything is there.
func NewCatalog(d *Defs, rec Record, ours string) (*Catalog, error) {
	written := d
	d = d.real()
	c := &Catalog{written: written, rec: rec, Defs: d, Hosts: map[string]Host{}, Plans: map[Key]Plan{}, contacts: map[string]Contact{}, Pins: map[string]string{}, silos: rec.Silos}
	for _, h := range d.Hosts {
		c.Hosts[h.Name] = h
	}
	c.periods, _ = d.periods(time.Now())
	for _, x := range d.Contacts {
		c.contacts[x.Name] = x
	}
	known := slices.Sorted(maps.Keys(c.Hosts))
	for _, h := range rec.Hosts {
		if _, listed := c.Hosts[h]; !listed {
			known = append(known, h)
		}
	}
	groups := maps.Clone(rec.Clusters)
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
	elsewhere := map[string]bool{} // hosts that another server checks
	names := d.index()
	for _, ht := range d.HostTasks {
		hosts := expandHosts(ht.Hosts, known, groups)
		if len(hosts) == 0 {
			c.Idle = append(c.Idle, ht.label())
		}
		if ht.Node != "" && ours != "" && ht.Node != ours {
			for _, h := range hosts {
				elsewhere[h] = true
			}
			continue
		}
		for _, t := range names.of(&ht) {
			s, err := d.schedule(cmp.Or(ht.Schedule, t.Schedule), t.Jitter)
			if err != nil {
				return nil, fmt.Errorf("task %s: %w", t.Name, err)
			}
			if t.Passive {
				s = t.passiveSchedule()
			}
			p := Plan{Def: t, Schedule: s.In(c.periods[t.Period]), Attempts: cmp.Or(ht.Attempts, t.Attempts, 3), Expect: t.Pattern()}
			for _, h := range hosts {
				p.Key = Key{t.Name, h}
				p.Vars = varsOf(t.Vars, ht.Vars, c.Hosts[h].Vars)
				c.Plans[p.Key] = p // what comes later counts
				if ht.Node != "" {
					c.pin(c.WhereOf(p.Key), ht.Node)
				}
			}
		}
	}
	c.tellOver(time.Now())
	declared := slices.SortedFunc(maps.Keys(c.Plans), CompareKeys)
	all := slices.Clone(known)
	for _, k := range declared {
		p := c.Plans[k]
		if text := p.MissingText(); text != "" {
			c.Unclear = append(c.Unclear, text)
		}
		all = append(all, k.Host)
	}
	c.quiets(func(words []string) []string { return expandHosts(words, all, groups) })
	for i := range d.Actions {
		a := &Rule{Action: &d.Actions[i]}
		if len(a.Hosts) > 0 {
			a.hosts = map[string]bool{}
			for _, h := range expandHosts(a.Hosts, all, groups) {
				a.hosts[h] = true
			}
		}
		c.Rules = append(c.Rules, a)
		c.listen(a)
		if a.Task != "" {
			c.planActions(a, declared)
		}
	}
	c.link(elsewhere)
	return c, nil
}

// pin has a host checked by one node: all of it, for its checks share a connection and what is known of it.
func (c *Catalog) pin(host, node string) {
	if was := c.Pins[host]; was != "" && was != node {
		c.Unclear = append(c.Unclear, fmt.Sprintf("host_tasks name %s and %s for %s; %s checks it", was, node, host, node))
	}
	c.Pins[host] = node
}

// WhereOf gives the host that runs a pair: its own, or the task's From.
func (c *Catalog) WhereOf(k Key) string {
	if p := c.Plans[k]; p.Def.From != "" {
		return p.Def.From
	}
	return k.Host
}

// SiloOf gives the silo in which a host stands, as the definitions say, or its clipboard.
func (c *Catalog) SiloOf(host string) string { return cmp.Or(c.Hosts[host].Silo, c.silos[host]) }

// planActions makes the pairs that an action may have run, where no schedule does.
func (c *Catalog) planActions(a *Rule, declared []Key) {
	i := slices.IndexFunc(c.Defs.Tasks, func(t Task) bool { return t.Name == a.Task })
	task := &c.Defs.Tasks[i] // it was checked
	p := Plan{Def: task, Attempts: 1}
	p.Expect = task.Pattern()
	for _, k := range declared {
		p.Key = Key{a.Task, cmp.Or(a.TaskHost, k.Host)}
		p.Vars = varsOf(task.Vars, c.Hosts[p.Host].Vars)
		if _, ok := c.Plans[p.Key]; !ok && a.Covers(k) {
			c.Plans[p.Key] = p
		}
	}
}

// expandHosts gives the hosts that words stand for, each once: names, patterns over what is known, @groups; ! takes
// away.
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
					if Match(n, k) {
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

// Rule is an Action with its hosts expanded.
type Rule struct {
	*Action
	Silent bool            // nothing follows at once: its listeners have times of their own
	To     []string        // of its contacts, who is told at once; nil: all
	hosts  map[string]bool // nil: all
}

// Follows reports whether the action is for a transition ("stays" and "result" too) of a pair.
func (a *Rule) Follows(k Key, on string) bool {
	if len(a.On) == 0 && (on == OnStays || on == OnResult) || len(a.On) > 0 && !slices.Contains(a.On, on) {
		return false
	}
	return a.Covers(k)
}

// Heeds reports whether an action is for that status: of a recovery, for one of those that were told before.
func (a *Rule) Heeds(st *State, on string) bool {
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

// Covers reports whether the action is for a pair at all.
func (a *Rule) Covers(k Key) bool {
	if a.hosts != nil && !a.hosts[k.Host] {
		return false
	}
	return len(a.Tasks) == 0 || slices.ContainsFunc(a.Tasks, func(p string) bool { return Match(p, k.Task) })
}

// Notifies reports whether any action tells people; without one, the first channel hears everything.
func (c *Catalog) Notifies() bool {
	return slices.ContainsFunc(c.Rules, func(a *Rule) bool { return len(a.Notify) > 0 })
}

// CompareKeys orders pairs by host, then by task.
func CompareKeys(a, b Key) int {
	return cmp.Or(strings.Compare(a.Host, b.Host), strings.Compare(a.Task, b.Task))
}

// Period gives one by its name; nil: there is none, or it is not right.
func (c *Catalog) Period(name string) *calendar.Period { return c.periods[name] }
