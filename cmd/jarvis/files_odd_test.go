package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFilesThatAreNotOrdinary: what upload and fetch say of it, and that it keeps nothing else back.
func TestFilesThatAreNotOrdinary(t *testing.T) {
	bin := buildJarvis(t)
	r := newRow(t, 2, 137)
	t.Chdir(r.home)
	here := func(script string) string {
		t.Helper()
		return string(must[[]byte](t)(exec.Command("sh", "-ec", script).CombinedOutput()))
	}
	const wait = 30 * time.Second
	check := func(code int, out, errs string, args ...string) {
		t.Helper()
		if c, o, e := jarvis(t, "", args...); c != code || o != out || e != errs {
			t.Errorf("%q: exit %d\n%s%s", args, c, o, e)
		}
	}
	here("mkdir -p d to; echo f > d/f; mkfifo d/pipe")
	check(0, "2 entries to /srv/odd on 2 hosts\n", "jarvis: d/pipe is a named pipe, and was skipped\n", "upload", "-o", "web[1-2]", "-e", "-r", "/srv/odd", "d")
	check(2, "", "jarvis: read what is to be sent: d/pipe is a named pipe; only files, directories and links are sent\n", "upload", "-o", "web1", "-e", "-r", "/srv/odd", "d/pipe")

	r.inside(t, 1, "cd /srv/odd; mkfifo d/pipe; echo x > /root/x; echo 1 > one.log; echo 2 > 'two words.log'")
	to := filepath.Join(r.home, "to")
	check(0, "4 files, 8 bytes, to "+to+"\n", "web1: d/pipe is a named pipe there, and was skipped\n", "fetch", "-o", "web1", "-r", "to", "/srv/odd/*.log", "~/x", "/srv/odd/d")
	if got := here("cd to; find . -type f | LC_ALL=C sort; cat 'two words.log'"); got != "./d/f\n./one.log\n./two words.log\n./x\n2\n" {
		t.Error(got)
	}
	check(0, "1 file, 2 bytes, to "+to+"\n", "", "fetch", "-r", "to", "-k", ".ssh/id", "root@127.137.0.1:22:/srv/odd/o*.log")
	if c, o, e := jarvis(t, "", "fetch", "-r", "to", "web1:/srv/*.none"); c != 1 || o != "" || !strings.Contains(e, "/srv/*.none: no file there has such a name") {
		t.Errorf("exit %d: %s%s", c, o, e)
	}

	// A kill -9 of ours leaves no host with half of it, nor with a lock, and what it leaves here goes with the next
	// fetch.
	here("head -c 2000000000 /dev/zero > big")
	begin := func(under string, args ...string) {
		t.Helper()
		cmd := exec.Command(bin, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		until(t, wait, under+" is under way", func() bool { g, _ := filepath.Glob(under); return len(g) > 0 })
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	begin(filepath.Join(r.hosts[0].Root, "srv/k/.jarvis-*/in/tree/big"), "upload", "-o", "web1", "-e", "-r", "/srv/k", "big")
	until(t, wait, "the host is as it was", func() bool { return r.inside(t, 1, "ls -A /srv") == "odd\n" })
	until(t, wait, "the lock is free", func() bool {
		c, _, _ := jarvis(t, "", "upload", "-o", "web1", "-e", "-r", "/srv", "d/f")
		return c == 0
	})
	r.inside(t, 1, "head -c 1500000000 /dev/zero > /srv/big")
	begin("to/.jarvis-*/tree/big", "fetch", "-r", "to", "web1:/srv/big")
	if got := here("ls -d to/.jarvis-*; test ! -e to/big"); got == "" {
		t.Error("the fetch was not in the middle")
	}
	check(0, "1 file, 2 bytes, to "+to+"\n", "", "fetch", "-r", "to", "web1:/srv/d/f")
	if got := here("cd to; ls -A"); got != "d\nf\none.log\ntwo words.log\nx\n" {
		t.Error(got)
	}
}
