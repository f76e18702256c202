package converge

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// HostGroup is a group of hosts, and of groups. What is known of it is known of all in it.
type HostGroup struct {
	Name   string
	Props  map[string]any
	Hosts  []Target
	Groups []HostGroup
}

// known is what is known of a host, and who says so.
type known struct {
	value any
	where []string // the groups down to the one that says it; with the host's name after them when the host says it
	own   bool
}

// Targets gives all hosts of a group and of the groups in it, each once: with the groups that it is in, and with what
// is known of them. The nearest counts: what is said of the host, then of the inner group, then of the outer one. What
// two groups say differently of one host, of which neither is in the other, is an error.
func (g HostGroup) Targets() ([]Target, error) {
	b := tree{props: map[string]map[string]known{}}
	if err := b.add(g, nil, map[string]known{}); err != nil {
		return nil, err
	}
	for i := range b.list {
		t := &b.list[i]
		t.Props = map[string]any{}
		for k, v := range b.props[t.Name] {
			t.Props[k] = v.value
		}
	}
	return b.list, nil
}

type tree struct {
	list  []Target
	props map[string]map[string]known // by the host's name
}

// add lets a host be in several groups. That two of them, neither nearer than the other, say different things of it is
// an error.
func (b *tree) add(g HostGroup, above []string, inherited map[string]known) error {
	path := append(slices.Clone(above), g.Name)
	props := maps.Clone(inherited)
	for k, v := range g.Props {
		props[k] = known{value: v, where: path}
	}
	for _, h := range g.Hosts {
		i := slices.IndexFunc(b.list, func(t Target) bool { return t.Name == h.Name })
		if i < 0 {
			i = len(b.list)
			b.list = append(b.list, Target{Name: h.Name, Dial: h.Dial})
			b.props[h.Name] = map[string]known{}
		}
		t := &b.list[i]
		if t.Dial == nil {
			t.Dial = h.Dial
		}
		for _, name := range append(slices.Clone(h.Groups), path...) {
			if !slices.Contains(t.Groups, name) {
				t.Groups = append(t.Groups, name)
			}
		}
		all := maps.Clone(props)
		for k, v := range h.Props {
			all[k] = known{v, append(slices.Clone(path), h.Name), true}
		}
		for k, v := range all {
			is, ok := b.props[h.Name][k]
			switch {
			case !ok, v.own && !is.own, v.own == is.own && within(v.where, is.where):
				b.props[h.Name][k] = v
			case is.own && !v.own, v.own == is.own && within(is.where, v.where), reflect.DeepEqual(is.value, v.value):
			default:
				return fmt.Errorf("the property %q of %s is %v by %s and %v by %s; say it at the host, or in one of them",
					k, h.Name, is.value, strings.Join(is.where, "/"), v.value, strings.Join(v.where, "/"))
			}
		}
	}
	for _, sub := range g.Groups {
		if err := b.add(sub, path, props); err != nil {
			return err
		}
	}
	return nil
}

// within reports whether a group is in another one.
func within(inner, outer []string) bool {
	return len(inner) > len(outer) && slices.Equal(inner[:len(outer)], outer)
}
