package main

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recordSite is a server on whose record loki and thor, the cluster pair, are two hosts of a row.
func recordSite(t *testing.T, r *row, net int) (conf string) {
	t.Helper()
	return recordSiteOf(t, r, net, "loki.example.org", "thor.example.org")
}

// recordSiteOf is recordSite with hosts of other names.
func recordSiteOf(t *testing.T, r *row, net int, names ...string) (conf string) {
	t.Helper()
	dir := t.TempDir()
	conf = filepath.Join(dir, "jarvis.yaml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "data: %s\nlisten: \"\"\nworkers: {ssh: {key: %s}}\n", filepath.Join(dir, "data"), filepath.Join(r.home, ".ssh", "id")), 0o600); err != nil {
		t.Fatal(err)
	}
	serveInProcess(t, conf)
	known := strings.Split(string(must[[]byte](t)(os.ReadFile(filepath.Join(r.home, ".ssh", "known_hosts")))), "\n")
	text := "cluster: pair\nsteps: [ssh:run]\ninstances:\n"
	reach := ""
	for i, fqdn := range names {
		name, _, _ := strings.Cut(fqdn, ".")
		_, key, _ := strings.Cut(known[i], " ")
		addr := fmt.Sprintf("127.%d.0.%d", net, i+1)
		text += fmt.Sprintf("  - hostname: %s\n    fqdn: %s\n    ipaddress: %s\n    hostkeys: [%q]\n    commands: [hostname]\n", name, fqdn, addr, key)
		reach += fmt.Sprintf("UPDATE hosts SET address = '%s', hostkeys = '[%q]' WHERE fqdn = '%s';", addr, key, fqdn)
	}
	file := filepath.Join(dir, "pair.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := jarvis(t, "", "--config", conf, "deploy", file); code != 0 {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	db := must[*sql.DB](t)(sql.Open("sqlite", "file:"+filepath.Join(dir, "data", "jarvis.db")+"?_pragma=busy_timeout(10000)"))
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), reach); err != nil { // what a step notes that made the machines
		t.Fatal(err)
	}
	return conf
}

