package fleet_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/lab/real"
)

// madeTree makes a tree of files here by a script, and reads it.
func madeTree(t *testing.T, script string, o fleet.TreeOptions, paths ...string) *fleet.Tree {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	tree, err := fleet.ReadTree(paths, o)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestSendAsAPlainUser(t *testing.T) {
	hosts, all := openSSH(t, 1, 134)
	h := hosts[0]
	inside(t, h, "useradd -m -s /bin/bash -p '*' plain; mkdir -p /home/plain/.ssh; cp /root/.ssh/authorized_keys /home/plain/.ssh; chown -R plain: /home/plain")
	all[0].Target.User = "plain"
	f := open(t, all...)
	send := func(tree *fleet.Tree, root string) fleet.SendResult {
		return f.Send(t.Context(), tree, fleet.SendOptions{Root: root})[0]
	}

	t.Run("a file of its home, by its whole path", func(t *testing.T) {
		// The fault: what is unpacked was to lie in /, where only root may write.
		tree := madeTree(t, "mkdir -p home/plain/d/e; echo 1 > home/plain/f; echo 2 > home/plain/d/e/g", fleet.TreeOptions{Relative: true}, "home/plain/f", "home/plain/d")
		for i := range 2 {
			if r := send(tree, "/"); r.Err != nil || r.Same != (i == 1) {
				t.Fatalf("%+v", r)
			}
		}
		if got := inside(t, h, "cd /home/plain; cat f d/e/g; ls -A; ls -A /home"); got != "1\n2\n.bash_logout\n.bashrc\n.profile\n.ssh\nd\nf\nplain\n" {
			t.Error(got)
		}
	})
	t.Run("one place where it may not write stops all", func(t *testing.T) {
		inside(t, h, "mkdir -p /srv/r/a /srv/r/b /srv/r/z; for d in a b z; do echo before > /srv/r/$d/f; done; chown -R plain /srv/r; chown root /srv/r/b; chmod 755 /srv/r/b")
		tree := madeTree(t, "mkdir a b z; for d in a b z; do echo after > $d/f; done", fleet.TreeOptions{Relative: true}, "a/f", "b/f", "z/f")
		if r := send(tree, "/srv/r"); r.Err == nil || r.Err.Error() != "cannot write in /srv/r/b; nothing was changed" {
			t.Errorf("%+v", r)
		}
		if got := inside(t, h, "cd /srv/r; cat a/f b/f z/f; ls -A"); got != "before\nbefore\nbefore\na\nb\nz\n" {
			t.Error(got)
		}
	})
	t.Run("a file of somebody else in a directory of all", func(t *testing.T) {
		inside(t, h, "mkdir /srv/tmp; chmod 1777 /srv/tmp; echo before > /srv/tmp/theirs")
		tree := madeTree(t, "echo after > mine; echo after > theirs", fleet.TreeOptions{Relative: true}, "mine", "theirs")
		if r := send(tree, "/srv/tmp"); r.Err == nil || !strings.HasSuffix(r.Err.Error(), "theirs belongs to somebody else; nothing was changed") {
			t.Errorf("%+v", r)
		}
		if got := inside(t, h, "cat /srv/tmp/theirs; ls -A /srv/tmp"); got != "before\ntheirs\n" {
			t.Error(got)
		}
	})
	t.Run("without GNU tar", func(t *testing.T) {
		inside(t, h, "mkdir -p /opt/busy; for t in $(/bin/busybox --list); do ln -sf /bin/busybox /opt/busy/$t; done; echo 'export PATH=/opt/busy' > /home/plain/.bashrc")
		for i, c := range []struct{ script, want string }{
			{"mkdir d; echo 1 > d/f", "there is no GNU tar on this host; nothing was changed"},
			{"truncate -s 1M d", "there is no GNU tar on this host; nothing was changed"},
			{"echo 1 > d", ""},
		} {
			root := fmt.Sprintf("/home/plain/busy%d/er", i)
			r := send(madeTree(t, c.script, fleet.TreeOptions{Relative: true}, "d"), root)
			if got := fmt.Sprint(r.Err); r.Err == nil && c.want != "" || r.Err != nil && got != c.want {
				t.Errorf("%s: %s", c.script, got)
			}
			got := inside(t, h, "cat "+root+"/d 2> /dev/null || :; ls -d "+filepath.Dir(root)+" 2> /dev/null || :")
			if c.want != "" && got != "" || c.want == "" && got != "1\n"+filepath.Dir(root)+"\n" {
				t.Errorf("%s: %s", c.script, got)
			}
		}
	})
}

// An upload that is stopped in the middle leaves a host as it was.
func TestAnUploadThatIsCut(t *testing.T) {
	hosts, all := openSSH(t, 1, 135)
	h := hosts[0]
	inside(t, h, "mkdir -p /srv/up/d; echo before > /srv/up/d/a")
	tree := madeTree(t, "mkdir d; echo after > d/a; head -c 2000000000 /dev/zero > d/big", fleet.TreeOptions{Relative: true}, "d")
	pid := func() string { // as seen from here
		out, _ := exec.Command("pgrep", "-f", "^tar .* -C /srv/up/.jarvis-").Output()
		return strings.TrimSpace(string(out))
	}
	for name, cut := range map[string]func(cancel context.CancelFunc){
		"Ctrl-C here":     func(cancel context.CancelFunc) { cancel() },
		"kill -9 of tar":  func(context.CancelFunc) { kill(t, pid()) },
		"kill -9 of sshd": func(context.CancelFunc) { kill(t, sshdOf(t, pid())) },
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t, all...)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan fleet.SendResult, 1)
			go func() { done <- f.Send(ctx, tree, fleet.SendOptions{Root: "/srv/up"})[0] }()
			until(t, "it is under way", func() bool {
				big, _ := filepath.Glob(filepath.Join(h.Root, "srv/up/.jarvis-*/in/tree/d/big"))
				return len(big) == 1 && pid() != ""
			})
			there := pid()
			cut(cancel)
			select {
			case r := <-done:
				if r.Err == nil {
					t.Error("it says that it went well")
				}
				t.Log(r.Err)
			case <-time.After(real.Patience(20 * time.Second)):
				t.Fatal("it hangs")
			}
			until(t, "tar there has ended", func() bool { _, err := os.Stat("/proc/" + there); return err != nil })
			until(t, "the host is as it was", func() bool { return inside(t, h, "cd /srv/up; cat d/a; ls -A . d") == "before\n.:\nd\n\nd:\na\n" })
		})
	}
}

