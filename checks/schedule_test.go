package checks

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func at(t *testing.T, zone, text string) time.Time {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	v, err := time.ParseInLocation("2006-01-02 15:04:05", text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSchedules(t *testing.T) {
	for _, c := range []struct {
		text, from string
		want       string // the next ones, in UTC, by comma
	}{
		{"*/5 * * * *", "2026-01-01 00:01:00", "2026-01-01 00:05:00,2026-01-01 00:10:00"},
		{"*/10 * * * * *", "2026-01-01 00:00:01", "2026-01-01 00:00:10,2026-01-01 00:00:20"},
		{"30 0 3 * * *", "2026-01-01 00:00:00", "2026-01-01 03:00:30,2026-01-02 03:00:30"},
		{"@daily", "2026-01-01 00:00:01", "2026-01-02 00:00:00"},
		{"0 3 31 * *", "2026-02-01 00:00:00", "2026-03-31 03:00:00,2026-05-31 03:00:00"},
		// Spring forward: 02:30 is not there on 2026-03-29 in Berlin; it runs once, an hour later on the clock.
		{"TZ=Europe/Berlin 30 2 * * *", "2026-03-28 12:00:00", "2026-03-29 01:30:00,2026-03-30 00:30:00"},
		// Fall back: 02:30 comes twice on 2026-10-25; it runs once.
		{"TZ=Europe/Berlin 30 2 * * *", "2026-10-24 12:00:00", "2026-10-25 00:30:00,2026-10-26 01:30:00"},
		// What runs every so often does so in both hours.
		{"TZ=Europe/Berlin */30 * * * *", "2026-10-25 00:15:00", "2026-10-25 00:30:00,2026-10-25 01:00:00,2026-10-25 01:30:00"},
		{"TZ=Australia/Lord_Howe 45 1 * * *", "2026-04-04 10:00:00", "2026-04-04 14:45:00,2026-04-05 15:15:00"},
	} {
		s, err := ParseSchedule(c.text, 0)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		now := at(t, "UTC", c.from)
		for _, want := range strings.Split(c.want, ",") {
			now = s.Next(now, "a")
			if got := now.UTC().Format("2006-01-02 15:04:05"); got != want {
				t.Errorf("%q is due at %s, want %s", c.text, got, want)
			}
		}
	}
	for _, text := range []string{"", "x", "* * *", "61 * * * *", "@every", "@every x", "@every 1ms", "TZ=Nowhere/Else * * * * *", "0 0 30 2 *", "* * * * * * *"} {
		if s, err := ParseSchedule(text, 0); err == nil {
			t.Errorf("%q passes as %v", text, s)
		}
	}
}

// A thousand checks of every minute are spread over it, each at the same place after a restart.
func TestChecksAreSpread(t *testing.T) {
	s, err := ParseSchedule("@every 1m", 0)
	if err != nil {
		t.Fatal(err)
	}
	cron, err := ParseSchedule("0 * * * *", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	now := at(t, "UTC", "2026-01-01 00:00:30")
	for name, s := range map[string]Schedule{"every": s, "cron": cron} {
		var seconds [60]int
		for i := range 6000 {
			key := fmt.Sprint("disk@web", i)
			n := s.Next(now, key)
			if d := n.Sub(now); d <= 0 || d > time.Hour+time.Minute || name == "every" && d > time.Minute {
				t.Fatalf("%s: due in %s", name, d)
			}
			if again := s.Next(now.Add(time.Millisecond), key); !again.Equal(n) && n.Sub(now) > time.Millisecond {
				t.Fatalf("%s: %s and %s", name, n, again)
			}
			if second := s.Next(n, key); name == "every" && second.Sub(n) != time.Minute {
				t.Fatalf("the next but one is %s later", second.Sub(n))
			}
			seconds[n.Second()]++
		}
		for i, n := range seconds {
			if n < 50 || n > 170 {
				t.Errorf("%s: %d checks in second %d", name, n, i)
			}
		}
	}
}
