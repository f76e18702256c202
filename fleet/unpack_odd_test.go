package fleet

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// askFor gives what a host says of a tree at dst, and which names are to be sent.
func askFor(t *testing.T, dst string, paths ...string) (head, missing string) {
	t.Helper()
	tree, err := ReadTree(paths, TreeOptions{Relative: true})
	if err != nil {
		t.Fatal(err)
	}
	ask := exec.Command("sh", "-c", manifestScript, "jarvis", dst, tree.digest(true), tree.digest(false))
	ask.Stdin = strings.NewReader(tree.names())
	out, err := ask.Output()
	if err != nil {
		t.Fatal(err)
	}
	head, listing, _ := strings.Cut(string(out), "\n")
	head, _, _ = strings.Cut(head, " ")
	if head == "same" {
		return head, ""
	}
	var names []string
	for i, m := range tree.missing(strings.TrimSuffix(listing, "\n"), head == "owned") {
		if m {
			names = append(names, tree.entries[i].name)
		}
	}
	return head, strings.Join(names, " ")
}

// The fault: an edit that left the size, in the same second as the last one, was never sent.
func TestAnEditInTheSameSecondIsSent(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	t.Chdir(src)
	sh(t, src, "mkdir d; echo one > d/f; echo two > d/g; echo old > d/old; touch -d '@1700000000.123456789' d/f d/g; touch -d '1960-01-02 03:04:05.25Z' d/old; ln -s f d/l; touch -h -d '@-0.5' d/l; echo x > 'd/x\ny'")
	if said, err := unpackTo(t, dst, stream(t, "d")); err != nil {
		t.Fatalf("%v %s", err, said)
	}
	if head, missing := askFor(t, dst, "d"); head != "same" {
		t.Errorf("%s %s", head, missing)
	}
	sh(t, src, "echo ONE > d/f; touch -d '@1700000000.2' d/f")
	if head, missing := askFor(t, dst, "d"); missing != "d/f" {
		t.Errorf("%s %q", head, missing)
	}
	// What an older Jarvis sent has no digits below the second.
	sh(t, dst, "touch -d @1700000000 d/g")
	if head, missing := askFor(t, dst, "d"); missing != "d/f d/g" {
		t.Errorf("%s %q", head, missing)
	}
}

// On a file system that keeps times to the second, a tree that is there is not sent for ever.
func TestAFileSystemThatKeepsSeconds(t *testing.T) {
	src, dir := t.TempDir(), t.TempDir()
	dst := filepath.Join(dir, "mnt")
	sh(t, dir, "mkdir mnt; truncate -s 8M img; mke2fs -q -F -t ext2 -I 128 img; mount -o loop img mnt")
	t.Cleanup(func() { sh(t, "/", "umount '"+dst+"'") })
	t.Chdir(src)
	sh(t, src, "mkdir d; echo one > d/f; echo two > d/g; touch -d '@1700000000.123456789' d/f; ln -s f d/l")
	if said, err := unpackTo(t, dst, stream(t, "d")); err != nil {
		t.Fatalf("%v %s", err, said)
	}
	if head, missing := askFor(t, dst, "d"); missing != "" {
		t.Errorf("%s %q", head, missing)
	}
	sh(t, src, "echo ONE > d/f; touch -d '@1700000001' d/f")
	if head, missing := askFor(t, dst, "d"); missing != "d/f" {
		t.Errorf("%s %q", head, missing)
	}
}

