//go:build package

package packaging

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/examples"
	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/lab/real"
)

const ymir = "instance:\n  hostname: ymir\n  fqdn: ymir.websages.com\n  provider: ESX\n  guestid: Debian 12\n"

// world is what Jarvis works on: the real servers, and a vSphere whose machines are real hosts.
type world struct {
	ircd    *real.IRCd
	named   *real.Named
	slapd   *real.Slapd
	vs      *lab.VSphere
	vcenter *url.URL
	gist    *httptest.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{}
	var err error
	start := func(name string, err error, stop func()) {
		t.Helper()
		if err != nil {
			t.Fatalf("start %s: %v", name, err)
		}
		t.Cleanup(stop)
	}
	w.ircd, err = real.StartIRCd()
	start("ngircd", err, func() { w.ircd.Stop() })
	w.named, err = real.StartNamed(ctx, "127.0.9.58")
	start("BIND", err, func() { w.named.Stop() })
	w.slapd, err = real.StartSlapd(ctx, examples.LDAPSchema, ymir)
	start("slapd", err, func() { w.slapd.Stop() })
	rack := lab.NewRack(82, 22, func(addr, userData string) (lab.Machine, error) {
		return real.StartHost(context.Background(), addr, userData)
	})
	t.Cleanup(rack.Stop)
	w.vs, err = lab.StartVSphere(ctx, rack)
	start("vSphere", err, func() { w.vs.Stop() })
	w.vcenter, err = url.Parse(w.vs.URL)
	if err != nil {
		t.Fatal(err)
	}
	w.gist = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(out, examples.Loki) }))
	t.Cleanup(w.gist.Close)
	return w
}

// here says what the examples of the documentation are called in this world.
func (w *world) here(deb string) *strings.Replacer {
	return strings.NewReplacer(
		"jarvis_0.2.0_amd64.deb", filepath.Base(deb), "jarvis_NEW_amd64.deb", filepath.Base(deb),
		"irc.example.org:6697", w.ircd.TLS,
		"vcenter.example.org", w.vcenter.Host, "debian12-cloud", lab.Template, "--set esx_template", "--set esx_user="+w.vcenter.User.Username()+" --set esx_template",
		"ns1.example.org:53", w.named.Addr, "jarvis.key", real.TSIGName,
		"ldap://ldap.example.org", w.slapd.URL, "ou=Hosts,dc=example,dc=org", "ou=Hosts,"+real.Base, "cn=jarvis,dc=example,dc=org", real.BindDN,
		"authority.crt", "*.crt",
	)
}

// bring puts on a host what its administrator has from others: the package, the certificates, the secrets; and the
// logins of people.
func (w *world) bring(m *machine, deb string) {
	m.t.Helper()
	m.run("useradd alice && useradd mallory")
	m.copy(deb, "root/"+filepath.Base(deb))
	m.copy("../dist/SHA256SUMS", "root/SHA256SUMS")
	m.copy(w.ircd.CA, "root/irc.crt")
	m.copy(w.slapd.CA, "root/ldap.crt")
	conn, err := tls.Dial("tcp", w.vcenter.Host, &tls.Config{InsecureSkipVerify: true}) // how else to come by the certificate of a simulator
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	m.write("root/vcenter.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: conn.ConnectionState().PeerCertificates[0].Raw})))
	password, _ := w.vcenter.User.Password()
	for name, secret := range map[string]string{"esx.txt": password, "dns.txt": real.TSIGSecret, "ldap.txt": real.BindPassword, "passphrase": "correct horse battery staple"} {
		m.write("root/"+name, secret+"\n")
	}
}

// more is what `jarvis init` does not ask for; it goes to the end, and so below `workers`.
func (w *world) more() string {
	return fmt.Sprintf(`  external: {dir: /etc/jarvis/workers}
  ssh:
    default_config_management: lab
    config_management: {lab: {install: "echo installed", run: "echo Finished"}}
sources: {urls: [%q]}
listen: ""
limit: {burst: 1000}
`, w.gist.URL+"/")
}

// person is somebody in the channel.
type person struct {
	*real.IRCClient
	t *testing.T
}

func (w *world) person(t *testing.T, nick string) person {
	t.Helper()
	c, err := real.DialIRC(t.Context(), w.ircd.Addr, nick, "#ops")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return person{c, t}
}

// meet waits until the bot is in the channel, now and not at some time before.
func (p person) meet() {
	p.t.Helper()
	for n := range 600 {
		p.Send(fmt.Sprintf("PING now%d", n)) // what was heard before its answer is old
		p.hear(fmt.Sprintf("PONG .*now%d", n))
		p.Send("NAMES #ops")
		if strings.Contains(p.hear(` 353 .*#ops :`), "jarvis") {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	p.t.Fatal("jarvis does not come to #ops")
}

func (p person) hear(pattern string) string {
	p.t.Helper()
	l, err := p.Next(pattern, time.Minute)
	if err != nil {
		p.t.Fatal(err)
	}
	return l
}

// built gives the one file in dist of a pattern.
func built(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s in %s: %v, %v; run: make package, and scripts/package-older", pattern, dir, found, err)
	}
	return found[0]
}

// between gives what stands between two words of a line.
func between(t *testing.T, line, from, to string) string {
	t.Helper()
	_, rest, ok := strings.Cut(line, from)
	got, _, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatalf("%q has nothing between %q and %q", line, from, to)
	}
	return got
}
