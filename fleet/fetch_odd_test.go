package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/lab/real"
)

// inside runs a script on a host, as seen past SSH.
func inside(t *testing.T, h *real.Host, script string) string {
	t.Helper()
	out, err := exec.Command("chroot", h.Root, "sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// until waits for something to be so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(real.Patience(20 * time.Second)); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it is not so that %s", what)
		}
	}
}

// listenAt makes a socket in a directory, whose path may be too long for one.
func listenAt(t *testing.T, dir, name string) (stop func()) {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	l, err := net.Listen("unix", fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), name))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	return func() { _ = l.Close() }
}

// found lists what is in a directory here, with its dot files.
func found(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.Command("find", ".", "-mindepth", "1", "-printf", "%y %P\\n")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestFetchOfWhatIsNotOrdinary(t *testing.T) {
	hosts, all := openSSH(t, 1, 131)
	h := hosts[0]
	f := open(t, all...)
	fetch := func(t *testing.T, paths ...string) (dir string, r fleet.FetchResult) {
		t.Helper()
		dir = t.TempDir()
		return dir, f.Fetch(t.Context(), fleet.FetchOptions{Paths: paths, Dir: dir})[0]
	}

	t.Run("patterns are the host's", func(t *testing.T) {
		inside(t, h, `mkdir -p /srv/l '/srv/a b' /srv/m; cd /srv/l; echo 1 > one.log; echo 2 > 'two words.log'; echo 3 > '$(touch gone).log'; echo 4 > '*.lit'; echo 5 > x.lit; ln -s nowhere dead.log; echo 6 > '/srv/a b/f.log'; echo 7 > /srv/m/one.log; echo 8 > /root/.hid; echo h > /root/h`)
		for _, c := range []struct {
			paths []string
			want  string
			err   string
		}{
			{[]string{"/srv/l/*.log"}, "f $(touch gone).log\nf one.log\nf two words.log\nl dead.log", ""},
			{[]string{"/srv/l/[ot]*.log", "/srv/a*/f.log", "/srv/l/one.log"}, "f f.log\nf one.log\nf two words.log", ""},
			{[]string{"/srv/l/*.lit"}, "f *.lit", ""}, // a file of that very name
			{[]string{"/srv/?/one.log"}, "", "two of the files there would both be one.log here"},
			{[]string{"/srv/l/*.none"}, "", "/srv/l/*.none: no file there has such a name"},
			{[]string{"/srv/l/`touch gone`*"}, "", "/srv/l/`touch gone`*: no file there has such a name"},
			{[]string{"./.h*", "/srv/l/x.lit", "./h"}, "f .hid\nf h\nf x.lit", ""},
			{[]string{"./.[!s]*"}, "f .bashrc\nf .hid\nf .profile", ""}, // neither . nor ..
			{[]string{"/srv/m/", "/srv/m"}, "d m\nf m/one.log", ""},
		} {
			dir, r := fetch(t, c.paths...)
			if got := found(t, dir); got != c.want || r.Err == nil && c.err != "" || r.Err != nil && r.Err.Error() != c.err || len(r.Said) > 0 {
				t.Errorf("%q: %v, %q\n%s", c.paths, r.Err, r.Said, got)
			}
		}
		if got := inside(t, h, "find / -xdev -name gone"); got != "" {
			t.Errorf("a shell read it: %s", got)
		}
	})
	t.Run("pipes, sockets and devices are skipped, and named", func(t *testing.T) {
		inside(t, h, `mkdir -p /srv/odd/sub; cd /srv/odd; echo a > a; mkfifo pipe; mknod null c 1 3; echo b > sub/b`)
		sock := listenAt(t, filepath.Join(h.Root, "srv/odd"), "sock")
		defer sock()
		dir, r := fetch(t, "/srv/odd")
		if got := found(t, dir); r.Err != nil || r.Files != 2 || got != "d odd\nd odd/sub\nf odd/a\nf odd/sub/b" {
			t.Errorf("%v\n%s", r.Err, got)
		}
		if got := strings.Join(r.Said, "\n"); !strings.Contains(got, "odd/pipe is a named pipe there, and was skipped") || !strings.Contains(got, "odd/null is a device there, and was skipped") || !strings.Contains(got, "./odd/sock: socket ignored") || len(r.Said) != 3 {
			t.Errorf("said is %q", r.Said)
		}
		for path, want := range map[string]string{"/srv/odd/pipe": "pipe is a named pipe there, and was skipped", "/srv/odd/sock": "./sock: socket ignored"} {
			if dir, r := fetch(t, path); r.Err == nil || r.Err.Error() != want || found(t, dir) != "" {
				t.Errorf("%s: %v", path, r.Err)
			}
		}
	})
	t.Run("a file that grows is here, and that is said", func(t *testing.T) {
		grow := exec.Command("sh", "-c", "while :; do echo more >> "+filepath.Join(h.Root, "srv/log")+"; done")
		grow.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		inside(t, h, "head -c 50000000 /dev/zero > /srv/log")
		if err := grow.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = grow.Process.Kill(); _ = grow.Wait() }()
		dir, r := fetch(t, "/srv/log")
		if r.Err != nil || r.Files != 1 || len(r.Said) != 1 || r.Said[0] != "./log: file changed as we read it" || found(t, dir) != "f log" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("what may not be read is an error; the rest is here", func(t *testing.T) {
		inside(t, h, "useradd -m -p '*' plain; mkdir -p /srv/part; cd /srv/part; echo a > a; echo b > b; chmod 600 a; chown plain b")
		as := all[0]
		inside(t, h, "mkdir -p /home/plain/.ssh; cp /root/.ssh/authorized_keys /home/plain/.ssh; chown -R plain: /home/plain")
		as.Target.User = "plain"
		dir := t.TempDir()
		r := open(t, as).Fetch(t.Context(), fleet.FetchOptions{Paths: []string{"/srv/part"}, Dir: dir})[0]
		if r.Err == nil || r.Err.Error() != "part/a may not be read by plain" || found(t, dir) != "d part\nf part/b" {
			t.Errorf("%v\n%s", r.Err, found(t, dir))
		}
	})
	t.Run("a sparse file stays one", func(t *testing.T) {
		inside(t, h, "truncate -s 3G /srv/sparse; printf end | dd of=/srv/sparse bs=1 seek=1G conv=notrunc 2> /dev/null")
		dir, r := fetch(t, "/srv/sparse")
		st, err := os.Stat(filepath.Join(dir, "sparse"))
		if err != nil || r.Err != nil || st.Size() != 3<<30 || st.Sys().(*syscall.Stat_t).Blocks > 1<<10 {
			t.Fatalf("%v, %v, %v", r.Err, err, st)
		}
		if out, err := exec.Command("sh", "-c", "tail -c +1073741825 '"+filepath.Join(dir, "sparse")+"' | head -c 3").Output(); string(out) != "end" {
			t.Errorf("%q %v", out, err)
		}
	})
	t.Run("before 1970, and any name", func(t *testing.T) {
		inside(t, h, `mkdir /srv/n; cd /srv/n; n=$(printf 'a\nb'); echo 1 > "$n"; touch -d 1960-01-02T03:04:05Z "$n"; echo 2 > "$(printf '\377\376')"; echo 3 > -C; echo 4 > "$(printf 'h\303\251')"`)
		dir, r := fetch(t, "/srv/n", "/srv/n/*")
		if r.Err != nil || r.Files != 8 {
			t.Fatalf("%+v", r)
		}
		st, err := os.Stat(filepath.Join(dir, "n/a\nb"))
		if err != nil || st.ModTime().UTC().Format(time.RFC3339) != "1960-01-02T03:04:05Z" {
			t.Errorf("%v %v", st, err)
		}
		for name, want := range map[string]string{"\xff\xfe": "2\n", "-C": "3\n", "hé": "4\n"} {
			if b, err := os.ReadFile(filepath.Join(dir, name)); string(b) != want {
				t.Errorf("%q: %q %v", name, b, err)
			}
		}
	})
	t.Run("without GNU tar", func(t *testing.T) {
		inside(t, h, "mkdir -p /opt/busy; for t in tar stat sh; do ln -s /bin/busybox /opt/busy/$t; done; echo 'export PATH=/opt/busy:$PATH' > /root/.bashrc")
		defer inside(t, h, "rm /root/.bashrc")
		dir, r := fetch(t, "/srv/l/*.log", "/srv/l/x.lit")
		if r.Err != nil || r.Files != 5 {
			t.Errorf("%+v\n%s", r, found(t, dir))
		}
		inside(t, h, "useradd -m -s /bin/bash -p '*' busy; mkdir -p /home/busy/.ssh; cp /root/.ssh/authorized_keys /home/busy/.ssh; cp /root/.bashrc /home/busy; chown -R busy: /home/busy; chmod 600 /srv/l/one.log")
		as := all[0]
		as.Target.User = "busy"
		if r := open(t, as).Fetch(t.Context(), fleet.FetchOptions{Paths: []string{"/srv/l/one.log"}, Dir: t.TempDir()})[0]; r.Err == nil || r.Err.Error() != "one.log may not be read by busy" {
			t.Errorf("%+v", r)
		}
		if _, r := fetch(t, "/srv/l/one.log", "/srv/a b/f.log"); r.Err == nil || r.Err.Error() != "there is no GNU tar, so all must be in one directory" {
			t.Errorf("%+v", r)
		}
	})
}

// The fault: what the login may not come to was said not to be there.
func TestWhatALoginMayNotRead(t *testing.T) {
	hosts, all := openSSH(t, 1, 151)
	h := hosts[0]
	inside(t, h, `useradd -m -p '*' plain; mkdir -p /home/plain/.ssh; cp /root/.ssh/authorized_keys /home/plain/.ssh; chown -R plain: /home/plain
mkdir -p '/srv/shut/in side' /srv/unlisted /srv/open; echo a > '/srv/shut/in side/a'; echo b > /srv/unlisted/b; echo c > /srv/open/c; echo d > /srv/open/d
ln -s '/srv/shut/in side' /srv/link; chmod 700 /srv/shut; chmod 711 /srv/unlisted; chmod 600 /srv/open/c`)
	as := all[0]
	as.Target.User = "plain"
	f := open(t, as)
	for path, want := range map[string]string{
		"/srv/shut/in side/a":  "/srv/shut/in side/a: /srv/shut may not be entered by plain",
		"/srv/shut/in side":    "/srv/shut/in side: /srv/shut may not be entered by plain",
		"/srv/shut/in*/a":      "/srv/shut/in*/a: /srv/shut may not be entered by plain",
		"/srv/s*/none/a":       "/srv/s*/none/a: /srv/shut may not be entered by plain",
		"/srv/link/a":          "/srv/link/a: /srv/link may not be entered by plain",
		"../../srv/shut/x":     "../../srv/shut/x: ./../../srv/shut may not be entered by plain",
		"/srv/unlisted/*":      "/srv/unlisted/*: /srv/unlisted may not be read by plain",
		"/srv/unlisted/none":   "/srv/unlisted/none: no such file",
		"/srv/open/none":       "/srv/open/none: no such file",
		"/srv/open/d/none":     "/srv/open/d/none: no such file",
		"/srv/open/*.none":     "/srv/open/*.none: no file there has such a name",
		"/srv/open/c":          "c may not be read by plain",
		"/srv/open":            "open/c may not be read by plain",
		"/srv/shut":            "shut may not be read by plain",
		"/srv/unlisted":        "unlisted may not be read by plain",
		"none here/none there": "none here/none there: no such file",
	} {
		r := f.Fetch(t.Context(), fleet.FetchOptions{Paths: []string{path}, Dir: t.TempDir()})[0]
		if r.Err == nil || r.Err.Error() != want || len(r.Said) > 0 {
			t.Errorf("%s: %v %q, want %s", path, r.Err, r.Said, want)
		}
	}
	for dir, want := range map[string]string{"/srv/shut/in side": "/srv/shut/in side: /srv/shut may not be entered by plain", "/srv/shut": "/srv/shut: /srv/shut may not be entered by plain", "/srv/none": "there is no directory /srv/none"} {
		if lock, err := f.Lock(t.Context(), fleet.LockOptions{Dir: dir}); err == nil || err.Error() != "web1: "+want {
			t.Errorf("the lock of %s: %v", dir, err)
			if lock != nil {
				_ = lock.Release()
			}
		}
	}
	if r := f.Has(t.Context(), "/srv/shut/in side", nil)[0]; r.Err == nil || r.Err.Error() != "/srv/shut/in side: /srv/shut may not be entered by plain" {
		t.Errorf("%+v", r)
	}
	if a, b := f.Has(t.Context(), "/srv/none", nil)[0], f.Has(t.Context(), "/srv/open", nil)[0]; a.Err != nil || a.Exit != 1 || !b.OK() {
		t.Errorf("%+v %+v", a, b)
	}
}

func kill(t *testing.T, pid string) {
	t.Helper()
	if out, err := exec.Command("kill", "-9", pid).CombinedOutput(); err != nil {
		t.Errorf("kill -9 %s: %v %s", pid, err, out)
	}
}

// sshdOf gives the server process that a process on a host is under.
func sshdOf(t *testing.T, pid string) string {
	t.Helper()
	for pid != "1" {
		if comm, err := os.ReadFile("/proc/" + pid + "/comm"); err != nil || string(comm) == "sshd\n" {
			return pid
		}
		out, err := exec.Command("ps", "-o", "ppid=", "-p", pid).Output()
		if err != nil {
			t.Fatal(err)
		}
		pid = strings.TrimSpace(string(out))
	}
	t.Fatal("there is no sshd above it")
	return ""
}

// A fetch that is stopped in the middle, from either end, leaves nothing here and nothing there.
func TestAFetchThatIsCut(t *testing.T) {
	hosts, all := openSSH(t, 1, 132)
	h := hosts[0]
	inside(t, h, "mkdir /srv/d; echo first > /srv/d/a; truncate -s 100G /srv/d/big")
	// Not sparse: tar would be done at once.
	inside(t, h, `printf '#!/bin/sh\ncase "$1" in --help) echo --sparse; exit ;; esac\nshift 2\nexec /bin/tar -c "$@"\n' > /usr/local/bin/tar; chmod +x /usr/local/bin/tar`)
	pid := func() string { // as seen from here
		out, _ := exec.Command("pgrep", "-fx", "/bin/tar -c -f - -C /srv ./d").Output()
		return strings.TrimSpace(string(out))
	}
	for name, cut := range map[string]struct {
		do   func(t *testing.T, cancel context.CancelFunc)
		want string
	}{
		"Ctrl-C here":     {func(_ *testing.T, cancel context.CancelFunc) { cancel() }, "context canceled"},
		"kill -9 of tar":  {func(t *testing.T, _ context.CancelFunc) { kill(t, pid()) }, "tar was ended there by SIGKILL; nothing was changed here"},
		"kill -9 of sshd": {func(t *testing.T, _ context.CancelFunc) { kill(t, sshdOf(t, pid())) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f := open(t, all...)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan fleet.FetchResult, 1)
			go func() { done <- f.Fetch(ctx, fleet.FetchOptions{Paths: []string{"/srv/d"}, Dir: dir})[0] }()
			until(t, "it is under way", func() bool {
				big, _ := filepath.Glob(filepath.Join(dir, ".jarvis-*/tree/d/big"))
				return len(big) == 1 && pid() != ""
			})
			there := pid()
			cut.do(t, cancel)
			select {
			case r := <-done:
				if r.Err == nil || cut.want != "" && r.Err.Error() != cut.want || strings.Contains(r.Err.Error(), "archive") {
					t.Errorf("%v", r.Err)
				}
			case <-time.After(real.Patience(20 * time.Second)):
				t.Fatal("it hangs")
			}
			if got := found(t, dir); got != "" {
				t.Errorf("left is\n%s", got)
			}
			until(t, "tar there has ended", func() bool { _, err := os.Stat("/proc/" + there); return err != nil })
		})
	}
}

// What a fetch that was killed left goes with the next one; what another holds stays.
func TestFetchClearsWhatWasLeft(t *testing.T) {
	hosts, all := openSSH(t, 1, 133)
	put(t, hosts[0], "srv/a", "a")
	dir := t.TempDir()
	now, old := time.Now(), time.Now().Add(-25*time.Hour)
	for name, c := range map[string]struct {
		mark string
		at   time.Time
	}{"killed": {"locked\n", now}, "held": {"locked\n", now}, "new": {"", now}, "old": {"", old}, "theirs": {"-", old}} {
		mark := filepath.Join(dir, ".jarvis-"+name, "of-jarvis")
		if err := os.MkdirAll(filepath.Join(filepath.Dir(mark), "tree/in"), 0o700); err != nil {
			t.Fatal(err)
		}
		if c.mark == "-" {
			continue
		}
		if err := errors.Join(os.WriteFile(mark, []byte(c.mark), 0o600), os.Chtimes(mark, c.at, c.at)); err != nil {
			t.Fatal(err)
		}
	}
	held, err := os.Open(filepath.Join(dir, ".jarvis-held/of-jarvis"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	r := open(t, all...).Fetch(t.Context(), fleet.FetchOptions{Paths: []string{"/srv/a"}, Dir: dir})[0]
	left, err := filepath.Glob(filepath.Join(dir, ".jarvis-*"))
	for i := range left {
		left[i] = filepath.Base(left[i])
	}
	if got := fmt.Sprint(left); r.Err != nil || err != nil || got != "[.jarvis-held .jarvis-new .jarvis-theirs]" {
		t.Errorf("%v %v %s", r.Err, err, got)
	}
}
