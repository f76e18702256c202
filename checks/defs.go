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
}

// Errors of what people ask for.
var (
	ErrNotFound = errors.New("not found")
	ErrInFile   = errors.New("it stands in a file")
	ErrInvalid  = errors.New("it is not right")
)

// NoCheckError: no such check is declared.
type NoCheckError struct{ Key Key }

func (e *NoCheckError) Error() string { return fmt.Sprintf("there is no check %s", e.Key) }

// declared gives what files and the API declare together. What is wrong with what the API has made is said as of the whole.
func (m *Monitor) declared(ctx context.Context) (*Defs, error) {
	files, err := m.cfg.load()
	if err != nil {
		return nil, err
	}
	made, err := m.made(ctx)
	if err != nil {
		return nil, err
	}
	all := files.clone()
	for _, d := range made {
		if files.has(d.Kind, d.Name) {
			continue // files win
		}
		one, err := parseDef(d.Kind, d.Name, d.YAML)
		if err != nil {
			return nil, err
		}
		all.add(one)
	}
	return all, all.check(m.cfg.Plugins)
}

// files gives what files declare; what is wrong with them is a sentence for people.
func (m *Monitor) files() (*Defs, error) {
	d, err := m.cfg.load()
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
	for _, d := range made {
		if !files.has(d.Kind, d.Name) {
			out = append(out, d)
		}
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
	one, err := parseDef(d.Kind, d.Name, d.YAML)
	if err != nil {
		return err
	}
	return m.redefine(ctx, d.Kind, d.Name, one, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO check_defs (kind, name, yaml, by_whom, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (kind, name) DO UPDATE SET yaml = excluded.yaml, by_whom = excluded.by_whom, at = excluded.at",
			d.Kind, d.Name, d.YAML, d.By, m.now().UnixMilli())
		return err
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
		return err
	})
}

// redefine tries what all would be with one in the place of what has its name, writes it, and has it count.
func (m *Monitor) redefine(ctx context.Context, kind, name string, one *Defs, write func(store.Tx) error) error {
	m.defining.Lock()
	defer m.defining.Unlock()
	files, err := m.files()
	if err != nil {
		return err
	}
	if files.has(kind, name) {
		return fmt.Errorf("%w: %s %s is declared in %s; change it there", ErrInFile, kind, name, m.filesName())
	}
	made, err := m.made(ctx)
	if err != nil {
		return err
	}
	for _, d := range made {
		if d.Kind == kind && d.Name == name || files.has(d.Kind, d.Name) {
			continue
		}
		other, err := parseDef(d.Kind, d.Name, d.YAML)
		if err != nil {
			return err
		}
		files.add(other)
	}
	if one != nil {
		files.add(one)
	}
	if err := files.check(m.cfg.Plugins); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := m.DB.Write(ctx, write); err != nil {
		return err
	}
	return m.refresh(ctx)
}

func (m *Monitor) filesName() string {
	if m.cfg.Dir != "" {
		return "jarvis.yaml or " + m.cfg.Dir
	}
	return "jarvis.yaml"
}
