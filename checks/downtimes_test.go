package checks

import (
	"errors"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

const diskProblem = "disk is CRITICAL on loki: full. `check show disk on loki`"

// A downtime that was announced holds when its time comes, whatever was restarted before; what is wrong after it is
// told.
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

// Downtimes by themselves: what is begun counts at once and after a new start, what is ended does not, and others are
// told.
func TestDowntimesAlone(t *testing.T) {
	told := 0
	d := downtimes{tell: func() { told++ }}
	var now *time.Time
	d.tools, now = recordAlone(t)
	ctx := t.Context()
	list, err := d.begin(ctx, []Downtime{{Host: "lo*", Until: noon.Add(time.Hour), By: "alice"}, {Task: "disk", From: noon.Add(2 * time.Hour), Until: noon.Add(3 * time.Hour), By: "bob"}})
	if err != nil || len(list) != 2 || told != 1 {
		t.Fatalf("%+v, told %d times, %v", list, told, err)
	}
	if _, err := d.begin(ctx, []Downtime{{Until: noon.Add(time.Hour)}, {Until: noon}}); !errors.Is(err, model.ErrInvalid) {
		t.Errorf("one of them ends before it begins: %v", err)
	}
	why := func(d *downtimes, host string) bool { return d.why(model.Key{Task: "disk", Host: host}, *now) != "" }
	again := downtimes{tools: d.tools, tell: d.tell} // of a server that starts now
	if err := again.read(ctx); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		after      time.Duration
		loki, odin bool
		left       int
	}{{0, true, false, 2}, {time.Hour, false, false, 1}, {2 * time.Hour, true, true, 1}, {3 * time.Hour, false, false, 0}} {
		*now = noon.Add(x.after)
		for name, d := range map[string]*downtimes{"who began them": &d, "who starts": &again} {
			if loki, odin, left := why(d, "loki"), why(d, "odin"), len(d.from(*now)); loki != x.loki || odin != x.odin || left != x.left {
				t.Errorf("after %s %s has loki %t, odin %t, and %d left", x.after, name, loki, odin, left)
			}
		}
	}
	*now = noon.Add(2 * time.Hour)
	if x, err := again.end(ctx, list[1].ID); err != nil || x.By != "bob" || why(&again, "odin") || told != 2 {
		t.Errorf("ended: %+v, told %d times, %v", x, told, err)
	}
	if _, err := again.end(ctx, list[1].ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("it is ended a second time: %v", err)
	}
	p, err := d.planned(ctx, model.Interval{From: noon, Until: noon.Add(4 * time.Hour)})
	if err != nil || len(p) != 1 { // the other was ended as it began
		t.Errorf("%d were planned, %v", len(p), err)
	}
}

// A host is quiet while a run works on it, and a moment longer; another run begins that again.
func TestDeploymentsAlone(t *testing.T) {
	var d deployments
	at := func(after time.Duration, moving map[string]int64, want string) {
		t.Helper()
		now := noon.Add(after)
		d.saw(moving, now)
		if got := d.why("loki", now); got != want {
			t.Errorf("after %s: %q, want %q", after, got, want)
		}
	}
	one, two := map[string]int64{"loki": 1}, map[string]int64{"loki": 2, "odin": 3}
	at(0, nil, "")
	at(time.Second, one, "run 1 works on it")
	at(time.Hour, one, "run 1 works on it")
	ended := "run 1 has just ended on it; problems are told from 2027-01-01 13:02:01 UTC on"
	at(time.Hour+time.Second, nil, ended)
	at(time.Hour+time.Minute, nil, ended)
	at(time.Hour+90*time.Second, two, "run 2 works on it")
	at(2*time.Hour, nil, "run 2 has just ended on it; problems are told from 2027-01-01 14:02:00 UTC on")
	at(2*time.Hour+settleDown, nil, "")
	if len(d.hosts) != 0 {
		t.Errorf("%d are kept for ever", len(d.hosts))
	}
}
