package converge_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/converge"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/remote"
)

func newKey(t *testing.T) (s gossh.Signer, private string) {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(priv, "")
	if err != nil {
		t.Fatal(err)
	}
	if s, err = gossh.NewSignerFromKey(priv); err != nil {
		t.Fatal(err)
	}
	return s, string(pem.EncodeToMemory(block))
}

// start boots hosts that run OpenSSH.
func start(t *testing.T, n int) (targets []converge.Target, hosts []*real.Host) {
	t.Helper()
	user, _ := newKey(t)
	for i := range n {
		key, text := newKey(t)
		addr := fmt.Sprintf("127.96.0.%d:22", i+1)
		h, err := real.StartHost(t.Context(), addr, fmt.Sprintf("#cloud-config\nhostname: web%d\nssh_keys:\n  ed25519_private: %s\n  ed25519_public: %s\nssh_authorized_keys: [%q]\nchpasswd:\n  users: [{name: root, password: \"*\", type: hash}]\n",
			i+1, strconv.Quote(text), strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key.PublicKey()))), strings.TrimSpace(string(gossh.MarshalAuthorizedKey(user.PublicKey())))))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Stop)
		hosts = append(hosts, h)
		targets = append(targets, converge.Target{Name: fmt.Sprintf("web%d", i+1), Groups: []string{"web"}, Props: map[string]any{"number": fmt.Sprint(i + 1)}, Dial: func(ctx context.Context) (converge.Host, func(), error) {
			c, err := remote.Dial(ctx, remote.Target{Addr: addr, User: "root", Signers: []gossh.Signer{user}, HostKeys: remote.Pinned{key.PublicKey()}})
			if err != nil {
				return nil, nil, err
			}
			return remote.Shell{Client: c}, func() { _ = c.Close() }, nil
		}})
	}
	return targets, hosts
}

func read(h *real.Host, name string) string {
	b, err := os.ReadFile(filepath.Join(h.Root, name))
	if err != nil {
		return "! " + err.Error()
	}
	return string(b)
}

