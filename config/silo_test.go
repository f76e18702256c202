package config

import (
	"strings"
	"testing"
)

func TestSilos(t *testing.T) {
	const db = "database: \"postgres://x/y\"\n"
	for _, c := range []struct{ name, text, want string }{
		{"two silos", db + "silos: {vmware: [esx, ldap], dmz: [dns]}\nnode: {silo: dmz}\n", ""},
		{"a module in two", "silos: {a: [esx], b: [esx]}\n", "esx is in the silo a already"},
		{"a module twice", "silos: {a: [esx, esx]}\n", "names esx twice"},
		{"a name that is no word", "silos: {\"Big One\": [esx]}\n", "a silo's name is one word"},
		{"no modules", "silos: {a: []}\n", "it has no modules"},
		{"a step for a module", "silos: {a: [\"esx:deploy\"]}\n", "is no module"},
		{"an older name", "silos: {a: [dnswizard]}\n", "write dns"},
		{"a node in an unknown silo", db + "silos: {a: [esx]}\nnode: {silo: b}\n", "silos names a"},
		{"a node in a silo, and none", db + "node: {silo: b}\n", "silos names none"},
		{"a lone node in a silo", "silos: {a: [esx]}\nnode: {silo: a}\n", "this is the only server"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("jarvis.yaml", []byte(c.text), func(string) (string, bool) { return "", false })
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s = %v, want %q", c.text, err, c.want)
			}
		})
	}
}
