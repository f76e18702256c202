package command

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
)

// TestWhenItBegins: what people write for a time, in zones whose clocks are set twice a year. Berlin goes forward on
// 2026-03-29 at 02:00 and back on 2026-10-25 at 03:00; Santiago forward on 2026-09-06 at midnight and back on
// 2026-04-05 at midnight.
func TestWhenItBegins(t *testing.T) {
	const berlin, santiago = "Europe/Berlin", "America/Santiago"
	for _, c := range []struct {
		zone, now, text, want string // now and want in UTC; want may be what is said in its place
	}{
		{"", "2026-11-28 17:00", "03:00", "2026-11-29 03:00"},
		{"", "2026-11-28 02:59", "03:00", "2026-11-28 03:00"},
		{"", "2026-11-28 03:00", "03:00", "2026-11-29 03:00"},
		{"", "2026-11-28 03:00", "3:00", "2026-11-29 03:00"},
		{"", "2026-12-31 23:59", "00:00", "2027-01-01 00:00"},
		{"", "2026-11-28 17:00", "2026-12-01 03:00", "2026-12-01 03:00"},
		{"", "2026-11-28 17:00", "2026-12-01T03:00", "2026-12-01 03:00"},
		{"", "2026-11-28 17:00", "2026-12-01T03:00:00+01:00", "2026-12-01 02:00"},
		{"", "2026-11-28 17:00", "2026-12-01T03:00:00+24:59", "no zone is as far from UTC"},
		{"", "2026-11-28 17:00", "2026-12-01T03:00:00-23:30", "no zone is as far from UTC"},
		{"", "2026-11-28 17:00", "2026-11-28 17:00", "Sat 2026-11-28 17:00 UTC is in the past"},
		{"", "2026-11-28 17:00", "2026-11-28 16:59", "is in the past"},
		{"", "2026-11-28 17:00", "2026-12-28 17:00", "2026-12-28 17:00"},
		{"", "2026-11-28 17:00", "2026-12-28 17:01", "more than 30 days from now"},
		{"", "2026-11-28 17:00", "24:00", "no time that I know"},
		{"", "2026-11-28 17:00", "2026-02-30 03:00", "no time that I know"},
		{"", "2026-11-28 17:00", "soon", `write it as in ` + "`at 03:00` or `at 2026-11-29 03:00`"},
		{"", "2026-11-28 17:00", "03:00 tomorrow", "no time that I know"},
		{berlin, "2026-11-28 17:00", "03:00", "2026-11-29 02:00"},
		{berlin, "2026-11-28 23:30", "00:45", "2026-11-28 23:45"}, // it is the 29th there
		{berlin, "2026-07-28 23:30", "03:00", "2026-07-29 01:00"},
		{berlin, "2026-03-28 20:00", "2026-03-29 02:30", "there is no 2026-03-29 02:30 in Europe/Berlin: the clocks are set forward over it"},
		{berlin, "2026-03-28 20:00", "02:30", "there is no 2026-03-29 02:30"},
		{berlin, "2026-03-29 00:59", "02:00", "there is no 2026-03-29 02:00"},
		{berlin, "2026-03-29 00:59", "03:00", "2026-03-29 01:00"},
		{berlin, "2026-03-29 02:00", "02:30", "2026-03-30 00:30"}, // today's was left out, and is over
		{berlin, "2026-03-29 00:59", "01:59", "2026-03-29 23:59"},
		{berlin, "2026-10-24 20:00", "02:30", "2026-10-25 02:30 comes twice in Europe/Berlin"},
		{berlin, "2026-10-24 20:00", "2026-10-25 02:30", "say which: `at 2026-10-25T02:30:00+02:00` or `at 2026-10-25T02:30:00+01:00`"},
		{berlin, "2026-10-24 20:00", "2026-10-25T02:30:00+02:00", "2026-10-25 00:30"},
		{berlin, "2026-10-24 20:00", "2026-10-25T02:30:00+01:00", "2026-10-25 01:30"},
		{berlin, "2026-10-25 00:45", "02:30", "2026-10-25 01:30"}, // the first is over
		{berlin, "2026-10-25 01:45", "02:30", "2026-10-26 01:30"},
		{berlin, "2026-10-24 20:00", "03:00", "2026-10-25 02:00"},
		{berlin, "2026-10-24 20:00", "01:59", "2026-10-24 23:59"},
		{santiago, "2026-09-05 20:00", "00:30", "there is no 2026-09-06 00:30 in America/Santiago"},
		{santiago, "2026-09-05 20:00", "00:00", "there is no 2026-09-06 00:00"},
		{santiago, "2026-09-05 20:00", "2026-09-06 00:30", "there is no 2026-09-06 00:30"},
		{santiago, "2026-09-05 20:00", "01:00", "2026-09-06 04:00"},
		{santiago, "2026-09-06 05:00", "00:30", "2026-09-07 03:30"},
		{santiago, "2026-04-04 20:00", "23:30", "2026-04-04 23:30 comes twice in America/Santiago"},
		{santiago, "2026-04-05 03:00", "23:30", "2026-04-05 03:30"},
		{santiago, "2026-04-04 20:00", "00:00", "2026-04-05 04:00"},
	} {
		now, err := time.Parse(dayTime, c.now)
		if err != nil {
			t.Fatal(err)
		}
		e := &Env{Zone: Zone(c.zone), Now: func() time.Time { return now }}
		at, err := e.when(c.text)
		got := at.UTC().Format(dayTime)
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%q at %s in %q: %s, want %s", c.text, c.now, c.zone, got, c.want)
		}
		if err != nil {
			var u *UserError
			if !errors.As(err, &u) || !errors.Is(err, ErrUsage) {
				t.Errorf("%q: %#v", c.text, err)
			}
			continue
		}
		if again, err := e.when(sayable(at, e.zone())); err != nil || !again.Equal(at) {
			t.Errorf("%s as it is said is %s, %v", sayable(at, e.zone()), again, err)
		}
	}
	if err := Zone("Mars/Olympus").Check(); err == nil || !strings.Contains(err.Error(), "zone") {
		t.Errorf("Check = %v", err)
	}
	if err := errors.Join(Zone("").Check(), Zone(berlin).Check()); err != nil {
		t.Error(err)
	}
}

