package checks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/store"
)

// Definition is one thing that is declared, and where.
type Definition struct {
	Kind string    `json:"kind"`
	Name string    `json:"name"`
	YAML string    `json:"yaml"`
	By   string    `json:"by,omitempty"` // who made it by the API; "": it stands in a file
	At   time.Time `json:"at,omitzero"`
	// Trouble is why it does not count now: something it names has gone.
	Trouble string `json:"trouble,omitempty"`
}

// is reports whether both are the same thing, whatever they say of it.
func (d Definition) is(o Definition) bool { return d.Kind == o.Kind && d.Name == o.Name }

// Errors of what people ask for.
var (
	ErrNotFound = errors.New("not found")
	ErrInFile   = errors.New("it stands in a file")
	ErrInvalid  = errors.New("it is not right")
)

// NoCheckError: no such check is declared.
type NoCheckError struct {
	Key       Key
	Elsewhere bool // its task is declared, for other hosts
}

func (e *NoCheckError) Error() string {
	if e.Elsewhere {
		return fmt.Sprintf("there is no check %s: the task %s is declared for other hosts", e.Key, e.Key.Task)
	}
	return fmt.Sprintf("there is no check %s", e.Key)
}

// declared gives what files and the API declare together, and what the API has made that is not right beside the files: that
// is left out, or a task that has gone from a file would keep the server from starting.
func (m *Monitor) declared(ctx context.Context) (all *Defs, left []Definition, err error) {
	files, err := m.conf().load()
	if err != nil {
		return nil, nil, err
	}
	if err := files.check(m.conf().Plugins); err != nil {
		return nil, nil, err
	}
	made, err := m.made(ctx)
	if err != nil {
		return nil, nil, err
	}
	all, left = m.usable(files, made)
	return all, left, nil
}

