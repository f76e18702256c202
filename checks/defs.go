package checks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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

// Error implements error.
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

// definitions is what is declared: in files, and by the API, which has the table check_defs. It owns the table, and
// that one after the other is made. It needs the record, the configuration, and who has what is declared count.
type definitions struct {
	tools
	conf  func() *model.Config
	count func(context.Context) error // all is read again
	tell  func()                      // other nodes are to read it again
	one   sync.Mutex                  // one is made or removed at a time; taken before every other
}

// declared gives what files and the API declare together, and what the API has made that is not right beside the files:
// that is left out, or a task that has gone from a file would keep the server from starting.
func (d *definitions) declared(ctx context.Context, files *model.Defs) (all *model.Defs, left []model.Definition, err error) {
	made, err := d.made(ctx)
	if err != nil {
		return nil, nil, err
	}
	all, left = model.Usable(files, made, d.conf().Plugins)
	return all, left, nil
}

// rightFiles gives what files declare, when all of it is right.
func (d *definitions) rightFiles() (*model.Defs, error) {
	files, err := d.conf().Load()
	if err != nil {
		return nil, err
	}
	return files, files.Check(d.conf().Plugins)
}

// files gives what files declare; what is wrong with them is a sentence for people.
func (d *definitions) files() (*model.Defs, error) {
	f, err := d.conf().Load()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", model.ErrInvalid, err)
	}
	return f, nil
}

// made gives what the API has made.
func (d *definitions) made(ctx context.Context) ([]model.Definition, error) {
	rows, err := d.db.Query(ctx, "SELECT kind, name, yaml, by_whom, at FROM check_defs ORDER BY kind, name")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []model.Definition
	for rows.Next() {
		var x model.Definition
		var at int64
		if err := rows.Scan(&x.Kind, &x.Name, &x.YAML, &x.By, &at); err != nil {
			return nil, err
		}
		x.At = time.UnixMilli(at)
		out = append(out, x)
	}
	return out, rows.Err()
}

// list gives what is declared, of one kind or ("") of all: in files first.
func (d *definitions) list(ctx context.Context, kind string) ([]model.Definition, error) {
	files, err := d.files()
	if err != nil {
		return nil, err
	}
	made, err := d.made(ctx)
	if err != nil {
		return nil, err
	}
	out := files.All()
	_, left := model.Usable(files, made, d.conf().Plugins)
	for _, x := range made {
		if files.Has(x.Kind, x.Name) {
			continue
		}
		if i := slices.IndexFunc(left, x.Is); i >= 0 {
			x = left[i]
		}
		out = append(out, x)
	}
	out = slices.DeleteFunc(out, func(x model.Definition) bool { return kind != "" && x.Kind != kind })
	for i, x := range out {
		out[i] = x.Spelled()
	}
	slices.SortStableFunc(out, func(a, b model.Definition) int {
		return slices.Index(model.Kinds, a.Kind) - slices.Index(model.Kinds, b.Kind)
	})
	return out, nil
}

// define makes or changes a definition. It counts when define returns. The error wraps ErrInvalid or ErrInFile when it
// is the caller's.
func (d *definitions) define(ctx context.Context, x model.Definition) error {
	if !model.IsName(x.Name) {
		return fmt.Errorf("%w: %q is no name; it is of letters, digits, dots, dashes and underscores", model.ErrInvalid, x.Name)
	}
	if err := model.CheckName(x.Name, x.YAML); err != nil {
		return err
	}
	if _, err := model.ParseDefinition(x.Kind, x.Name, x.YAML); err != nil {
		return err
	}
	return d.redefine(ctx, x.Kind, x.Name, &x, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO check_defs (kind, name, yaml, by_whom, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (kind, name) DO UPDATE SET yaml = excluded.yaml, by_whom = excluded.by_whom, at = excluded.at",
			x.Kind, x.Name, x.YAML, x.By, d.now().UnixMilli())
		return errors.Join(err, changed(ctx, tx, markDefs))
	})
}

