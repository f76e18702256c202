package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Hosts that Jarvis never deployed serve from day one: real ones, from an Ansible inventory and a known_hosts.
func TestImportedHostsServeFromDayOne(t *testing.T) {
	r := newRow(t, 2, 117)
	dir := t.TempDir()
	conf := filepath.Join(dir, "jarvis.yaml")
	sshDir := filepath.Join(r.home, ".ssh")
	known := string(must[[]byte](t)(os.ReadFile(filepath.Join(sshDir, "known_hosts"))))
	for name, text := range map[string]string{
		conf:                            fmt.Sprintf("data: %s\nlisten: \"\"\nworkers: {ssh: {key: %s}}\n", filepath.Join(dir, "data"), filepath.Join(sshDir, "id")),
		filepath.Join(dir, "hosts"):     "[web]\nweb1.example.org ansible_host=127.117.0.1 ansible_user=root x=1\nweb2.example.org ansible_host=127.117.0.2\nbad_name\n",
		filepath.Join(dir, "known"):     known,
		filepath.Join(sshDir, "config"): "Host *\n  IdentityFile ~/.ssh/id\n  User root\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "group_vars"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(sshDir, "known_hosts")); err != nil {
		t.Fatal(err)
	}
	serveInProcess(t, conf)
	says := func(code int, want string, args ...string) {
		t.Helper()
		got, out, errs := jarvis(t, "", append([]string{"--config", conf}, args...)...)
		if got != code || !strings.Contains(out+errs, want) {
			t.Errorf("%q: exit %d, want %d and %q:\n%s%s", args, got, code, want, out, errs)
		}
	}
	inventory := filepath.Join(dir, "hosts")
	says(0, "2 hosts would be imported: web[1-2].example.org", "import", "--dry-run", inventory)
	says(4, "web1", "status", "web1")
	says(0, "line 4: ignored: \"bad_name\" is not a host name", "import", "--dry-run", inventory)
	says(0, "group_vars is not read", "import", inventory)
	says(0, "2 hosts on record already", "import", inventory)
	says(0, "web1.example.org: imported, run 1 by", "hosts")
	says(0, "web1: imported, never deployed here. Run 1", "status", "web1")
	says(1, "no host key is known for it", "run", "@web", "hostname") // verified always
	says(0, "web1.example.org is imported again: its host keys are known now", "import", "--format", "known_hosts", filepath.Join(dir, "known"))
	says(0, "web2: web2", "run", "@web", "hostname")
	says(0, "web1", "run", "web1", "hostname")
	says(0, "web2", "exec", "-o", "@web", "hostname")
	says(0, "web1", "exec", "-o", "web1", "hostname")
	says(0, "ipaddress: \"127.117.0.1\"", "show", "web1")
	says(0, "reached at 127.117.0.1", "log", "web1")
	says(0, "there is nothing to compare it with", "drift", "web1")
	for _, verb := range []string{"destroy", "redeploy", "undo", "retry"} {
		says(1, "imported and never deployed here", verb, "web1")
	}
	says(0, "web1.example.org is forgotten", "forget", "web1")
	says(4, "web1", "status", "web1")
	says(0, "web2", "run", "@web", "hostname")
	if err := os.WriteFile(filepath.Join(dir, "web1.yaml"), fmt.Appendf(nil, "steps: [ssh:run]\ninstance: {hostname: web2, fqdn: web2.example.org, ipaddress: 127.117.0.2, hostkeys: [%q], commands: [hostname]}\n",
		strings.TrimPrefix(strings.Split(known, "\n")[1], "127.117.0.2 ")), 0o600); err != nil {
		t.Fatal(err)
	}
	says(0, "web2 is ready", "deploy", filepath.Join(dir, "web1.yaml"))
	says(0, "web2.example.org stays as it is: run", "import", inventory)
}
