package pipeline

import (
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
)

// read by every run, whatever its steps are.
var alwaysRead = []string{"hostname", "fqdn", "provider", SiloKey}

// Unread lists the keys of a clipboard that none of the steps reads or gives, in its order: nothing is ignored in
// silence. A step that names no keys, a program of one's own, may read all.
func (r *Registry) Unread(c *clipboard.Clipboard, steps []string) []string {
	var list []Step
	for _, name := range steps {
		if s, err := r.Lookup(name, c.Get("provider")); err == nil {
			list = append(list, s)
		}
	}
	var out []string
	for _, key := range c.Keys() {
		if slices.Contains(alwaysRead, key) || slices.ContainsFunc(list, func(s Step) bool { return needsKey(s, key) || slices.Contains(s.Gives, key) }) {
			continue
		}
		out = append(out, key)
	}
	return out
}

// Reads lists the keys that the steps read, for a hint.
func (r *Registry) Reads(c *clipboard.Clipboard, steps []string) []string {
	var out []string
	for _, name := range steps {
		s, err := r.Lookup(name, c.Get("provider"))
		if err != nil {
			continue
		}
		for _, n := range s.Needs {
			if n = strings.TrimSuffix(n, "?"); !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}
