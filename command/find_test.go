package command

import (
	"errors"
	"strings"
	"testing"
)

// The accident: "app 6", typed for something else, approved run 6, because no other verb begins so. What acts is meant
// by its whole name only, whatever verbs there will be.
func TestNoPrefixActs(t *testing.T) {
	table := NewTable(&Env{})
	for _, v := range Verbs() {
		if got, err := table.Find(v.Name); err != nil || got.Name != v.Name {
			t.Errorf("Find(%q) = %q, %v", v.Name, got.Name, err)
		}
		for n := 1; n < len(v.Name); n++ {
			if got, err := table.Find(v.Name[:n]); err == nil && got.Acts && got.Name != v.Name[:n] {
				t.Errorf("Find(%q) = %q, which acts", v.Name[:n], got.Name)
			}
		}
	}
	if _, err := table.Find("app"); err == nil || !strings.Contains(err.Error(), "say `approve`") {
		t.Errorf("Find(app) = %v; it must name the whole word", err)
	}
	if v, err := table.Find("hist"); err != nil || v.Name != "history" {
		t.Errorf("Find(hist) = %q, %v; what reads may be shortened", v.Name, err)
	}
}

// A verb with an operation that is more than a GET acts, and so is never guessed. plan only sends what it reads.
func TestWhatChangesThingsSaysSo(t *testing.T) {
	for _, v := range Verbs() {
		for _, a := range v.API {
			if a.Method != "GET" && !v.Acts && v.Name != "plan" {
				t.Errorf("%s has %s %s, and does not act", v.Name, a.Method, a.Path)
			}
		}
	}
}

// TestTypos: verbs.md says that a typo is told the nearest verb; two letters in each other's place were none.
func TestTypos(t *testing.T) {
	table := NewTable(&Env{})
	for typo, want := range map[string]string{"hlep": "help", "depoly": "deploy", "stauts": "status", "udno": "undo", "dney": "deny", "redepoly": "redeploy"} {
		_, err := table.Find(typo)
		var ue *UserError
		if !errors.As(err, &ue) || ue.Hint != "did you mean `"+want+"`?" {
			t.Errorf("%s: %v", typo, err)
		}
	}
}
