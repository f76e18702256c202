package calendar

import (
	"testing"
	"time"
)

// The slow truth: a clock on the wall that is watched minute by minute, and the latest it has shown.
func TestWalk(t *testing.T) {
	office := func(d time.Time, minute int) bool {
		return d.Weekday() >= time.Monday && d.Weekday() <= time.Friday && minute >= 8*60 && minute < 18*60
	}
	night := func(d time.Time, minute int) bool { return minute >= 22*60 || minute < 2*60+30 }
	early := func(d time.Time, minute int) bool { return minute >= 2*60 && minute < 2*60+30 }
	around := func(d time.Time, minute int) bool { return minute >= 23*60+30 || minute < 30 }
	sundays := func(d time.Time, minute int) bool {
		return d.Weekday() == time.Sunday && d.AddDate(0, 0, 7).Month() != d.Month()
	}
	for _, zone := range []struct{ name, from string }{
		{"Europe/Berlin", "2026-03-20 00:00"},
		{"Europe/Berlin", "2026-10-18 00:00"},
		{"America/Havana", "2026-03-01 00:00"}, // jumps at midnight
		{"America/Havana", "2026-10-25 00:00"},
		{"America/Sao_Paulo", "2018-10-28 00:00"},
		{"America/Sao_Paulo", "2018-02-10 00:00"},
		{"America/St_Johns", "2006-10-22 00:00"}, // at a minute past midnight
		{"Australia/Lord_Howe", "2026-03-28 00:00"},
		{"Pacific/Apia", "2011-12-24 00:00"}, // one day was left out
		{"Asia/Kathmandu", "2026-05-25 00:00"},
	} {
		for _, c := range []struct {
			lines []string
			truth func(d time.Time, minute int) bool
		}{
			{[]string{"mon-fri 08:00-18:00"}, office}, {[]string{"22:00-02:30"}, night}, {[]string{"02:00-02:30"}, early}, {[]string{"23:30-00:30"}, around},
			{[]string{"sunday -1"}, sundays},
		} {
			walk(t, zone.name, zone.from, one(t, zone.name, c.lines...), c.truth, c.lines[0])
		}
	}
}

func walk(t *testing.T, name, from string, p *Period, truth func(time.Time, int) bool, what string) {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	begin := at(t, from).Truncate(time.Minute)
	var latest time.Time // on the wall
	var was bool
	next := time.Time{}
	for n := begin; n.Before(begin.AddDate(0, 0, 18)); n = n.Add(time.Minute) {
		y, m, d := n.In(zone).Date()
		hour, minute, _ := n.In(zone).Clock()
		if shows := time.Date(y, m, d, hour, minute, 0, 0, time.UTC); shows.After(latest) {
			latest = shows
		}
		want := truth(latest.Truncate(day), latest.Hour()*60+latest.Minute())
		if n.Before(begin.AddDate(0, 0, 2)) {
			was = want // it begins to know what was shown
			continue
		}
		if got := p.Within(n); got != want {
			t.Fatalf("%s, %s: %s is in it: %v, want %v", what, name, n.In(zone), got, want)
		}
		if want != was && !next.IsZero() && !next.Equal(n) {
			t.Fatalf("%s, %s: the next change was to be %s, and is %s", what, name, next.In(zone), n.In(zone))
		}
		if want != was || next.IsZero() {
			next = p.Next(n)
		}
		was = want
	}
}

// What is written by people may be anything: it is refused, or both answers agree.
func FuzzLine(f *testing.F) {
	for _, seed := range []string{"mon-fri 08:00-18:00", "2026-12-24 - 2027-01-02 / 2", "day -1", "monday -1 may 22:00-06:00,07:00-07:30", "dec 24 - jan 2 off", "sat-mon", "day 30 - 2", "tuesday 1 april - friday 2 may / 6"} {
		f.Add(seed, int64(1_800_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		made, _ := Compile([]Def{{Name: "p", Zone: "Europe/Berlin", When: []string{text}}}, at(t, "2026-01-01 00:00"))
		p := made["p"]
		if p == nil {
			return
		}
		n := time.Unix(unix%4_000_000_000, 0)
		in, next := p.Within(n), p.Next(n)
		if next.IsZero() {
			return
		}
		if !next.After(n) || p.Within(next) == in || p.Within(next.Add(-1)) != in {
			t.Errorf("%q: from %s (%v) it changes at %s (%v)", text, n, in, next, p.Within(next))
		}
	})
}
