package fleet_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jarvisops/jarvis/fleet"
)

func TestExpand(t *testing.T) {
	for word, want := range map[string]string{
		"web1":                "web1",
		"web[1-3]":            "web1 web2 web3",
		"root@web[08-10]:22":  "root@web08:22 root@web09:22 root@web10:22",
		"web[1,3-4].x":        "web1.x web3.x web4.x",
		"{a,b}[1-2]":          "a1 a2 b1 b2",
		"root@[2001:db8::1]":  "root@[2001:db8::1]",
		"[2001:db8::1]:22":    "[2001:db8::1]:22",
		"web[1-3":             "! not closed",
		"web[3-1]":            "! no range",
		"web[a-b]":            "! no range",
		"web[1-999999]":       "! more than",
		"[1-999][1-999][1-2]": "! more than",
		"{a,b":                "! not closed",
		"db[1,a]":             "db1 dba",
		"[web]":               "! names stand in braces",
		"[web:children]":      "! or an address of IPv6",
		"[fe80::1%eth0]:22":   "[fe80::1%eth0]:22",
		"a,b":                 "! as in -o a -o b",
		"x[1,2]{a,b},c":       "! as in -o x[1,2]{a,b} -o c",
	} {
		got, err := fleet.Expand(word)
		if msg, bad := strings.CutPrefix(want, "! "); bad {
			if err == nil || !strings.Contains(err.Error(), msg) {
				t.Errorf("%q: %v", word, err)
			}
			continue
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %q, %v", word, got, err)
		}
	}
}

func TestFold(t *testing.T) {
	for _, c := range [][]string{
		{"web[1-3]", "web1", "web2", "web3"},
		{"web[1-2,9].x,db", "web1.x", "web2.x", "web9.x", "db"},
		{"web[08-10]", "web08", "web09", "web10"},
		{"10.0.0.1,10.0.0.2", "10.0.0.1", "10.0.0.2"},
		{"web1,db1", "web1", "db1"},
	} {
		if got := fleet.Fold(c[1:]); got != c[0] {
			t.Errorf("%q: %s, want %s", c[1:], got, c[0])
		}
	}
}

// FuzzFold: what is folded expands to the same hosts.
func FuzzFold(f *testing.F) {
	f.Add("web1 web2 web3 db08 db09 x")
	f.Add("0 00 1 01")
	f.Fuzz(func(t *testing.T, s string) {
		names := strings.Fields(s)
		if len(names) == 0 || strings.ContainsAny(s, "[]{},:") || !utf8.ValidString(s) {
			return
		}
		var back []string
		for _, part := range strings.Split(splitOutside(fleet.Fold(names)), "\n") {
			list, err := fleet.Expand(part)
			if err != nil {
				t.Fatalf("%q: %v", part, err)
			}
			back = append(back, list...)
		}
		if !slices.Equal(back, names) {
			t.Errorf("%q became %q by %s", names, back, fleet.Fold(names))
		}
	})
}

// splitOutside puts a line end at each comma that is not in brackets.
func splitOutside(s string) string {
	depth := 0
	return strings.Map(func(r rune) rune {
		switch r {
		case '[':
			depth++
		case ']':
			depth--
		case ',':
			if depth == 0 {
				return '\n'
			}
		}
		return r
	}, s)
}
