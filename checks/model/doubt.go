package model

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/plain"
)

// A name that stands for nothing is no mistake: a file may name a task that the API makes, and a host may come on
// record later. But it may be a slip as well, so it is told.

// Doubt is such a name, and where it stands.
type Doubt struct {
	Place
	below string // the key below the place: ".tasks[1]"
	msg   string
}

// String says it for people.
func (x Doubt) String() string {
	if x.Key == "" { // the API made it
		return x.msg
	}
	return x.at(x.below) + ": " + x.Key + x.below + ": " + x.msg
}

// doubter looks for them.
type doubter struct {
	d      *Defs
	known  []string        // hosts
	groups map[string]bool // that have hosts
	tasks  []string
	// open: hosts and groups that are on record are not known here, and are meant by some host_task.
	open, recorded bool
	out            []Doubt
}

// Doubts gives what definitions name, and is not there. rec is what is on record; nil: that is not known.
func (d *Defs) Doubts(rec *Record) []Doubt {
	places := d.places
	d, _ = d.inherited()
	d.places = places
	x := &doubter{d: d, groups: map[string]bool{}, recorded: rec != nil}
	x.learn(rec)
	for i, h := range d.Hosts {
		for k, p := range h.Parents {
			x.host(d.place(KindHost, i), fmt.Sprintf(".parents[%d]", k), "host "+h.Name, p)
		}
	}
	for i, t := range d.Tasks {
		for k, dep := range t.Depends {
			if dep.Host != "" && !t.Template {
				x.host(d.place(KindTask, i), fmt.Sprintf(".depends[%d].host", k), "task "+t.Name, dep.Host)
			}
		}
	}
	for i, ht := range d.HostTasks {
		if !ht.Template {
			x.hostTask(d.place(KindHostTask, i), &ht)
		}
	}
	for i, q := range d.Downtimes {
		x.both(d.place(KindDowntime, i), "downtime "+q.Name, q.Tasks, q.Hosts)
	}
	for i, a := range d.Actions {
		x.both(d.place(KindAction, i), "action "+a.Name, a.Tasks, a.Hosts)
	}
	return x.out
}

// learn gathers the names that there are.
func (x *doubter) learn(rec *Record) {
	if rec != nil {
		x.known = append(x.known, rec.Hosts...)
		for g, hosts := range rec.Clusters {
			x.groups[g] = len(hosts) > 0
		}
	}
	for _, h := range x.d.Hosts {
		if h.Template {
			continue
		}
		x.known = append(x.known, h.Name)
		for _, g := range h.Groups {
			x.groups[g] = true
		}
	}
	for _, t := range x.d.Tasks {
		if !t.Template {
			x.tasks = append(x.tasks, t.Name)
		}
	}
	for _, ht := range x.d.HostTasks {
		for _, w := range ht.Hosts {
			if strings.HasPrefix(w, "!") {
				continue
			}
			if strings.HasPrefix(w, "@") {
				x.open = x.open || rec == nil && len(x.groups) == 0
				continue
			}
			names, _ := fleet.Expand(w) // it was checked
			for _, n := range names {
				if isGlob(n) {
					x.open = x.open || rec == nil
				} else {
					x.known = append(x.known, n) // reached by its name, listed or not
				}
			}
		}
	}
	slices.Sort(x.known)
	x.known = slices.Compact(x.known)
}

func isGlob(word string) bool { return strings.ContainsAny(word, "*?") }

func (x *doubter) tell(at Place, below, who, format string, args ...any) {
	x.out = append(x.out, Doubt{at, below, who + ": " + fmt.Sprintf(format, args...)})
}

// both looks at the tasks and hosts of an action or a downtime.
func (x *doubter) both(at Place, who string, tasks, hosts []string) {
	for i, t := range tasks {
		if Match(t, HostAnswers) || slices.ContainsFunc(x.tasks, func(name string) bool { return Match(t, name) }) {
			continue
		}
		below := fmt.Sprintf(".tasks[%d]", i)
		if isGlob(t) {
			x.tell(at, below, who, "no task is called as %s", t)
		} else {
			x.tell(at, below, who, "there is no task %s%s", t, plain.Meant(t, x.tasks))
		}
	}
	for i, w := range hosts {
		x.hosts(at, fmt.Sprintf(".hosts[%d]", i), who, w, false)
	}
}