// remove takes a definition away, unless something needs it.
func (d *definitions) remove(ctx context.Context, kind, name string) error {
	made, err := d.made(ctx)
	if err != nil {
		return err
	}
	files, err := d.files()
	if err != nil {
		return err
	}
	if !files.Has(kind, name) && !slices.ContainsFunc(made, func(x model.Definition) bool { return x.Kind == kind && x.Name == name }) {
		return fmt.Errorf("%w: %s %s", ErrNotFound, kind, name)
	}
	return d.redefine(ctx, kind, name, nil, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM check_defs WHERE kind = ? AND name = ?", kind, name)
		return errors.Join(err, changed(ctx, tx, markDefs))
	})
}

// redefine tries what all would be with another (nil: nothing) in the place of what has its name, writes it, and has it
// count. What was left out before does not stand in its way.
func (d *definitions) redefine(ctx context.Context, kind, name string, to *model.Definition, write func(store.Tx) error) error {
	d.one.Lock()
	defer d.one.Unlock()
	return d.db.OneByOne(ctx, func() error { return d.tryDefine(ctx, kind, name, to, write) })
}

// tryDefine is redefine, while nobody else defines anything.
func (d *definitions) tryDefine(ctx context.Context, kind, name string, to *model.Definition, write func(store.Tx) error) error {
	files, err := d.files()
	if err != nil {
		return err
	}
	if files.Has(kind, name) {
		return fmt.Errorf("%w: %s %s is declared in %s; change it there", ErrInFile, kind, name, d.filesName())
	}
	if err := files.Check(d.conf().Plugins); err != nil {
		return fmt.Errorf("%w: %w", model.ErrInvalid, err)
	}
	made, err := d.made(ctx)
	if err != nil {
		return err
	}
	_, before := model.Usable(files, made, d.conf().Plugins)
	made = slices.DeleteFunc(made, model.Definition{Kind: kind, Name: name}.Is)
	if to != nil {
		made = append(made, *to)
	}
	_, after := model.Usable(files, made, d.conf().Plugins)
	for _, x := range after {
		if to != nil && to.Is(x) || !slices.ContainsFunc(before, x.Is) {
			if to == nil {
				return fmt.Errorf("%w: %s %s uses the %s %s; change it or take it away first (%s)", model.ErrInvalid, x.Kind, x.Name, kind, name, x.Trouble)
			}
			return fmt.Errorf("%w: %s", model.ErrInvalid, x.Trouble)
		}
	}
	if err := d.db.Write(ctx, write); err != nil {
		return err
	}
	defer d.tell()
	return d.count(ctx)
}

// filesName says in messages where definitions stand that are in files.
func (d *definitions) filesName() string {
	if d.conf().Dir != "" {
		return "jarvis.yaml or " + d.conf().Dir
	}
	return "jarvis.yaml"
}

// stamp tells whether a file that declares something has changed.
func (d *definitions) stamp() string {
	var b strings.Builder
	for _, dir := range []string{d.conf().Dir, d.conf().Plugins} {
		if dir == "" {
			continue
		}
		list, _ := os.ReadDir(dir)
		for _, e := range list {
			if st, err := os.Stat(filepath.Join(dir, e.Name())); err == nil {
				fmt.Fprintln(&b, e.Name(), st.Size(), st.ModTime().UnixNano(), st.Mode())
			}
		}
	}
	return b.String()
}

// Definitions gives what is declared, of one kind or ("") of all: in files first.
func (m *Monitor) Definitions(ctx context.Context, kind string) ([]model.Definition, error) {
	return m.defs.list(ctx, kind)
}

// Define makes or changes a definition. It counts when Define returns. The error wraps ErrInvalid or ErrInFile when it
// is the caller's.
func (m *Monitor) Define(ctx context.Context, d model.Definition) error { return m.defs.define(ctx, d) }

// Remove takes a definition away, unless something needs it.
func (m *Monitor) Remove(ctx context.Context, kind, name string) error {
	return m.defs.remove(ctx, kind, name)
}
