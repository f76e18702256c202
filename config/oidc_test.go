package config

import "testing"

// A sub may look like a number, larger than any that a program has.
func TestWhoSomebodyIsMayLookLikeANumber(t *testing.T) {
	for _, want := range []string{"108236452837465019283", "007", "1e5", "0x1F", "yes"} {
		c, err := Parse("jarvis.yaml", []byte("people: [{name: kim, oidc: "+want+"}]\n"), func(string) (string, bool) { return "", false })
		if err != nil || c.People[0].OIDC != want {
			t.Errorf("%s: %v", want, err)
			continue
		}
	}
}
