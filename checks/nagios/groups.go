package nagios

import (
	"regexp"
	"slices"
	"strings"
)

// members are those of one group, over the groups in it.
type members struct {
	names  []string
	state  int
	reject map[string]bool
}

// memberType says what a group holds.
var memberType = map[string]string{"hostgroup": "host", "contactgroup": "contact"}

// belongs says by which attribute a member names its groups.
var belongs = map[string]string{"hostgroup": "hostgroups", "contactgroup": "contactgroups"}

// group puts hostgroups and contactgroups together: members of both sides, groups in groups, less what ! takes away.
func (t *Tree) group() {
	for _, kind := range []string{"hostgroup", "contactgroup"} {
		for _, g := range t.Of(kind) {
			t.direct(kind, g)
		}
		for _, m := range t.Of(memberType[kind]) {
			v, _ := m.Get(belongs[kind])
			for _, name := range v.List() {
				g := t.groups[kind+" "+name]
				if g == nil {
					t.fault(v.Pos(), "there is no %s %s", kind, name)
					continue
				}
				g.add(m.Name())
			}
		}
		for _, g := range t.Of(kind) {
			t.nested(kind, g, 0)
		}
	}
}

// add passes over who is there, and who was taken away by a ! before their name.
func (m *members) add(name string) {
	if !m.reject[name] && !slices.Contains(m.names, name) {
		m.names = append(m.names, name)
	}
}

// direct takes what the group itself names as members, and whom it takes away.
func (t *Tree) direct(kind string, g *Object) {
	m := &members{reject: map[string]bool{}}
	t.groups[kind+" "+g.Name()] = m
	v, _ := g.Get("members")
	yes, no := t.pick(memberType[kind], v)
	for _, n := range no {
		m.reject[n] = true
	}
	for _, n := range yes {
		m.add(n)
	}
}

// nested adds the members of the groups in a group.
func (t *Tree) nested(kind string, g *Object, depth int) *members {
	m := t.groups[kind+" "+g.Name()]
	if m.state != untouched {
		return m
	}
	m.state = underway
	v, _ := g.Get(kind + "_members")
	for _, name := range v.List() {
		in := t.Find(kind, name)
		switch {
		case in == nil:
			t.fault(v.Pos(), "there is no %s %s", kind, name)
			continue
		case depth > 1000:
			t.fault(v.Pos(), "groups are in one another more than 1000 deep; %s was left out", name)
			continue
		}
		sub := t.nested(kind, in, depth+1)
		if sub.state == underway {
			t.fault(v.Pos(), "the %s %s holds itself, over others; it was left out here", kind, name)
			continue
		}
		for _, n := range sub.names {
			m.add(n)
		}
	}
	m.state = resolved
	return m
}

// Members gives who is in a group, over the groups in it: names of hosts of a hostgroup, of contacts of a contactgroup.
func (t *Tree) Members(kind, name string) []string {
	if m := t.groups[kind+" "+name]; m != nil {
		return m.names
	}
	return nil
}

// pick gives the registered objects of a type that a list names, and those that ! takes away. * is all.
func (t *Tree) pick(kind string, v Value) (yes, no []string) {
	for _, word := range v.List() {
		name, away := strings.CutPrefix(word, "!")
		var found []string
		if re := t.pattern(v, word); re != nil {
			for _, o := range t.Of(kind) {
				if re.MatchString(o.Name()) {
					found = append(found, o.Name())
				}
			}
		} else if word == "*" {
			for _, o := range t.Of(kind) {
				found = append(found, o.Name())
			}
		} else if t.Find(kind, name) != nil {
			found = []string{name}
		}
		switch {
		case len(found) == 0 && word != "*":
			t.fault(v.Pos(), "there is no %s %s", kind, name)
		case away:
			no = append(no, found...)
		default:
			yes = append(yes, found...)
		}
	}
	return yes, no
}

// pattern gives the regular expression that a word is, where nagios.cfg has them.
func (t *Tree) pattern(v Value, word string) *regexp.Regexp {
	use, _ := t.Setting("use_regexp_matching")
	always, _ := t.Setting("use_true_regexp_matching")
	on := use != nil && use.Value == "1"
	if !on || (always == nil || always.Value != "1") && !strings.ContainsAny(word, "*?+") && !strings.Contains(word, `\.`) {
		return nil
	}
	re, err := regexp.Compile(word)
	if err != nil {
		t.fault(v.Pos(), "%q is no regular expression that is understood here: %v", word, err)
		return nil
	}
	return re
}

// Hosts gives the hosts that the lists of host_name and hostgroup_name stand for, each once.
func (t *Tree) Hosts(hosts, groups Value) []string {
	list, _ := t.hosts(hosts, groups)
	return list
}

// hosts gives also which of them are named themselves.
func (t *Tree) hosts(hosts, groups Value) (list []string, named map[string]bool) {
	yes, no := t.pick("host", hosts)
	named = map[string]bool{}
	for _, n := range yes {
		named[n] = true
	}
	in, out := t.pick("hostgroup", groups)
	away := map[string]bool{}
	for _, n := range no {
		away[n] = true
	}
	for _, g := range out {
		for _, n := range t.Members("hostgroup", g) {
			away[n] = true
		}
	}
	for _, g := range in {
		yes = append(yes, t.Members("hostgroup", g)...)
	}
	seen := map[string]bool{}
	for _, n := range yes {
		if !away[n] && !seen[n] {
			seen[n] = true
			list = append(list, n)
		}
	}
	return list, named
}

// Contacts gives the contacts that the lists of contacts and contact_groups stand for, each once.
func (t *Tree) Contacts(contacts, groups Value) []string {
	yes, no := t.pick("contact", contacts)
	in, out := t.pick("contactgroup", groups)
	for _, g := range out {
		no = append(no, t.Members("contactgroup", g)...)
	}
	for _, g := range in {
		yes = append(yes, t.Members("contactgroup", g)...)
	}
	var list []string
	for _, n := range yes {
		if !slices.Contains(no, n) && !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}
