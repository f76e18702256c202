package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/internal/plain"
)

// A Draft is a backup that is being written: a hidden file beside its place, locked as long as somebody writes it. It
// comes into its place whole, or not at all.
type Draft struct {
	*os.File

	Left []string // drafts of the same name that nobody wrote any more, of processes that were killed; they were removed

	name string
}

var (
	// ErrThere: a file of that name is there.
	ErrThere = errors.New("is there already")
	// ErrKind: what is there is no regular file.
	ErrKind = errors.New("a backup replaces regular files only")
)

// Free says why a backup may not be written under a name: something is there. replace allows a regular file; nothing
// else is ever replaced, for a rename would take a device, or the link to the file that was meant, away for good.
func Free(name string, replace bool) error {
	st, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	if kind := plain.Kind(st.Mode()); kind != "" {
		return fmt.Errorf("%s is %s, and %w", name, kind, ErrKind)
	}
	if !replace {
		return fmt.Errorf("%s %w", name, ErrThere)
	}
	return nil
}

// NewDraft begins one for a name, and removes those that killed processes left.
func NewDraft(name string) (*Draft, error) {
	d := &Draft{name: name}
	pattern := "." + filepath.Base(name) + ".jarvis-*"
	for {
		f, err := os.CreateTemp(filepath.Dir(name), pattern)
		if err != nil {
			return nil, err
		}
		// A file system that has no locks takes no draft away, either.
		_ = lock(f, unix.LOCK_EX)
		if ours(f, f.Name()) {
			d.File = f
			break
		}
		_ = f.Close() // somebody took it for one that was left, before it was locked
	}
	return d, d.tidy(pattern)
}

// tidy removes drafts that no process holds the lock of.
func (d *Draft) tidy(pattern string) error {
	entries, err := os.ReadDir(filepath.Dir(d.name))
	if err != nil {
		return errors.Join(err, d.Drop())
	}
	for _, e := range entries {
		file := filepath.Join(filepath.Dir(d.name), e.Name())
		if is, err := filepath.Match(quote(pattern), e.Name()); err != nil || !is || !e.Type().IsRegular() || file == d.Name() {
			continue
		}
		f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue // gone, or somebody else's
		}
		if lock(f, unix.LOCK_EX|unix.LOCK_NB) == nil && ours(f, file) && os.Remove(file) == nil {
			d.Left = append(d.Left, file)
		}
		_ = f.Close()
	}
	return nil
}

// quote lets a name of a file stand for itself in a pattern, but for the star at its end.
func quote(pattern string) string {
	var b []byte
	for i := range len(pattern) - 1 {
		if c := pattern[i]; c == '*' || c == '?' || c == '[' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, pattern[i])
	}
	return string(b) + "*"
}

// Place puts the draft into its place, where it stays through a loss of power.
func (d *Draft) Place(replace bool) error {
	if err := d.Sync(); err != nil {
		return err
	}
	if err := Free(d.name, replace); err != nil {
		return err
	}
	if err := os.Rename(d.Name(), d.name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(d.name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close(), d.Close())
}

// Drop removes it.
func (d *Draft) Drop() error { return errors.Join(os.Remove(d.Name()), d.Close()) }

// lock is flock(2), once more when a signal interrupts it.
func lock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// ours reports whether an open file is still the one of that name.
func ours(f *os.File, name string) bool {
	a, err1 := f.Stat()
	b, err2 := os.Lstat(name)
	return err1 == nil && err2 == nil && os.SameFile(a, b)
}