// A file that grows or shrinks while it is sent is told, and all hosts are as they were.
func TestAFileThatChangesWhileItIsSent(t *testing.T) {
	hosts, all := openSSH(t, 2, 138)
	f := open(t, all...)
	for name, change := range map[string]string{"grows": "echo more >> log", "shrinks": "truncate -s 1000 log; sleep 0.01; head -c 50000000 /dev/zero > log"} {
		t.Run(name, func(t *testing.T) {
			tree := madeTree(t, "echo a > a; head -c 50000000 /dev/zero > log; echo z > z", fleet.TreeOptions{Relative: true}, "a", "log", "z")
			cmd := exec.Command("sh", "-c", "while :; do "+change+"; done")
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
			for i, r := range f.Send(t.Context(), tree, fleet.SendOptions{Root: "/srv/new/er"}) {
				if r.Err == nil || r.Err.Error() != "log changed while it was read" {
					t.Errorf("%v", r.Err)
				}
				until(t, "the host is as it was", func() bool { return inside(t, hosts[i], "ls -A /srv") == "" })
			}
		})
	}
}

// The fault: one log that grows stopped the whole upload. rsync and tar carry on, and say so.
func TestTheOthersGoOnWhenAFileChanges(t *testing.T) {
	hosts, all := openSSH(t, 2, 139)
	f := open(t, all...)
	for _, h := range hosts {
		inside(t, h, "mkdir -p /srv/d; echo old > /srv/d/log; echo old > /srv/d/gone; echo old > /srv/d/holes")
	}
	for _, before := range []string{"on hosts that have them", "again"} {
		t.Run(before, func(t *testing.T) {
			tree := madeTree(t, "mkdir d; echo a > d/a; head -c 3000000 /dev/zero > d/log; ln d/log d/other; truncate -s 5M d/holes; echo x >> d/holes; echo gone > d/gone; echo z > d/z", fleet.TreeOptions{Relative: true}, "d")
			if out, err := exec.Command("sh", "-ec", "truncate -s 1000 d/log; rm d/gone; mkfifo d/gone; echo more >> d/holes; echo new > d/a.new").CombinedOutput(); err != nil {
				t.Fatalf("%v %s", err, out)
			}
			var left []string
			for i, r := range f.Send(t.Context(), tree, fleet.SendOptions{Root: "/srv", Left: func(l *fleet.LeftFile) { left = append(left, l.Error()) }}) {
				if r.Err != nil {
					t.Error(r.Err)
				}
				if got := inside(t, hosts[i], "cd /srv/d; cat a log gone holes z; ls -A . ..; rm a z"); got != "a\nold\nold\nold\nz\n.:\na\ngone\nholes\nlog\nz\n\n..:\nd\n" {
					t.Error(got)
				}
			}
			if got := strings.Join(left, "; "); got != "d/gone changed while it was read; d/holes changed while it was read; d/log changed while it was read; d/other changed while it was read" {
				t.Error(got)
			}
		})
	}
}

