package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
)

// TestANewNodeNeedsTheConfigAndTheKey: a host is deployed by one node, whose machine is then gone; another one with
// nothing but the configuration, which has the age key, and an empty folder goes on: real processes, PostgreSQL,
// OpenSSH.
func TestANewNodeNeedsTheConfigAndTheKey(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", must[string](t)(os.UserCacheDir()))
	keepGo(t)
	t.Setenv("HOME", t.TempDir())
	t.Setenv("SSH_AUTH_SOCK", "")
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	url := must[string](t)(pg.Database(t.Context()))
	bin, dir := buildJarvis(t), t.TempDir()
	write := writeIn(t, dir)
	key := must[*age.X25519Identity](t)(age.GenerateX25519Identity()).String()
	config := func(name, more string) string {
		return write(name+".yaml", fmt.Sprintf("data: ./%s\ndatabase: %q\nlisten: \"\"\napprovals: {off: true}\n%s", name, url, more), 0o600)
	}
	withKey := "age_key: " + key + "\n"
	node := func(name string) *process {
		t.Helper()
		p := &process{t: t, bin: bin, conf: config(name, withKey), log: must[*os.File](t)(os.Create(filepath.Join(dir, name+".log")))}
		p.start()
		t.Cleanup(func() {
			p.kill()
			if t.Failed() {
				b, _ := os.ReadFile(p.log.Name())
				t.Logf("the log of %s:\n%s", name, b)
			}
		})
		until(t, 30*time.Second, name+" is ready", func() bool { _, err := p.cli(t.Context(), "hosts"); return err == nil })
		return p
	}
	says := func(p *process, code int, want string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), p.bin, append([]string{"--config", p.conf}, args...)...)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != code || !strings.Contains(string(out), want) {
			t.Errorf("%s: %q = %d, want %d and %q\n%s", filepath.Base(p.conf), args, cmd.ProcessState.ExitCode(), code, want, out)
		}
	}
	in := func(name string) string { return string(must[[]byte](t)(os.ReadFile(filepath.Join(dir, name)))) }

	a := node("a")
	hostPub, hostKey := newSSHKey(t)
	h := must[*real.Host](t)(real.StartHost(t.Context(), "127.119.0.1:22", fmt.Sprintf("#cloud-config\nhostname: loki\nfqdn: loki.example.org\nssh_keys:\n  ed25519_private: %s\n  ed25519_public: %s\nssh_authorized_keys: [%q]\nchpasswd:\n  users: [{name: root, password: \"*\", type: hash}]\n",
		strconv.Quote(hostKey), hostPub, strings.TrimSpace(in("a/id_ed25519.pub")))))
	t.Cleanup(h.Stop)
	says(a, 0, "loki is ready", "deploy", write("loki.yaml", "instance: {hostname: loki, fqdn: loki.example.org, ipaddress: 127.119.0.1, hostkey_first: \""+hostPub+"\"}\nsteps: [ssh:wait]\n", 0o600))
	// The same host under a name of which no key is on record: known_hosts vouches for it, or nobody does.
	says(a, 0, "1 host imported", "import", write("hosts", "alias.example.org ansible_host=127.119.0.1 ansible_user=root\n", 0o600))
	says(a, 0, "loki", "run", "alias", "hostname")
	gitPub, _ := newSSHKey(t)
	gitLine := "git.example.org " + gitPub + "\n"
	write("a/known_hosts", in("a/known_hosts")+gitLine, 0o644) // as the manual says
	a.end(syscall.SIGTERM)

	b := node("b")
	if in("b/id_ed25519") != in("a/id_ed25519") || in("b/id_ed25519.pub") != in("a/id_ed25519.pub") || in("b/installation") != in("a/installation") {
		t.Error("b has another key, or is another installation")
	}
	if st := must[os.FileInfo](t)(os.Stat(filepath.Join(dir, "b/id_ed25519"))); st.Mode().Perm() != 0o600 {
		t.Errorf("the key has the mode %v", st.Mode())
	}
	says(b, 0, "loki", "run", "loki", "hostname")
	says(b, 0, "loki", "run", "alias", "hostname")
	says(b, 0, "ok", "doctor")
	ssh := []string{"-F", "none", "-i", filepath.Join(dir, "b/id_ed25519"), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=/dev/null", "-o", "UserKnownHostsFile=" + filepath.Join(dir, "b/known_hosts"), "root@127.119.0.1", "hostname"}
	if out, err := exec.CommandContext(t.Context(), "ssh", ssh...).CombinedOutput(); err != nil || string(out) != "loki\n" {
		t.Errorf("ssh = %q, %v", out, err)
	}
	b.end(syscall.SIGTERM)

	// Somebody else answers at that address.
	h.Off()
	otherPub, otherKey := newSSHKey(t)
	for _, k := range must[[]string](t)(filepath.Glob(filepath.Join(h.Root, "etc/ssh/ssh_host_*"))) {
		if err := os.Remove(k); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"ssh_host_ed25519_key": otherKey, "ssh_host_ed25519_key.pub": otherPub + "\n"} {
		if err := os.WriteFile(filepath.Join(h.Root, "etc/ssh", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.On(); err != nil {
		t.Fatal(err)
	}
	c := node("c")
	for _, name := range []string{"loki", "alias"} {
		says(c, 1, "but must have", "run", name, "hostname")
	}
	says(c, 0, "is forgotten", "forget", "loki")
	says(c, 1, "no host key is known for it", "run", "alias", "hostname")
	c.end(syscall.SIGTERM)
	// The first one, whose file has all that was forgotten since, and a person's line.
	a = node("a")
	says(a, 1, "no host key is known for it", "run", "alias", "hostname")
	if got := in("a/known_hosts"); strings.Contains(got, "127.119.0.1") || !strings.Contains(got, gitLine) {
		t.Errorf("a has\n%s", got)
	}
	a.end(syscall.SIGTERM)
	c.start()
	until(t, 30*time.Second, "c is ready", func() bool { _, err := c.cli(t.Context(), "hosts"); return err == nil })
	if got := in("c/known_hosts"); !strings.Contains(got, gitLine) {
		t.Errorf("c has\n%s", got)
	}
	c.end(syscall.SIGTERM)

	// What a node lacks, or has of another installation.
	refused(t, config("d", ""), "age.key is missing", "take it from another node", "age_key in the configuration")
	refused(t, config("d", "age_key: "+must[*age.X25519Identity](t)(age.GenerateX25519Identity()).String()+"\n"), "is another key (age1", "take it from another node")
	if err := remote.PutKey(filepath.Join(dir, "d/id_ed25519"), must[[]byte](t)(remote.NewKey("mine")), "mine", false); err != nil {
		t.Fatal(err)
	}
	mine := in("d/id_ed25519")
	refused(t, config("d", withKey), "another SSH key than the one in the database", "rename it to "+filepath.Join(dir, "d/id_ed25519.new"))
	if in("d/id_ed25519") != mine {
		t.Error("the file of a person was overwritten")
	}
	// By hand nothing is made that the next start would refuse.
	code, _, errs := jarvis(t, "instance: {hostname: loki}\n", "--config", config("e", withKey), "step", "keys:create")
	if _, err := os.Stat(filepath.Join(dir, "e/id_ed25519")); code != exitUsage || !strings.Contains(errs, "start the server here once") || err == nil {
		t.Errorf("step = %d %s, %v", code, errs, err)
	}
	// The key is changed on purpose, on one node; the others follow.
	if err := os.Rename(filepath.Join(dir, "d/id_ed25519"), filepath.Join(dir, "d/id_ed25519.new")); err != nil {
		t.Fatal(err)
	}
	stop, _ := serveInProcess(t, config("d", withKey))
	stop()
	stop, log := serveInProcess(t, config("b", withKey))
	stop()
	if in("d/id_ed25519") != mine || in("b/id_ed25519") != mine || !strings.Contains(log.String(), "the SSH key was written from the database") {
		t.Errorf("b did not follow: %s", log)
	}
}

// TestNewNodesAgreeOnTheAgeKey: two that start at once on an empty database each make one; only one can have sealed
// anything.
func TestNewNodesAgreeOnTheAgeKey(t *testing.T) {
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	url := must[string](t)(pg.Database(t.Context()))
	var apps []*app
	for range 4 {
		db := must[*store.DB](t)(store.Open(t.Context(), store.Options{URL: url, Shared: true}))
		t.Cleanup(func() { _ = db.Close() })
		if err := db.Migrate(t.Context(), pipeline.Migrations(true)); err != nil {
			t.Fatal(err)
		}
		apps = append(apps, &app{conf: &config.Config{Data: t.TempDir()}, db: db, log: slog.New(slog.DiscardHandler)})
	}
	var wg sync.WaitGroup
	var won atomic.Int32
	for _, a := range apps {
		wg.Go(func() {
			k, err := a.openKey(t.Context())
			_, no := os.Stat(keyFile(a.conf))
			switch {
			case err == nil && no == nil:
				if won.Add(1); k.Recipient() != must[string](t)(a.db.Fact(t.Context(), keyFact)) {
					t.Error("who won is not on record")
				}
			case err == nil || no == nil || !strings.Contains(err.Error(), "another node") && !strings.Contains(err.Error(), "age.key is missing"):
				t.Errorf("%v, %v", err, no)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d won", won.Load())
	}
}

// TestARestoreBringsTheSSHKey: with a backup and its passphrase alone, on another machine; also where of the restored
// folder only the database and the age key are left.
func TestARestoreBringsTheSSHKey(t *testing.T) {
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	for _, from := range []string{"", must[string](t)(pg.Database(t.Context()))} {
		o := newOld(t, from)
		stop, _ := serveInProcess(t, o.conf)
		pub, _ := newSSHKey(t)
		o.write("data/known_hosts", "git.example.org "+pub+"\n", 0o644)
		stop()
		stop, _ = serveInProcess(t, o.conf)
		pass := o.write("pass", "correct horse battery", 0o600)
		o.says(o.conf, "backup", filepath.Join(o.dir, "b1"), "--passphrase-file", pass)
		stop()
		read := func(name string) string { return string(must[[]byte](t)(os.ReadFile(filepath.Join(o.dir, name)))) }
		want := read("data/id_ed25519")
		if err := os.Rename(filepath.Join(o.dir, "data"), filepath.Join(o.dir, "was")); err != nil {
			t.Fatal(err)
		}
		to := ""
		if from == "" { // into the other kind
			to = must[string](t)(pg.Database(t.Context()))
		}
		args := []string{"restore", filepath.Join(o.dir, "b1"), filepath.Join(o.dir, "new"), "--passphrase-file", pass}
		if to != "" {
			args = append(args, "--database", to)
		}
		conf := o.config("new", "new", to)
		o.says(conf, args...)
		if read("new/id_ed25519") != want {
			t.Error("the restore brought another SSH key")
		}
		for _, name := range []string{"id_ed25519", "id_ed25519.pub", "known_hosts", "installation"} {
			if err := os.Remove(filepath.Join(o.dir, "new", name)); err != nil {
				t.Fatal(err)
			}
		}
		stop, _ = serveInProcess(t, conf)
		stop()
		if read("new/id_ed25519") != want || !strings.Contains(read("new/known_hosts"), "git.example.org "+pub) || read("new/installation") != read("was/installation") {
			t.Errorf("the first start wrote another key, or not known_hosts: %s", read("new/known_hosts"))
		}
	}
}
