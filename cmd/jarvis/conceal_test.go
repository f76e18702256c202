package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jarvisops/jarvis/web"
)

// TestNoOutputTellsWhatStandsElsewhere: neither a verb about the configuration nor the log has what was put in for
// ${file:…}. That no key is forgotten, the test of the same name in config looks at.
func TestNoOutputTellsWhatStandsElsewhere(t *testing.T) {
	s := newService(t, serviceConf)
	writeIn(t, s.dir)("pw", "NEVERSEEN-zz99\n", 0o600)
	s.start(filepath.Join(s.dir, "notify"))
	s.hears("READY=1")
	for _, part := range []string{
		`name: "${file:pw} x"`,
		`data: "/proc/${file:pw}"`,
		`socket: {path: "/proc/${file:pw}/s"}`,
		`server: "::${file:pw}"`,
		`chat: [{irc: {server: "i:1", channels: ["ops ${file:pw}"]}}]`,
		`http: {url: "${file:pw}", trusted_proxies: ["${file:pw}"]}`,
		`sources: {urls: ["ftp://u:${file:pw}@x"]}`,
		`people: [{name: "${file:pw}", local: "${file:pw}"}]`,
		`checks: {tasks: [{name: "${file:pw}", command: w, schedule: "${file:pw}"}]}`,
	} {
		conf := serviceConf + part + "\n"
		if strings.HasPrefix(part, "name") || strings.HasPrefix(part, "data") {
			conf += "workers: 5\n" // a mistake beside it
		}
		s.write(conf)
		for _, verb := range []string{"config check", "reload", "doctor", "config check --online"} {
			out, _ := s.cli(strings.Fields(verb)...)
			if strings.Contains(out, "NEVERSEEN") {
				t.Errorf("%s: %s: %s", part, verb, out)
			}
		}
		if strings.HasPrefix(part, "people") {
			continue // that serves
		}
		if out, code := s.cli("serve"); code == 0 || strings.Contains(out, "NEVERSEEN") {
			t.Errorf("%s: serve: exit %d: %s", part, code, out)
		}
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	s.logs("msg=stopping")
	if all := strings.Join(s.all, "\n"); strings.Contains(all, "NEVERSEEN") || !strings.Contains(all, "${file:pw}") {
		t.Errorf("the log:\n%s", all)
	}
}

// TestDoctorProposesNoPowerfulGroup: whoever may open a socket need not be root for it.
func TestDoctorProposesNoPowerfulGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(file, nil, 0o660); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o660); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	own := groupOf(st) // of whoever runs this test
	for _, group := range []string{"", own} {
		said := letIn(web.Socket{Group: group}, st, "eve")
		if safe := group != "" && !powerful[own]; strings.Contains(said, "usermod -aG "+own+" ") != safe || !safe && !strings.Contains(said, "socket: {group: jarvis") {
			t.Errorf("a socket of the group %s, with %q named: %s", own, group, said)
		}
	}
}

// TestAnEmptyFileIsNotTakenOver: an editor on a full disk leaves one, and all people would be gone.
func TestAnEmptyFileIsNotTakenOver(t *testing.T) {
	s := newService(t, serviceConf+"people: [{name: ada, local: root, roles: [admin]}]\n")
	s.start(filepath.Join(s.dir, "notify"))
	s.hears("READY=1")
	for _, text := range []string{"", "# all is gone\n\n", "---\n"} {
		s.write(text)
		if out, code := s.cli("config", "check"); code != 0 || !strings.Contains(out, "is empty: everything is by default") {
			t.Errorf("%q: check: exit %d: %s", text, code, out)
		}
		_ = s.cmd.Process.Signal(syscall.SIGHUP)
		s.hears("RELOADING=1")
		s.hears("READY=1")
		s.logs("msg=what was in force stays", "is empty")
	}
	s.write(serviceConf + "people: [{name: ada, local: root, roles: [admin]}]\n")
	if out, _ := s.cli("whoami"); !strings.Contains(out, "ada") {
		t.Errorf("whoami: %s", out)
	}
}
