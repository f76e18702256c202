package lab_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/jarvisops/jarvis/examples"
	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/lab/real"
)

// TestTheDirectoryChangesAsSlapdDoes says the same changes to both, and reads them back.
func TestTheDirectoryChangesAsSlapdDoes(t *testing.T) {
	slapd, err := real.StartSlapd(t.Context(), examples.LDAPSchema, "instance: {}\n")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slapd.Stop)
	sim, err := lab.StartDirectory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Stop)
	ca, err := os.ReadFile(slapd.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	got := map[string][]string{}
	for _, url := range []string{slapd.URL, sim.URL} {
		got[url] = changes(t, url, url == slapd.URL, &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12})
	}
	if d := cmp.Diff(got[slapd.URL], got[sim.URL]); d != "" {
		t.Errorf("-slapd +simulator:\n%s", d)
	}
}

func changes(t *testing.T, url string, sealed bool, conf *tls.Config) (said []string) {
	t.Helper()
	c, err := ldap.DialURL(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if sealed {
		err = c.StartTLS(conf)
	}
	if err = errors.Join(err, c.Bind(lab.BindDN, lab.BindPassword)); err != nil {
		t.Fatal(err)
	}
	dn := "cn=frigg,ou=Hosts," + lab.Base
	add := ldap.NewAddRequest(dn, nil)
	add.Attribute("objectClass", []string{"device", "ipHost"})
	add.Attribute("cn", []string{"frigg"})
	add.Attribute("ipHostNumber", []string{"192.0.2.1"})
	if err := c.Add(add); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 300)
	for _, do := range []func(*ldap.ModifyRequest){
		func(m *ldap.ModifyRequest) { m.Replace("ipHostNumber", []string{"192.0.2.12"}) },
		func(m *ldap.ModifyRequest) { m.Replace("description", []string{"one", "two", long}) },
		func(m *ldap.ModifyRequest) { m.Add("description", []string{"three"}) },
		func(m *ldap.ModifyRequest) { m.Delete("description", []string{"two", long}) },
		func(m *ldap.ModifyRequest) { m.Delete("description", nil) },
		func(m *ldap.ModifyRequest) { m.Add("description", []string{"four"}) },
		func(m *ldap.ModifyRequest) { m.Replace("description", nil) },
	} {
		m := ldap.NewModifyRequest(dn, nil)
		do(m)
		if err := c.Modify(m); err != nil {
			t.Fatal(err)
		}
		r, err := c.Search(ldap.NewSearchRequest("ou=Hosts,"+lab.Base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, "(cn=frigg)", []string{"ipHostNumber", "description"}, nil))
		if err != nil || len(r.Entries) != 1 {
			t.Fatal(err, r)
		}
		for _, a := range []string{"ipHostNumber", "description"} {
			vals := r.Entries[0].GetAttributeValues(a)
			slices.Sort(vals)
			said = append(said, a+"="+strings.Join(vals, ","))
		}
	}
	return said
}
