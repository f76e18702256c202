package remote_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/remote"
)

const sshConfig = `
# a comment
Include conf.d/*.conf nothing-here
Host web* !web9
  User deploy
  Port=2222
  IdentityFile "%d/keys/web key"
  IdentityFile ~/.ssh/other_%r

Host jump
	HostName 192.0.2.1
	ProxyJump none
Match host 192.0.2.1 user root
  Port 2022
Match originalhost jump
  ConnectTimeout 7
Match exec "false"
  User never
Match !host web* all
  HostKeyAlias = alias
Host db.*.example.org
  HostName %h.internal
  ProxyJump me@jump:2200,second
  UserKnownHostsFile ~/k1 /k2
  IdentitiesOnly yes
Host *
  User root
  Port 22
  GlobalKnownHostsFile /etc/k
`

// TestSSHConfigReplacesTokens looks at what `ssh -G` does not show.
func TestSSHConfigReplacesTokens(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	dir := filepath.Join(home, ".ssh")
	if err := os.MkdirAll(filepath.Join(dir, "conf.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	main := filepath.Join(dir, "config")
	for name, text := range map[string]string{main: sshConfig, filepath.Join(dir, "conf.d", "a.conf"): "Host web1\n User early\n Port 1\nHost inc\n HostName 192.0.2.9\n User inc\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := remote.LoadSSHConfig(main)
	if err != nil {
		t.Fatal(err)
	}
	if h := hostOf(t, c, "web1", ""); h.User != "early" || h.Port != "1" || !slices.Contains(h.IdentityFiles, home+"/keys/web key") || !slices.Contains(h.IdentityFiles, home+"/.ssh/other_early") {
		t.Errorf("web1: %+v", h)
	}
	if h := hostOf(t, c, "inc", ""); h.HostName != "192.0.2.9" || h.User != "inc" {
		t.Errorf("inc: %+v", h)
	}
	if h := hostOf(t, c, "web1", "bob"); h.User != "bob" {
		t.Errorf("who is named counts first: %+v", h)
	}
	if h := hostOf(t, c, "db.a.example.org", ""); !slices.Equal(h.KnownHosts, []string{home + "/k1", "/k2", "/etc/k"}) {
		t.Errorf("known hosts: %q", h.KnownHosts)
	}
}

func TestSSHConfigNamesTheTrouble(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"Host a\n User \"x\n": "line 2: a quote is not closed",
		"Port\n":              "line 1: Port has no value",
		"Include config\n":    "include each other",
	} {
		file := filepath.Join(dir, "config")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := remote.LoadSSHConfig(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

func hostOf(t *testing.T, c *remote.SSHConfig, name, user string) remote.HostConfig {
	t.Helper()
	h, err := c.Host(name, user)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
