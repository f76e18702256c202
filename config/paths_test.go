package config

import (
	"testing"
)

// TestPathsAreBesideTheFile: whatever names a file or a folder is taken from where the configuration lies, whoever owns
// the key; a full path stays as it is, and so does what is no path.
func TestPathsAreBesideTheFile(t *testing.T) {
	c, err := Parse("/etc/jarvis/jarvis.yaml", []byte(`
data: state
http: {tls: {cert: a.pem, key: /full/b.pem}}
chat:
  - irc: {server: "irc.example.org:6697", nick: jarvis, ca: irc.pem}
  - xmpp: {ca: xmpp.pem}
  - matrix: {ca: matrix.pem}
  - matrix: {state: second}
  - matrix: {state: /full/third}
tasks:
  - {name: here, repo: log.git, key: k, known_hosts: kh, allowed_signers: who}
  - {name: there, repo: "git@example.org:log.git"}
checks: {dir: checks.d, plugins: plugins}
workers:
  esx: [{url: "https://u:p@one/sdk", ca: one.pem}, {url: "https://u:p@two/sdk"}]
  libvirt: {socket: run/sock, images: {Debian 12: default/debian12.qcow2}}
  ldap: {ca: ldap.pem}
  ssh: {key: id, known_hosts: known}
  converge: {dir: programs}
  external: {dir: steps}
`), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	w := c.Workers
	for got, want := range map[string]string{
		c.Data: "/etc/jarvis/state", c.HTTP.TLS.Cert: "/etc/jarvis/a.pem", c.HTTP.TLS.Key: "/full/b.pem", c.Chat[0].IRC.CA: "/etc/jarvis/irc.pem", c.Chat[1].XMPP.CA: "/etc/jarvis/xmpp.pem",
		c.Chat[2].Matrix.CA: "/etc/jarvis/matrix.pem", c.Chat[2].Matrix.State: "/etc/jarvis/state/matrix", c.Chat[3].Matrix.State: "/etc/jarvis/state/second", c.Chat[4].Matrix.State: "/full/third",
		c.Tasks[0].Repo: "/etc/jarvis/log.git", c.Tasks[0].Key: "/etc/jarvis/k", c.Tasks[0].KnownHosts: "/etc/jarvis/kh", c.Tasks[0].AllowedSigners: "/etc/jarvis/who", c.Tasks[1].Repo: "git@example.org:log.git",
		c.Checks.Dir: "/etc/jarvis/checks.d", c.Checks.Plugins: "/etc/jarvis/plugins", w.ESX[0].CA: "/etc/jarvis/one.pem", w.ESX[1].CA: "",
		w.Libvirt[0].Socket: "/etc/jarvis/run/sock", w.Libvirt[0].Images["Debian 12"]: "default/debian12.qcow2",
		w.LDAP.CA: "/etc/jarvis/ldap.pem", w.SSH.Key: "/etc/jarvis/id", w.SSH.KnownHosts: "/etc/jarvis/known", w.Converge.Dir: "/etc/jarvis/programs", w.External.Dir: "/etc/jarvis/steps"} {
		if got != want {
			t.Errorf("a path became %q, want %q", got, want)
		}
	}
}
