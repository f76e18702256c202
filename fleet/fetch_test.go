package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/plain"
)

func TestFetchOnOpenSSH(t *testing.T) {
	hosts, all := openSSH(t, 1, 105)
	for name, text := range map[string]string{"srv/a": "a", "srv/.a.jarvis": "theirs", "etc/a": "another", "srv/big": strings.Repeat("x", 8<<20)} {
		put(t, hosts[0], name, text)
	}
	f := open(t, all...)

	t.Run("a full disk here ends it, and the command there", func(t *testing.T) {
		dir := t.TempDir()
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=200k", "jarvis-test", dir).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		t.Cleanup(func() { _ = exec.Command("umount", dir).Run() })
		if err := os.WriteFile(filepath.Join(dir, "big"), []byte("before"), 0o644); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		r := f.Fetch(ctx, fleet.FetchOptions{Paths: []string{"/srv/big"}, Dir: dir})[0]
		if r.Err == nil || r.Err.Error() != "write big here: no space left on device" || ctx.Err() != nil {
			t.Errorf("Fetch = %v (%v)", r.Err, ctx.Err())
		}
		if b, err := os.ReadFile(filepath.Join(dir, "big")); string(b) != "before" {
			t.Errorf("what was there is %q, %v", b, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("left is %v, %v", left, err)
		}
		if out, _ := exec.Command("pgrep", "-fx", "tar -cf - -C /srv ./big").Output(); len(out) > 0 {
			t.Errorf("it goes on there: %s", out)
		}
	})
	t.Run("no name of theirs is that of a file under way", func(t *testing.T) {
		dir := t.TempDir()
		if r := f.Fetch(t.Context(), fleet.FetchOptions{Paths: []string{"/srv/.a.jarvis", "/srv/a"}, Dir: dir})[0]; r.Err != nil || r.Files != 2 {
			t.Errorf("%+v", r)
		}
		for name, want := range map[string]string{".a.jarvis": "theirs", "a": "a"} {
			if b, err := os.ReadFile(filepath.Join(dir, name)); string(b) != want {
				t.Errorf("%s is %q, %v", name, b, err)
			}
		}
	})
	t.Run("what is here and differs is replaced only by force", func(t *testing.T) {
		dir := t.TempDir()
		for name, text := range map[string]string{"a": "mine", "b/deep": "mine"} {
			if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(hosts[0].Root, "srv/b"), 0o750); err != nil {
			t.Fatal(err)
		}
		put(t, hosts[0], "srv/b/deep", "theirs")
		put(t, hosts[0], "srv/b/new", "new")
		for _, c := range []struct {
			force      bool
			paths      []string
			want, a, b string
		}{
			{false, []string{"/srv/a"}, "a is here already, and differs; nothing was changed", "mine", "mine"},
			{false, []string{"/srv/a", "/srv/b"}, "a and 1 more are here already, and differ; nothing was changed", "mine", "mine"},
			{true, []string{"/srv/b"}, "", "mine", "theirs"},
			{false, []string{"/srv/b"}, "", "mine", "theirs"}, // it is what is here
			{true, []string{"/srv/a"}, "", "a", "theirs"},
		} {
			r := f.Fetch(t.Context(), fleet.FetchOptions{Paths: c.paths, Dir: dir, Force: c.force})[0]
			if got := fmt.Sprint(r.Err); got != c.want && !(r.Err == nil && c.want == "") {
				t.Errorf("%v: %v", c.paths, r.Err)
			}
			for name, want := range map[string]string{"a": c.a, "b/deep": c.b} {
				if b, err := os.ReadFile(filepath.Join(dir, name)); string(b) != want {
					t.Errorf("%v: %s is %q, %v", c.paths, name, b, err)
				}
			}
		}
		if st, err := os.Stat(filepath.Join(dir, "b")); err != nil || st.Mode().Perm() != 0o750 {
			t.Errorf("%v, %v", st, err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, ".jarvis-*")); err != nil || len(left) > 0 {
			t.Errorf("left is %v, %v", left, err)
		}
	})
	t.Run("what is no file here is never replaced", func(t *testing.T) {
		dir := t.TempDir()
		name := filepath.Join(dir, "a")
		for kind, make := range map[string]func() error{
			"a symbolic link": func() error { return os.Symlink("elsewhere", name) },
			"a named pipe":    func() error { return unix.Mkfifo(name, 0o600) },
			"a device":        func() error { return unix.Mknod(name, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))) },
		} {
			if err := make(); err != nil {
				t.Fatal(err)
			}
			for _, force := range []bool{false, true} {
				r := f.Fetch(t.Context(), fleet.FetchOptions{Paths: []string{"/srv/a"}, Dir: dir, Force: force})[0]
				if r.Err == nil || !strings.HasPrefix(r.Err.Error(), "a is "+kind+" here") {
					t.Errorf("%s, force %v: %v", kind, force, r.Err)
				}
			}
			if st, err := os.Lstat(name); err != nil || plain.Kind(st.Mode()) != kind {
				t.Errorf("%s is %v, %v", kind, st, err)
			}
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("two files of one name are told", func(t *testing.T) {
		dir := t.TempDir()
		if r := f.Fetch(t.Context(), fleet.FetchOptions{Paths: []string{"/srv/a", "/etc/a"}, Dir: dir})[0]; r.Err == nil || r.Err.Error() != "/srv/a and /etc/a would both be a here" {
			t.Errorf("%+v", r)
		}
	})
}

// The fault: a login shell that prints a line spoilt every answer that a program reads, and its complaints hid ours.
func TestALoginShellMayGreet(t *testing.T) {
	hosts, all := openSSH(t, 1, 111)
	put(t, hosts[0], "root/.bashrc", "echo Welcome; printf 'root# '; echo warn >&2\n")
	put(t, hosts[0], "srv/a", "a")
	f := open(t, all...)
	dir := t.TempDir()
	if r := f.Fetch(t.Context(), fleet.FetchOptions{Paths: []string{"/srv/a"}, Dir: dir})[0]; r.Err != nil || r.Files != 1 {
		t.Errorf("%+v", r)
	}
	if r := f.Fetch(t.Context(), fleet.FetchOptions{Paths: []string{"/srv/none"}, Dir: dir})[0]; r.Err == nil || r.Err.Error() != "/srv/none: no such file" {
		t.Errorf("%+v", r)
	}
	tree, err := fleet.ReadTree([]string{filepath.Join(dir, "a")}, fleet.TreeOptions{Alone: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if r := f.Send(t.Context(), tree, fleet.SendOptions{Root: "/srv/to"})[0]; r.Err != nil || r.Same != (i == 1) {
			t.Errorf("%d: %+v", i, r)
		}
	}
	put(t, hosts[0], "srv/file", "")
	if r := f.Send(t.Context(), tree, fleet.SendOptions{Root: "/srv/file"})[0]; r.Err == nil || !strings.Contains(r.Err.Error(), "File exists") {
		t.Errorf("%+v", r)
	}
	if _, err := f.Lock(t.Context(), fleet.LockOptions{Dir: "/srv/nothing"}); err == nil || !strings.HasSuffix(err.Error(), "there is no directory /srv/nothing") {
		t.Errorf("Lock = %v", err)
	}
	put(t, hosts[0], "root/.bashrc", "echo warn >&2; echo 'no more logins' >&2; exit 3\n")
	if r := f.Send(t.Context(), tree, fleet.SendOptions{Root: "/srv/to"})[0]; r.Err == nil || r.Err.Error() != "the login shell does not begin the command: no more logins" {
		t.Errorf("%+v", r)
	}
}

// The fault: with a link from one directory to another on the host, of two names of one file one was lost in silence.
func TestNoTwoNamesAreOneFileThere(t *testing.T) {
	hosts, all := openSSH(t, 1, 112)
	at := func(name string) string { return filepath.Join(hosts[0].Root, "srv/o", name) }
	if err := errors.Join(os.MkdirAll(at("real/sub"), 0o755), os.Symlink("real", at("alias")), os.Symlink(".", at("self"))); err != nil {
		t.Fatal(err)
	}
	f := open(t, all...)
	for _, c := range []struct{ files, want string }{
		{"real/f alias/f", "f would both be one there"},
		{"f self/f", "f and self/f would both be one there"},
		{"real/sub/f alias/sub/f", "f would both be one there"},
		{"real/new/er/f alias/new/er/f", " would both be one there"},
		{"self/real/x alias/x", "x would both be one there"},
		{"real/f alias/g", ""},
		{"real/f alias/g", ""}, // again
	} {
		for _, alone := range []bool{false, true} { // sent with the directories that they are in, or by themselves
			local := t.TempDir()
			t.Chdir(local)
			var paths []string
			for _, name := range strings.Fields(c.files) {
				if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(name), 0o644)); err != nil {
					t.Fatal(err)
				}
				if !alone {
					name, _, _ = strings.Cut(name, "/")
				}
				paths = append(paths, name)
			}
			tree, err := fleet.ReadTree(paths, fleet.TreeOptions{Relative: true})
			if err != nil {
				t.Fatal(err)
			}
			r := f.Send(t.Context(), tree, fleet.SendOptions{Root: "/srv/o"})[0]
			if c.want == "" && r.Err != nil || c.want != "" && (r.Err == nil || !strings.Contains(r.Err.Error(), c.want)) {
				t.Errorf("%s, alone %t: %v", c.files, alone, r.Err)
			}
		}
	}
	out, err := exec.Command("sh", "-c", "cd "+at("")+" && find . -type f | sort").Output()
	if string(out) != "./real/f\n./real/g\n" {
		t.Errorf("there is %s, %v", out, err)
	}
}
