package ldap_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/examples"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/workers/ldap"
)

// A host's entry gives its clipboard in three ways, by a server that DNS names; a name with tricks in it finds nothing.
func TestReadClipboard(t *testing.T) {
	slapd, err := real.StartSlapd(t.Context(), examples.LDAPSchema, examples.Loki)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slapd.Stop)
	named, err := real.StartNamed(t.Context(), "127.0.9.56")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(named.Stop)
	for _, rr := range []string{
		fmt.Sprintf("_ldap._tcp.websages.com. 60 SRV 10 5 %s %s.", slapd.Port(), real.LDAPName),
		"_ldap._tcp.websages.com. 60 SRV 1 5 389 evil.example.org.", // elsewhere, and first
		real.LDAPName + ". 60 A 127.0.0.1",
	} {
		if err := named.Update(t.Context(), "add "+rr); err != nil {
			t.Fatal(err)
		}
	}
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, named.Addr)
	}}
	w, err := ldap.New(ldap.Config{StartTLS: true, CA: slapd.CA, BindDN: real.BindDN, Password: real.BindPassword, Base: "ou=Hosts," + real.Base, LookupSRV: resolver.LookupSRV, Resolver: resolver})
	if err != nil {
		t.Fatal(err)
	}
	for cn, want := range map[string]string{
		"ymir":                               "hostname: loki", // the YAML as it is
		"tyr":                                "hostname: tyr",
		"hela":                               "instance:\n  hostname: hela\n  provider: ESX\n  fqdn: hela.websages.com\n  guestid: Debian 12\n  size: 512\n",
		"baldr,ou=Old,ou=Hosts," + real.Base: "provider: Linode",
	} {
		b, err := w.ReadClipboard(t.Context(), "", cn)
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("ReadClipboard(%q) = %s, %v; want %q in it", cn, b, err, want)
			continue
		}
		if c, err := clipboard.Parse(b); err != nil {
			t.Errorf("%s: %v", cn, err)
		} else if _, err := c.Instance(); err != nil {
			t.Errorf("%s: %v", cn, err)
		}
	}
	for cn, want := range map[string]string{
		"baldr":                                 "is more than one entry; say which: `cn=baldr,ou=",
		"nobody":                                `there is no host "nobody" in the directory`,
		"*":                                     `there is no host "*" in the directory`,
		"x)(|(cn=*))":                           `there is no host "x)(|(cn=*))" in the directory`,
		"ym\\2a":                                "there is no host",
		"":                                      "there is no host",
		"jarvis," + real.Base:                   "is no entry below ou=Hosts",
		"x,ou=Hosts,dc=evil":                    "is no entry below",
		"fenrir":                                "holds no clipboard",
		"loki,ou=Nowhere,ou=Hosts," + real.Base: "there is no host",
	} {
		if b, err := w.ReadClipboard(t.Context(), "", cn); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ReadClipboard(%q) = %q, %v; want %q", cn, b, err, want)
		}
	}
}

func TestServersOfOtherDomainsDoNotCount(t *testing.T) {
	w, err := ldap.New(ldap.Config{Base: "ou=Hosts,dc=example,dc=org", LookupSRV: func(context.Context, string, string, string) (string, []*net.SRV, error) {
		return "", []*net.SRV{{Target: "ldap.evil.test.", Port: 389}}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ReadClipboard(t.Context(), "", "loki"); err == nil || !strings.Contains(err.Error(), "names no server of example.org itself") {
		t.Errorf("ReadClipboard = %v", err)
	}
}
