package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// TestWhatStrangersFound: faults of the commands on many hosts that somebody met who did not write them.
func TestWhatStrangersFound(t *testing.T) {
	bin := buildJarvis(t)
	r := newRow(t, 3, 115)
	t.Chdir(r.home)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("f", "sent")
	check := func(t *testing.T, code int, errs string, args ...string) (out string) {
		t.Helper()
		got, out, said := jarvis(t, "", args...)
		if got != code || !regexp.MustCompile(errs).MatchString(said) {
			t.Errorf("%q: exit %d: %s%s", args, got, out, said)
		}
		return out
	}

	t.Run("the lock of a host keeps everything out", func(t *testing.T) {
		hold := func(args ...string) (let func()) {
			ctx, cancel := context.WithCancel(t.Context())
			var out, errs real.Buffer
			done := make(chan int, 1)
			go func() { done <- run(ctx, args, strings.NewReader(""), &out, &errs) }()
			for range 200 {
				if strings.Contains(out.String(), "locked: 1 host") {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			return func() { cancel(); <-done }
		}
		r.inside(t, 1, "mkdir -p /srv/app /srv/b")
		let := hold("lock", "-o", "web1")
		check(t, 1, "web1: / is locked by process", "upload", "-o", "web1", "-e", "-r", "/srv/app", "f")
		check(t, 1, "web1: / is locked by process", "sync", "-o", "web1", "-m", "-n", "true", "-e", "-r", "/srv/app", "f")
		let()
		let = hold("lock", "-o", "web1", "-r", "/srv/app")
		check(t, 1, "web1: /srv/app is locked by process", "upload", "-o", "web1", "-e", "-r", "/srv/app", "f")
		check(t, 1, "web1: / is locked by process", "exec", "-o", "web1", "true")
		check(t, 0, "^$", "upload", "-o", "web1", "-e", "-r", "/srv/b", "f")
		let()
		if got := r.read(1, "srv/app/f"); !strings.HasPrefix(got, "! ") {
			t.Error("a file arrived under the lock of somebody else")
		}
	})
	t.Run("sync without files runs in the directory", func(t *testing.T) {
		r.inside(t, 1, "mkdir -p /srv/tool")
		r.inside(t, 2, "mkdir -p /srv/tool")
		if out := check(t, 0, "^$", "sync", "-o", "web[1-2]", "--no-upload", "-m", "-n", "pwd", "-r", "/srv/tool"); sorted(out) != "web1: /srv/tool\nweb2: /srv/tool" {
			t.Error(out)
		}
		for _, more := range [][]string{nil, {"-y"}, {"-t"}} {
			args := append([]string{"sync", "-o", "web[1-3]", "--no-upload", "-m", "-n", ": > /root/ran", "-r", "/srv/tool"}, more...)
			check(t, 1, "web3: there is no directory /srv/tool", args...)
			for i := 1; i <= 3; i++ {
				if got := r.read(i, "root/ran"); !strings.HasPrefix(got, "! ") {
					t.Errorf("%q: it ran on web%d", more, i)
				}
			}
		}
		if got := r.read(3, "srv/tool"); !strings.Contains(got, "no such file") {
			t.Errorf("somebody made it: %s", got)
		}
	})
	t.Run("fetch replaces nothing unasked, and says where it wrote", func(t *testing.T) {
		write("hostname", "mine")
		check(t, 1, "hostname is here already, and differs; nothing was changed: --force", "fetch", "web1:/etc/hostname")
		if b, err := os.ReadFile("hostname"); string(b) != "mine" {
			t.Errorf("%q, %v", b, err)
		}
		here := must[string](t)(os.Getwd())
		if out := check(t, 0, "^$", "fetch", "-f", "web1:/etc/hostname"); out != "1 file, 5 bytes, to "+here+"\n" {
			t.Error(out)
		}
		if out := check(t, 0, "^$", "fetch", "-r", "two", "web1:/etc/hostname", "web2:/etc/hostname", "web2:/etc/hosts"); !strings.HasPrefix(out, "3 files, ") || !strings.HasSuffix(out, ", to "+here+"/two, a directory for each host\n") {
			t.Error(out)
		}
		if b, err := exec.Command("sh", "-c", "cat two/web1/hostname two/web2/hostname; ls two/web1 two/web2").Output(); string(b) != "web1\nweb2\ntwo/web1:\nhostname\n\ntwo/web2:\nhostname\nhosts\n" {
			t.Errorf("%s, %v", b, err)
		}
		check(t, 2, "/etc/hosts names no host and no path there; write HOST:PATH for each", "fetch", "web1:/etc/hostname", "/etc/hosts")
		check(t, 2, "/a:b names no host", "fetch", "/a:b")
		r.inside(t, 1, "echo home > /root/in-home")
		check(t, 0, "^$", "fetch", "-r", "home", "web1:~/in-home")
		if b, err := os.ReadFile("home/in-home"); string(b) != "home\n" {
			t.Errorf("%q, %v", b, err)
		}
	})
	t.Run("~ is the home of the login", func(t *testing.T) {
		check(t, 0, "^$", "upload", "-o", "web1", "-e", "-r", "~/x", "f")
		if r.read(1, "root/x/f") != "sent" || !strings.HasPrefix(r.read(1, "root/~"), "! ") {
			t.Error(r.inside(t, 1, "ls -a /root"))
		}
		check(t, 2, "~bob/x: only ~ and ~/ are known here", "upload", "-o", "web1", "-e", "-r", "~bob/x", "f")
	})
	t.Run("one machine under two names", func(t *testing.T) {
		if out := check(t, 0, "^jarvis: web1 and root@127.115.0.1 are both root@127.115.0.1:22; it is done once, as web1\n$", "exec", "-k", ".ssh/id", "-o", "web1", "-o", "root@127.115.0.1", "hostname"); out != "web1: web1\n" {
			t.Error(out)
		}
		// By a name that only the resolver knows to be the same.
		file := filepath.Join(r.home, ".ssh", "config")
		before := must[[]byte](t)(os.ReadFile(file))
		defer func() { _ = os.WriteFile(file, before, 0o600) }()
		write(file, "Host web1b\n  HostName ::ffff:127.115.0.1\n  HostKeyAlias 127.115.0.1\n  IdentityFile ~/.ssh/id\n"+string(before))
		check(t, 1, "this is the same machine as \"web1b?\" under another name, and one lock keeps out the other; name it once", "exec", "-o", "web1", "-o", "web1b", "hostname")
	})
	t.Run("strangers are named, all of them, and what to do", func(t *testing.T) {
		file := filepath.Join(r.home, ".ssh", "known_hosts")
		before := must[[]byte](t)(os.ReadFile(file))
		defer func() { _ = os.WriteFile(file, before, 0o600) }()
		write(file, "")
		check(t, 1, `^jarvis: nothing was done: web\[1-3\]: no host keys are known for them; put their keys into known_hosts, or say --host-key accept-new`, "exec", "-o", "web[1-3]", "true")
		check(t, 1, `(?s)3 of 3 hosts failed.*--host-key accept-new`, "exec", "-y", "-w", "-o", "web[1-3]", "true")
		check(t, 0, "^$", "exec", "--host-key", "accept-new", "-o", "web[1-3]", "true")
	})
	t.Run("a reader that goes away when all is done stopped nothing", func(t *testing.T) {
		for _, c := range []struct{ line, said string }{
			{" upload -y -o web[1-3] -e -r /srv/unread f | true", "jarvis: everything was done; nobody reads the output any more\n"},
			{" upload -y -o web[1-3] -e -r /srv/unread2 f > /dev/full", "jarvis: everything was done, but the output cannot be written: write /dev/stdout: no space left on device\n"},
			{" fetch -r unread web1:/etc/hostname | true", "jarvis: everything was done; nobody reads the output any more\n"},
		} {
			cmd := exec.Command("bash", "-c", "set -o pipefail; "+bin+c.line)
			out, err := cmd.CombinedOutput()
			if bad := strings.Contains(c.line, "full"); string(out) != c.said || (err != nil) != bad {
				t.Errorf("%s: %v %s", c.line, err, out)
			}
		}
		if r.read(2, "srv/unread/f") != "sent" {
			t.Error("it did not arrive")
		}
	})
}
