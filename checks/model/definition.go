package model

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/checks/calendar"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Definition is one thing that is declared, and where.
type Definition struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	YAML string `json:"yaml"`
	// Object is the same for programs; Spelled fills it.
	Object map[string]any `json:"definition" doc:"the same as an object, with the keys of jarvis.yaml"`
	By     string         `json:"by,omitempty"` // who made it by the API; "": it stands in a file
	At     time.Time      `json:"at,omitzero"`
	// Trouble is why it does not count now: something it names has gone.
	Trouble string `json:"trouble,omitempty"`
}

// Spelled gives a definition with its Object. What is no longer YAML has an empty one.
func (d Definition) Spelled() Definition {
	d.Object = map[string]any{}
	var v any
	if err := yaml.Load([]byte(d.YAML), &v); err != nil {
		return d
	}
	if m, ok := plainKeys(v).(map[string]any); ok {
		d.Object = m
	}
	return d
}

// plainKeys makes a value of YAML one that JSON has: all keys are texts.
func plainKeys(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			v[k] = plainKeys(x)
		}
	case map[any]any:
		out := map[string]any{}
		for k, x := range v {
			out[fmt.Sprint(k)] = plainKeys(x)
		}
		return out
	case []any:
		for i, x := range v {
			v[i] = plainKeys(x)
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprint(v)
		}
	}
	return v
}

// Is reports whether both are the same thing, whatever they say of it.
func (d Definition) Is(o Definition) bool { return d.Kind == o.Kind && d.Name == o.Name }

// ErrInvalid is of what people ask for: the words are not right.
var ErrInvalid = errors.New("it is not right")

// Usable adds to what files declare, which is right, what of the API's definitions is right beside it. The rest is
// given back with what is wrong with it. Files win.
func Usable(files *Defs, made []Definition, plugins string) (all *Defs, left []Definition) {
	type parsed struct {
		Definition
		one *Defs
	}
	var kept []parsed
	for _, d := range made {
		if files.Has(d.Kind, d.Name) {
			continue
		}
		one, err := ParseDefinition(d.Kind, d.Name, d.YAML)
		if err != nil {
			d.Trouble = strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": ")
			left = append(left, d)
			continue
		}
		kept = append(kept, parsed{d, one})
	}
	for { // what is left out may be missed by others
		all = files.clone()
		for _, k := range kept {
			all.add(k.one)
		}
		why := map[string]error{}
		for _, f := range all.faults(plugins) {
			why[f.kind+" "+f.name] = f.err
		}
		n := len(kept)
		kept = slices.DeleteFunc(kept, func(k parsed) bool {
			err := why[k.Kind+" "+k.Name]
			if err != nil {
				k.Trouble = err.Error()
				left = append(left, k.Definition)
			}
			return err != nil
		})
		if len(kept) == n {
			return all, left
		}
	}
}

// ParseDefinition reads one definition.
func ParseDefinition(kind, name, text string) (*Defs, error) {
	var d Defs
	var err error
	switch kind {
	case KindHost:
		d.Hosts = make([]Host, 1)
		err = readYAML([]byte(text), &d.Hosts[0])
		d.Hosts[0].Name = name
	case KindTask:
		d.Tasks = make([]Task, 1)
		err = readYAML([]byte(text), &d.Tasks[0])
		d.Tasks[0].Name = name
	case KindSchedule:
		d.Schedules = make([]NamedSchedule, 1)
		err = readYAML([]byte(text), &d.Schedules[0])
		d.Schedules[0].Name = name
	case KindPeriod:
		d.Periods = make([]calendar.Def, 1)
		err = readYAML([]byte(text), &d.Periods[0])
		d.Periods[0].Name = name
	case KindDowntime:
		d.Downtimes = make([]RecurringDowntime, 1)
		err = readYAML([]byte(text), &d.Downtimes[0])
		d.Downtimes[0].Name = name
	case KindHostTask:
		d.HostTasks = make([]HostTask, 1)
		err = readYAML([]byte(text), &d.HostTasks[0])
		d.HostTasks[0].Name = name
	case KindAction:
		d.Actions = make([]Action, 1)
		err = readYAML([]byte(text), &d.Actions[0])
		d.Actions[0].Name = name
		if a := d.Actions[0]; err == nil && (a.Webhook != "" || a.Run != "") {
			err = errors.New("webhook and run are for files only: they hold secrets, and act in the name of the bot")
		}
	case KindContact:
		d.Contacts = make([]Contact, 1)
		err = readYAML([]byte(text), &d.Contacts[0])
		d.Contacts[0].Name = name
		if c := d.Contacts[0]; err == nil && (c.Webhook != "" || len(c.Command) > 0) {
			err = errors.New("webhook and command are for files only: they hold secrets, and act as this server")
		}
	case KindNode:
		d.Nodes = make([]Node, 1)
		err = readYAML([]byte(text), &d.Nodes[0])
		d.Nodes[0].Name = name
	default:
		return nil, fmt.Errorf("%w: there is no kind %q%s", ErrInvalid, kind, cmp.Or(plain.Meant(kind, Kinds), "; there are "+strings.Join(Kinds, ", ")))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s %s: %s", ErrInvalid, kind, name, OneLine(err))
	}
	return &d, nil
}

// All gives everything that is declared, as definitions.
func (d *Defs) All() []Definition {
	var out []Definition
	put := func(kind, name string, v any) {
		b, err := yaml.Dump(v, yaml.WithIndent(2))
		if err != nil {
			b = []byte("# " + err.Error())
		}
		out = append(out, Definition{Kind: kind, Name: name, YAML: string(b)})
	}
	for _, x := range d.Hosts {
		put(KindHost, x.Name, x)
	}
	for _, x := range d.Tasks {
		put(KindTask, x.Name, x)
	}
	for _, x := range d.Schedules {
		put(KindSchedule, x.Name, x)
	}
	for _, x := range d.Periods {
		put(KindPeriod, x.Name, x)
	}
	for _, x := range d.HostTasks {
		put(KindHostTask, x.label(), x)
	}
	for _, x := range d.Downtimes {
		put(KindDowntime, x.Name, x)
	}
	for _, x := range d.Actions {
		put(KindAction, x.Name, x)
	}
	for _, x := range d.Contacts {
		put(KindContact, x.Name, x)
	}
	for _, x := range d.Nodes {
		put(KindNode, x.Name, x)
	}
	return out
}

// Has reports whether there is one of this kind and name.
func (d *Defs) Has(kind, name string) bool {
	return slices.ContainsFunc(d.All(), func(x Definition) bool { return x.Kind == kind && x.Name == name })
}