// FuzzWhen: what is understood is after now and within 30 days, and is the same when it is said back.
func FuzzWhen(f *testing.F) {
	for _, s := range []string{"03:00", "3:0", "2026-12-01 03:00", "2026-12-01T03:00:00+01:00", "24:00", "", "2026-10-25 02:30"} {
		f.Add(s, int64(1795885200), "Europe/Berlin")
		f.Add(s, int64(1788638400), "America/Santiago")
	}
	f.Fuzz(func(t *testing.T, text string, unix int64, zone string) {
		now := time.Unix(unix%(1<<33), 0)
		e := &Env{Zone: Zone(zone), Now: func() time.Time { return now }}
		at, err := e.when(text)
		if err != nil {
			return
		}
		if !at.After(now) || at.Sub(now) > maxAhead {
			t.Errorf("%q at %s is %s", text, now, at)
		}
		if again, err := e.when(sayable(at, e.zone())); err != nil || !again.Truncate(time.Second).Equal(at.Truncate(time.Second)) {
			t.Errorf("%q is %s, said back %s: %v", text, at, again, err)
		}
	})
}

// TestFreezesInARow: the time after a freeze is that after all that follow on it.
func TestFreezesInARow(t *testing.T) {
	list := Freezes{{When: "Fri 16:00–Mon 06:00"}, {When: "2026-11-30 05:00–2026-12-01 06:00", Except: []string{access.Admin}}}
	alice, root := access.Person{Name: "alice", Roles: []string{access.Deploy}}, access.Person{Name: "root", Roles: []string{access.Admin}}
	now := time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)
	for p, want := range map[*access.Person]string{&alice: "2026-12-01 06:00", &root: "2026-11-30 06:00"} {
		if got := list.clear(*p, now).Format(dayTime); got != want {
			t.Errorf("%s: %s, want %s", p.Name, got, want)
		}
	}
	never := Freezes{{When: "Mon 00:00–Thu 00:00"}, {When: "Wed 00:00–Tue 00:00"}}
	if got := never.clear(alice, now); !got.IsZero() {
		t.Errorf("one that never ends: %s", got)
	}
	e := &Env{Freeze: list, Zone: "Europe/Berlin", Now: func() time.Time { return now }}
	if _, err := e.frozen(alice, now.Add(time.Hour), "redeploy"); err == nil || !strings.Contains(err.Error(), "there is a freeze then, until 2026-11-30 06:00:00 UTC: nothing begins; `redeploy … at 2026-12-01 07:00`") {
		t.Errorf("alice: %v", err)
	}
}
