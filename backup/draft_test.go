package backup

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnlyAFileIsEverReplaced(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	l, err := net.Listen("unix", in("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if err := errors.Join(os.WriteFile(in("file"), []byte("x"), 0o600), os.Mkdir(in("directory"), 0o700), os.Symlink("file", in("symbolic link")), os.Symlink("nowhere", in("a loose symbolic link")), unix.Mkfifo(in("named pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	kinds := []string{"directory", "symbolic link", "a loose symbolic link", "named pipe", "socket"}
	if err := unix.Mknod(in("device"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))); err == nil { // root alone may
		kinds = append(kinds, "device")
	} else if os.Getuid() == 0 {
		t.Logf("no device is tried: %v", err)
	}
	for _, kind := range kinds {
		d, err := NewDraft(in(kind))
		if err != nil {
			t.Fatal(err)
		}
		before, err := os.Lstat(in(kind))
		if err != nil {
			t.Fatal(err)
		}
		for _, replace := range []bool{false, true} {
			word := strings.TrimPrefix(kind, "a loose ")
			if err := d.Place(replace); err == nil || !strings.Contains(err.Error(), "is a "+word) {
				t.Errorf("%s, replace %v: %v", kind, replace, err)
			}
		}
		after, err := os.Lstat(in(kind))
		if err != nil || after.Mode() != before.Mode() || !os.SameFile(before, after) {
			t.Errorf("%s is no longer what it was: %v, %v", kind, after, err)
		}
		if err := d.Drop(); err != nil {
			t.Error(err)
		}
	}
	d, err := NewDraft(in("file"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Place(false); !errors.Is(err, ErrThere) {
		t.Errorf("without replace: %v", err)
	}
	if err := d.Place(true); err != nil {
		t.Error(err)
	}
}

// A draft whose writer was killed goes with the next of its name; one that is still written, and what has another name,
// stays.
func TestDraftsThatWereLeftGo(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "k[1]*")
	dead, err := NewDraft(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.Close(); err != nil { // as the kernel does for whom is killed
		t.Fatal(err)
	}
	others := []string{".k[1]*.1234", ".k1.jarvis-1", ".k[1]*", ".k[1]*x.jarvis-1"}
	for _, o := range others {
		if err := os.WriteFile(filepath.Join(dir, o), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	alive, err := NewDraft(name)
	if err != nil || len(alive.Left) != 1 || alive.Left[0] != dead.Name() {
		t.Fatalf("%v, %v went, not %s", err, alive.Left, dead.Name())
	}
	third, err := NewDraft(name)
	if err != nil || len(third.Left) != 0 {
		t.Fatalf("%v, %v went", err, third.Left)
	}
	if err := errors.Join(alive.Place(false), third.Drop()); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(others)+1 {
		t.Errorf("%v, %v are there", err, entries)
	}
}
