package transfer

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/pattern"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

var notInNames = pattern.New(`[^A-Za-z0-9._-]+`)

// slug makes a name of what Nagios calls something.
func slug(name string) string {
	switch name {
	case "/":
		return "root"
	}
	name = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "Ä", "Ae", "Ö", "Oe", "Ü", "Ue", "ß", "ss", " /", " root").Replace(name)
	s := strings.Trim(notInNames.ReplaceAllString(name, "-"), "-._")
	if len(s) > 90 {
		s = strings.TrimRight(s[:90], "-._")
	}
	if s == "" {
		s = "unnamed"
	}
	return s
}

// names gives each of what Nagios tells apart a name of its own.
type names struct {
	of    map[string]string // by what it is there
	taken map[string]bool
}

// newNames has names that are never given, in whatever case.
func newNames(reserved ...string) *names {
	n := &names{of: map[string]string{}, taken: map[string]bool{}}
	for _, r := range reserved {
		n.taken[strings.ToLower(r)] = true
	}
	return n
}

// give gives the name of a thing, the same each time.
func (n *names) give(id, like string) string {
	if s := n.of[id]; s != "" {
		return s
	}
	s := slug(like)
	for i := 2; n.taken[strings.ToLower(s)] || !model.IsName(s); i++ {
		s = slug(like) + "-" + strconv.Itoa(i)
	}
	n.taken[strings.ToLower(s)] = true
	n.of[id] = s
	return s
}

// duration writes a time as people do: 5m, 1h30m.
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
