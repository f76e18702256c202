package checks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/store"
)

// Errors of what people ask for.
var (
	ErrNotFound = errors.New("not found")
	ErrInFile   = errors.New("it stands in a file")
)

// NoCheckError: no such check is declared.
type NoCheckError struct {
	Key       model.Key
	Elsewhere bool // its task is declared, for other hosts
}

func (e *NoCheckError) Error() string {
	switch {
	case e.Elsewhere:
		return fmt.Sprintf("there is no check %s: the task %s is declared for other hosts", e.Key, e.Key.Task)
	case e.Key.Host == "":
		return "there is no check or host " + e.Key.Task
	case e.Key.Task == "":
		if strings.ContainsAny(e.Key.Host, " \t") { // several words in one pair of quotes
			return fmt.Sprintf("there is no host %q; write TASK on HOST as words of their own", e.Key.Host)
		}
		return "there is no check on " + e.Key.Host
	}
	return fmt.Sprintf("there is no check %s", e.Key)
}

// declared gives what files and the API declare together, and what the API has made that is not right beside the files: that
// is left out, or a task that has gone from a file would keep the server from starting.
func (m *Monitor) declared(ctx context.Context, files *model.Defs) (all *model.Defs, left []model.Definition, err error) {
	made, err := m.made(ctx)
	if err != nil {
		return nil, nil, err
	}
	all, left = model.Usable(files, made, m.conf().Plugins)
	return all, left, nil
}

// rightFiles gives what files declare, when all of it is right.
func (m *Monitor) rightFiles() (*model.Defs, error) {
	files, err := m.conf().Load()
	if err != nil {
		return nil, err
	}
	return files, files.Check(m.conf().Plugins)
}

// files gives what files declare; what is wrong with them is a sentence for people.
func (m *Monitor) files() (*model.Defs, error) {
	d, err := m.conf().Load()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", model.ErrInvalid, err)
	}
	return d, nil
}

// made gives what the API has made.
func (m *Monitor) made(ctx context.Context) ([]model.Definition, error) {
	rows, err := m.DB.Query(ctx, "SELECT kind, name, yaml, by_whom, at FROM check_defs ORDER BY kind, name")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []model.Definition
	for rows.Next() {
		var d model.Definition
		var at int64
		if err := rows.Scan(&d.Kind, &d.Name, &d.YAML, &d.By, &at); err != nil {
			return nil, err
		}
		d.At = time.UnixMilli(at)
		out = append(out, d)
	}
	return out, rows.Err()
}

// Definitions gives what is declared, of one kind or ("") of all: in files first.
func (m *Monitor) Definitions(ctx context.Context, kind string) ([]model.Definition, error) {
	files, err := m.files()
	if err != nil {
		return nil, err
	}
	made, err := m.made(ctx)
	if err != nil {
		return nil, err
	}
	out := files.All()
	_, left := model.Usable(files, made, m.conf().Plugins)
	for _, d := range made {
		if files.Has(d.Kind, d.Name) {
			continue
		}
		if i := slices.IndexFunc(left, d.Is); i >= 0 {
			d = left[i]
		}
		out = append(out, d)
	}
	out = slices.DeleteFunc(out, func(d model.Definition) bool { return kind != "" && d.Kind != kind })
	for i, d := range out {
		out[i] = d.Spelled()
	}
	slices.SortStableFunc(out, func(a, b model.Definition) int {
		return slices.Index(model.Kinds, a.Kind) - slices.Index(model.Kinds, b.Kind)
	})
	return out, nil
}

// Define makes or changes a definition. It counts when Define returns. The error wraps ErrInvalid or ErrInFile when it is
// the caller's.
func (m *Monitor) Define(ctx context.Context, d model.Definition) error {
	if !model.IsName(d.Name) {
		return fmt.Errorf("%w: %q is no name; it is of letters, digits, dots, dashes and underscores", model.ErrInvalid, d.Name)
	}
	if err := model.CheckName(d.Name, d.YAML); err != nil {
		return err
	}
	if _, err := model.ParseDefinition(d.Kind, d.Name, d.YAML); err != nil {
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
	if !files.Has(kind, name) && !slices.ContainsFunc(made, func(x model.Definition) bool { return x.Kind == kind && x.Name == name }) {
		return fmt.Errorf("%w: %s %s", ErrNotFound, kind, name)
	}
	return m.redefine(ctx, kind, name, nil, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM check_defs WHERE kind = ? AND name = ?", kind, name)
		return errors.Join(err, changed(ctx, tx, markDefs))
	})
}

// redefine tries what all would be with d (nil: nothing) in the place of what has its name, writes it, and has it count. What
// was left out before does not stand in its way.
func (m *Monitor) redefine(ctx context.Context, kind, name string, d *model.Definition, write func(store.Tx) error) error {
	m.defining.Lock()
	defer m.defining.Unlock()
	return m.DB.OneByOne(ctx, func() error { return m.tryDefine(ctx, kind, name, d, write) })
}

// tryDefine is redefine, while nobody else defines anything.
func (m *Monitor) tryDefine(ctx context.Context, kind, name string, d *model.Definition, write func(store.Tx) error) error {
	files, err := m.files()
	if err != nil {
		return err
	}
	if files.Has(kind, name) {
		return fmt.Errorf("%w: %s %s is declared in %s; change it there", ErrInFile, kind, name, m.filesName())
	}
	if err := files.Check(m.conf().Plugins); err != nil {
		return fmt.Errorf("%w: %w", model.ErrInvalid, err)
	}
	made, err := m.made(ctx)
	if err != nil {
		return err
	}
	_, before := model.Usable(files, made, m.conf().Plugins)
	made = slices.DeleteFunc(made, model.Definition{Kind: kind, Name: name}.Is)
	if d != nil {
		made = append(made, *d)
	}
	_, after := model.Usable(files, made, m.conf().Plugins)
	for _, x := range after {
		if d != nil && d.Is(x) || !slices.ContainsFunc(before, x.Is) {
			if d == nil {
				return fmt.Errorf("%w: %s %s uses the %s %s; change it or take it away first (%s)", model.ErrInvalid, x.Kind, x.Name, kind, name, x.Trouble)
			}
			return fmt.Errorf("%w: %s", model.ErrInvalid, x.Trouble)
		}
	}
	if err := m.DB.Write(ctx, write); err != nil {
		return err
	}
	defer m.town.tell(newsDefs)
	return m.refresh(ctx)
}

func (m *Monitor) filesName() string {
	if m.conf().Dir != "" {
		return "jarvis.yaml or " + m.conf().Dir
	}
	return "jarvis.yaml"
}