// usable adds to what files declare, which is right, what of the API's definitions is right beside it. The rest is given back
// with what is wrong with it. Files win.
func (m *Monitor) usable(files *Defs, made []Definition) (all *Defs, left []Definition) {
	type parsed struct {
		Definition
		one *Defs
	}
	var kept []parsed
	for _, d := range made {
		if files.has(d.Kind, d.Name) {
			continue
		}
		one, err := parseDef(d.Kind, d.Name, d.YAML)
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
		for _, f := range all.faults(m.conf().Plugins) {
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

// files gives what files declare; what is wrong with them is a sentence for people.
func (m *Monitor) files() (*Defs, error) {
	d, err := m.conf().load()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return d, nil
}

// made gives what the API has made.
func (m *Monitor) made(ctx context.Context) ([]Definition, error) {
	rows, err := m.DB.Query(ctx, "SELECT kind, name, yaml, by_whom, at FROM check_defs ORDER BY kind, name")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []Definition
	for rows.Next() {
		var d Definition
		var at int64
		if err := rows.Scan(&d.Kind, &d.Name, &d.YAML, &d.By, &at); err != nil {
			return nil, err
		}
		d.At = time.UnixMilli(at)
		out = append(out, d)
	}
	return out, rows.Err()
}

// parseDef reads one definition.
func parseDef(kind, name, text string) (*Defs, error) {
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
	case KindNode:
		d.Nodes = make([]Node, 1)
		err = readYAML([]byte(text), &d.Nodes[0])
		d.Nodes[0].Name = name
	default:
		return nil, fmt.Errorf("%w: there is no kind %q; there are %s", ErrInvalid, kind, strings.Join(Kinds, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s %s: %s", ErrInvalid, kind, name, oneLine(err))
	}
	return &d, nil
}

// all gives everything that is declared, as definitions.
func (d *Defs) all() []Definition {
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
	for _, x := range d.HostTasks {
		put(KindHostTask, x.label(), x)
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

func (d *Defs) has(kind, name string) bool {
	return slices.ContainsFunc(d.all(), func(x Definition) bool { return x.Kind == kind && x.Name == name })
}

// Definitions gives what is declared, of one kind or ("") of all: in files first.
func (m *Monitor) Definitions(ctx context.Context, kind string) ([]Definition, error) {
	files, err := m.files()
	if err != nil {
		return nil, err
	}
	made, err := m.made(ctx)
	if err != nil {
		return nil, err
	}
	out := files.all()
	_, left := m.usable(files, made)
	for _, d := range made {
		if files.has(d.Kind, d.Name) {
			continue
		}
		if i := slices.IndexFunc(left, d.is); i >= 0 {
			d = left[i]
		}
		out = append(out, d)
	}
	out = slices.DeleteFunc(out, func(d Definition) bool { return kind != "" && d.Kind != kind })
	slices.SortStableFunc(out, func(a, b Definition) int { return slices.Index(Kinds, a.Kind) - slices.Index(Kinds, b.Kind) })
	return out, nil
}

// Define makes or changes a definition. It counts when Define returns. The error wraps ErrInvalid or ErrInFile when it is
// the caller's.
func (m *Monitor) Define(ctx context.Context, d Definition) error {
	if !defName.MatchString(d.Name) {
		return fmt.Errorf("%w: %q is no name; it is of letters, digits, dots, dashes and underscores", ErrInvalid, d.Name)
	}
	if _, err := parseDef(d.Kind, d.Name, d.YAML); err != nil {
		return err
	}
	return m.redefine(ctx, d.Kind, d.Name, &d, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO check_defs (kind, name, yaml, by_whom, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (kind, name) DO UPDATE SET yaml = excluded.yaml, by_whom = excluded.by_whom, at = excluded.at",
			d.Kind, d.Name, d.YAML, d.By, m.now().UnixMilli())
		return errors.Join(err, changed(ctx, tx, markDefs))
	})
}

// Remove takes a definition away, unless something needs it.
func (m *Monitor) Remove(ctx context.Context, kind, name string) error {
	made, err := m.made(ctx)
	if err != nil {
		return err
	}
	files, err := m.files()
	if err != nil {
		return err
	}
	if !files.has(kind, name) && !slices.ContainsFunc(made, func(x Definition) bool { return x.Kind == kind && x.Name == name }) {
		return fmt.Errorf("%w: %s %s", ErrNotFound, kind, name)
	}
	return m.redefine(ctx, kind, name, nil, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM check_defs WHERE kind = ? AND name = ?", kind, name)
		return errors.Join(err, changed(ctx, tx, markDefs))
	})
}

// redefine tries what all would be with d (nil: nothing) in the place of what has its name, writes it, and has it count. What
// was left out before does not stand in its way.
func (m *Monitor) redefine(ctx context.Context, kind, name string, d *Definition, write func(store.Tx) error) error {
	m.defining.Lock()
	defer m.defining.Unlock()
	return m.DB.OneByOne(ctx, func() error { return m.tryDefine(ctx, kind, name, d, write) })
}

// tryDefine is redefine, while nobody else defines anything.
func (m *Monitor) tryDefine(ctx context.Context, kind, name string, d *Definition, write func(store.Tx) error) error {
	files, err := m.files()
	if err != nil {
		return err
	}
	if files.has(kind, name) {
		return fmt.Errorf("%w: %s %s is declared in %s; change it there", ErrInFile, kind, name, m.filesName())
	}
	if err := files.check(m.conf().Plugins); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	made, err := m.made(ctx)
	if err != nil {
		return err
	}
	_, before := m.usable(files, made)
	made = slices.DeleteFunc(made, Definition{Kind: kind, Name: name}.is)
	if d != nil {
		made = append(made, *d)
	}
	_, after := m.usable(files, made)
	for _, x := range after {
		if d != nil && d.is(x) || !slices.ContainsFunc(before, x.is) {
			return fmt.Errorf("%w: %s", ErrInvalid, x.Trouble)
		}
	}
	if err := m.DB.Write(ctx, write); err != nil {
		return err
	}
	defer m.tellNodes(newsDefs)
	return m.refresh(ctx)
}

func (m *Monitor) filesName() string {
	if m.conf().Dir != "" {
		return "jarvis.yaml or " + m.conf().Dir
	}
	return "jarvis.yaml"
}
