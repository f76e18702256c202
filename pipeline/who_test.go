package pipeline

import "testing"

// The attack: one person asks under one name and approves under another.
func TestOnePersonUnderTwoNames(t *testing.T) {
	for _, c := range []struct {
		name           string
		asks, approves Who
		same           bool
	}{
		{"two people", Who{Name: "alice"}, Who{Name: "bob"}, false},
		{"one, written otherwise", Who{Name: "alice"}, Who{Name: "Alice"}, true},
		{"an admin with a token that she made for bob", Who{Name: "alice"}, Who{"bob", []string{"alice"}}, true},
		{"a token made by a token that she made", Who{Name: "alice"}, Who{"carol", []string{"bob", "alice"}}, true},
		{"who made the asker's token", Who{"bob", []string{"alice"}}, Who{Name: "alice"}, true},
		{"an admin with tokens that she made for two others", Who{"bob", []string{"alice"}}, Who{"carol", []string{"alice"}}, true},
		{"two people whose tokens the operator made", Who{"bob", []string{"local:root"}}, Who{"carol", []string{"local:root"}}, false},
		{"the operator, with a token made for bob", Who{Name: "root"}, Who{"bob", []string{"local:root"}}, true},
		{"one maker, of whom only one record says that they keep the machine", Who{"bob", []string{"local:root"}}, Who{"carol", []string{"root"}}, true},
		{"somebody else's tokens", Who{"bob", []string{"alice"}}, Who{"carol", []string{"dave"}}, false},
	} {
		if got := c.asks.is(c.approves); got != c.same {
			t.Errorf("%s: one person = %v", c.name, got)
		}
		if got := c.approves.is(c.asks); got != c.same {
			t.Errorf("%s, the other way round: one person = %v", c.name, got)
		}
	}
}