func TestASparseFileIsSentAsOne(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	t.Chdir(src)
	long := strings.Repeat("long/", 30)
	sh(t, src, "mkdir -p "+long+`; f=`+long+`hole; truncate -s 3G $f; printf in | dd of=$f bs=1 seek=2G conv=notrunc 2> /dev/null; chmod 640 $f; chown 12:34 $f; touch -d '@1700000000.123456789' $f
truncate -s 1M all-hole; truncate -s 1M begin; printf begin | dd of=begin conv=notrunc 2> /dev/null; truncate -s 999999 end; printf end >> end; setfattr -n user.k -v v end 2> /dev/null || :; echo after > zz`)
	_ = unix.Setxattr(filepath.Join(src, "end"), "user.k", []byte("v"), 0)
	data := stream(t, ".")
	if len(data) > 200_000 {
		t.Errorf("the stream has %d bytes", len(data))
	}
	if said, err := unpackTo(t, dst, data); err != nil || said != "" {
		t.Fatalf("%v %s", err, said)
	}
	if head, missing := askFor(t, dst, "."); head != "same" {
		t.Errorf("%s %s", head, missing)
	}
	for _, name := range []string{long + "hole", "all-hole", "begin", "end", "zz"} {
		var a, b syscall.Stat_t
		if err := syscall.Stat(filepath.Join(src, name), &a); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Stat(filepath.Join(dst, name), &b); err != nil || a.Blocks != b.Blocks {
			t.Errorf("%s: %d and %d blocks, %v", name, a.Blocks, b.Blocks, err)
		}
	}
	sh(t, src, "cmp end '"+dst+"/end'; cmp begin '"+dst+"/begin'; cmp -i 2147483000 -n 5000 "+long+"hole '"+dst+"'/"+long+"hole")
	v := make([]byte, 8)
	if n, err := unix.Getxattr(filepath.Join(src, "end"), "user.k", v); err == nil {
		if m, err := unix.Getxattr(filepath.Join(dst, "end"), "user.k", v); err != nil || m != n {
			t.Errorf("the attribute of a sparse file: %q, %v", v[:max(m, 0)], err)
		}
	}
	// What it holds changes while it is read.
	tree, err := ReadTree([]string{"begin"}, TreeOptions{Relative: true})
	if err != nil {
		t.Fatal(err)
	}
	sh(t, src, "truncate -s 10 begin")
	if err := tree.write(&strings.Builder{}, []bool{true}, func(int64) {}, nil); err == nil || err.Error() != "begin changed while it was read" {
		t.Errorf("%v", err)
	}
}

// An access control list stays what it is, also of a directory, and of one that is there already.
func TestAccessControlListsAreKept(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	t.Chdir(src)
	sh(t, src, "mkdir -p d/new '"+dst+"/d'; echo x > d/f; chmod 640 d/f")
	acl := func(name, kind string) string {
		b := make([]byte, 256)
		n, err := unix.Getxattr(name, "system.posix_acl_"+kind, b)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%x", b[:n])
	}
	// user::rw- user:1234:r-- group::r-- mask::r-- other::---, in the kernel's form
	list := "\x02\x00\x00\x00" + "\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x04\x00\xd2\x04\x00\x00" + "\x04\x00\x04\x00\xff\xff\xff\xff" + "\x10\x00\x04\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"
	for name, kind := range map[string]string{"d/f": "access", "d": "default", "d/new": "default"} {
		if err := unix.Setxattr(name, "system.posix_acl_"+kind, []byte(list), 0); err != nil {
			t.Fatal(err)
		}
	}
	if said, err := unpackTo(t, dst, stream(t, "d")); err != nil || said != "" {
		t.Fatalf("%v %s", err, said)
	}
	for name, kind := range map[string]string{"d/f": "access", "d": "default", "d/new": "default"} {
		if got := acl(filepath.Join(dst, name), kind); got != fmt.Sprintf("%x", list) {
			t.Errorf("%s: %s", name, got)
		}
	}
	// Where the file system has none, the files are there all the same.
	sh(t, dst, "mkdir none; mount -t ramfs jarvis-test none")
	t.Cleanup(func() { sh(t, dst, "umount none") })
	if said, err := unpackTo(t, filepath.Join(dst, "none"), stream(t, "d")); err != nil {
		t.Errorf("%v %s", err, said)
	}
}