// What changes when half of it is under way already is not put into place either, and neither is an empty file for it.
func TestAFileThatGrowsAllTheTime(t *testing.T) {
	hosts, all := openSSH(t, 1, 140)
	f := open(t, all...)
	inside(t, hosts[0], "mkdir -p /srv; echo old > /srv/log")
	for i := range 3 {
		tree := madeTree(t, "echo a > a; head -c 50000000 /dev/urandom > log; echo z > z", fleet.TreeOptions{Relative: true}, "a", "log", "z")
		once := false
		var left []string
		r := f.Send(t.Context(), tree, fleet.SendOptions{Root: "/srv", Compress: "none", Left: func(l *fleet.LeftFile) { left = append(left, l.Error()) }, Progress: func(int64, int64) {
			if !once { // after the first file: the long one is read from here on
				once = true
				if err := os.Truncate("log", []int64{10, 49_000_000, 60_000_000}[i]); err != nil {
					t.Error(err)
				}
			}
		}})[0]
		if r.Err != nil || strings.Join(left, "; ") != "log changed while it was read" {
			t.Errorf("%v %q", r.Err, left)
		}
		if got := inside(t, hosts[0], "cd /srv; cat a log z; ls -A; rm a z"); got != "a\nold\nz\na\nlog\nz\n" {
			t.Error(got)
		}
	}
}

func TestTenThousandSmallFiles(t *testing.T) {
	hosts, all := openSSH(t, 1, 136)
	f := open(t, all...)
	tree := madeTree(t, "for d in $(seq 100); do mkdir -p d/$d; for f in $(seq 100); do echo $f > d/$d/$f; done; done", fleet.TreeOptions{Relative: true}, "d")
	for i := range 2 {
		began := time.Now()
		if r := f.Send(t.Context(), tree, fleet.SendOptions{Root: "/srv/many"})[0]; r.Err != nil || r.Same != (i == 1) {
			t.Fatalf("%+v", r)
		}
		t.Logf("%v", time.Since(began))
	}
	if got := inside(t, hosts[0], "find /srv/many -type f | wc -l; ls -A /srv/many"); got != "10000\nd\n" {
		t.Error(got)
	}
	dir := t.TempDir()
	if r := f.Fetch(t.Context(), fleet.FetchOptions{Paths: []string{"/srv/many/d/*/*7"}, Dir: dir})[0]; r.Err == nil || !strings.HasPrefix(r.Err.Error(), "two of the files there would both be ") {
		t.Errorf("%+v", r)
	}
	if r := f.Fetch(t.Context(), fleet.FetchOptions{Paths: []string{"/srv/many/d/*"}, Dir: dir})[0]; r.Err != nil || r.Files != 10000 {
		t.Errorf("%+v", r)
	}
}

// TestAHostThatSaysTooMuch: what a host said that it has was kept whole, however much it was: one host could fill the
// memory of the server.
func TestAHostThatSaysTooMuch(t *testing.T) {
	hosts, all := openSSH(t, 2, 154)
	f := open(t, all...)
	tree := madeTree(t, "mkdir d; echo 1 > d/f; ln -s f d/g", fleet.TreeOptions{Relative: true}, "d")
	inside(t, hosts[0], `mkdir -p /srv/d; printf '#!/bin/sh\ncat > /dev/null; head -c 20000000 /dev/zero | tr "\\0" x\n' > /usr/local/bin/sort; chmod 755 /usr/local/bin/sort`)
	inside(t, hosts[1], "mkdir -p /srv/d")
	r := f.Send(t.Context(), tree, fleet.SendOptions{Root: "/srv"})
	if r[0].Err == nil || r[0].Err.Error() != "the host says more than 4 MiB, and no more is taken" {
		t.Errorf("%+v", r[0])
	}
	if r[1].Err != nil || r[1].Sent == 0 || inside(t, hosts[1], "cat /srv/d/g") != "1\n" {
		t.Errorf("%+v", r[1])
	}
}
