package fleet_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/remote"
)

// openSSH boots hosts with their own OpenSSH on 127.NET.0.1 and up.
func openSSH(t *testing.T, n, net int) ([]*real.Host, []fleet.Host) {
	t.Helper()
	key := func() (gossh.Signer, string, string) {
		_, priv, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s, err := gossh.NewSignerFromKey(priv)
		if err != nil {
			t.Fatal(err)
		}
		block, err := gossh.MarshalPrivateKey(priv, "")
		if err != nil {
			t.Fatal(err)
		}
		return s, string(pem.EncodeToMemory(block)), strings.TrimSpace(string(gossh.MarshalAuthorizedKey(s.PublicKey())))
	}
	user, _, login := key()
	var hosts []*real.Host
	var all []fleet.Host
	for i := 1; i <= n; i++ {
		own, private, pub := key()
		addr := fmt.Sprintf("127.%d.0.%d:22", net, i)
		h, err := real.StartHost(t.Context(), addr, fmt.Sprintf("#cloud-config\nhostname: web%d\nfqdn: web%d.example.org\nssh_keys:\n  ed25519_private: %s\n  ed25519_public: %s\nssh_authorized_keys: [%q]\nchpasswd:\n  users: [{name: root, password: \"*\", type: hash}]\n", i, i, strconv.Quote(private), pub, login))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Stop)
		hosts = append(hosts, h)
		all = append(all, fleet.Host{Name: fmt.Sprintf("web%d", i), Target: remote.Target{Addr: addr, User: "root", Signers: []gossh.Signer{user}, HostKeys: remote.Pinned{own.PublicKey()}}})
	}
	return hosts, all
}

