package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/lab"
	lablinode "github.com/jarvisops/jarvis/lab/linode"
	"github.com/jarvisops/jarvis/lab/real"
)

// TestOnline tries real servers, once with what they know and once with what they do not.
func TestOnline(t *testing.T) {
	dir := t.TempDir()
	write := writeIn(t, dir)
	named := must[*real.Named](t)(real.StartNamed(t.Context(), ""))
	t.Cleanup(named.Stop)
	ircd := must[*real.IRCd](t)(real.StartIRCd())
	t.Cleanup(ircd.Stop)
	port := must[int](t)(real.FreePort())
	rack := lab.NewRack(89, port, nil)
	t.Cleanup(rack.Stop)
	cloud := must[*lablinode.Server](t)(lablinode.Start(rack))
	t.Cleanup(cloud.Stop)
	repo := filepath.Join(dir, "tasks.git")
	if out, err := exec.Command("git", "init", "-q", "--bare", repo).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	conf := func(name, secret, repo, channel string) string {
		return write(name, fmt.Sprintf(`listen: ""
chat: [{irc: {server: %q, channels: [%q]}}]
tasks: [{name: log, repo: %q}]
workers:
%s  dns: {server: %q, tsig: {name: %s, secret: %s}}
  ldap: {url: "ldap://127.0.0.1:1", base: "ou=Hosts,dc=example,dc=org"}
`, ircd.Addr, channel, repo, cloud.Config(), named.Addr, real.TSIGName, secret), 0o600)
	}
	check := func(file string) string {
		out, errs := &strings.Builder{}, &strings.Builder{}
		code := run(t.Context(), []string{"--config", file, "config", "check", "--online"}, strings.NewReader(""), out, errs)
		if code != exitFailed {
			t.Errorf("exit %d", code)
		}
		return out.String() + errs.String()
	}
	good := check(conf("good.yaml", real.TSIGSecret, repo, "#ops"))
	for _, want := range []string{
		"ok    workers.linode: Linode answers",
		"ok    workers.dns: " + named.Addr + " answers, and knows the ",
		"ok    chat[0]: irc/" + ircd.Addr + " lets us in, and nothing keeps us out of #ops",
		"ok    tasks[0]: log can be read",
		"wrong workers.ldap: ",
		"1 of 5 do not work",
	} {
		if !strings.Contains(good, want) {
			t.Errorf("not said: %s\n%s", want, good)
		}
	}
	bad := check(conf("bad.yaml", "bm90IHRoZSBzZWNyZXQ=", repo+"x", "#ops"))
	for _, want := range []string{
		"wrong workers.dns: " + named.Addr + " has another secret for the ",
		"wrong tasks[0]: git ls-remote: ",
		"3 of 5 do not work",
	} {
		if !strings.Contains(bad, want) {
			t.Errorf("not said: %s\n%s", want, bad)
		}
	}
	if strings.Contains(bad, "bm90IHRoZSBzZWNyZXQ") {
		t.Errorf("a secret is shown: %s", bad)
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("it made the data folder")
	}
}

// TestInitAsksOnATerminal: a secret is not shown while it is typed, and stands in its own file only.
func TestInitAsksOnATerminal(t *testing.T) {
	bin, dir := buildJarvis(t), t.TempDir()
	line := bin + " init --dir " + dir
	for _, q := range questions() {
		if v := map[string]string{"chat": "irc", "irc_server": "irc.example.org:6697", "irc_channel": "#ops", "irc_account": "jarvis"}[q.key]; !q.secret {
			if v == "" {
				v = map[bool]string{true: "x", false: ""}[q.key == "name" || q.key == "data" || q.key == "person"]
			}
			line += " --set " + q.key + "='" + v + "'"
		}
	}
	out := onTerminal(t, line, "Its password: ", "hunter22hunter22")
	if !strings.Contains(out, "jarvis.yaml is right") || strings.Contains(out, "hunter22") {
		t.Errorf("it says: %s", out)
	}
	if got := string(must[[]byte](t)(os.ReadFile(filepath.Join(dir, "credentials", "irc_password")))); got != "hunter22hunter22\n" {
		t.Errorf("the credential is %q", got)
	}
}
