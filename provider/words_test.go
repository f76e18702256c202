package provider

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/pipeline"
)

func TestWord(t *testing.T) {
	guests := map[string]string{"Debian 11": "debian11", "Debian 12": "debian12", "Debian 13": "debian13", "Ubuntu 24.04": "ubuntu24.04", "Ubuntu 22.04": "ubuntu22.04", "AlmaLinux 9": "alma9"}
	places := map[string]string{"Atlanta": "us-southeast", "London": "eu-west", "London 2": "gb-lon"}
	for _, tc := range []struct {
		key, said string
		table     map[string]string
		want      string // the name, or a part of the error
	}{
		{"guestid", "Debian 12", guests, "debian12"},
		{"guestid", "debian-12", guests, "debian12"},
		{"guestid", "DEBIAN_12", guests, "debian12"},
		{"guestid", "debian12", guests, "debian12"}, // the provider's own
		{"guestid", "Debian 6", guests, `has no guestid "Debian 6" (any more); newest there is Debian 13`},
		{"guestid", "Ubuntu 26.04", guests, `has no guestid "Ubuntu 26.04"; newest there is Ubuntu 24.04`}, // it never was
		{"guestid", "debian  13", guests, "debian13"},
		{"guestid", "Ubuntu24.04", guests, "ubuntu24.04"},
		{"guestid", "Ubuntu 16.04", guests, "newest there is Ubuntu 24.04"},
		{"guestid", "Debain 12", guests, `did you mean "Debian 12"?`},
		{"guestid", "Slackware", guests, "it has AlmaLinux 9, Debian 13, Debian 12, Debian 11, Ubuntu 24.04, Ubuntu 22.04"},
		{"guestid", "", guests, `the clipboard names no "guestid"`},
		{"datacenter", "london", places, "eu-west"},
		{"datacenter", "London 3", places, `did you mean "London`}, // a number is no version here
		{"datacenter", "Atlantis", places, `did you mean "Atlanta"?`},
		{"datacenter", "Mars", places, "it has Atlanta, London 2, London"},
	} {
		t.Run(tc.said, func(t *testing.T) {
			got, err := Word(tc.key, tc.said, "X", tc.table)
			if err == nil && got != tc.want || err != nil && (!strings.Contains(err.Error(), tc.want) || !pipeline.IsPermanent(err)) {
				t.Errorf("Word(%q) = %q, %v; want %q", tc.said, got, err, tc.want)
			}
		})
	}
}

// FuzzWord: whatever is said, the answer is a name of the table or an error that fits a line of chat.
func FuzzWord(f *testing.F) {
	table := map[string]string{"Debian 12": "debian12", "Atlanta": "us-southeast"}
	for _, s := range []string{"", "Debian 12", "debian  12", "12", "\x00", "Atl\nanta", strings.Repeat("x", 9000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, said string) {
		got, err := Word("guestid", said, "X", table)
		if err == nil && got != "debian12" && got != "us-southeast" {
			t.Errorf("Word(%q) = %q", said, got)
		}
		if err != nil && len(err.Error()) > 600 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
	})
}

// TestTablesDecide: of two tables the first counts, whatever the order in memory, and in one table two words that are
// the same to a person are found.
func TestTablesDecide(t *testing.T) {
	own, theirs := map[string]string{"debian 12": "ami-own"}, map[string]string{"Debian 12": "ami-theirs", "Debian 13": "ami-13"}
	for range 50 {
		if got, err := Word("guestid", "Debian 12", "X", own, theirs); err != nil || got != "ami-own" {
			t.Fatalf("Word = %q, %v", got, err)
		}
	}
	if a, b := Twice(map[string]string{"debian 12": "x", "Debian-12": "y", "z": "z"}); a == "" || b == "" {
		t.Error("two words for one thing were not found")
	}
	if a, _ := Twice(map[string]string{"debian 12": "x", "Debian-12": "x"}); a != "" {
		t.Error("two words that mean the same are no fault")
	}
}
