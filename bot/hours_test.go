package bot

import (
	"testing"
	"time"
)

// TestQuietHours: the clock of Berlin goes from 02:00 to 03:00 on 28 March 2027, and from 03:00 to 02:00 on 31 October.
func TestQuietHours(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, hours, now string
		left             time.Duration // of the quiet; 0: none
	}{
		{"before", "22:00–07:00", "2027-03-20T21:59:00+01:00", 0},
		{"at the beginning", "22:00–07:00", "2027-03-20T22:00:00+01:00", 9 * time.Hour},
		{"after midnight", "22:00-07:00", "2027-03-21T01:00:00+01:00", 6 * time.Hour},
		{"at the end", "22:00–07:00", "2027-03-21T07:00:00+01:00", 0},
		{"within a day", "12:00–13:00", "2027-03-21T12:30:00+01:00", 30 * time.Minute},
		{"the short night", "22:00–07:00", "2027-03-27T22:00:00+01:00", 8 * time.Hour},
		{"the long night", "22:00–07:00", "2027-10-30T22:00:00+02:00", 10 * time.Hour},
		{"the end comes twice: the second is it", "22:00–02:30", "2027-10-31T02:15:00+02:00", 75 * time.Minute},
		{"and it was quiet in between", "22:00–02:30", "2027-10-31T02:15:00+01:00", 15 * time.Minute},
		{"and is over", "22:00–02:30", "2027-10-31T02:30:00+01:00", 0},
		{"the end is left out: an hour beside it", "22:00–02:30", "2027-03-28T01:00:00+01:00", 90 * time.Minute},
		{"and is over", "22:00–02:30", "2027-03-28T03:30:00+02:00", 0},
		{"the beginning is left out, and the end is before what is beside it: none", "02:30–03:00", "2027-03-28T12:00:00+02:00", 0},
		{"and the next night has them", "02:30–03:00", "2027-03-29T02:45:00+02:00", 15 * time.Minute},
	} {
		h, err := parseHours(c.hours, berlin)
		if err != nil {
			t.Fatal(err)
		}
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		until, quiet := h.at(now)
		if quiet != (c.left > 0) || quiet && until.Sub(now) != c.left {
			t.Errorf("%s: quiet %v for %s, want %s", c.name, quiet, until.Sub(now), c.left)
		}
	}
}
