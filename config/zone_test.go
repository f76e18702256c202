package config

import "testing"

// TestOneZoneIsEnough: whoever says where he lives says it once.
func TestOneZoneIsEnough(t *testing.T) {
	c, err := Parse("jarvis.yaml", []byte(`
zone: Europe/Berlin
freeze: [{when: "Fri 16:00–Mon 06:00"}, {when: "Sat 16:00–Mon 06:00", zone: UTC}]
notices: [{to: "#ops", summary: "08:00"}, {to: "#dev", summary: "08:00", zone: Asia/Tokyo}]
`), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"Europe/Berlin", "UTC"} {
		if got := c.Freeze[i].Zone; got != want {
			t.Errorf("freeze[%d] is in %q, want %s", i, got, want)
		}
	}
	for i, want := range []string{"Europe/Berlin", "Asia/Tokyo"} {
		if got := c.Notices[i].Zone; got != want {
			t.Errorf("notices[%d] is in %q, want %s", i, got, want)
		}
	}
}
