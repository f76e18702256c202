package fleet_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
		r := f.Fetch(ctx, []string{"/srv/big"}, dir, nil, nil)[0]
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
		if r := f.Fetch(t.Context(), []string{"/srv/.a.jarvis", "/srv/a"}, dir, nil, nil)[0]; r.Err != nil || r.Files != 2 {
			t.Errorf("%+v", r)
		}
		for name, want := range map[string]string{".a.jarvis": "theirs", "a": "a"} {
			if b, err := os.ReadFile(filepath.Join(dir, name)); string(b) != want {
				t.Errorf("%s is %q, %v", name, b, err)
			}
		}
	})
	t.Run("two files of one name are told", func(t *testing.T) {
		dir := t.TempDir()
		if r := f.Fetch(t.Context(), []string{"/srv/a", "/etc/a"}, dir, nil, nil)[0]; r.Err == nil || r.Err.Error() != "/srv/a and /etc/a would both be a here" {
			t.Errorf("%+v", r)
		}
	})
}
