package ldap_test

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/examples"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/workers/ldap"
)

// TestDHCPOfOthersStays: loki.example.net has the short name of loki.example.org, and with it the name of its entry for
// DHCP. Told to boot the installer, it would have the other one installed again.
func TestDHCPOfOthersStays(t *testing.T) {
	slapd, err := real.StartSlapd(t.Context(), examples.LDAPSchema, "instance:\n  hostname: ymir\n  fqdn: ymir.example.net\n")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slapd.Stop)
	dhcp := "ou=DHCP," + real.Base
	w, err := ldap.New(ldap.Config{URL: slapd.URL, StartTLS: true, CA: slapd.CA, BindDN: real.BindDN, Password: real.BindPassword, Base: "ou=Hosts," + real.Base,
		DHCP: ldap.DHCP{Base: dhcp, Install: []string{`filename "pxelinux.0"`}}})
	if err != nil {
		t.Fatal(err)
	}
	steps := map[string]pipeline.Step{}
	for _, s := range w.Steps() {
		steps[s.Name] = s
	}
	host := func(name, domain, mac string) *clipboard.Clipboard {
		c, err := clipboard.Parse([]byte("instance:\n  hostname: " + name + "\n  fqdn: " + name + "." + domain + "\n  macaddrs: [\"" + mac + "\"]\n"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const first, second = "00:50:56:00:00:01", "00:50:56:00:00:02"
	boots := func(mac string) string {
		t.Helper()
		out, err := slapd.DHCP(t.Context(), mac)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if err := steps["ldap:dhcp_install"].Do(t.Context(), host("loki", "example.org", first)); err != nil {
		t.Fatal(err)
	}
	was := boots(first)
	other := host("loki", "example.net", second)
	if err := steps["ldap:dhcp_local"].Do(t.Context(), other); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "DHCP's entry of loki.example.org, not loki.example.net's: nothing is written") {
		t.Errorf("the entry of another host: %v", err)
	}
	if err := other.Set("dhcp_before", []string{"none"}); err != nil { // as if this run had made it, and the other took the name since
		t.Fatal(err)
	}
	if err := steps["ldap:dhcp_install"].Undo(t.Context(), other); err != nil {
		t.Error(err)
	}
	if got := boots(first); got != was || boots(second) != "" {
		t.Errorf("DHCP says %q for the first card and %q for the second; it said %q", got, boots(second), was)
	}
	// The host itself, with a new card, as after a redeploy.
	if err := steps["ldap:dhcp_install"].Do(t.Context(), host("loki", "example.org", second)); err != nil {
		t.Error(err)
	}
	// An entry that somebody wrote by hand stands for the host of its place in the directory.
	for _, name := range []string{"tyr", "ran"} {
		if err := slapd.Add(t.Context(), "cn="+name+","+dhcp, map[string][]string{"objectClass": {"dhcpHost"}, "cn": {name}, "dhcpHWAddress": {"ethernet " + first}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := steps["ldap:dhcp_install"].Do(t.Context(), host("tyr", "websages.com", second)); err != nil {
		t.Error(err)
	}
	if err := steps["ldap:dhcp_install"].Do(t.Context(), host("ran", "example.net", second)); !pipeline.IsPermanent(err) {
		t.Errorf("an entry of another place: %v", err)
	}
}