// The fault: `upload -o @pair` went to the host "pair" of ~/.ssh/config, and `upload -o loki` to "Host loki" there,
// where exec went to the record's.
func TestAWordMeansOneMachine(t *testing.T) {
	r := newRow(t, 3, 109)
	conf := recordSite(t, r, 109)
	sshConfig := filepath.Join(r.home, ".ssh", "config")
	plain := string(must[[]byte](t)(os.ReadFile(sshConfig)))
	trap := func(name string) {
		t.Helper()
		if err := os.WriteFile(sshConfig, []byte("Host "+name+"\n  HostName 127.109.0.3\n  User root\n  IdentityFile ~/.ssh/id\n"+plain), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(r.home)
	if err := os.WriteFile("f", []byte("sent"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sshConfig, []byte("Host loki thor loki.example.org\n  IdentityFile ~/.ssh/id\n"+plain), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := func(word string) [][]string {
		return [][]string{
			{"exec", "-o", word, "mkdir -p /srv/w; : > /srv/w/exec"},
			{"exec", "-k", ".ssh/id", "-o", word, "mkdir -p /srv/w; : > /srv/w/exec"},
			{"upload", "-o", word, "-e", "-r", "/srv/w", "f"},
			{"sync", "-o", word, "-m", "-n", "true", "-e", "-r", "/srv/w", "f"},
			{"fetch", "-o", word, "-r", "back", "/etc/hostname"},
		}
	}
	with := func(args []string) (int, string, string) {
		return jarvis(t, "", append([]string{"--config", conf}, args...)...)
	}
	for _, word := range []string{"loki", "@pair", "loki.example.org"} {
		for _, args := range commands(word) {
			if code, out, errs := with(args); code != 0 {
				t.Errorf("%q: exit %d: %s%s", args, code, out, errs)
			}
		}
		if r.read(1, "srv/w/f") != "sent" || r.read(1, "srv/w/exec") != "" {
			t.Errorf("%s is not the record's", word)
		}
		if there := r.read(2, "srv/w/f") == "sent"; there != (word == "@pair" || word == "loki.example.org") { // left by @pair
			t.Errorf("%s: thor has it: %t", word, there)
		}
	}
	if b, err := os.ReadFile("back/loki/hostname"); err != nil || string(b) != "web1\n" {
		t.Errorf("fetched %q, %v", b, err)
	}
	for word, want := range map[string]string{
		"loki":  "loki is 127.109.0.1:22 on Jarvis's record, and 127.109.0.3 in ~/.ssh/config; nothing was done",
		"@loki": "there is no cluster or group loki on record",
	} {
		trap("loki")
		for _, args := range commands(word) {
			code, out, errs := with(args)
			if code == 0 || !strings.Contains(errs, want) {
				t.Errorf("%q: exit %d: %s%s", args, code, out, errs)
			}
		}
	}
	trap("pair")
	for _, args := range append(commands("@pair"), []string{"lock", "-o", "@pair"}) {
		direct := append([]string{args[0], "--direct"}, args[1:]...)
		if code, out, errs := with(direct); code != 2 || !strings.Contains(errs, "@pair is a cluster on record, which only a server knows; leave out --direct") {
			t.Errorf("%q: exit %d: %s%s", direct, code, out, errs)
		}
		if code, out, errs := jarvis(t, "", append([]string{"--config", filepath.Join(t.TempDir(), "none.yaml")}, args...)...); code == 0 {
			t.Errorf("%q, no server: %s%s", args, out, errs)
		}
	}
	if got := r.read(3, "srv/w/f"); !strings.HasPrefix(got, "! ") {
		t.Error("something went to a host that ~/.ssh/config alone knows")
	}
	if code, said, _ := with([]string{"audit", "50"}); code != 0 || !strings.Contains(said, "upload @pair: asks where they are") {
		t.Errorf("the record says: %s", said)
	}
	// --direct asks nobody: the word is what ssh makes of it.
	trap("loki")
	if code, out, errs := with([]string{"upload", "--direct", "-o", "loki", "-e", "-r", "/srv/w", "f"}); code != 0 || r.read(3, "srv/w/f") != "sent" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// The fault: `run loki ls -l /` was refused, `run loki ls / --no-wait` lost a word, `--server=URL` in a command for a
// host named another server, and a command that failed ended with 0.
func TestRunLosesNoWord(t *testing.T) {
	r := newRow(t, 2, 110)
	conf := recordSite(t, r, 110)
	for _, c := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"loki", "echo", "-l", "--no-wait", "--config=/nothing", "--server=http://127.0.0.1:1", "--json", "--help"}, 0, "loki: -l --no-wait --config=/nothing --server=http://127.0.0.1:1 --json --help\n"},
		{[]string{"loki", "--", "ls", "-d", "/"}, 0, "loki: /\n"},
		{[]string{"--", "loki", "ls", "-d", "/"}, 0, "loki: /\n"},
		{[]string{"loki", "echo", "--", "-x"}, 0, "loki: -- -x\n"},
		{[]string{"loki", "-l"}, 1, "loki: exit code 127\n"},
		{[]string{"loki", "--sudoo"}, 1, "loki: exit code 127\n"},
		{[]string{"loki,thor", "sh", "-c", "[ $(hostname) = web1 ]"}, 1, "thor: exit code 1\n"},
		{[]string{"loki", "ls", "/nosuch"}, 1, "loki: exit code 2\n"},
		{[]string{"--json", "loki", "ls", "/nosuch"}, 1, `"exit":2`},
		{[]string{"loki", "sh", "-c", "kill -9 $$"}, 1, "exit code 137"},
	} {
		code, out, errs := jarvis(t, "", append([]string{"--config", conf, "run"}, c.args...)...)
		if code != c.code || !strings.Contains(out, c.out) || errs != "" {
			t.Errorf("run %q: exit %d: %s%s", c.args, code, out, errs)
		}
	}
	for _, args := range [][]string{{"--no-wait", "loki", "true"}, {"--sudoo", "loki", "true"}} {
		if code, out, errs := jarvis(t, "", append([]string{"--config", conf, "run"}, args...)...); code != 2 || !strings.Contains(errs, "unknown flag "+args[0]) {
			t.Errorf("run %q: exit %d: %s%s", args, code, out, errs)
		}
	}
}

// The attack: somebody who may look, and not run commands, asks for addresses, logins and keys.
func TestWhereHostsAreIsForThoseWhoMayRun(t *testing.T) {
	t.Parallel()
	s, _ := newPlainSite(t, "")
	victor := s.newToken(t, "victor")
	if code, text := s.begin(t, "POST /v1/exec/hosts", victor, "{"); code != 403 || !strings.Contains(text, "needs the role") {
		t.Errorf("%d %s", code, text)
	}
}

// The fault: of two hosts on record with one short name, the failure of one was told as that of the other, whose own
// result nobody filled in; that looked well, so exec ended with 0. What was fetched from both lay in one directory.
func TestTwoHostsOfOneShortName(t *testing.T) {
	r := newRow(t, 2, 131)
	conf := recordSiteOf(t, r, 131, "web1.a.example.org", "web1.b.example.org")
	t.Chdir(r.home)
	with := func(args ...string) (int, string, string) {
		return jarvis(t, "", append([]string{"--config", conf}, args...)...)
	}
	both := []string{"-o", "web1.a.example.org", "-o", "web1.b.example.org"}
	for name, args := range map[string][]string{
		"by the server":         append([]string{"exec", "-y"}, both...),
		"a group":               {"exec", "-y", "-o", "@pair"},
		"one word twice":        {"exec", "-y", "-o", "@pair", "-o", "web1.a.example.org"},
		"from here":             append([]string{"exec", "-y", "-k", ".ssh/id"}, both...),
		"each as it is reached": append([]string{"exec", "-y", "-k", ".ssh/id", "-w"}, both...),
	} {
		for _, bad := range []string{"web1", "web2"} { // so are the machines called
			fqdn := map[string]string{"web1": "web1.a.example.org", "web2": "web1.b.example.org"}[bad]
			code, out, errs := with(append(args, `[ "$(hostname)" != `+bad+` ]`)...)
			if code != 1 || !strings.Contains(errs, "1 of 2 hosts failed") || !strings.Contains(errs, fqdn+": exit 1") {
				t.Errorf("%s, %s fails: exit %d: %s%s", name, bad, code, out, errs)
			}
		}
	}
	for name, args := range map[string][]string{"by the server": both, "from here": append([]string{"-k", ".ssh/id"}, both...)} {
		dir := t.TempDir()
		if code, out, errs := with(append(append([]string{"fetch", "-r", dir}, args...), "/etc/hostname")...); code != 0 {
			t.Errorf("fetch %s: exit %d: %s%s", name, code, out, errs)
		}
		for fqdn, want := range map[string]string{"web1.a.example.org": "web1\n", "web1.b.example.org": "web2\n"} {
			if b, err := os.ReadFile(filepath.Join(dir, fqdn, "hostname")); err != nil || string(b) != want {
				t.Errorf("fetched %s from %s: %q, %v", name, fqdn, b, err)
			}
		}
	}
	dir := t.TempDir()
	if code, out, errs := with("fetch", "-r", dir, "web1.a.example.org:/etc/hostname", "web1.b.example.org:/etc/hosts"); code != 0 {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if _, err := os.Stat(filepath.Join(dir, "web1.b.example.org", "hostname")); err == nil {
		t.Error("a host gave what was wanted of the other")
	}
}
