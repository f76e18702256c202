package command

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

func TestFreeze(t *testing.T) {
	weekend, nights := Freeze{When: "Fri 16:00–Mon 06:00"}, Freeze{When: "Tue 22:00-Wed 05:30", Zone: "Europe/Berlin"}
	holidays := Freeze{When: "2026-12-20 00:00 – 2027-01-02 06:00"}
	for _, c := range []struct {
		f          Freeze
		now, until string // in UTC; until "": it is no freeze
	}{
		{weekend, "2026-11-27 15:59", ""}, {weekend, "2026-11-27 16:00", "2026-11-30 06:00"}, {weekend, "2026-11-28 15:00", "2026-11-30 06:00"},
		{weekend, "2026-11-30 05:59", "2026-11-30 06:00"}, {weekend, "2026-11-30 06:00", ""}, {weekend, "2026-12-02 12:00", ""},
		{nights, "2026-11-24 20:59", ""}, {nights, "2026-11-24 21:00", "2026-11-25 04:30"}, // in winter Berlin is an hour ahead
		{nights, "2026-07-07 20:00", "2026-07-08 03:30"}, {nights, "2026-07-08 03:30", ""},
		{Freeze{When: "Mon 06:00-Mon 05:00"}, "2026-11-30 05:30", ""}, {Freeze{When: "Mon 06:00-Mon 05:00"}, "2026-11-30 04:30", "2026-11-30 05:00"},
		{Freeze{When: "Sun 00:00-Sat 00:00"}, "2026-11-28 10:00", ""}, {Freeze{When: "Sun 00:00-Sat 00:00"}, "2026-11-27 23:00", "2026-11-28 00:00"},
		{holidays, "2026-12-19 23:59", ""}, {holidays, "2026-12-31 12:00", "2027-01-02 06:00"}, {holidays, "2027-01-02 06:00", ""},
	} {
		now, err := time.Parse(dayTime, c.now)
		if err != nil {
			t.Fatal(err)
		}
		until, frozen, err := c.f.at(now)
		got := ""
		if frozen {
			got = until.UTC().Format(dayTime)
		}
		if err != nil || got != c.until {
			t.Errorf("%s %s at %s: %q, want %q (%v)", c.f.When, c.f.Zone, c.now, got, c.until, err)
		}
	}
	err := Freezes{{When: "Friday"}, {When: "Fri 16:00-Fri 16:00"}, {When: "Fry 16:00-Mon 06:00"}, {When: "Fri 25:00-Mon 06:00"}, {When: "2027-01-02 06:00–2026-12-20 00:00"},
		{When: "Fri 16:00–Mon 06:00", Zone: "Mars/Olympus"}, {When: "Fri 16:00–Mon 06:00", Except: []string{"chief"}}, weekend, nights, holidays}.Check()
	for _, want := range []string{"freeze[0].when", "freeze[1].when", "freeze[2].when", "freeze[3].when", "freeze[4].when", "freeze[5].zone", "freeze[6].except[0]"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check = %v, without %q", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "freeze[7]") {
		t.Errorf("Check = %v", err)
	}

	e := &Env{Freeze: Freezes{{When: "Fri 16:00–Mon 06:00", Because: "the weekend.", Except: []string{access.Admin}}}, Now: func() time.Time { return time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC) }}
	_, err = e.frozen(access.Person{Name: "alice", Roles: []string{access.Deploy}}, time.Time{}, "deploy")
	if err == nil || !strings.Contains(err.Error(), "there is a freeze until 2026-11-30 06:00:00 UTC (the weekend): nothing begins; who has the role admin may all the same") {
		t.Errorf("alice: %v", err)
	}
	if err == nil || !strings.HasSuffix(err.Error(), "and undone; `deploy … at 2026-11-30 06:00` has it begin after that") {
		t.Errorf("the other way: %v", err)
	}
	if remark, err := e.frozen(access.Person{Name: "root", Roles: []string{access.Admin}}, time.Time{}, "deploy"); err != nil || !strings.Contains(remark, "There is a freeze until") {
		t.Errorf("root: %q, %v", remark, err)
	}
}

// A client whose answer was lost asks again with the same key. What began before the freeze is told then as it was at
// first; all else is refused.
func TestARepeatedKeyInAFreeze(t *testing.T) {
	w := newWalk(t)
	ask := func(who, key, host string) (Answer, error) {
		return w.table.Do(t.Context(), Call{Words: []string{"deploy", "FILE"}, File: []byte("instance:\n  hostname: " + host + "\n  provider: toy\n"), Person: people[who], Asker: who, Via: "test", Key: key})
	}
	first, err := ask("alice", "k", "loki")
	if err != nil || first.Run == nil {
		t.Fatalf("before the freeze: %+v, %v", first, err)
	}
	w.is("loki", pipeline.Ready)
	now := time.Now().UTC()
	w.table.env().Freeze = Freezes{{When: now.AddDate(0, 0, -1).Format(dayTime) + "–" + now.AddDate(0, 0, 1).Format(dayTime)}}
	if again, err := ask("alice", "k", "loki"); err != nil || again.Run == nil || again.Run.ID != first.Run.ID {
		t.Errorf("the same again: %+v, %v; want run %d", again, err, first.Run.ID)
	}
	if a, err := ask("alice", "k", "thor"); err == nil || !strings.Contains(err.Error(), "was used for run") {
		t.Errorf("something else with the same key: %+v, %v", a, err)
	}
	for name, try := range map[string][2]string{"no key": {"alice", ""}, "another key": {"alice", "l"}, "the key of somebody else": {"bob", "k"}} {
		if a, err := ask(try[0], try[1], "loki"); !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "there is a freeze") {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}
