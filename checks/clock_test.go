package checks

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

func TestTheClockIsSet(t *testing.T) {
	const yaml = `
tasks:
  - {name: often, command: x, schedule: "@every 30s"}
  - {name: minute, command: x, schedule: "* * * * *"}
  - {name: daily, command: x, schedule: "TZ=UTC 30 2 * * *"}
  - {name: must, command: x, schedule: "TZ=UTC 30 2 * * *", catch_up: once}
host_tasks: [{tasks: ["*"], hosts: [loki]}]
`
	often, minute, daily, must := model.Key{Task: "often", Host: "loki"}, model.Key{Task: "minute", Host: "loki"}, model.Key{Task: "daily", Host: "loki"}, model.Key{Task: "must", Host: "loki"}
	t.Run("forwards", func(t *testing.T) {
		bubble(t, yaml, func(t *testing.T, g *ground) {
			time.Sleep(2*time.Hour + 5*time.Second)
			g.forgetRuns()
			g.step(time.Hour) // over 02:30
			time.Sleep(time.Minute)
			if n := len(g.times(often)); n < 2 || n > 3 {
				t.Errorf("often: %d times in a minute", n)
			}
			if n := len(g.times(minute)); n < 1 || n > 2 {
				t.Errorf("minute: %d times in a minute", n)
			}
			if n := len(g.times(daily)); n != 0 {
				t.Errorf("daily was missed, and ran %d times", n)
			}
			if n := len(g.times(must)); n != 1 {
				t.Errorf("must was missed, and ran %d times", n)
			}
		})
	})
	t.Run("backwards", func(t *testing.T) {
		bubble(t, yaml, func(t *testing.T, g *ground) {
			time.Sleep(3*time.Hour + 5*time.Second)
			if len(g.times(daily)) != 1 || len(g.times(must)) != 1 {
				t.Fatal(len(g.times(daily)), len(g.times(must)))
			}
			g.forgetRuns()
			g.step(-time.Hour) // before 02:30
			time.Sleep(2 * time.Minute)
			if n := len(g.times(often)); n < 3 || n > 5 {
				t.Errorf("often: %d times in two minutes", n)
			}
			if n := len(g.times(minute)); n < 1 || n > 3 {
				t.Errorf("minute: %d times in two minutes", n)
			}
			time.Sleep(2 * time.Hour)
			if len(g.times(daily)) != 0 || len(g.times(must)) != 0 {
				t.Errorf("what ran today ran again: %d %d", len(g.times(daily)), len(g.times(must)))
			}
			g.step(22 * time.Hour)
			time.Sleep(2 * time.Hour)
			if len(g.times(daily)) != 1 || len(g.times(must)) != 1 {
				t.Errorf("the next day: %d %d", len(g.times(daily)), len(g.times(must)))
			}
		})
	})
	t.Run("a little", func(t *testing.T) {
		bubble(t, yaml, func(t *testing.T, g *ground) {
			time.Sleep(2*time.Hour + 30*time.Minute + time.Second)
			if len(g.times(daily)) != 1 {
				t.Fatal("it did not run")
			}
			g.forgetRuns()
			g.step(-2 * time.Second)
			time.Sleep(58 * time.Second)
			if len(g.times(daily))+len(g.times(minute)) != 0 {
				t.Error("NTP moved the clock by two seconds, and it ran twice")
			}
		})
	})
}

func TestDaylightSaving(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	const yaml = `
tasks:
  - {name: night, command: x, schedule: "TZ=Europe/Berlin 30 2 * * *"}
  - {name: often, command: x, schedule: "TZ=Europe/Berlin */10 * * * *"}
host_tasks: [{tasks: ["*"], hosts: [loki]}]
`
	for _, c := range []struct {
		name        string
		from        time.Time
		night, runs int
	}{
		{"an hour is missing", time.Date(2027, 3, 28, 0, 5, 0, 0, berlin), 1, 24},
		{"an hour comes twice", time.Date(2027, 10, 31, 0, 5, 0, 0, berlin), 1, 36},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGround(t, yaml)
				g.step(time.Until(c.from))
				g.start()
				until := time.Date(c.from.Year(), c.from.Month(), c.from.Day(), 5, 5, 0, 0, berlin)
				time.Sleep(until.Sub(c.from))
				if n := len(g.times(model.Key{Task: "night", Host: "loki"})); n != c.night {
					t.Errorf("night ran %d times: %v", n, g.times(model.Key{Task: "night", Host: "loki"}))
				}
				if n := len(g.times(model.Key{Task: "often", Host: "loki"})); n != c.runs {
					t.Errorf("often ran %d times, want %d", n, c.runs)
				}
				g.stop()
			})
		})
	}
}

