package transfer

import (
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/checks/nagios"
)

// What leads round to itself is refused here, and Nagios refuses it too, of hosts and of services. The last link of a
// round is left out.

// cutParents leaves out parents by which a host would be behind itself.
func (c *carrier) cutParents() {
	parents := map[string][]string{}
	for _, h := range c.tree.Of("host") {
		v, _ := h.Get("parents")
		for _, p := range v.List() {
			if c.tree.Find("host", p) == nil {
				continue
			}
			if reaches(p, h.Name(), func(x string) []string { return parents[x] }) {
				c.note(v.Pos(), "parents "+p, "the host "+h.Name()+" would be behind itself", "it was left out")
				c.cut[h.Name()+"\x00"+p] = true
				continue
			}
			parents[h.Name()] = append(parents[h.Name()], p)
		}
	}
}

// cutDepends leaves out dependencies by which a task would depend on itself, on whatever host.
func (c *carrier) cutDepends() {
	on := map[string][]string{} // tasks by task
	for _, t := range c.made {
		var kept []any
		list, _ := t.entry.get("depends").([]any)
		for _, d := range list {
			name := dependsOn(d)
			if name != t.name && reaches(name, t.name, func(x string) []string { return on[x] }) {
				c.note(t.entry.pos, "what "+t.name+" depends on", "over "+name+" it would depend on itself, as a task", "it was left out")
				continue
			}
			kept = append(kept, d)
			if name != t.name {
				on[t.name] = append(on[t.name], name)
			}
		}
		t.entry.drop("depends")
		if len(kept) > 0 {
			t.entry.set("depends", kept)
		}
	}
}

// dependsOn gives the task that an entry of depends names.
func dependsOn(d any) string {
	if keys, ok := d.([]key); ok {
		return keys[0].value.(string)
	}
	return d.(string)
}

// reaches reports whether one thing leads to another, or is it.
func reaches(from, to string, next func(string) []string) bool {
	seen := map[string]bool{}
	for todo := []string{from}; len(todo) > 0; {
		x := todo[0]
		if todo = todo[1:]; x == to {
			return true
		}
		if !seen[x] {
			seen[x] = true
			todo = append(todo, next(x)...)
		}
	}
	return false
}

// parentsOf gives the parents of a host that are kept.
func (c *carrier) parentsOf(h *nagios.Object, v nagios.Value) []string {
	var out []string
	for _, p := range v.List() {
		if c.tree.Find("host", p) == nil {
			c.note(v.Pos(), "parents "+p, "there is no such host", "")
			continue
		}
		if name := c.hosts.give(p, p); !c.cut[h.Name()+"\x00"+p] && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// split gives the words of a list that was put together with commas.
func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
