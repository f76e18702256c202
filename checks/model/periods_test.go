package model

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestPeriodsOfTasks(t *testing.T) {
	for _, c := range []struct{ name, yaml, want string }{
		{"right", `
periods: [{name: office, when: ["mon-fri 08:00-18:00"]}]
tasks: [{name: a, command: x, period: office}]
`, ""},
		{"one that is not there", `
tasks: [{name: a, command: x, period: office}]
`, "task a: there is no period office"},
		{"one that is wrong", `
periods: [{name: office, when: ["someday"]}]
tasks: [{name: a, command: x, period: office}]
`, `period office: "someday": "someday" is no day`},
		{"never due in it", `
periods: [{name: office, zone: UTC, when: ["mon-fri 08:00-18:00"]}]
tasks: [{name: a, command: x, period: office, schedule: "TZ=UTC 0 4 * * *"}]
`, "task a: its schedule TZ=UTC 0 4 * * * is never due in its period office"},
		{"by the schedule of host_tasks", `
periods: [{name: office, zone: UTC, when: ["mon-fri 08:00-18:00"]}]
tasks: [{name: a, command: x, period: office}]
host_tasks: [{tasks: [a], hosts: [b], schedule: "TZ=UTC 0 4 * * *"}]
`, "host_tasks (a on b): task a: its schedule TZ=UTC 0 4 * * * is never due in its period office"},
		{"moved out of it by the jitter", `
periods: [{name: night, zone: UTC, when: ["mon-sun 02:00-02:10"]}]
tasks: [{name: a, command: x, period: night, schedule: "TZ=UTC 0 2 * * *", jitter: 1h}]
`, "never due in its period night for a part of the hosts: the jitter of 1h leads out of it; make it shorter"},
		{"a jitter that stays in it", `
periods: [{name: night, zone: UTC, when: ["mon-sun 02:00-03:10"]}]
tasks: [{name: a, command: x, period: night, schedule: "TZ=UTC 0 2 * * *", jitter: 1h}]
`, ""},
		{"a jitter of a schedule that comes again in time", `
periods: [{name: night, zone: UTC, when: ["mon-sun 02:00-02:10"]}]
tasks: [{name: a, command: x, period: night, schedule: "TZ=UTC */5 * * * *", jitter: 20m}]
`, ""},
		{"every so often, and seldom", `
periods: [{name: night, zone: UTC, when: ["mon-sun 02:00-02:10"]}]
tasks: [{name: a, command: x, period: night, schedule: "@every 12h"}]
`, ""},
		{"one that is over was right once", `
periods: [{name: xmas, when: ["2001-12-24"]}]
tasks: [{name: a, command: x, period: xmas}]
`, ""},
	} {
		var d Defs
		if err := readYAML([]byte(c.yaml), &d); err != nil {
			t.Fatal(err)
		}
		if err := d.Check(""); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// What is due every so often is due for every host, however short its period, and not more often than it says.
func TestEverySoOftenInAPeriod(t *testing.T) {
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, when, every string
		days              int
		least, most       int // times in all
	}{
		{"often, in office hours", "mon-sun 08:00-18:00", "@every 1h", 10, 100, 100},
		{"twice a day, at night", "mon-sun 22:00-06:00", "@every 12h", 10, 9, 11},
		{"daily, in ten minutes", "mon-sun 02:00-02:10", "@every 24h", 10, 9, 10},
		{"hourly, in ten minutes", "mon-sun 02:00-02:10", "@every 1h", 10, 9, 10},
		{"daily, in two parts of the day", "mon-sun 08:00-09:00,17:00-18:00", "@every 24h", 10, 9, 10},
		{"weekly, on weekdays", "mon-fri 09:00-17:00", "@every 168h", 70, 9, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Defs
			if err := readYAML([]byte("periods: [{name: p, zone: UTC, when: [\""+c.when+"\"]}]"), &d); err != nil {
				t.Fatal(err)
			}
			made, wrong := d.periods(begin)
			if len(wrong) > 0 {
				t.Fatal(wrong)
			}
			s, err := ParseSchedule(c.every, 0)
			if err != nil {
				t.Fatal(err)
			}
			s = s.In(made["p"])
			for _, share := range []float64{0, 0.1, 0.3, 0.5, 0.77, 0.999} {
				n := 0
				for at := s.next(begin, share); at.Before(begin.AddDate(0, 0, c.days)); at = s.next(at, share) {
					if at.IsZero() || !s.May(at) {
						t.Fatalf("share %v: due at %v", share, at)
					}
					// Asked again in between, as after a start, it is due at the same time.
					if again := s.next(at.Add(-7*time.Minute), share); again.After(at) {
						t.Fatalf("share %v: %v, and %v when asked seven minutes before", share, at, again)
					}
					n++
				}
				if n < c.least || n > c.most {
					t.Errorf("share %v: %d times, want %d to %d", share, n, c.least, c.most)
				}
			}
		})
	}
}

// However many tasks name a period, it is made once, also one that is over and takes away what goes on for ever.
func TestPeriodsOfManyTasksAreCheckedInTime(t *testing.T) {
	text := "periods: [{name: n, when: ['sat,sun 22:00-06:00']}, {name: p, when: [2020-01-01 - 2020-06-30], except: [n]}]\ntasks:\n"
	for i := range 200 {
		text += fmt.Sprintf("  - {name: t%d, command: x, period: p}\n", i)
	}
	var d Defs
	if err := readYAML([]byte(text+"host_tasks: [{tasks: ['*'], hosts: [web1], schedule: '@every 2h'}]"), &d); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := d.Check(""); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("that took %s", took)
	}
}
