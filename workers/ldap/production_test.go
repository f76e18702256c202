package ldap_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/examples"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/workers/ldap"
)

// TestPointersThatAreGoneAreForgotten: when the names had moved away, the clipboard still listed them, and each time
// the step found a change again.
func TestPointersThatAreGoneAreForgotten(t *testing.T) {
	slapd, err := real.StartSlapd(t.Context(), examples.LDAPSchema, "instance:\n  hostname: ymir\n  fqdn: ymir.example.net\n")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slapd.Stop)
	var names []string
	w, err := ldap.New(ldap.Config{URL: slapd.URL, StartTLS: true, CA: slapd.CA, BindDN: real.BindDN, Password: real.BindPassword, Base: "ou=Hosts," + real.Base,
		Pointers: func(context.Context, *clipboard.Clipboard) ([]string, bool, error) { return names, true, nil }})
	if err != nil {
		t.Fatal(err)
	}
	step := w.Steps()[0]
	c, err := clipboard.Parse([]byte("instance:\n  hostname: web\n  fqdn: web.example.net\n  provider: ESX\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range [][]string{{"www.example.net (CNAME)"}, {"a.example.net (A)", "b.example.net (A)"}, nil, nil, {"www.example.net (CNAME)"}} {
		names = found
		if err := step.Do(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		got, _ := c.Strings("pointers")
		want := map[bool]string{true: "yes", false: "no"}[len(found) > 0]
		if strings.Join(got, ",") != strings.Join(found, ",") || c.Has("pointers") != (len(found) > 0) || c.Get("in_production") != want {
			t.Errorf("with %q: pointers %q, in_production %s", found, got, c.Get("in_production"))
		}
	}
}
