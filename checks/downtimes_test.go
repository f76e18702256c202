package checks

import (
	"testing"
	"time"
)

const diskProblem = "disk is CRITICAL on loki: full. `check show disk on loki`"

// A downtime that was announced holds when its time comes, whatever was restarted before; what is wrong after it is told.
func TestAPlannedDowntime(t *testing.T) {
	bubble(t, simple, func(t *testing.T, g *ground) {
		time.Sleep(time.Minute)
		made, err := g.Silence(t.Context(), Downtime{Host: "lo*", From: g.wall().Add(time.Hour), Until: g.wall().Add(2 * time.Hour), By: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		never, err := g.Silence(t.Context(), Downtime{Host: "lo*", From: g.wall().Add(2 * time.Hour), Until: g.wall().Add(20 * time.Hour), By: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.Silence(t.Context(), Downtime{Host: "lo*", From: g.wall().Add(2 * time.Hour), Until: g.wall().Add(time.Hour), By: "alice"}); err == nil {
			t.Error("it would end before it begins")
		}
		g.fails()
		time.Sleep(time.Minute)
		g.wantLines(diskProblem) // it has not begun
		g.well()
		time.Sleep(time.Minute)
		again := "disk is OK again on loki after 1m"
		g.wantLines(diskProblem, again)
		g.stop()
		g.start()
		if list := g.Downtimes(); len(list) != 2 || list[0].ID != made[0].ID || !list[0].From.After(g.wall()) {
			t.Errorf("%+v", list)
		}
		if _, err := g.EndSilence(t.Context(), never[0].ID); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		g.fails()
		time.Sleep(30 * time.Minute)
		g.wantLines(diskProblem, again)
		time.Sleep(time.Hour)
		g.wantLines(diskProblem, again, diskProblem)
	})
}

// One that comes again and again does, for those that it names.
func TestARecurringDowntime(t *testing.T) {
	bubble(t, simple+`
periods: [{name: backup, zone: UTC, when: ["01:00-02:00"]}]
downtimes: [{name: nightly, hosts: ["lo*"], tasks: [disk], period: backup, because: "the disk is full of it"}]
`, func(t *testing.T, g *ground) { // it begins at midnight
		time.Sleep(90 * time.Minute)
		if list := g.Downtimes(); len(list) != 1 || list[0].Name != "nightly" || list[0].Every != "backup" || list[0].Why == "" || list[0].Until.Sub(g.wall()) != 30*time.Minute {
			t.Errorf("%+v", list)
		}
		g.fails()
		time.Sleep(10 * time.Minute)
		g.wantLines()
		v, err := g.Show(t.Context(), diskLoki)
		if err != nil || v.Hidden != "downtime nightly (backup)" {
			t.Errorf("%+v %v", v, err)
		}
		g.well()
		time.Sleep(10 * time.Minute)
		g.fails()
		time.Sleep(9 * time.Minute)
		g.wantLines()
		time.Sleep(2 * time.Minute)
		g.wantLines(diskProblem)
		if list := g.Downtimes(); len(list) != 1 || list[0].From.Sub(g.wall()) != 23*time.Hour-time.Minute {
			t.Errorf("%+v", list)
		}
	})
}
