package nagios

import (
	"slices"
	"strings"
)

// MaxServices bounds how many services there may be, each host counted.
const MaxServices = 200_000

// Service is one service on one host.
type Service struct {
	*Object
	Host *Object
}

// Description is what the service is called.
func (s Service) Description() string { return s.Name() }

// Services gives each service on each of its hosts, as they are written.
func (t *Tree) Services() []Service { return t.services }

// expand puts services on their hosts. Where two have one name on one host, the one that names the host counts before
// the one that names a group of it, and else the first.
func (t *Tree) expand() {
	at := map[string]int{}
	byName := map[string]bool{}
	for _, o := range t.Objects {
		if o.Type != "service" || !o.Registered() {
			continue
		}
		names, _ := o.Get("host_name")
		groups, _ := o.Get("hostgroup_name")
		if o.Name() == "" || names.Text == "" && groups.Text == "" {
			t.fault(o.Pos, "this service has no service_description, or neither host_name nor hostgroup_name; nothing of it was taken")
			continue
		}
		if t.ended() {
			return
		}
		hosts, direct := t.hosts(names, groups)
		if len(hosts) == 0 {
			t.fault(o.Pos, "the service %s runs on no host", o.Name())
		}
		for _, h := range hosts {
			key := h + "\x00" + o.Name()
			own := direct[h]
			if i, twice := at[key]; twice {
				if own && !byName[key] {
					t.services[i].Object, byName[key] = o, true
					continue // as Nagios says: one for a group stands back
				}
				if own == byName[key] {
					t.fault(o.Pos, "the service %s is on %s already (%s); this one was passed over there", o.Name(), h, t.services[i].Object.Pos)
				}
				continue
			}
			if len(t.services) == MaxServices {
				t.fault(o.Pos, "there are more than %d services; this one and those after it were passed over", MaxServices)
				return
			}
			at[key], byName[key] = len(t.services), own
			t.services = append(t.services, Service{o, t.Find("host", h)})
		}
	}
}

// Pick gives the services that an object as a dependency names: on hosts and groups, or of groups of services. * is all
// of a host. The names of the attributes begin with prefix.
func (t *Tree) Pick(o *Object, prefix string) []Service {
	hosts, _ := o.Get(prefix + "host_name")
	groups, _ := o.Get(prefix + "hostgroup_name")
	words, _ := o.Get(prefix + "service_description")
	sets, _ := o.Get(prefix + "servicegroup_name")
	on := t.Hosts(hosts, groups)
	var out []Service
	for _, s := range t.services {
		host := slices.Contains(on, s.Host.Name())
		if host && t.named1(words, s.Description()) || sets.Text != "" && t.inSet(sets.List(), s) {
			out = append(out, s)
		}
	}
	return out
}

// named1 reports whether a list of descriptions names one.
func (t *Tree) named1(words Value, name string) bool {
	yes := false
	for _, w := range words.List() {
		word, away := strings.CutPrefix(w, "!")
		if word == "*" || word == name {
			if away {
				return false
			}
			yes = true
		}
	}
	return yes
}

// InGroup reports whether a service is in a servicegroup: by its own word, by the group's members, or over the groups
// in it.
func (t *Tree) InGroup(group string, s Service) bool { return t.inGroup(group, s, map[string]bool{}) }

// inSet reports whether a service is in one of the groups and in none that has a ! before it, in whatever order.
func (t *Tree) inSet(groups []string, s Service) bool {
	yes := false
	for _, g := range groups {
		name, away := strings.CutPrefix(g, "!")
		if name == "*" || t.InGroup(name, s) {
			if away {
				return false
			}
			yes = true
		}
	}
	return yes
}

// inGroup looks at both sides: what groups the service names, and what members the group names. Each
// group is looked at once: seen are those that were.
func (t *Tree) inGroup(group string, s Service, seen map[string]bool) bool {
	g := t.Find("servicegroup", group)
	if g == nil || seen[group] {
		return false
	}
	seen[group] = true
	own, _ := s.Get("servicegroups")
	if slices.Contains(own.List(), group) {
		return true
	}
	pairs, _ := g.Get("members")
	words := pairs.List()
	for i := 0; i+1 < len(words); i += 2 {
		if words[i] == s.Host.Name() && (words[i+1] == s.Description() || words[i+1] == "*") {
			return true
		}
	}
	inner, _ := g.Get("servicegroup_members")
	for _, name := range inner.List() {
		if t.inGroup(name, s, seen) {
			return true
		}
	}
	return false
}
