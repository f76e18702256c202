package command

import (
	"slices"
	"strings"
	"testing"
)

func TestSplitWords(t *testing.T) {
	for in, want := range map[string][]string{
		"":                           nil,
		"status  loki":               {"status", "loki"},
		`run loki echo "a b" 'c "d'`: {"run", "loki", "echo", "a b", `c "d`},
		"what's up":                  {"what's", "up"},
		`run loki echo ""`:           {"run", "loki", "echo", ""},
		`a$HOME\ b`:                  {`a$HOME\`, "b"},
	} {
		if got := SplitWords(in); !slices.Equal(got, want) {
			t.Errorf("SplitWords(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzSplitWords: nothing is added, and without quotes it is strings.Fields for spaces and tabs.
func FuzzSplitWords(f *testing.F) {
	f.Add(`run loki echo "a b"`)
	f.Fuzz(func(t *testing.T, s string) {
		got := SplitWords(s)
		if n := len(strings.Join(got, "")); n > 3*len(s) {
			t.Errorf("%q grew to %q", s, got)
		}
		if !strings.ContainsAny(s, "'\"\n\v\f\r\u0085\u00a0") && isASCII(s) {
			if want := strings.Fields(s); !slices.Equal(got, want) {
				t.Errorf("SplitWords(%q) = %q, want %q", s, got, want)
			}
		}
	})
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