// hostTask looks at the words of a host_task. A plain name in it is a host by that.
func (x *doubter) hostTask(at Place, ht *HostTask) {
	who := "host_tasks (" + ht.label() + ")"
	for i, w := range ht.Hosts {
		x.hosts(at, fmt.Sprintf(".hosts[%d]", i), who, w, true)
	}
	var nodes []string
	for _, n := range x.d.Nodes {
		nodes = append(nodes, n.Name)
	}
	if ht.Node != "" && len(nodes) > 0 && !slices.Contains(nodes, ht.Node) {
		x.tell(at, ".node", who, "there is no %s in nodes%s", ht.Node, plain.Meant(ht.Node, nodes))
	}
}

// hosts looks at a word that stands for hosts. own: it is a host_task's, in which a plain name is one, and a pattern
// waits for hosts.
func (x *doubter) hosts(at Place, below, who, word string, own bool) {
	word, away := strings.CutPrefix(word, "!")
	if g, ok := strings.CutPrefix(word, "@"); ok {
		if !x.groups[g] {
			x.group(at, below, who, g)
		}
		return
	}
	names, _ := fleet.Expand(word) // it was checked
	for _, n := range names {
		switch {
		case n == "*" || own && !away && (!isGlob(n) || !x.recorded):
		case !isGlob(n):
			x.host(at, below, who, n)
		case !x.open && !slices.ContainsFunc(x.known, func(h string) bool { return Match(n, h) }):
			x.tell(at, below, who, "no host here is called as %s", n)
		}
	}
}

// elsewhere is what is told where the record is not known.
func (x *doubter) elsewhere(what string) string {
	if x.recorded {
		return ""
	}
	return " (" + what + " on record counts too)"
}

// group doubts a group without hosts. While hosts on record are not known here, only a name near another is told: it
// may be a slip.
func (x *doubter) group(at Place, below, who, g string) {
	var there []string
	for name, has := range x.groups {
		if has {
			there = append(there, "@"+name)
		}
	}
	if meant := plain.Meant("@"+g, there); meant != "" || !x.open {
		x.tell(at, below, who, "no host here is in a group %s%s%s", g, meant, x.elsewhere("a cluster of that name"))
	}
}

// host looks at the name of one. Where the record may have it, only what is near to another name is told.
func (x *doubter) host(at Place, below, who, name string) {
	if _, there := slices.BinarySearch(x.known, name); there {
		return
	}
	near := plain.Nearest(name, x.known)
	if near == "" && x.open {
		return
	}
	x.tell(at, below, who, "no host here is called %s%s%s", name, plain.Meant(name, x.known), x.elsewhere("one of that name"))
}

// Doubts says of what is declared in files what it names, and is not there; what is on record is not known here. people
// and rooms are those whom contacts may name; nil: they are not known.
func (c *Config) Doubts(people, rooms []string) []Doubt {
	all, broken := c.loadEach(func(string) bool { return false })
	if len(broken) > 0 {
		return nil
	}
	out := all.Doubts(nil)
	for i, x := range all.Contacts {
		at := all.place(KindContact, i)
		if x.Person != "" && people != nil && !slices.Contains(people, x.Person) {
			out = append(out, Doubt{at, ".person", fmt.Sprintf("contact %s: there is no %s in people%s", x.Name, x.Person, plain.Meant(x.Person, people))})
		}
		if x.Channel != "" && rooms != nil && !slices.Contains(rooms, x.Channel) {
			out = append(out, Doubt{at, ".channel", fmt.Sprintf("contact %s: there is no channel %s in chat%s", x.Name, x.Channel, plain.Meant(x.Channel, rooms))})
		}
	}
	return out
}

// Warnings says what is named and not there, and what else of the definitions is not as somebody may have meant it.
func (c *Catalog) Warnings() []string {
	c.warn.Do(func() {
		if c.written == nil {
			return
		}
		for _, d := range c.written.Doubts(&c.rec) {
			c.warnings = append(c.warnings, d.String())
		}
		c.warnings = append(c.warnings, c.Unclear...)
	})
	return c.warnings
}
