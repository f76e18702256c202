package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// The fault: "does not take our key" named neither the server's key nor what to do with it, and one host of three.
func TestARefusedKeyOfTheServerIsNamed(t *testing.T) {
	r := newRow(t, 3, 139)
	dir := t.TempDir()
	conf := filepath.Join(dir, "jarvis.yaml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "data: %s\nlisten: \"\"\n", filepath.Join(dir, "data")), 0o600); err != nil {
		t.Fatal(err)
	}
	serveInProcess(t, conf)
	key := filepath.Join(dir, "data", "id_ed25519.pub")
	put := "put the server's key, " + key + ", into the authorized_keys of root"
	list := filepath.Join(dir, "hosts")
	if err := os.WriteFile(list, []byte("web1.example.org ansible_host=127.139.0.1 ansible_user=root\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says []string
	}{
		{[]string{"exec", "-o", "web1", "true"}, 1, []string{"nothing was done: web1: login refused: ", "127.139.0.1:22 does not take our key for root; " + put + " there\n"}},
		{[]string{"exec", "-o", "web[1-3]", "true"}, 1, []string{"nothing was done: web[1-3]: login refused: they do not take our key for root; " + put + " on each\n"}},
		{[]string{"exec", "-w", "-o", "web[1-3]", "true"}, 1, []string{"web[1-3]: login refused: they do not", put}},
		{[]string{"upload", "-o", "web[1-3]", "-r", "/tmp", list}, 0, []string{"the server has no way there (nothing was done: web[1-3]: login refused: they do not take our key for root; " + put + " on each); connecting from here\n"}},
		{[]string{"import", list}, 0, []string{"Jarvis logs in with the server's key, " + key + ": put it into authorized_keys on each of these hosts that does not have it yet."}},
		{[]string{"import", list}, 0, []string{"on record already"}},
		{[]string{"doctor"}, 1, []string{"ok    key: the server logs in to hosts with " + key + ": a host needs that line in authorized_keys to let it in"}},
	} {
		code, out, errs := jarvis(t, "", append([]string{"--config", conf}, c.args...)...)
		for _, w := range c.says {
			if !strings.Contains(out+errs, w) {
				t.Errorf("%q: exit %d\n%s%swant %q", c.args, code, out, errs, w)
			}
		}
		if code != c.code && c.args[0] != "doctor" { // which looks at this machine, too
			t.Errorf("%q: exit %d, want %d\n%s%s", c.args, code, c.code, out, errs)
		}
		t.Logf("%q\n%s%s", c.args, out, errs)
	}
	// So says a step of a deployment, for as long as it waits.
	known := strings.Fields(string(must[[]byte](t)(os.ReadFile(filepath.Join(r.home, ".ssh", "known_hosts")))))
	clip := filepath.Join(dir, "loki.yaml")
	if err := os.WriteFile(clip, fmt.Appendf(nil, "instance:\n  hostname: loki\n  ipaddress: 127.139.0.2\n  hostkeys: [%q]\n  commands: [hostname]\nsteps: [ssh:run]\n", known[4]+" "+known[5]), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := jarvis(t, "", "--config", conf, "deploy", "--no-wait", clip); code != 0 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	until(t, real.Patience(time.Minute), "the step says what it waits for", func() bool {
		_, out, _ := jarvis(t, "", "--config", conf, "status", "loki")
		return strings.Contains(out, "127.139.0.2:22 does not take our key for root (yet); if it stays so, "+put+" there")
	})
	fresh := t.TempDir()
	if code, out, errs := jarvis(t, "", "init", "-y", "--dir", fresh); code != 0 || !strings.Contains(out, "put the line of "+filepath.Join(fresh, "data", "id_ed25519.pub")+" into authorized_keys of hosts that are there already\n") {
		t.Errorf("init: exit %d\n%s%s", code, out, errs)
	}
	// What connects from here has a key of the caller's own, of which the server's file says nothing.
	if err := os.WriteFile(filepath.Join(r.home, ".ssh", "id"), []byte(func() string { _, k := newSSHKey(t); return k }()), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := jarvis(t, "", "--config", conf, "exec", "--direct", "-o", "web[1-3]", "true"); code != 1 || !strings.Contains(errs, "web[1-3]: login refused: they do not take our key for root\n") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	// Once it is there, all is well.
	pub := string(must[[]byte](t)(os.ReadFile(key)))
	for _, h := range r.hosts {
		if err := os.WriteFile(filepath.Join(h.Root, "root/.ssh/authorized_keys"), []byte(pub), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if code, out, errs := jarvis(t, "", "--config", conf, "exec", "-o", "web[1-3]", "hostname"); code != 0 {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	until(t, real.Patience(time.Minute), "the deployment goes on", func() bool {
		_, out, _ := jarvis(t, "", "--config", conf, "status", "loki")
		return strings.Contains(out, "finished") || strings.Contains(out, "ready")
	})
}