func open(t *testing.T, hosts ...fleet.Host) *fleet.Fleet {
	t.Helper()
	f, err := fleet.Open(t.Context(), hosts, fleet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func put(t *testing.T, h *real.Host, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.Root, name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// What a login shell says is not that the lock is taken: two who are greeted would both believe that they have it.
func TestAGreetingIsNoLock(t *testing.T) {
	hosts, all := openSSH(t, 1, 103)
	put(t, hosts[0], "root/.bashrc", "for i in 1 2 3 4 5 6 7; do echo acquired; done; printf 'ping 1\\n\\nroot# '; echo 'stdin: is not a tty' >&2\n")
	first, second := open(t, all...), open(t, all...)
	lock, err := first.Lock(t.Context(), fleet.LockOptions{Answer: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var held *fleet.LockedError
	if _, err := second.Lock(t.Context(), fleet.LockOptions{}); !errors.As(err, &held) || !strings.Contains(held.Holder, "process ") {
		t.Errorf("the second lock: %v", err)
	}
	time.Sleep(3 * time.Second) // a heartbeat, and more
	if err := lock.Err(); err != nil {
		t.Error(err)
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
	lock, err = second.Lock(t.Context(), fleet.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
}

// A lock that is let go is not lost: nobody goes and kills on hosts that are done.
func TestReleaseIsNoLoss(t *testing.T) {
	hosts, all := openSSH(t, 2, 104)
	put(t, hosts[0], "usr/local/bin/flock", "#!/bin/sh\n/usr/bin/flock \"$@\"; sleep 1\n") // it takes its time to let go
	for _, h := range hosts {
		put(t, h, "usr/local/bin/grep", "#!/bin/sh\n: > /root/killed\nexec /usr/bin/grep \"$@\"\n") // what kills looks with it
	}
	f := open(t, all...)
	lock, err := f.Lock(t.Context(), fleet.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := lock.Context(t.Context())
	defer cancel()
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
	if err := lock.Err(); err != nil {
		t.Errorf("released, it is %v", err)
	}
	<-ctx.Done()
	time.Sleep(time.Second)
	for i, h := range hosts {
		if _, err := h.ReadFile("root/killed"); err == nil {
			t.Errorf("on web%d somebody looked for what to kill", i+1)
		}
	}
}

// What the lock of a host, of a directory, and of one below it keep out: `jarvis lock` kept out no `upload -r DIR`.
func TestDirectoriesAreLockedSideBySide(t *testing.T) {
	hosts, all := openSSH(t, 1, 113)
	for _, dir := range []string{"srv/app/in", "srv/other", "etc/x"} {
		if err := os.MkdirAll(filepath.Join(hosts[0].Root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/srv/app", filepath.Join(hosts[0].Root, "link")); err != nil {
		t.Fatal(err)
	}
	first, second := open(t, all...), open(t, all...)
	host := fleet.LockOptions{}
	dir := func(d string) fleet.LockOptions { return fleet.LockOptions{Dir: d} }
	for _, c := range []struct {
		one, two fleet.LockOptions
		by       string // what is locked when the second comes; "": both are held
	}{
		{host, dir("/srv/app"), "/"},
		{dir("/srv/app"), host, "/"},
		{dir("/srv/app"), dir("/srv/app/"), "/srv/app"},
		{dir("/srv/app"), dir("/link"), "/srv/app"},
		{dir("/srv"), dir("/srv/app/in"), "/srv"},
		{dir("/srv/app/in"), dir("/srv"), "/srv"},
		{dir("/"), dir("/srv"), "/"},
		{dir("/srv/app"), dir("/srv/other"), ""},
		{dir("/srv/app"), dir("/etc"), ""},
		{host, fleet.LockOptions{File: "/etc/x"}, ""},                      // a lock of one's own, as orgalorg's --lock-file
		{fleet.LockOptions{File: "/srv/app"}, dir("/srv/app"), "/srv/app"}, // orgalorg -r
	} {
		lock, err := first.Lock(t.Context(), c.one)
		if err != nil {
			t.Fatal(err)
		}
		other, err := second.Lock(t.Context(), c.two)
		var held *fleet.LockedError
		switch {
		case err == nil:
			if c.by != "" {
				t.Errorf("%+v and %+v are both held", c.one, c.two)
			}
			if err := other.Release(); err != nil {
				t.Error(err)
			}
		case c.by == "" || !errors.As(err, &held) || held.File != c.by || !strings.Contains(held.Holder, "process "):
			t.Errorf("%+v, then %+v: %v", c.one, c.two, err)
		}
		if err := lock.Release(); err != nil {
			t.Error(err)
		}
	}
}

// One machine under two names waited for itself: "locked by process 112 of root".
func TestALockOfOurOwnIsTold(t *testing.T) {
	_, all := openSSH(t, 1, 114)
	twice := []fleet.Host{all[0], all[0]}
	twice[1].Name = "again"
	f := open(t, twice...)
	for _, o := range []fleet.LockOptions{{}, {Dir: "/srv"}} {
		_, err := f.Lock(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "under another name, and one lock keeps out the other; name it once") {
			t.Errorf("Lock = %v", err)
		}
	}
}

// The fault: who was killed before the work began left the directory that was made for the lock.
func TestALockTakesAwayWhatItMade(t *testing.T) {
	hosts, all := openSSH(t, 1, 152)
	h := hosts[0]
	o := fleet.LockOptions{Dir: "/srv/new/deep dir/", MakeDir: true}
	there := func() bool { _, err := os.Stat(filepath.Join(h.Root, "srv/new")); return err == nil }
	lock := func(t *testing.T, f *fleet.Fleet) *fleet.Lock {
		t.Helper()
		l, err := f.Lock(t.Context(), o)
		if err != nil || !there() {
			t.Fatal(err, there())
		}
		return l
	}
	t.Run("let go", func(t *testing.T) {
		if err := lock(t, open(t, all...)).Release(); err != nil || there() {
			t.Error(err, there())
		}
	})
	t.Run("the connection is gone", func(t *testing.T) {
		l := lock(t, open(t, all...))
		out, err := exec.Command("pgrep", "-f", "flock -nx /srv/new/deep dir").Output()
		if err != nil {
			t.Fatal(err)
		}
		pid, _, _ := strings.Cut(string(out), "\n")
		kill(t, sshdOf(t, pid))
		until(t, "it is taken away", func() bool { return !there() })
		_ = l.Release()
	})
	t.Run("somebody holds the lock", func(t *testing.T) {
		f := open(t, all...)
		whole, err := f.Lock(t.Context(), fleet.LockOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var held *fleet.LockedError
		if _, err := open(t, all...).Lock(t.Context(), o); !errors.As(err, &held) || there() {
			t.Error(err, there())
		}
		if err := whole.Release(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("what is in use, or was there, stays", func(t *testing.T) {
		l := lock(t, open(t, all...))
		put(t, h, "srv/new/a", "a")
		if err := l.Release(); err != nil || inside(t, h, "find /srv/new") != "/srv/new\n/srv/new/a\n" {
			t.Error(err, inside(t, h, "find /srv/new"))
		}
		inside(t, h, "rm /srv/new/a; mkdir '/srv/new/deep dir'")
		if err := lock(t, open(t, all...)).Release(); err != nil || inside(t, h, "find /srv/new") != "/srv/new\n/srv/new/deep dir\n" {
			t.Error(err, inside(t, h, "find /srv/new"))
		}
	})
}
