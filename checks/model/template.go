package model

import (
	"fmt"
	"reflect"
	"strings"
)

// What several definitions share stands in a template: `use: NAME` takes from it all that a definition does not say
// itself. Templates use templates. The entries of maps (env, vars) are taken one by one, lists as a whole.

// inherited gives the definitions with what they take from others, in the same order; and what is wrong with that, by
// kind and index.
func (d *Defs) inherited() (*Defs, map[string]map[int]error) {
	out := d.clone()
	wrong := map[string]map[int]error{
		KindHost:     inherit(out.Hosts, func(h *Host) (string, string) { return h.Name, h.Use }),
		KindTask:     inherit(out.Tasks, func(t *Task) (string, string) { return t.Name, t.Use }),
		KindHostTask: inherit(out.HostTasks, func(ht *HostTask) (string, string) { return ht.Name, ht.Use }),
	}
	return out, wrong
}

// real gives the definitions with what they take from templates, and without those. They have been checked.
func (d *Defs) real() *Defs {
	all, _ := d.inherited()
	out := *all
	out.places = nil // templates are not counted any more
	out.Hosts = without(all.Hosts, func(h Host) bool { return h.Template })
	out.Tasks = without(all.Tasks, func(t Task) bool { return t.Template })
	out.HostTasks = without(all.HostTasks, func(ht HostTask) bool { return ht.Template })
	return &out
}

func without[T any](all []T, drop func(T) bool) []T {
	var out []T
	for _, x := range all {
		if !drop(x) {
			out = append(out, x)
		}
	}
	return out
}

// inherit fills in what definitions of a kind take from those that they use. names gives a definition's name, and the
// one that it uses.
func inherit[T any](all []T, names func(*T) (name, use string)) map[int]error {
	at := map[string]int{}
	for i := range all {
		if name, _ := names(&all[i]); name != "" {
			if _, twice := at[name]; !twice {
				at[name] = i
			}
		}
	}
	wrong := map[int]error{}
	done := make([]bool, len(all))
	var fill func(i int, path []string)
	fill = func(i int, path []string) {
		name, use := names(&all[i])
		if done[i] || use == "" {
			return
		}
		done[i] = true
		from, there := at[use]
		path = append(path, name)
		switch {
		case !there:
			wrong[i] = fmt.Errorf("it uses %s, and no template has that name", use)
			return
		case loops(path, use):
			wrong[i] = fmt.Errorf("it uses itself: %s; take one use away", strings.Join(append(path, use), " uses "))
			return
		}
		fill(from, path)
		if wrong[from] != nil {
			wrong[i] = fmt.Errorf("it uses %s, which is wrong", use)
			return
		}
		take(reflect.ValueOf(&all[i]).Elem(), reflect.ValueOf(all[from]))
	}
	for i := range all {
		fill(i, nil)
	}
	return wrong
}

// loops reports whether use leads back to who is on the path. An entry without a name cannot be used, so it closes no
// circle.
func loops(path []string, use string) bool {
	for _, name := range path {
		if name != "" && name == use {
			return true
		}
	}
	return false
}

// Fields that are a definition's own, and those of which one excludes the other: who has a command takes no plugin
// over.
var (
	ownFields = map[string]bool{"Name": true, "Use": true, "Template": true}
	insteadOf = map[string][]string{"Plugin": {"Command"}, "Command": {"Plugin"}, "Args": {"Command"}}
)

// take fills the empty fields of a struct from another one.
func take(own, from reflect.Value) {
	was := reflect.New(own.Type()).Elem()
	was.Set(own)
	for i := range own.NumField() {
		name := own.Type().Field(i).Name
		if ownFields[name] {
			continue
		}
		taken := false
		for _, other := range insteadOf[name] {
			if f := was.FieldByName(other); f.IsValid() && !f.IsZero() {
				taken = true
			}
		}
		mine, theirs := own.Field(i), from.Field(i)
		switch {
		case taken || theirs.IsZero():
		case mine.IsZero():
			mine.Set(theirs)
		case mine.Kind() == reflect.Map:
			both := reflect.MakeMap(mine.Type())
			for _, m := range []reflect.Value{theirs, mine} {
				for _, k := range m.MapKeys() {
					both.SetMapIndex(k, m.MapIndex(k))
				}
			}
			mine.Set(both)
		}
	}
}
