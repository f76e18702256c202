package checks

import (
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

// A task is checked in its period alone, also after a restart, and while a problem is looked at again.
func TestCheckedInItsPeriod(t *testing.T) {
	bubble(t, `
periods:
  - {name: office, zone: UTC, when: ["00:10-00:20,01:00-01:30"], except: [holidays]}
  - {name: holidays, zone: UTC, when: ["2000-01-01 01:10-01:20"]}
tasks:
  - {name: often, command: x, schedule: "@every 2m", retry: 1m, period: office}
  - {name: fixed, command: x, schedule: "TZ=UTC 5,15,50 * * * *", period: office, catch_up: once}
host_tasks: [{tasks: ["*"], hosts: [loki]}]
`, func(t *testing.T, g *ground) { // it begins at midnight
		often, fixed := model.Key{Task: "often", Host: "loki"}, model.Key{Task: "fixed", Host: "loki"}
		g.says(func(model.Key, int) outcome { return outcome{exit: 2, stdout: "no"} })
		time.Sleep(9 * time.Minute)
		if n := len(g.times(often)) + len(g.times(fixed)); n != 0 {
			t.Fatalf("%d runs before the period", n)
		}
		time.Sleep(5*time.Minute + 30*time.Second) // 00:14:30
		if n := len(g.times(often)); n < 2 || n > 5 {
			t.Errorf("%d runs in five minutes", n)
		}
		g.stop()
		time.Sleep(15 * time.Minute)
		g.start()
		time.Sleep(70 * time.Minute) // 01:39:30
		if n := len(g.times(often)); n < 11 || n > 18 {
			t.Errorf("often ran %d times", n)
		}
		if n := len(g.times(fixed)); n != 1 {
			t.Errorf("fixed ran %d times: %v", n, g.times(fixed))
		}
		for _, k := range []model.Key{often, fixed} {
			for _, at := range g.times(k) {
				if at := at.UTC(); at.Hour() == 0 && (at.Minute() < 10 || at.Minute() >= 20) || at.Hour() == 1 && (at.Minute() >= 10 && at.Minute() < 20 || at.Minute() >= 30) {
					t.Errorf("%s ran at %s", k, at)
				}
			}
		}
	})
}
