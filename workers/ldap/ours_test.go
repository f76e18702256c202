package ldap_test

import (
	"context"
	"strings"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/examples"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/workers/ldap"
)

// The attack: a host of another domain has the same short name, and with it, by its cn, the other one's entry. What is
// there of somebody else is neither written nor deleted, and the refusal says whose it is.
func TestEntriesOfOthersStay(t *testing.T) {
	slapd, err := real.StartSlapd(t.Context(), examples.LDAPSchema, "instance:\n  hostname: ymir\n  fqdn: ymir.example.net\n")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slapd.Stop)
	base := "ou=Hosts," + real.Base
	w, err := ldap.New(ldap.Config{URL: slapd.URL, StartTLS: true, CA: slapd.CA, BindDN: real.BindDN, Password: real.BindPassword, Base: base})
	if err != nil {
		t.Fatal(err)
	}
	steps := map[string]pipeline.Step{}
	for _, s := range w.Steps() {
		steps[s.Name] = s
	}
	call := func(do func(context.Context, *clipboard.Clipboard) error, host, fqdn, more string) (*clipboard.Clipboard, error) {
		t.Helper()
		if fqdn != "" {
			more = "\n  fqdn: " + fqdn + more
		}
		c, err := clipboard.Parse([]byte("instance:\n  hostname: " + host + more + "\n  provider: ESX\n  ipaddress: 127.66.0.1\n"))
		if err != nil {
			t.Fatal(err)
		}
		return c, do(t.Context(), c)
	}
	add := func(rdn string, cn ...string) {
		t.Helper()
		if err := slapd.Add(t.Context(), rdn+","+base, map[string][]string{"objectClass": {"device", "ipHost"}, "cn": cn, "ipHostNumber": {"192.0.2.9"}}); err != nil {
			t.Fatal(err)
		}
	}
	shows := func(cn string) string {
		t.Helper()
		out, err := slapd.Search(t.Context(), "(cn="+goldap.EscapeFilter(cn)+")")
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	add("cn=web", "web", "web.example.org")
	add("cn=mixed", "mixed", "mixed.example.org", "mixed.example.net") // what an earlier version made of two hosts
	add("cn=store", "store", "alias")
	for _, c := range []struct{ name, host, fqdn, whose string }{
		{"its cn has the full name", "web", "web.example.net", "web.example.org"},
		{"a host without a full name", "web", "", "web.example.org"},
		{"two full names", "mixed", "mixed.example.org", "mixed.example.org and mixed.example.net"},
		{"jarvisFqdn", "hela", "hela.example.net", "hela.websages.com"},
		{"the clipboard in it", "ymir", "ymir.websages.com", "ymir.example.net"},
		{"only its place, in another domain", "fenrir", "fenrir.example.net", "fenrir.websages.com"},
		{"our name is another's alias", "alias", "alias.websages.com", "store.websages.com"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := shows(c.host)
			for _, step := range []string{"ldap:update_host_ou", "ldap:remove_host_ou"} {
				cb, err := call(steps[step].Do, c.host, c.fqdn, "")
				if err == nil || !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), " is the entry of "+c.whose+", not of ") || !strings.Contains(err.Error(), "cn=") {
					t.Errorf("%s: %v", step, err)
				}
				if cb.Has("ldap_before") {
					t.Errorf("%s: something is on record for undo", step)
				}
			}
			// Undo of a run that added an entry, which another host's has taken the place of.
			if _, err := call(steps["ldap:update_host_ou"].Undo, c.host, c.fqdn, "\n  ldap_before: none"); err != nil {
				t.Errorf("undo: %v", err)
			}
			if after := shows(c.host); after != before {
				t.Errorf("the entry was\n%s\nand is\n%s", before, after)
			}
		})
	}
	// The host's own: what Jarvis added, what names it in any of these ways, and what stands in its domain.
	for _, c := range []struct{ name, host, fqdn string }{
		{"a new one", "fresh", "fresh.example.net"}, {"its own of before", "web", "web.example.org"}, {"jarvisFqdn", "hela", "hela.websages.com"},
		{"the clipboard in it", "ymir", "ymir.example.net"}, {"its place", "fenrir", "fenrir.websages.com"}, {"no full name at all", "bare", ""},
	} {
		t.Run("ours: "+c.name, func(t *testing.T) {
			for range 2 {
				if _, err := call(steps["ldap:update_host_ou"].Do, c.host, c.fqdn, ""); err != nil {
					t.Fatal(err)
				}
			}
			if got := shows(c.host); !strings.Contains(got, "ipHostNumber: 127.66.0.1\n") {
				t.Errorf("the entry is\n%s", got)
			}
			cb, err := call(steps["ldap:remove_host_ou"].Do, c.host, c.fqdn, "")
			if err != nil {
				t.Fatal(err)
			}
			if what, stays := pipeline.AsStays(steps["ldap:remove_host_ou"].Undo(t.Context(), cb)); !stays || !strings.HasPrefix(what, "the entry cn="+c.host+",") || !strings.Contains(what, " stays ") {
				t.Errorf("undo does not say what stays: %q", what)
			}
			if got := shows(c.host); strings.Contains(got, "127.66.0.1") {
				t.Errorf("the entry is still\n%s", got)
			}
		})
	}
}

// TestUndoGivesHostKeysBack: an entry that was there before a run had host keys of its own. An undo gives them back
// with the address.
func TestUndoGivesHostKeysBack(t *testing.T) {
	slapd, err := real.StartSlapd(t.Context(), examples.LDAPSchema, "instance:\n  hostname: ymir\n  fqdn: ymir.example.net\n")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slapd.Stop)
	base := "ou=Hosts," + real.Base
	w, err := ldap.New(ldap.Config{URL: slapd.URL, StartTLS: true, CA: slapd.CA, BindDN: real.BindDN, Password: real.BindPassword, Base: base})
	if err != nil {
		t.Fatal(err)
	}
	var step pipeline.Step
	for _, s := range w.Steps() {
		if s.Name == "ldap:update_host_ou" {
			step = s
		}
	}
	const old, fresh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHmsXB8UmyDRG5BtT69cTBkmSITs9hRTGAwgwpCA5frO", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBP6XQ/kx0/CeVUVhrjGz4HIFDdNT1iYfS+dJ8dGVQ1u"
	if err := slapd.Add(t.Context(), "cn=skadi,"+base, map[string][]string{"objectClass": {"device", "ipHost", "jarvisHost"}, "cn": {"skadi", "skadi.websages.com"}, "ipHostNumber": {"192.0.2.9"}, "sshPublicHostKey": {old}}); err != nil {
		t.Fatal(err)
	}
	c, err := clipboard.Parse([]byte("instance:\n  hostname: skadi\n  fqdn: skadi.websages.com\n  ipaddress: 127.66.0.1\n  hostkeys: [" + fresh + "]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := step.Do(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := step.Undo(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	out, err := slapd.Search(t.Context(), "(cn=skadi)")
	if flat := strings.ReplaceAll(out, "\n ", ""); err != nil || !strings.Contains(flat, old) || strings.Contains(flat, fresh) || !strings.Contains(flat, "192.0.2.9") {
		t.Errorf("after the undo: %v\n%s", err, out)
	}
	if c.Has("ldap_before") || c.Has("ldap_keys_before") {
		t.Error("what was kept for the undo stays on the clipboard")
	}
}