func TestOutage(t *testing.T) {
	const yaml = `
tasks:
  - {name: often, command: x, schedule: "@every 30s"}
  - {name: daily, command: x, schedule: "TZ=UTC 30 2 * * *"}
  - {name: must, command: x, schedule: "TZ=UTC 30 2 * * *", catch_up: once}
host_tasks: [{tasks: ["*"], hosts: [loki]}]
`
	often, daily, must := model.Key{Task: "often", Host: "loki"}, model.Key{Task: "daily", Host: "loki"}, model.Key{Task: "must", Host: "loki"}
	bubble(t, yaml, func(t *testing.T, g *ground) {
		g.oneDay()
		g.stop()
		g.forgetRuns()
		time.Sleep(time.Hour)
		g.start()
		time.Sleep(2 * time.Minute)
		if n := len(g.times(often)); n < 3 || n > 6 {
			t.Errorf("often ran %d times in two minutes behind an outage", n)
		}
		if len(g.times(daily)) != 0 || len(g.times(must)) != 1 {
			t.Errorf("skip ran %d times, once %d times", len(g.times(daily)), len(g.times(must)))
		}
	})
}

func TestWhatRanWhenItStoppedRunsAgain(t *testing.T) {
	bubble(t, `
tasks: [{name: daily, command: x, schedule: "TZ=UTC 30 2 * * *", timeout: 2h}]
host_tasks: [{tasks: ["*"], hosts: [loki]}]
`, func(t *testing.T, g *ground) {
		daily := model.Key{Task: "daily", Host: "loki"}
		g.oneDay()
		if len(g.times(daily)) != 1 {
			t.Fatal("it did not run the first day")
		}
		g.says(func(model.Key, int) outcome { return outcome{took: time.Hour} })
		time.Sleep(time.Hour) // it runs
		g.stop()              // waits for it: its context has ended, so it has no result
		time.Sleep(3 * time.Hour)
		g.forgetRuns()
		g.start()
		time.Sleep(time.Minute)
		if n := len(g.times(daily)); n != 1 {
			t.Errorf("it ran %d times after the start", n)
		}
		time.Sleep(3 * time.Hour)
		res, err := g.Results(t.Context(), ResultFilter{Keys: []model.Key{daily}})
		if err != nil || len(res) != 2 {
			t.Errorf("%d results on record, %v", len(res), err)
		}
	})
}

// The same for one that has just begun: that this server works is noted every few seconds only.
func TestWhatHadJustBegunRunsAgain(t *testing.T) {
	for _, after := range []time.Duration{200 * time.Millisecond, 4200 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			bubble(t, `
tasks: [{name: daily, command: x, schedule: "TZ=UTC 30 2 * * *", timeout: 2h}, {name: later, command: x, schedule: "TZ=UTC 31 2 * * *"}]
host_tasks: [{tasks: ["*"], hosts: [loki]}]
`, func(t *testing.T, g *ground) {
				daily, later := model.Key{Task: "daily", Host: "loki"}, model.Key{Task: "later", Host: "loki"}
				g.oneDay()
				g.says(func(model.Key, int) outcome { return outcome{took: time.Hour} })
				g.forgetRuns()
				for len(g.times(daily)) == 0 {
					time.Sleep(100 * time.Millisecond)
				}
				time.Sleep(after)
				g.stop()
				time.Sleep(3 * time.Hour)
				g.forgetRuns()
				g.start()
				time.Sleep(time.Minute)
				if n := len(g.times(daily)); n != 1 {
					t.Errorf("it ran %d times after the start", n)
				}
				if n := len(g.times(later)); n != 0 {
					t.Errorf("what was due while nothing ran, ran %d times", n)
				}
			})
		})
	}
}

// The same for the first time that it ever runs.
func TestTheFirstRunIsCutShort(t *testing.T) {
	bubble(t, `
tasks: [{name: daily, command: x, schedule: "TZ=UTC 30 2 * * *", timeout: 2h}]
host_tasks: [{tasks: ["*"], hosts: [loki]}]
`, func(t *testing.T, g *ground) {
		daily := model.Key{Task: "daily", Host: "loki"}
		g.says(func(model.Key, int) outcome { return outcome{took: time.Hour} })
		time.Sleep(3 * time.Hour)
		g.stop() // it runs, and has no result
		g.forgetRuns()
		g.says(func(model.Key, int) outcome { return outcome{} })
		g.start()
		time.Sleep(2 * time.Minute)
		if n := len(g.times(daily)); n != 1 {
			t.Errorf("it ran %d times after the start", n)
		}
	})
}
