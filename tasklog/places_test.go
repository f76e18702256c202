package tasklog

import (
	"testing"

	"github.com/jarvisops/jarvis/fleet"
)

// TestEarlier: a host that was called by its short name is found when another of that name came to the list, and what
// stands by a short name is no proof.
func TestEarlier(t *testing.T) {
	zero := 0
	full := fleet.Host{Name: "web1.a", FQDN: "web1.a"}
	short := fleet.Host{Name: "web1", FQDN: "web1.a"}
	for name, c := range map[string]struct {
		on    places
		h     fleet.Host
		ran   bool
		proof bool
	}{
		"as it was called":                {places{"web1": {Try: 2, Exit: &zero}}, short, true, true},
		"by its full name, now short":     {places{"web1.a": {Try: 2, Exit: &zero}}, short, true, true},
		"by a short name that may be it":  {places{"web1": {Try: 2, Exit: &zero}}, full, true, false},
		"only another host":               {places{"web1.b": {Try: 2, Exit: &zero}}, full, false, false},
		"not on record":                   {places{"web1": {Try: 2, Exit: &zero}}, fleet.Host{Name: "web1.a"}, false, false},
		"beside another, by its own name": {places{"web1": {Try: 2}, "web1.a": {Try: 2, Exit: &zero}}, full, true, true},
	} {
		at, ran := c.on.earlier(c.h)
		if ran != c.ran || (at.Exit != nil) != c.proof || ran && at.Try != 2 {
			t.Errorf("%s: ran %t, %+v", name, ran, at)
		}
	}
}
