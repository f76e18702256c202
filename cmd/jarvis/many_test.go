package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/lab/real"
)

// row is a few OpenSSH hosts, and a home whose ~/.ssh reaches them as web1, web2 …
type row struct {
	hosts []*real.Host
	home  string
}

func newSSHKey(t *testing.T) (pub, private string) {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block := must[*pem.Block](t)(gossh.MarshalPrivateKey(priv, ""))
	s := must[gossh.Signer](t)(gossh.NewSignerFromKey(priv))
	return strings.TrimSpace(string(gossh.MarshalAuthorizedKey(s.PublicKey()))), string(pem.EncodeToMemory(block))
}

// keepGo has what a test builds use the modules that are here, though HOME is another: else all are fetched again.
func keepGo(t *testing.T) {
	t.Helper()
	keys := []string{"GOPATH", "GOMODCACHE", "GOCACHE", "GOENV"}
	out, err := exec.Command("go", append([]string{"env"}, keys...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		t.Setenv(keys[i], v)
	}
}

func newRow(t *testing.T, n, net int) *row {
	t.Helper()
	r := &row{home: t.TempDir()}
	t.Setenv("XDG_CACHE_HOME", must[string](t)(os.UserCacheDir())) // where the hosts' base system is kept
	keepGo(t)
	t.Setenv("HOME", r.home)
	t.Setenv("SSH_AUTH_SOCK", "")
	pub, private := newSSHKey(t)
	if err := os.Mkdir(filepath.Join(r.home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	known, conf := "", "Host web*\n  IdentityFile ~/.ssh/id\n  User root\n"
	for i := 1; i <= n; i++ {
		hostPub, hostKey := newSSHKey(t)
		ip := fmt.Sprintf("127.%d.0.%d", net, i)
		h := must[*real.Host](t)(real.StartHost(t.Context(), ip+":22", fmt.Sprintf("#cloud-config\nhostname: web%d\nfqdn: web%d.example.org\nssh_keys:\n  ed25519_private: %s\n  ed25519_public: %s\nssh_authorized_keys: [%q]\nchpasswd:\n  users: [{name: root, password: \"*\", type: hash}]\n",
			i, i, strconv.Quote(hostKey), hostPub, pub)))
		t.Cleanup(h.Stop)
		r.hosts = append(r.hosts, h)
		known += ip + " " + hostPub + "\n"
		conf = fmt.Sprintf("Host web%d\n  HostName %s\n", i, ip) + conf
	}
	for name, text := range map[string]string{"id": private, "known_hosts": known, "config": conf} {
		if err := os.WriteFile(filepath.Join(r.home, ".ssh", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// read gives a file on a host, as seen past SSH.
func (r *row) read(i int, name string) string {
	b, err := os.ReadFile(filepath.Join(r.hosts[i-1].Root, name))
	if err != nil {
		return "! " + err.Error()
	}
	return string(b)
}

func (r *row) inside(t *testing.T, i int, script string) string {
	t.Helper()
	out, err := exec.Command("chroot", r.hosts[i-1].Root, "sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

func sorted(s string) string {
	l := strings.Split(strings.TrimSpace(s), "\n")
	for i := range l {
		for j := i + 1; j < len(l); j++ {
			if l[j] < l[i] {
				l[i], l[j] = l[j], l[i]
			}
		}
	}
	return strings.Join(l, "\n")
}

// TestManyHosts has orgalorg's own behaviours, over real OpenSSH hosts.
func TestManyHosts(t *testing.T) {
	r := newRow(t, 3, 83)
	all := []string{"-o", "web[1-3]"}
	with := func(name string, args ...string) []string { return append(append([]string{name}, all...), args...) }
	file := func(name, text string) string {
		t.Helper()
		f := filepath.Join(r.home, name)
		if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return f
	}
	hostsFile := file("hosts", "# ours\nweb1 web2\nweb3 # the last\n")
	script := file("script.sh", "echo \"$1 on $(hostname)\"\n")

	for _, c := range []struct {
		name  string
		stdin string
		args  []string
		code  int
		out   string // sorted
		errs  string // a regular expression
	}{
		{"a command everywhere", "", with("exec", "hostname"), 0, "web1: web1\nweb2: web2\nweb3: web3", "^$"},
		{"as orgalorg is typed", "", with("exec", "-yC", "hostname", "-f"), 0, "web1: web1.example.org\nweb2: web2.example.org\nweb3: web3.example.org", "^$"},
		{"arguments are for the shell there", "", with("exec", "-C", "echo", "$((1+1))", "&&", "echo", "'a  b'"), 0, "web1: 2\nweb1: a  b\nweb2: 2\nweb2: a  b\nweb3: 2\nweb3: a  b", "^$"},
		{"streams are kept apart", "", []string{"exec", "-o", "web1", "echo out; echo err >&2"}, 0, "web1: out", "^web1: err\n$"},
		{"without names", "", []string{"exec", "-q", "-o", "web1", "echo out"}, 0, "out", "^$"},
		{"JSON", "", []string{"exec", "--json", "-o", "web1", "echo out; exit 3"}, 1, "", `exit 3`},
		{"equal output is printed once", "", with("exec", "--group", "cat /etc/debian_version"), 0, "", "^$"},
		{"hosts of a file", "", []string{"exec", "-o", hostsFile, "true"}, 0, "", "^$"},
		{"hosts on stdin", "web1\nweb3\n", []string{"exec", "-s", "hostname"}, 0, "web1: web1\nweb3: web3", "^$"},
		{"stdin to all, from a file", "", with("exec", "-i", script, "bash -s -- hello"), 0, "web1: hello on web1\nweb2: hello on web2\nweb3: hello on web3", "^$"},
		{"stdin to all, from stdin", "x\ny\n", with("exec", "-i", "/dev/stdin", "wc -l"), 0, "web1: 2\nweb2: 2\nweb3: 2", "^$"},
		{"stdin to all, one after the other", "x\ny\n", with("exec", "-l", "-i", "-", "wc -l"), 0, "web1: 2\nweb2: 2\nweb3: 2", "^$"},
		{"failures are gathered", "", with("exec", `[ "$(hostname)" = web1 ] || exit 7`), 1, "", `^jarvis: 2 of 3 hosts failed\n  web\[2-3\]: exit 7\n$`},
		{"a host that is not there stops all", "", []string{"exec", "-o", "web1", "-o", "root@127.83.0.99", "touch /root/never"}, 1, "", `nothing was done: root@127.83.0.99: unreachable: connection refused`},
		{"or is left out", "", []string{"exec", "-w", "-o", "web1", "-o", "root@127.83.0.99", "hostname"}, 1, "web1: web1", `(?s)root@127.83.0.99: unreachable: connection refused.*1 of 2 hosts failed`},
		{"a host whose key nobody knows", "", []string{"exec", "-o", "root@127.83.0.1:22", "-o", "root@localhost:22", "true"}, 1, "", "nothing was done"},
		{"a timeout", "", []string{"exec", "-z", "500ms", "-o", "web1", "sleep 60"}, 1, "", "web1: it took longer than 500ms, and was ended"},
		{"no hosts", "", []string{"exec", "true"}, 2, "", "no hosts are given; name them with -o HOST"},
		{"no such file of hosts", "", []string{"exec", "-o", "./nothing", "true"}, 2, "", "read the hosts: open ./nothing"},
		{"no such key", "", []string{"exec", "-o", "web1", "-k", "/nothing", "true"}, 2, "", "read the key: open /nothing"},
		{"not a time", "", []string{"exec", "-o", "web1", "-c", "soon", "true"}, 2, "", `"soon" is no time as 10s or 500ms`},
		{"a name that is an option", "", []string{"exec", "-o=-oProxyCommand=x", "true"}, 2, "", "is no host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := jarvis(t, c.stdin, c.args...)
			if code != c.code || c.out != "" && sorted(out) != c.out || !regexp.MustCompile(c.errs).MatchString(errs) {
				t.Errorf("exit %d\n%s\n%s", code, out, errs)
			}
			switch c.name {
			case "JSON":
				if !strings.Contains(out, `{"body":"out","node":"web1","stream":"stdout"}`) || !strings.Contains(out, `"exit":3`) {
					t.Error(out)
				}
			case "equal output is printed once":
				if !strings.HasPrefix(out, "---- web[1-3] (3)\n12.") {
					t.Error(out)
				}
			}
		})
	}
	if got := r.read(1, "root/never"); !strings.HasPrefix(got, "! ") {
		t.Error("a command ran although a host was not there")
	}

	t.Run("lines do not mix", func(t *testing.T) {
		code, out, errs := jarvis(t, "", with("exec", `h=$(hostname); for i in $(seq 2000); do printf '%s %s ' $h $i; printf 'and the rest of %s\n' $i; done`)...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if code != 0 || len(lines) != 6000 {
			t.Fatalf("exit %d, %d lines, %s", code, len(lines), errs)
		}
		good := regexp.MustCompile(`^(web\d): (web\d) (\d+) and the rest of (\d+)$`)
		for _, l := range lines {
			if m := good.FindStringSubmatch(l); m == nil || m[1] != m[2] || m[3] != m[4] {
				t.Fatalf("a line is %q", l)
			}
		}
	})

	t.Run("the lock is refused when held, and what holds it is named", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var out, errs real.Buffer
		var wg sync.WaitGroup
		wg.Add(1)
		go func() {
			defer wg.Done()
			run(ctx, []string{"lock", "-o", "web2"}, strings.NewReader(""), &out, &errs)
		}()
		for range 100 {
			if strings.Contains(out.String(), "locked: 1 host") {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		code, _, said := jarvis(t, "", with("exec", "touch /root/locked-out")...)
		if code != 1 || !regexp.MustCompile(`nothing was done: web2: / is locked by process \d+ of root, from 127\.`).MatchString(said) {
			t.Errorf("exit %d: %s", code, said)
		}
		if code, out, said := jarvis(t, "", with("exec", "-t", "hostname")...); code != 0 || !strings.Contains(said, "going on without the lock: web2") || !strings.Contains(out, "web2: web2") {
			t.Errorf("with -t: exit %d: %s%s", code, out, said)
		}
		if code, _, said := jarvis(t, "", with("exec", "-y", "true")...); code != 0 {
			t.Errorf("with -y: exit %d: %s", code, said)
		}
		cancel()
		wg.Wait()
		if code, _, said := jarvis(t, "", with("exec", "true")...); code != 0 {
			t.Errorf("after it was given back: exit %d: %s (%s%s)", code, said, out.String(), errs.String())
		}
		if got := r.read(1, "root/locked-out"); !strings.HasPrefix(got, "! ") {
			t.Error("a command ran although the lock was held")
		}
	})

	t.Run("a lock that is lost stops everything", func(t *testing.T) {
		go func() {
			for range 100 {
				time.Sleep(50 * time.Millisecond)
				if r.read(3, "root/begun") == "" {
					// On the hosts: from here it would end the locks of every test that runs now.
					_, _, _ = jarvis(t, "", with("exec", "-y", "pkill -f '^flock -nx / -c'")...)
					return
				}
			}
		}()
		code, _, errs := jarvis(t, "", with("exec", "-a", "1s", "touch /root/begun; sleep 61")...)
		if code != 2 || !strings.Contains(errs, "everything was stopped: web") || !strings.Contains(errs, "the lock is lost") {
			t.Errorf("exit %d: %s", code, errs)
		}
		if code, out, _ := jarvis(t, "", with("exec", "-y", "pgrep -fx 'sleep 61'")...); code != 1 || out != "" {
			t.Errorf("commands go on: %s", out)
		}
	})

	t.Run("upload keeps what files are, and sends nothing twice", func(t *testing.T) {
		dir := filepath.Join(r.home, "tree")
		for _, s := range []string{"mkdir -p a/b; echo one > a/one; echo two > 'a/b/two words'; ln -s ../one a/b/link; ln a/one a/hard; chmod 751 a/b; chmod 640 a/one; chown 1234:5678 'a/b/two words'; touch -d 2020-02-02 a/one a/b; : > a/empty; head -c 3000000 /dev/urandom > a/big"} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("sh", "-ec", s)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v %s", err, out)
			}
		}
		t.Chdir(dir)
		r.inside(t, 2, "mkdir -p /srv/app/a; echo old > /srv/app/a/one; echo theirs > /srv/app/a/theirs; chmod 700 /srv/app")
		code, out, errs := jarvis(t, "", with("upload", "-e", "-r", "/srv/app", "a")...)
		if code != 0 || !strings.Contains(out, "8 entries to /srv/app on 3 hosts") {
			t.Fatalf("exit %d: %s%s", code, out, errs)
		}
		state := func(i int) string {
			return r.inside(t, i, `cd /srv/app && find . ! -name theirs -printf '%P %y %m %U:%G %Ts %s %l %n\n' | grep ' f \| l \|a/b d' | sort; sha256sum a/big; cat a/hard; ls -a`)
		}
		here := must[[]byte](t)(exec.Command("sh", "-ec", `find . -printf '%P %y %m %U:%G %Ts %s %l %n\n' | grep ' f \| l \|a/b d' | sort; sha256sum a/big; cat a/hard; ls -a`).CombinedOutput())
		for i := 1; i <= 3; i++ {
			if got := state(i); got != string(here) {
				t.Errorf("web%d has\n%s\nnot\n%s", i, got, here)
			}
		}
		if got := r.read(2, "srv/app/a/theirs"); got != "theirs\n" {
			t.Errorf("what was not sent is %q", got)
		}
		if got := r.inside(t, 2, "stat -c %a /srv/app"); got != "700\n" {
			t.Errorf("the directory above is %s", got)
		}
		if code, out, errs := jarvis(t, "", with("upload", "-e", "-r", "/srv/app", "a")...); code != 0 || !strings.Contains(out, "on 3 hosts; all of them had the files already") {
			t.Errorf("again: exit %d: %s%s", code, out, errs)
		}
		r.inside(t, 3, "echo changed > /srv/app/a/one; chmod 600 '/srv/app/a/b/two words'")
		if code, out, errs := jarvis(t, "", with("upload", "-e", "-r", "/srv/app", "a")...); code != 0 || !strings.Contains(out, "; 2 of them had the files already") {
			t.Errorf("after a change: exit %d: %s%s", code, out, errs)
		}
		if got := state(3); got != string(here) {
			t.Errorf("web3 has\n%s", got)
		}
		if code, _, errs := jarvis(t, "", with("upload", "--no-preserve-uid", "--no-preserve-gid", "--compress", "none", "-e", "-r", "/srv/ours", "a")...); code != 0 {
			t.Errorf("exit %d: %s", code, errs)
		}
		if got := r.inside(t, 1, "stat -c %u:%g '/srv/ours/a/b/two words'"); got != "0:0\n" {
			t.Errorf("the owner is %s", got)
		}
		// By whole path, as orgalorg does.
		if code, _, errs := jarvis(t, "", with("upload", "-r", "/srv/whole", "a/one")...); code != 0 || r.read(1, "srv/whole"+dir+"/a/one") != "one\n" {
			t.Errorf("exit %d: %s", code, errs)
		}
		// And back again.
		code, out, errs = jarvis(t, "", with("fetch", "-r", filepath.Join(r.home, "back"), "/srv/app/a", "/etc/hostname")...)
		if code != 0 || !strings.Contains(out, "files, ") {
			t.Fatalf("fetch: exit %d: %s%s", code, out, errs)
		}
		if b, err := exec.Command("diff", "-r", dir+"/a", filepath.Join(r.home, "back/web1/a")).CombinedOutput(); err != nil {
			t.Errorf("what came back differs: %s", b)
		}
		if b := must[[]byte](t)(os.ReadFile(filepath.Join(r.home, "back/web3/hostname"))); string(b) != "web3\n" {
			t.Errorf("hostname is %q", b)
		}
		if code, _, errs := jarvis(t, "", "fetch", "-r", r.home, "web1:/nothing"); code != 1 || !strings.Contains(errs, "/nothing: no such file") {
			t.Errorf("exit %d: %s", code, errs)
		}
	})

	t.Run("what cannot be written changes nothing", func(t *testing.T) {
		r.inside(t, 2, "mkdir -p /srv/full /srv/keep; echo before > /srv/keep/f")
		if out, err := exec.Command("nsenter", "-t", r.pid(t, 2), "-m", "mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", "/srv/full").CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		f := file("f", strings.Repeat("x", 300_000))
		t.Chdir(r.home)
		for range 2 {
			code, _, errs := jarvis(t, "", with("upload", "-e", "-r", "/srv/full", filepath.Base(f))...)
			if code != 1 || !strings.Contains(errs, "1 of 3 hosts failed") || !strings.Contains(errs, "web2: ") || !strings.Contains(errs, "no space is left in /srv/full; nothing was changed") {
				t.Errorf("exit %d: %s", code, errs)
			}
		}
		if code, out, _ := jarvis(t, "", "exec", "-o", "web2", "ls -A /srv/full"); code != 0 || out != "" {
			t.Errorf("left behind: %s", out)
		}
		if r.read(1, "srv/full/f") != strings.Repeat("x", 300_000) {
			t.Error("web1 has no file")
		}
	})

	t.Run("a tool that does not speak the protocol", func(t *testing.T) {
		t.Chdir(r.home)
		code, out, errs := jarvis(t, "", with("sync", "-m", "-n", `cat script.sh | wc -l; echo "$@"; pwd | cut -d/ -f1-4`, "-g", "a b", "-g", "c", "-e", "script.sh")...)
		if code != 0 || strings.Count(out, ": a b c\n") != 3 || strings.Count(out, "web1: 1\n") != 1 || strings.Count(out, ": /var/run/orgalorg\n") != 3 {
			t.Errorf("exit %d: %s%s", code, out, errs)
		}
	})

	t.Run("a tool that steps with the others", func(t *testing.T) {
		// Each host tells that it finished a phase, and waits until all have; web1 is slow.
		for i := 1; i <= 3; i++ {
			r.inside(t, i, "mkdir -p /usr/lib/orgalorg")
			if err := os.WriteFile(filepath.Join(r.hosts[i-1].Root, "usr/lib/orgalorg/sync"), []byte(syncTool), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		code, out, errs := jarvis(t, "", with("sync", "--no-upload", "-g", "first", "-g", "second one")...)
		if code != 0 || errs != "" {
			t.Fatalf("exit %d: %s%s", code, out, errs)
		}
		var order []string
		for _, l := range strings.Split(strings.TrimSpace(out), "\n") {
			_, text, _ := strings.Cut(l, ": ")
			order = append(order, text)
		}
		if got := strings.Join(order, "|"); strings.Count(got, "args: first, second one") != 3 || strings.Count(got, "nodes: 3, current 1") != 3 {
			t.Errorf("said %s", got)
		}
		last1, first2 := 0, len(order)
		for i, l := range order {
			if l == "phase 1" {
				last1 = i
			}
			if l == "phase 2" {
				first2 = min(first2, i)
			}
		}
		if last1 > first2 || strings.Count(strings.Join(order, "|"), "phase 2") != 3 {
			t.Errorf("the phases mix: %q", order)
		}
	})

	t.Run("Ctrl-C ends it everywhere", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Second)
			cancel()
		}()
		var out, errs real.Buffer
		began := time.Now()
		code := run(ctx, with("exec", "sleep 3333"), strings.NewReader(""), &out, &errs)
		if code != exitInterrupted || time.Since(began) > 8*time.Second {
			t.Errorf("exit %d after %s: %s", code, time.Since(began), errs.String())
		}
		if code, out, _ := jarvis(t, "", with("exec", "pgrep -fx 'sleep 3333'")...); code != 1 || out != "" {
			t.Errorf("it goes on: %s", out)
		}
	})

	t.Run("a host that dies in the middle is named, the others end well", func(t *testing.T) {
		go func() {
			time.Sleep(1500 * time.Millisecond)
			r.hosts[1].Off()
		}()
		code, out, errs := jarvis(t, "", with("exec", "-y", "-a", "1s", "sleep 3; hostname")...)
		if code != 1 || !strings.Contains(errs, "1 of 3 hosts failed") || !strings.Contains(errs, "web2: the connection was lost") || sorted(out) != "web1: web1\nweb3: web3" {
			t.Errorf("exit %d: %s%s", code, out, errs)
		}
	})
}

// pid gives a process inside a host's namespaces.
func (r *row) pid(t *testing.T, i int) string {
	t.Helper()
	out := must[[]byte](t)(exec.Command("pgrep", "-f", "^/usr/sbin/sshd -D|^sshd: /usr/sbin/sshd -D").Output())
	for _, p := range strings.Fields(string(out)) {
		// Another test may have a host of that name now.
		there, err := os.Stat("/proc/" + p + "/root/etc/hostname")
		here, herr := os.Stat(filepath.Join(r.hosts[i-1].Root, "etc/hostname"))
		if err == nil && herr == nil && os.SameFile(there, here) {
			return p
		}
	}
	t.Fatalf("no process of web%d", i)
	return ""
}

// syncTool is a tool in orgalorg's protocol, as its README describes one.
const syncTool = `#!/bin/bash
echo "args: $1, $2"
read -r prefix hello
[ "$hello" = HELLO ] || exit 9
nodes=0 current=0
while read -r p what rest; do
  [ "$p" = "$prefix" ] || exit 8
  case "$what" in
  NODE) nodes=$((nodes+1)); case "$rest" in *' CURRENT') current=$((current+1));; esac;;
  START) break;;
  esac
done
echo "nodes: $nodes, current $current"
for phase in 1 2; do
  [ "$(hostname)" = web1 ] && sleep 0.7
  echo "phase $phase"
  echo "$prefix SYNC phase $phase"
  seen=0
  while [ $seen -lt $nodes ]; do
    read -r p what node text || exit 7
    [ "$what $text" = "SYNC phase $phase" ] && seen=$((seen+1))
  done
done
`