// One socket does not keep a whole tree from being sent.
func TestReadTreeSkipsWhatDoesNotTravel(t *testing.T) {
	src := t.TempDir()
	t.Chdir(src)
	sh(t, src, "mkdir d; echo x > d/f; mkfifo d/pipe; ln -s /dev/null d/null")
	l, err := net.Listen("unix", "d/sock")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	tree, err := ReadTree([]string{"d"}, TreeOptions{Relative: true})
	if err != nil || tree.Len() != 3 || fmt.Sprint(tree.Skipped) != "[d/pipe is a named pipe, and was skipped d/sock is a socket, and was skipped]" {
		t.Errorf("%v %+v", err, tree)
	}
	if _, err := ReadTree([]string{"d/sock"}, TreeOptions{Relative: true}); err == nil || err.Error() != "read what is to be sent: d/sock is a socket; only files, directories and links are sent" {
		t.Errorf("%v", err)
	}
}

// Whatever goes wrong, nothing has changed, and not a directory more is there.
func TestUnpackLeavesNothing(t *testing.T) {
	src := t.TempDir()
	t.Chdir(src)
	sh(t, src, "mkdir -p s/d; for i in $(seq 40); do echo $i > s/d/$i; done")
	data := stream(t, "s")
	t.Run("the stream breaks off", func(t *testing.T) {
		dst := t.TempDir()
		if said, err := unpackTo(t, filepath.Join(dst, "a/b c/d"), data[:len(data)/2]); err == nil || sh(t, dst, "ls -A") != "" {
			t.Errorf("%v %s", err, said)
		}
		sh(t, dst, "mkdir -p a/b")
		if said, err := unpackTo(t, dst+"/a//b/./c//d/", data[:len(data)/2]); err == nil || sh(t, dst, "find a") != "a\na/b\n" {
			t.Errorf("%v %s", err, said)
		}
	})
	t.Run("no inodes", func(t *testing.T) {
		dst := filepath.Join(t.TempDir(), "m")
		onTmpfs(t, dst, "1m,nr_inodes=20")
		sh(t, dst, "mkdir -p s/d; echo before > s/d/1")
		said, err := unpackTo(t, dst, data)
		if err == nil || !strings.HasPrefix(said, "no inodes are left in "+dst+"; nothing was changed\n") || sh(t, dst, "find . -type f -exec cat {} +") != "before\n" {
			t.Errorf("%v %s", err, said)
		}
	})
	t.Run("a read-only file system", func(t *testing.T) {
		dst := filepath.Join(t.TempDir(), "m")
		onTmpfs(t, dst, "1m")
		sh(t, dst, "mkdir -p s/d; echo before > s/d/1; mount -o remount,ro .")
		if said, err := unpackTo(t, dst, data); err == nil || !strings.Contains(said, "Read-only file system") {
			t.Errorf("%v %s", err, said)
		}
		// What is mounted in it can be written to.
		onTmpfs(t, filepath.Join(dst, "s/d"), "1m")
		cmd := exec.Command("sh", "-c", unpackScript, "jarvis", dst, "4-x", "tar", "s/d", "")
		cmd.Stdin = strings.NewReader(string(stream(t, "s/d/1", "s/d/2")))
		if out, err := cmd.CombinedOutput(); err != nil || sh(t, dst, "ls -A . s/d; cat s/d/2") != ".:\ns\n\ns/d:\n1\n2\n2\n" {
			t.Errorf("%v %s %s", err, out, sh(t, dst, "ls -A . s/d"))
		}
	})
	t.Run("a file that nobody may replace", func(t *testing.T) {
		dst := t.TempDir()
		sh(t, dst, "mkdir -p s/d; echo before > s/d/1; chattr +i s/d/1")
		t.Cleanup(func() { sh(t, dst, "chattr -i s/d/1") })
		if said, err := unpackTo(t, dst, data); err == nil || !strings.Contains(said, "some of the files may be in place, and others not") {
			t.Errorf("%v %s", err, said)
		}
	})
}
