package fleet

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sh runs a script in a directory, and gives what it says.
func sh(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

func unpackTo(t *testing.T, dst string, data []byte) (said string, err error) {
	t.Helper()
	cmd := exec.Command("sh", "-c", unpackScript, "jarvis", dst, "4-x", "tar", "", "gnu")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// A link to a directory is the directory: it stays, and what is sent lands behind it.
func TestUnpackGoesThroughLinksToDirectories(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	sh(t, src, "mkdir -p app/etc app/new; echo one > app/one; echo two > app/etc/two; echo n > app/new/n; ln -s two app/etc/current; chmod 750 app/etc")
	sh(t, dst, "mkdir data conf; echo theirs > data/theirs; echo old > conf/two; ln -s data app; ln -s ../conf data/etc; ln -s theirs conf/current")
	t.Chdir(src)
	data := stream(t, "app")
	for range 2 {
		if said, err := unpackTo(t, dst, data); err != nil {
			t.Fatalf("%v %s", err, said)
		}
	}
	got := sh(t, dst, "readlink app data/etc conf/current; cat data/one data/theirs conf/two data/new/n; stat -c %a conf; ls -A . data conf")
	if want := "data\n../conf\ntwo\none\ntheirs\ntwo\nn\n750\n.:\napp\nconf\ndata\n\nconf:\ncurrent\ntwo\n\ndata:\netc\nnew\none\ntheirs\n"; got != want {
		t.Errorf("there is\n%s", got)
	}
	// What is there is not sent again.
	tree, err := ReadTree([]string{"app"}, TreeOptions{Relative: true})
	if err != nil {
		t.Fatal(err)
	}
	owned, plain := tree.digest(true), tree.digest(false)
	ask := exec.Command("sh", "-c", manifestScript, "jarvis", dst, owned, plain)
	ask.Stdin = strings.NewReader(tree.names())
	if out, err := ask.Output(); err != nil || !strings.HasPrefix(string(out), "same") {
		t.Errorf("%v %s", err, out)
	}
	// A file where such a link is would take its place: that is told, as for a directory.
	sh(t, src, "rm -r app/etc; echo file > app/etc")
	if said, err := unpackTo(t, dst, stream(t, "app")); err == nil || !strings.Contains(said, "cannot overwrite directory") {
		t.Errorf("%v %s", err, said)
	}
}

// onTmpfs mounts a small file system; the test is in nobody's way, since its directory is its own.
func onTmpfs(t *testing.T, dir, size string) {
	t.Helper()
	sh(t, "/", "mkdir -p '"+dir+"' && mount -t tmpfs -o size="+size+" jarvis-test '"+dir+"'")
	t.Cleanup(func() { sh(t, "/", "umount '"+dir+"'") })
}

// A disk that is full below the target leaves what is there whole, on both file systems.
func TestUnpackOnSeveralFileSystems(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	onTmpfs(t, filepath.Join(dst, "a/with space"), "200k")
	small := filepath.Join(dst, "a/with space")
	sh(t, small, "echo before > f; mkdir -p deep; echo before > deep/g; head -c 60000 /dev/zero > rest")
	sh(t, dst, "echo before > a/top; mkdir -p b; ln -s '../a/with space/deep' b/link")
	sh(t, src, "mkdir -p 'a/with space/deep' b/link; echo after > a/top; head -c 180000 /dev/zero > 'a/with space/f'; echo after > b/link/g; mkdir -p 'a/with space/new/er'; echo n > 'a/with space/new/er/n'")
	t.Chdir(src)
	said, err := unpackTo(t, dst, stream(t, "a", "b"))
	if err == nil || !strings.Contains(said, "No space left on device") || !strings.Contains(said, "nothing was changed") {
		t.Errorf("%v %s", err, said)
	}
	if got := sh(t, dst, "cat a/top 'a/with space/f' 'a/with space/deep/g'; ls -A . a 'a/with space' 'a/with space/deep'"); got != "before\nbefore\nbefore\n.:\na\nb\n\na:\ntop\nwith space\n\na/with space:\ndeep\nf\nrest\n\na/with space/deep:\ng\n" {
		t.Errorf("left is\n%s", got)
	}
	sh(t, small, "rm rest")
	if said, err := unpackTo(t, dst, stream(t, "a", "b")); err != nil {
		t.Errorf("%v %s", err, said)
	}
	if got := sh(t, dst, "cat a/top 'a/with space/deep/g' 'a/with space/new/er/n'; stat -c %s 'a/with space/f'; readlink b/link; ls -A . a 'a/with space' 'a/with space/deep'"); got != "after\nafter\nn\n180000\n../a/with space/deep\n.:\na\nb\n\na:\ntop\nwith space\n\na/with space:\ndeep\nf\nnew\n\na/with space/deep:\ng\n" {
		t.Errorf("there is\n%s", got)
	}
}

// A file that is a mount of its own (as a container's /etc/resolv.conf) cannot be replaced: that is told before
// anything is.
func TestUnpackDoesNotReplaceAMount(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	sh(t, src, "mkdir d; echo after > d/a; echo after > d/b")
	sh(t, dst, "mkdir d; echo before > d/a; echo before > d/b; : > mounted; mount --bind mounted d/b")
	t.Cleanup(func() { sh(t, dst, "umount d/b") })
	t.Chdir(src)
	said, err := unpackTo(t, dst, stream(t, "d"))
	if err == nil || !strings.Contains(said, "cannot replace "+dst+"/d/b, where something is mounted") || sh(t, dst, "cat d/a") != "before\n" {
		t.Errorf("%v %s", err, said)
	}
}

// No name of theirs is one of ours.
func TestUnpackTakesAnyName(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	names := []string{".jarvis-dirs", ".jarvis-4-x/in", ".jarvis-all", "dirs", "tree/tree", "far", "-x", "*", "of-jarvis", "a\\b", "..c"}
	for _, n := range names {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(src, n)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(src, n), []byte(n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(filepath.Dir(src))
	if said, err := unpackTo(t, dst, stream(t, filepath.Base(src))); err != nil {
		t.Fatalf("%v %s", err, said)
	}
	// And at the top, where what is ours lies beside them.
	t.Chdir(src)
	top := []string{".jarvis-dirs", ".jarvis-all", "dirs", "tree", "far", "-x", "*", "of-jarvis", "a\\b", "..c"}
	if said, err := unpackTo(t, dst, stream(t, top...)); err != nil {
		t.Fatalf("%v %s", err, said)
	}
	for _, n := range names {
		for _, at := range []string{filepath.Join(dst, filepath.Base(src), n), filepath.Join(dst, n)} {
			if b, err := os.ReadFile(at); (err != nil || string(b) != n) && at != filepath.Join(dst, ".jarvis-4-x/in") {
				t.Errorf("%s: %q %v", at, b, err)
			}
		}
	}
}

// Two files that would have one name on the hosts are told, not one of them left out.
func TestReadTreeTellsTwoOfOneName(t *testing.T) {
	dir := t.TempDir()
	sh(t, dir, "mkdir a b; echo 1 > a/f; echo 2 > b/f")
	if _, err := ReadTree([]string{dir + "/a/f", dir + "/b/f"}, TreeOptions{Relative: true}); err == nil || !strings.Contains(err.Error(), "would both be f there") {
		t.Errorf("ReadTree = %v", err)
	}
	if tree, err := ReadTree([]string{dir + "/a", dir + "/a/../a"}, TreeOptions{Relative: true}); err != nil || tree.Len() != 2 {
		t.Errorf("ReadTree = %v", err)
	}
}

// TestAStreamThatLies: what is sent is somebody's word. It names nothing outside of itself, and none of our own files.
func TestAStreamThatLies(t *testing.T) {
	for name, make := range map[string]string{
		"a list that leads out":           `mkdir tree; : > tree/ok; printf '%s\0' "$victim/f" > left; : > dirs`,
		"a list that climbs":              `mkdir tree; : > tree/ok; printf '../../../victim/f\0' > left; : > dirs`,
		"a list that goes through a link": `mkdir tree; ln -s "$victim" tree/x; printf 'x/f\0' > left; : > dirs`,
		"directories through a link":      `mkdir tree; ln -s "$victim" tree/x; printf 'x/d\0' > dirs`,
		"directories that climb":          `mkdir tree; printf '../../../victim/d\0' > dirs`,
		"our list of other stages":        `mkdir tree; : > tree/ok; printf '%s\0' "$victim/d" > near; : > dirs`,
		"a tree that is a link":           `ln -s "$victim" tree; : > dirs`,
		"lists that are links":            `mkdir tree; : > tree/ok; printf '%s\0' "$victim/f" > f; ln -s f left; : > dirs`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("victim", filepath.Join(dir, "victim"))
			sh(t, dir, `mkdir -m 755 -p victim/d lie dst; echo theirs > victim/f; echo theirs > victim/d/g`)
			sh(t, filepath.Join(dir, "lie"), make)
			tree := exec.Command("sh", "-c", "tar -cf - tree $(ls | grep -v '^tree$' | grep -v '^dirs$') dirs")
			tree.Dir = filepath.Join(dir, "lie")
			data, err := tree.Output()
			if err != nil {
				t.Fatal(err)
			}
			said, err := unpackTo(t, filepath.Join(dir, "dst"), data)
			if name != "our list of other stages" && (err == nil || !strings.Contains(said, "nothing was changed")) {
				t.Errorf("it was taken: %v %s", err, said)
			}
			if got := sh(t, dir, "cat victim/f victim/d/g; stat -c %a victim/d; ls -A dst | grep -v '^ok$' || true"); got != "theirs\ntheirs\n755\n" {
				t.Errorf("there is\n%s", got)
			}
		})
	}
}
