package fleet

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func makeTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("sh", "-ec", `mkdir -p new/deep old; echo one > new/one; echo two > "new/deep/with space"; head -c 200000 /dev/zero | tr '\0' x > old/big; ln -s one new/link; printf 'a\nb' > "old/two
lines"; chmod 555 new/deep`)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	t.Chdir(dir)
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "new/deep"), 0o755) })
	return dir
}

func stream(t *testing.T, paths ...string) []byte {
	t.Helper()
	tree, err := ReadTree(paths, TreeOptions{Relative: true})
	if err != nil {
		t.Fatal(err)
	}
	all := make([]bool, tree.Len())
	for i := range all {
		all[i] = true
	}
	var b bytes.Buffer
	if err := tree.write(&b, all, func(int64) {}, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestUnpackIsAllOrNothing cuts the stream at many places, as a connection that breaks does.
func TestUnpackIsAllOrNothing(t *testing.T) {
	makeTree(t)
	data := stream(t, "new", "old")
	before := "old/big: before\nold/theirs: theirs\n"
	listing := func(dir string) string {
		out, err := exec.Command("sh", "-c", `cd "$1" && find . -type f | sort | while read -r f; do printf '%s: %s\n' "${f#./}" "$(head -c 20 "$f")"; done; ls -A`, "sh", dir).CombinedOutput()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	unpack := func(b []byte) (string, string, error) {
		dst := t.TempDir()
		if err := os.Mkdir(filepath.Join(dst, "old"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"old/big": "before", "old/theirs": "theirs"} {
			if err := os.WriteFile(filepath.Join(dst, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("sh", "-c", unpackScript, "jarvis", dst, "1", "tar")
		cmd.Stdin = bytes.NewReader(b)
		out, err := cmd.CombinedOutput()
		_ = exec.Command("chmod", "-R", "u+w", dst).Run()
		return listing(dst), string(out), err
	}
	for cut := 0; cut < len(data); cut += 1 + len(data)/60 {
		got, said, err := unpack(data[:cut])
		if err == nil || got != before+"old\n" {
			t.Fatalf("cut at %d of %d: %v\n%s\nleft\n%s", cut, len(data), err, said, got)
		}
	}
	got, said, err := unpack(data)
	if err != nil || !strings.Contains(got, "old/big: xxxxxxxxxxxxxxxxxxxx\n") || !strings.Contains(got, "old/theirs: theirs\n") || !strings.Contains(got, "new/deep/with space: two\n") || strings.Contains(got, ".jarvis") {
		t.Errorf("whole: %v\n%s\n%s", err, said, got)
	}
}

// A directory where a file is to be, or the other way round, is told; nothing is left behind.
func TestUnpackDoesNotReplaceADirectory(t *testing.T) {
	makeTree(t)
	data := stream(t, "new/one")
	dst := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dst, "new/one/inside"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", unpackScript, "jarvis", dst, "1", "tar")
	cmd.Stdin = bytes.NewReader(data)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "cannot overwrite directory") {
		t.Errorf("%v %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dst, "new/one/inside")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dst, ".jarvis-1")); err == nil {
		t.Error("something is left behind")
	}
}

// What a host that went down in the middle was left with goes a day later, with the next tree.
func TestUnpackClearsWhatWasLeftLongAgo(t *testing.T) {
	makeTree(t)
	data := stream(t, "new")
	dst := t.TempDir()
	for name, age := range map[string]time.Duration{".jarvis-1": 50 * time.Hour, ".jarvis-2": time.Hour, ".jarvis-of-theirs": 50 * time.Hour, ".jarvis-3-theirs": 50 * time.Hour} {
		dir := filepath.Join(dst, name)
		if err := os.MkdirAll(filepath.Join(dir, "inside"), 0o755); err != nil {
			t.Fatal(err)
		}
		if name != ".jarvis-3-theirs" {
			if err := os.WriteFile(filepath.Join(dir, "of-jarvis"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(dir, time.Now(), time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sh", "-c", unpackScript, "jarvis", dst, "3", "tar")
	cmd.Stdin = bytes.NewReader(data)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if out, _ := exec.Command("ls", "-A", dst).Output(); string(out) != ".jarvis-2\n.jarvis-3-theirs\n.jarvis-of-theirs\nnew\n" {
		t.Errorf("there is %s", out)
	}
}

// The host's listing of a tree that is there is what we compute of it here.
func TestTheManifestIsWhatTheHostSays(t *testing.T) {
	dir := makeTree(t)
	tree, err := ReadTree([]string{"new", "old"}, TreeOptions{Relative: true})
	if err != nil {
		t.Fatal(err)
	}
	owned, plain := tree.digest(true), tree.digest(false)
	ask := func() string {
		cmd := exec.Command("sh", "-c", manifestScript, "jarvis", dir, owned, plain)
		cmd.Stdin = strings.NewReader(tree.names())
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if got := ask(); !strings.HasPrefix(got, "same") {
		t.Fatalf("it says %s", got)
	}
	for _, change := range []string{"touch -d 2001-01-01 old/big", "chmod 600 new/one", "rm new/link", "echo more >> old/big"} {
		if out, err := exec.Command("sh", "-ec", change).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		head, listing, _ := strings.Cut(ask(), "\n")
		n := 0
		for _, m := range tree.missing(strings.TrimSuffix(listing, "\n"), strings.HasPrefix(head, "owned")) {
			if m {
				n++
			}
		}
		if n == 0 || n > 4 {
			t.Errorf("after %q %d entries are to be sent", change, n)
		}
	}
}

// The fault: a link that leads elsewhere, by a target as long and in the same second, was never sent.
func TestTheManifestTellsWhereLinksLead(t *testing.T) {
	dir := makeTree(t)
	sh(t, dir, "ln -sf one 'new/a  link'; touch -h -d @1700000000 new/link 'new/a  link'")
	tree, err := ReadTree([]string{"new"}, TreeOptions{Relative: true})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() string {
		cmd := exec.Command("sh", "-c", manifestScript, "jarvis", dir, tree.digest(true), tree.digest(false))
		cmd.Stdin = strings.NewReader(tree.names())
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if got := ask(); !strings.HasPrefix(got, "same") {
		t.Fatalf("it says %s", got)
	}
	sh(t, dir, "ln -sf eno 'new/a  link'; touch -h -d @1700000000 'new/a  link'")
	head, listing, _ := strings.Cut(ask(), "\n")
	for i, m := range tree.missing(strings.TrimSuffix(listing, "\n"), strings.HasPrefix(head, "owned")) {
		if name := tree.entries[i].name; m != (name == "new/a  link") {
			t.Errorf("%s is to be sent: %t", name, m)
		}
	}
}

func TestReadTree(t *testing.T) {
	dir := makeTree(t)
	names := func(o TreeOptions, paths ...string) string {
		tree, err := ReadTree(paths, o)
		if err != nil {
			return "! " + err.Error()
		}
		var list []string
		for i := range tree.entries {
			list = append(list, tree.entries[i].name)
		}
		return strings.Join(list, " ")
	}
	for _, c := range []struct {
		o     TreeOptions
		paths []string
		want  string
	}{
		{TreeOptions{Relative: true}, []string{"new/one", "./new//one"}, "new/one"},
		{TreeOptions{Relative: true}, []string{filepath.Join(dir, "new/one")}, "one"},
		{TreeOptions{Relative: true}, []string{"../" + filepath.Base(dir) + "/new/one"}, "one"},
		{TreeOptions{Alone: true}, []string{"new/one"}, "one"},
		{TreeOptions{}, []string{"new/one"}, strings.TrimPrefix(dir, "/") + "/new/one"},
		{TreeOptions{Relative: true}, []string{"nothing"}, "! read what is to be sent: lstat nothing: no such file or directory"},
		{TreeOptions{Relative: true}, []string{"/dev/null"}, "! read what is to be sent: /dev/null is a device; only files, directories and links are sent"},
		{TreeOptions{Relative: true}, nil, "! there is nothing to send"},
	} {
		if got := names(c.o, c.paths...); got != c.want {
			t.Errorf("%q: %s, want %s", c.paths, got, c.want)
		}
	}
}

// What changes while it is read is told, not sent half old and half new.
func TestAFileThatChangesWhileItIsRead(t *testing.T) {
	makeTree(t)
	tree, err := ReadTree([]string{"old/big"}, TreeOptions{Relative: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("old/big", []byte("less"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := tree.write(&bytes.Buffer{}, []bool{true}, func(int64) {}, nil); err == nil || !strings.Contains(err.Error(), "old/big changed while it was read") {
		t.Errorf("write = %v", err)
	}
}