func up(t *testing.T, targets []converge.Target, f converge.Configurator, o converge.Options) *converge.Report {
	t.Helper()
	r, err := converge.Run(t.Context(), targets, f, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestUp is Optimus's example: three hosts, three users, present and absent.
func TestUp(t *testing.T) {
	targets, hosts := start(t, 3)
	users := func(n *converge.Node) error {
		n.Want(converge.User{Name: "alice", Shell: "/bin/bash"}, converge.User{Name: "bob"}, converge.User{Name: "mallory", Absent: true})
		return nil
	}
	for _, h := range hosts[:2] {
		passwd := read(h, "etc/passwd")
		if err := os.WriteFile(filepath.Join(h.Root, "etc/passwd"), []byte(passwd+"mallory:x:6666:6666::/nonexistent:/bin/sh\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	asked := 0
	confirm := func(_ context.Context, plan []converge.HostPlan) (bool, error) {
		asked++
		if asked == 1 && (len(plan) != 3 || len(plan[0].Actions) != 3 || plan[0].Actions[2].Desc != "remove the user mallory" || len(plan[2].Actions) != 2) {
			t.Errorf("it would do %+v", plan)
		}
		return true, nil
	}
	if r := up(t, targets, users, converge.Options{Check: true, Confirm: confirm}); r.Changed() != 0 || len(r.Hosts[0].Missing) != 3 || asked != 0 {
		t.Errorf("check: %+v", r)
	}
	r := up(t, targets, users, converge.Options{Confirm: confirm})
	if r.Changed() != 8 || len(r.Failed()) != 0 || r.Cycles != 2 || asked != 1 {
		t.Errorf("first: %+v", r)
	}
	for i, h := range hosts {
		p := read(h, "etc/passwd")
		if !strings.Contains(p, "\nalice:") || !strings.Contains(p, "\nbob:") || strings.Contains(p, "mallory") || !strings.Contains(p, ":/bin/bash") {
			t.Errorf("web%d has\n%s", i+1, p)
		}
	}
	r = up(t, targets, users, converge.Options{Confirm: confirm})
	if r.Changed() != 0 || r.Cycles != 1 || !r.Hosts[0].Stable || r.Hosts[0].Exchanges != 1 {
		t.Errorf("second: %+v", r)
	}
	if r := up(t, targets, users, converge.Options{Limit: []string{"web[12]"}}); len(r.Hosts) != 2 {
		t.Errorf("limit: %+v", r)
	}

	t.Run("one that is broken is left out", func(t *testing.T) {
		if err := os.Rename(filepath.Join(hosts[1].Root, "usr/sbin/useradd"), filepath.Join(hosts[1].Root, "usr/sbin/useradd.away")); err != nil {
			t.Fatal(err)
		}
		gone := targets[2]
		gone.Name, gone.Dial = "gone", func(context.Context) (converge.Host, func(), error) { return nil, nil, errors.New("it is not there") }
		r := up(t, append(targets, gone), func(n *converge.Node) error { n.Want(converge.User{Name: "carol"}); return nil }, converge.Options{})
		failed := r.Failed()
		if len(failed) != 2 || failed[0].Host != "web2" || !strings.Contains(failed[0].Error, "create the user carol: ") || failed[1].Error != "it is not there" || r.Changed() != 2 {
			t.Errorf("%+v", r)
		}
		if !strings.Contains(read(hosts[0], "etc/passwd"), "carol") || !strings.Contains(read(hosts[2], "etc/passwd"), "carol") {
			t.Error("the others did not converge")
		}
		b, err := json.Marshal(r)
		if err != nil || !strings.Contains(string(b), `"host":"web2","stable":false,"error":"create the user carol`) {
			t.Errorf("%s %v", b, err)
		}
	})
	t.Run("who writes while analyzing fails loudly", func(t *testing.T) {
		for what, f := range map[string]converge.Configurator{
			"a script": func(n *converge.Node) error { _, err := n.Read("date > /root/wrote; echo so"); return err },
			"a guard": func(n *converge.Node) error {
				n.Want(converge.Command{Name: "x", Run: "true", Unless: "touch /tmp/wrote /var/wrote"})
				return nil
			},
			"a kernel parameter": func(n *converge.Node) error { _, err := n.Read("echo 1 > /proc/sys/vm/swappiness"); return err },
		} {
			r := up(t, targets[:1], f, converge.Options{})
			if len(r.Failed()) != 1 || !strings.Contains(r.Hosts[0].Error, "a script that may only read tried to write: ") {
				t.Errorf("%s: %+v", what, r)
			}
		}
		for _, name := range []string{"root/wrote", "tmp/wrote", "var/wrote"} {
			if got := read(hosts[0], name); !strings.HasPrefix(got, "! ") {
				t.Errorf("%s was written", name)
			}
		}
	})
	t.Run("what never settles is named", func(t *testing.T) {
		r := up(t, targets[:1], func(n *converge.Node) error {
			n.Want(converge.Line{Path: "/etc/motd", Line: "ours"}, converge.File{Path: "/etc/motd", Content: "theirs\n"}, converge.Directory{Path: "/srv/x"})
			return nil
		}, converge.Options{Cycles: 4})
		if h := r.Hosts[0]; h.Stable || len(h.Unsettled) == 0 || !strings.Contains(strings.Join(h.Unsettled, " "), "/etc/motd") || strings.Contains(strings.Join(h.Unsettled, " "), "/srv/x") {
			t.Errorf("%+v", r)
		}
	})
}

// initScript puts a service of SysV init on a host; it sleeps.
func initScript(t *testing.T, h *real.Host) {
	t.Helper()
	text := `#!/bin/sh
### BEGIN INIT INFO
# Provides: napd
# Required-Start:
# Required-Stop:
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
# Short-Description: naps
### END INIT INFO
case $1 in
start) touch /run/napd ;;
stop) rm -f /run/napd ;;
status) [ -e /run/napd ] || exit 3 ;;
esac
`
	if err := os.WriteFile(filepath.Join(h.Root, "etc/init.d/napd"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// aptRepository gives a host a package that is in no list yet, in a repository of its own.
func aptRepository(t *testing.T, h *real.Host) {
	t.Helper()
	script := `mkdir -p deb/DEBIAN deb/usr/share/jarvis-thing repo
printf 'Package: jarvis-thing\nVersion: 1.0-1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: a thing\n' > deb/DEBIAN/control
echo thing > deb/usr/share/jarvis-thing/file
dpkg-deb -b deb repo/jarvis-thing_1.0-1_all.deb > /dev/null
cd repo
{ cat ../deb/DEBIAN/control; printf 'Filename: ./jarvis-thing_1.0-1_all.deb\nSize: %s\nSHA256: %s\n\n' "$(stat -c %s ./*.deb)" "$(sha256sum ./*.deb | cut -d' ' -f1)"; } > Packages
mkdir -p "$1/srv/repo" && cp ./* "$1/srv/repo/"
rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/repo ./' > "$1/etc/apt/sources.list"
`
	cmd := exec.Command("sh", "-ec", script, "sh", h.Root)
	cmd.Dir = t.TempDir()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
}

// here is this machine as a host; only what writes below a test's own folder may be wanted of it.
type here struct{}

func (here) Sh(ctx context.Context, script string) (stdout, stderr string, exit int, err error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		err = nil
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode(), err
}

// TestCheckout has git bring a repository to a commit, and then to the next.
func TestCheckout(t *testing.T) {
	repo, path := t.TempDir(), filepath.Join(t.TempDir(), "checkout")
	git := func(script string) string {
		t.Helper()
		cmd := exec.Command("sh", "-ec", script)
		cmd.Dir = repo
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@x", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@x")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v %s", script, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	target := []converge.Target{{Name: "here", Dial: func(context.Context) (converge.Host, func(), error) { return here{}, func() {}, nil }}}
	first := git("git init -q; echo 1 > f; git add f; git commit -qm one; git rev-parse HEAD")
	second := git("echo 2 > f; git commit -qam two; git rev-parse HEAD")
	for i, commit := range []string{first, first, second} {
		r := up(t, target, func(n *converge.Node) error {
			n.Want(converge.Checkout{Path: path, Repo: "file://" + repo, Commit: commit})
			return nil
		}, converge.Options{})
		if len(r.Failed()) > 0 || (r.Changed() == 0) != (i == 1) {
			t.Errorf("%d: %+v", i, r)
		}
	}
	if b, _ := os.ReadFile(filepath.Join(path, "f")); string(b) != "2\n" {
		t.Errorf("it holds %q", b)
	}
}

// TestResources brings each kind of resource to where it is wanted, finds it there, and away again.
func TestResources(t *testing.T) {
	targets, hosts := start(t, 1)
	h := hosts[0]
	initScript(t, h)
	aptRepository(t, h)
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7Xk4D5gQ2h5o1hRk1Y2o0b2Zv0o3yqg1rY9p3m0x0y alice@example.org"
	for _, c := range []struct {
		want, away converge.Resource
		file, has  string
	}{
		{converge.Group{Name: "ops", GID: 4242}, converge.Group{Name: "ops", Absent: true}, "etc/group", "ops:x:4242:"},
		{converge.User{Name: "dora", UID: 4243, Shell: "/bin/sh", Home: "/srv/dora", Groups: []string{"users"}}, converge.User{Name: "dora", Absent: true}, "etc/passwd", "dora:x:4243:"},
		{converge.AuthorizedKey{User: "root", Key: key}, converge.AuthorizedKey{User: "root", Key: key, Absent: true}, "root/.ssh/authorized_keys", key},
		{converge.File{Path: "/etc/it's a file", Content: "one\ntwo 'x' $y\n", Mode: "0640", Group: "adm"}, converge.File{Path: "/etc/it's a file", Absent: true}, "etc/it's a file", "two 'x' $y"},
		{converge.File{Path: "/etc/made", Template: "{{range .}}- {{.}}\n{{end}}", Data: []int{1, 2}}, nil, "etc/made", "- 1\n- 2\n"},
		{converge.Line{Path: "/etc/hosts.extra", Line: "PORT=22", Instead: "PORT="}, converge.Line{Path: "/etc/hosts.extra", Line: "PORT=22", Absent: true}, "etc/hosts.extra", "PORT=22\n"},
		{converge.Directory{Path: "/srv/a/b c", Mode: "2750"}, converge.Directory{Path: "/srv/a/b c", Absent: true}, "", ""},
		{converge.Link{Path: "/srv/link", To: "../etc/hosts"}, converge.Link{Path: "/srv/link", Absent: true}, "srv/link", ""},
		{converge.Sysctl{Key: "kernel.domainname", Value: "example.org"}, nil, "etc/sysctl.d/90-kernel.domainname.conf", "kernel.domainname = example.org"},
		{converge.Service{Name: "napd"}, converge.Service{Name: "napd", Stopped: true, Disabled: true}, "", ""},
		{converge.Package{Name: "jarvis-thing"}, converge.Package{Name: "jarvis-thing", Absent: true}, "var/lib/dpkg/status", "Package: jarvis-thing\nStatus: install ok installed"},
		{converge.Mount{Path: "/srv/mem", Device: "tmpfs", Type: "tmpfs", Options: "size=1m"}, converge.Mount{Path: "/srv/mem", Absent: true}, "etc/fstab", "tmpfs /srv/mem tmpfs size=1m 0 0"},
		{converge.Command{Name: "mark", Run: "echo done > /srv/mark", Unless: "test -e /srv/mark"}, nil, "srv/mark", "done"},
	} {
		t.Run(c.want.ID(), func(t *testing.T) {
			run := func(r converge.Resource, changed bool) {
				t.Helper()
				rep := up(t, targets, func(n *converge.Node) error { n.Want(r); return nil }, converge.Options{})
				if len(rep.Failed()) > 0 || (rep.Changed() > 0) != changed {
					t.Fatalf("%s: %+v", r.ID(), rep)
				}
			}
			run(c.want, true)
			run(c.want, false)
			if c.file != "" && c.has != "" && !strings.Contains(read(h, c.file), c.has) {
				t.Errorf("%s holds\n%s", c.file, read(h, c.file))
			}
			if c.away != nil {
				run(c.away, true)
				run(c.away, false)
				if c.has != "" && strings.Contains(read(h, c.file), c.has) {
					t.Errorf("it is still there: %s", read(h, c.file))
				}
			}
		})
	}
	t.Run("an edit shows its diff, keeps what it does not know, and tells the service once", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(h.Root, "etc/app.conf"), []byte("a\nb\nc\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		reload := "echo reloaded >> /srv/reloads"
		var diff string
		rep := up(t, targets, func(n *converge.Node) error {
			n.Want(converge.File{Path: "/etc/app.conf", Content: "a\nB\nc\n", OnChange: reload}, converge.Line{Path: "/etc/app2.conf", Line: "x", OnChange: reload})
			return nil
		}, converge.Options{Confirm: func(_ context.Context, p []converge.HostPlan) (bool, error) {
			diff = p[0].Actions[0].Diff
			return true, nil
		}})
		if rep.Changed() != 3 || diff != "@@ line 2 @@\n a\n-b\n+B\n c\n" {
			t.Errorf("%+v\n%s", rep, diff)
		}
		info, err := os.Stat(filepath.Join(h.Root, "etc/app.conf"))
		if err != nil || info.Mode().Perm() != 0o600 || read(h, "srv/reloads") != "reloaded\n" {
			t.Errorf("%v %v, %q", info.Mode(), err, read(h, "srv/reloads"))
		}
	})
	t.Run("one exchange however much is asked", func(t *testing.T) {
		rep := up(t, targets, func(n *converge.Node) error {
			if _, err := n.Read("cat /etc/debian_version"); err != nil {
				return err
			}
			for i := range 50 {
				n.Want(converge.File{Path: fmt.Sprintf("/srv/f%d", i), Content: fmt.Sprint(i)}, converge.User{Name: fmt.Sprintf("u%d", i), Absent: true})
			}
			return nil
		}, converge.Options{Check: true})
		if len(rep.Failed()) > 0 || len(rep.Hosts[0].Missing) != 50 || rep.Hosts[0].Exchanges != 2 { // what is behind the first Read comes with the second
			t.Errorf("%+v", rep)
		}
	})
	t.Run("stopped in the middle", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var n atomic.Int32
		rep, err := converge.Run(ctx, targets, func(n *converge.Node) error {
			n.Want(converge.Command{Name: "slow", Run: "sleep 60", Unless: "false"})
			return nil
		}, converge.Options{Confirm: func(context.Context, []converge.HostPlan) (bool, error) {
			time.AfterFunc(300*time.Millisecond, cancel)
			n.Add(1)
			return true, nil
		}})
		if !errors.Is(err, context.Canceled) || len(rep.Failed()) != 1 || rep.Took > 10*time.Second {
			t.Errorf("%v %+v", err, rep)
		}
	})
	t.Run("many edits of one file at once", func(t *testing.T) {
		rep := up(t, targets, func(n *converge.Node) error {
			n.Want(converge.File{Path: "/etc/many", Content: "0\n"}, converge.Line{Path: "/etc/other", Line: "1"}, converge.Line{Path: "/etc/other", Line: "2"},
				converge.Mount{Path: "/srv/m1", Device: "tmpfs", Type: "tmpfs"}, converge.Mount{Path: "/srv/m2", Device: "tmpfs", Type: "tmpfs"})
			return nil
		}, converge.Options{})
		if len(rep.Failed()) > 0 || rep.Cycles != 2 || read(h, "etc/other") != "1\n2\n" || !strings.Contains(read(h, "etc/fstab"), "/srv/m1") || !strings.Contains(read(h, "etc/fstab"), "/srv/m2") {
			t.Errorf("%+v %q %q", rep, read(h, "etc/other"), read(h, "etc/fstab"))
		}
	})
	t.Run("what cannot be edited is left as it is", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(h.Root, "etc/big"), []byte(strings.Repeat("0123456789abcde\n", 70_000)), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(h.Root, "etc/binary"), []byte("a\x00b\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../etc/pointed", filepath.Join(h.Root, "etc/pointer")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(h.Root, "etc/pointed"), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]string{"/etc/big": "it is larger than 1 MiB", "/etc/binary": "it holds NUL bytes", "/etc/pointer": ""} {
			rep := up(t, targets, func(n *converge.Node) error { n.Want(converge.Line{Path: path, Line: "y"}); return nil }, converge.Options{})
			if !strings.Contains(rep.Hosts[0].Error, want) || (rep.Hosts[0].Error == "") != (want == "") {
				t.Errorf("%s: %+v", path, rep)
			}
		}
		info, err := os.Lstat(filepath.Join(h.Root, "etc/pointer"))
		if err != nil || info.Mode()&os.ModeSymlink == 0 || read(h, "etc/pointed") != "x\ny\n" {
			t.Errorf("the link is %v, and behind it is %q", info.Mode(), read(h, "etc/pointed"))
		}
	})
	t.Run("a group and who is in it", func(t *testing.T) {
		both := func(n *converge.Node) error {
			n.Want(converge.Group{Name: "crew"}, converge.User{Name: "eve", Groups: []string{"crew"}}, converge.User{Name: "games", Groups: []string{"crew"}})
			return nil
		}
		for i, changed := range []int{3, 0} {
			if rep := up(t, targets, both, converge.Options{}); len(rep.Failed()) > 0 || rep.Changed() != changed {
				t.Errorf("%d: %+v", i, rep)
			}
		}
		if !strings.Contains(read(h, "etc/group"), ":games,eve\n") && !strings.Contains(read(h, "etc/group"), ":eve,games\n") {
			t.Error(read(h, "etc/group"))
		}
	})
	t.Run("keys that are there stay whole", func(t *testing.T) {
		file := filepath.Join(h.Root, "root/.ssh/authorized_keys")
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.WriteFile(file, before, 0o600) }()
		whole := strings.TrimSuffix(string(before), "\n")
		if err := os.WriteFile(file, []byte(whole), 0o600); err != nil { // as editors leave it
			t.Fatal(err)
		}
		want := func(n *converge.Node) error { n.Want(converge.AuthorizedKey{User: "root", Key: key}); return nil }
		if rep := up(t, targets, want, converge.Options{}); len(rep.Failed()) > 0 || read(h, "root/.ssh/authorized_keys") != whole+"\n"+key+"\n" {
			t.Errorf("%+v %q", rep, read(h, "root/.ssh/authorized_keys"))
		}
		// On a full disk nothing is replaced.
		if err := os.WriteFile(file, before, 0o600); err != nil {
			t.Fatal(err)
		}
		full := func(n *converge.Node) error {
			n.Want(converge.Command{Name: "fill", Unless: "false", Run: "mount -t tmpfs -o size=4k none /root/.ssh && { cat > /root/.ssh/authorized_keys; head -c 4096 /dev/zero > /root/.ssh/authorized_keys; true; } < /dev/null"})
			n.Want(converge.AuthorizedKey{User: "root", Key: key})
			return nil
		}
		open, hangUp, err := targets[0].Dial(t.Context()) // nobody logs in while the keys are hidden
		if err != nil {
			t.Fatal(err)
		}
		defer hangUp()
		rep := up(t, targets, full, converge.Options{Cycles: 1})
		said, _, exit, err := open.Sh(t.Context(), "[ $(($(wc -c < /root/.ssh/authorized_keys))) -eq 4096 ]; e=$?; ls -A /root/.ssh; umount /root/.ssh; exit $e")
		if len(rep.Failed()) != 1 || !strings.Contains(rep.Hosts[0].Error, "No space left on device") || err != nil || exit != 0 || said != "authorized_keys\n" {
			t.Errorf("%+v; exit %d %v; there is %q", rep, exit, err, said)
		}
	})
	t.Run("keys with options", func(t *testing.T) {
		file := filepath.Join(h.Root, "root/.ssh/authorized_keys")
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.WriteFile(file, before, 0o600) }()
		const other = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDother other"
		keep := string(before) + other + "\n# " + key + "\n"
		for _, line := range []string{"restrict " + key, `command="echo \"a b\"",restrict ` + key, "from=\"10.0.0.0/8, ::1\" ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDmine mine"} {
			if err := os.WriteFile(file, []byte(keep), 0o600); err != nil {
				t.Fatal(err)
			}
			do := func(absent bool, changed int, want string) {
				t.Helper()
				rep := up(t, targets, func(n *converge.Node) error {
					n.Want(converge.AuthorizedKey{User: "root", Key: line, Absent: absent})
					return nil
				}, converge.Options{})
				if got := read(h, "root/.ssh/authorized_keys"); len(rep.Failed()) > 0 || rep.Changed() != changed || got != want {
					t.Errorf("%s, absent %v: %d changes, %+v\n%s\nwant\n%s", line, absent, rep.Changed(), rep.Failed(), got, want)
				}
			}
			do(true, 0, keep)
			do(false, 1, keep+line+"\n")
			do(false, 0, keep+line+"\n")
			// With other options it is not the same, and the first line counts.
			if err := os.WriteFile(file, []byte("no-pty "+line[strings.LastIndex(line, "ssh-"):]+"\n"+keep), 0o600); err != nil {
				t.Fatal(err)
			}
			do(false, 1, keep+line+"\n")
			do(true, 1, keep)
		}
	})
	t.Run("what an action owes is not lost", func(t *testing.T) {
		broken := true
		want := func(reload string) converge.Configurator {
			return func(n *converge.Node) error {
				n.Want(converge.File{Path: "/srv/owed-conf", Content: reload, OnChange: reload})
				if broken {
					n.Want(converge.Command{Name: "break", Unless: "false", Run: "exit 3"})
				}
				return nil
			}
		}
		reload := "set -e; echo reloaded >> /srv/owed-reloads"
		if rep := up(t, targets, want(reload), converge.Options{}); len(rep.Failed()) != 1 || strings.HasPrefix(read(h, "srv/owed-reloads"), "reloaded") {
			t.Fatalf("%+v %s", rep, read(h, "srv/owed-reloads"))
		}
		// What fails may fail for weeks. The next run does what the first one owes; what owes it again here waits.
		again := func(n *converge.Node) error {
			n.Want(converge.Line{Path: "/srv/owed-line", Line: "x", OnChange: "echo line >> /srv/owed-lines"})
			return want(reload)(n)
		}
		if rep := up(t, targets, again, converge.Options{}); len(rep.Failed()) != 1 || !strings.HasPrefix(rep.Hosts[0].Error, "run break: exit code 3") || read(h, "srv/owed-reloads") != "reloaded\n" || strings.HasPrefix(read(h, "srv/owed-lines"), "line") {
			t.Errorf("%+v %s", rep, read(h, "srv/owed-lines"))
		}
		if rep := up(t, targets, again, converge.Options{}); len(rep.Failed()) != 1 || read(h, "srv/owed-reloads") != "reloaded\n" || read(h, "srv/owed-lines") != "line\n" {
			t.Errorf("%+v %s", rep, read(h, "srv/owed-lines"))
		}
		if err := os.Remove(filepath.Join(h.Root, "srv/owed-conf")); err != nil { // it is owed once more
			t.Fatal(err)
		}
		if rep := up(t, targets, want(reload), converge.Options{}); len(rep.Failed()) != 1 || read(h, "srv/owed-reloads") != "reloaded\n" {
			t.Errorf("%+v %s", rep, read(h, "srv/owed-reloads"))
		}
		if err := os.Remove(filepath.Join(h.Root, "srv/owed-reloads")); err != nil {
			t.Fatal(err)
		}
		broken = false
		if rep := up(t, targets, want(reload), converge.Options{Check: true}); rep.Hosts[0].Stable || len(rep.Hosts[0].Missing) != 1 || !strings.Contains(rep.Hosts[0].Missing[0].Desc, "an earlier run did not come to") {
			t.Errorf("-check: %+v", rep)
		}
		if rep := up(t, targets, want(reload), converge.Options{}); len(rep.Failed()) > 0 || !rep.Hosts[0].Stable || read(h, "srv/owed-reloads") != "reloaded\n" {
			t.Errorf("%+v %q", rep, read(h, "srv/owed-reloads"))
		}
		// It fails itself, stops at its first error, and is done when it can.
		reload = "set -e; test -e /srv/may; echo again >> /srv/owed-reloads"
		if rep := up(t, targets, want(reload), converge.Options{}); len(rep.Failed()) != 1 || !strings.Contains(rep.Hosts[0].Error, "the next run tries it again") {
			t.Errorf("%+v", rep)
		}
		if err := os.WriteFile(filepath.Join(h.Root, "srv/may"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if rep := up(t, targets, want(reload), converge.Options{}); len(rep.Failed()) > 0 || !rep.Hosts[0].Stable || read(h, "srv/owed-reloads") != "reloaded\nagain\n" {
				t.Errorf("%+v %q", rep, read(h, "srv/owed-reloads"))
			}
		}
	})
	t.Run("more than an argument may hold", func(t *testing.T) {
		rep := up(t, targets, func(n *converge.Node) error {
			for i := range 3000 {
				n.Want(converge.File{Path: fmt.Sprintf("/srv/a-rather-long-name-of-a-file-that-is-not-there-%05d", i), Absent: true})
			}
			return nil
		}, converge.Options{})
		if len(rep.Failed()) > 0 || !rep.Hosts[0].Stable {
			t.Errorf("%+v", rep)
		}
	})
	t.Run("wrong wishes are named", func(t *testing.T) {
		for _, r := range []converge.Resource{
			converge.File{Path: "relative"}, converge.File{Path: "/x", Mode: "rw"}, converge.User{Name: "a b"}, converge.User{Name: "-x"}, converge.AuthorizedKey{User: "root", Key: "x"},
			converge.Cron{Name: "x", When: "never", Command: "true"}, converge.Command{Name: "x"}, converge.Checkout{Path: "/x", Repo: "y", Commit: "main"}, converge.File{Path: "/etc"},
			converge.Mount{Path: "/x", Device: "a b", Type: "t"}, converge.File{Path: "/x", Template: "{{.Nothing}}", Data: map[string]string{}},
		} {
			rep := up(t, targets, func(n *converge.Node) error { n.Want(r); return nil }, converge.Options{})
			if len(rep.Failed()) != 1 || !strings.HasPrefix(rep.Hosts[0].Error, r.ID()+": ") {
				t.Errorf("%+v: %+v", r, rep)
			}
		}
		rep := up(t, targets, func(n *converge.Node) error { n.Want(converge.User{Name: "x"}, converge.User{Name: "x"}); return nil }, converge.Options{})
		if rep.Hosts[0].Error != "user x is wanted twice" {
			t.Errorf("%+v", rep)
		}
	})
}
