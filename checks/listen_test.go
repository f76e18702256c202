package checks

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

const listening = `
tasks: [{name: disk, command: x, schedule: "0 * * * * *", attempts: 1}]
host_tasks: [{tasks: [disk], hosts: [loki]}]
contacts: [{name: ops, channel: "#ops"}, {name: boss, person: boss}, {name: day, person: day, period: office}]
periods: [{name: office, zone: UTC, when: ["02:00-04:00"]}]
`

// played has a check be what the test says.
func (g *ground) played() *atomic.Int64 {
	var status atomic.Int64
	g.says(func(model.Key, int) outcome { return outcome{exit: int(status.Load()), stdout: "it says"} })
	return &status
}

// Who is told after a while, and again, until somebody acknowledges it, or it is over: also over a restart.
func TestEscalation(t *testing.T) {
	bubble(t, listening+`
actions:
  - {name: tell, notify: [ops]}
  - {name: wake, notify: [boss], after: 30m, every: 1h}
`, func(t *testing.T, g *ground) {
		status := g.played()
		time.Sleep(30 * time.Second)
		first := "#ops disk is CRITICAL on loki: it says. `check show disk on loki`"
		status.Store(2) // from 00:01:00 on
		time.Sleep(20 * time.Minute)
		g.wantLines(first)
		status.Store(0)
		time.Sleep(20 * time.Minute)
		g.wantLines(first, "#ops disk is OK again on loki after 20m") // it did not stand for so long

		status.Store(2) // from 00:41:00 on
		time.Sleep(20 * time.Minute)
		g.stop() // 01:00:30
		time.Sleep(5 * time.Minute)
		g.start()
		time.Sleep(4 * time.Minute)
		said := []string{first, "#ops disk is OK again on loki after 20m", first}
		g.wantLines(said...)
		time.Sleep(2 * time.Minute) // 01:11:30
		said = append(said, "boss disk is still CRITICAL on loki after 30m, not acknowledged: it says. `ack disk on loki`")
		g.wantLines(said...)
		time.Sleep(30 * time.Minute)
		g.stop() // 01:41:30
		time.Sleep(5 * time.Minute)
		g.start()
		time.Sleep(20 * time.Minute)
		g.wantLines(said...)
		time.Sleep(6 * time.Minute) // 02:12:30
		said = append(said, "boss disk is still CRITICAL on loki after 1h30m, not acknowledged: it says. `ack disk on loki`")
		g.wantLines(said...)

		if _, err := g.Acknowledge(t.Context(), []model.Key{diskLoki}, Ack{By: "alice", Until: g.wall().Add(3 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(150 * time.Minute) // 04:42:30
		g.wantLines(said...)
		time.Sleep(31 * time.Minute) // the acknowledgement is over, and it stands: both begin again
		said = append(said, "#ops disk is still CRITICAL on loki: it says. `check show disk on loki`")
		g.wantLines(said...)
		time.Sleep(30 * time.Minute)
		said = append(said, "boss disk is still CRITICAL on loki after 5h1m, not acknowledged: it says. `ack disk on loki`")
		g.wantLines(said...)
		status.Store(0)
		time.Sleep(2 * time.Minute)
		if got := g.lines(); len(got) != len(said)+2 || !strings.HasPrefix(got[len(said)], "#ops disk is OK again on loki after 5h") || !strings.HasPrefix(got[len(said)+1], "boss disk is OK again on loki after 5h") {
			t.Errorf("%q", got[len(said):])
		}
	})
}

// What nobody could hear of, because it was hidden, nobody could acknowledge: the time counts from when it was told.
func TestEscalationAfterADowntime(t *testing.T) {
	bubble(t, listening+`
actions:
  - {name: tell, notify: [ops]}
  - {name: wake, notify: [boss], after: 30m, status: [critical]}
`, func(t *testing.T, g *ground) {
		status := g.played()
		if _, err := g.Silence(t.Context(), Downtime{Until: g.wall().Add(time.Hour), By: "alice"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		status.Store(1) // from 00:01:00 on
		time.Sleep(80 * time.Minute)
		said := []string{"#ops disk is WARNING on loki: it says. `check show disk on loki`"}
		g.wantLines(said...)
		time.Sleep(20 * time.Minute) // it is a warning only
		g.wantLines(said...)
		status.Store(2)
		time.Sleep(2 * time.Minute)
		said = append(said, "#ops disk is CRITICAL on loki: it says. `check show disk on loki`", "boss disk is still CRITICAL on loki after 1h40m, not acknowledged: it says. `ack disk on loki`")
		g.wantLines(said...)
		time.Sleep(2 * time.Hour) // it is told once
		g.wantLines(said...)
	})
}

// A contact is told in its period what is still so when that begins; what came and went before leaves no trace.
func TestPeriodsOfContacts(t *testing.T) {
	bubble(t, listening+`
actions: [{name: tell, notify: [ops, day]}]
`, func(t *testing.T, g *ground) {
		status := g.played()
		of := func(who string) (out []string) {
			for _, l := range g.lines() {
				if rest, ok := strings.CutPrefix(l, who+" "); ok {
					out = append(out, rest)
				}
			}
			return out
		}
		time.Sleep(10*time.Minute + 30*time.Second)
		status.Store(2)
		time.Sleep(10 * time.Minute)
		status.Store(0)
		time.Sleep(10 * time.Minute)
		status.Store(1)
		time.Sleep(80 * time.Minute) // 01:50:30
		if n := len(of("#ops")); n != 3 || of("day") != nil {
			t.Fatalf("%q", g.lines())
		}
		g.stop()
		g.start()
		time.Sleep(15 * time.Minute)
		want := []string{"disk is still WARNING on loki after 1h29m: it says. `check show disk on loki`"}
		if got := of("day"); len(got) != 1 || got[0] != want[0] {
			t.Errorf("%q, want %q", got, want)
		}
		status.Store(2)
		time.Sleep(5 * time.Minute)
		want = append(want, "disk is CRITICAL on loki: it says. `check show disk on loki`")
		if got := of("day"); len(got) != 2 || got[1] != want[1] {
			t.Errorf("%q, want %q", got, want)
		}
		time.Sleep(2 * time.Hour) // 04:10
		status.Store(0)           // the contact hears of it in the next period
		time.Sleep(time.Hour)
		if got := of("day"); len(got) != 2 || len(of("#ops")) != 5 {
			t.Errorf("%q", g.lines())
		}
		g.step(20*time.Hour + 50*time.Minute) // 02:00 of the next day
		time.Sleep(5 * time.Minute)
		if got := of("day"); len(got) != 3 || !strings.HasPrefix(got[2], "disk is OK again on loki after ") {
			t.Errorf("%q", got)
		}
	})
}

// The period of an action holds for what it does, and both periods for a contact that has one.
func TestPeriodsOfActions(t *testing.T) {
	bubble(t, `
tasks: [{name: disk, command: x, schedule: "0 * * * * *", attempts: 1}, {name: mend, command: y}]
host_tasks: [{tasks: [disk], hosts: [loki]}]
contacts: [{name: ops, channel: "#ops"}, {name: day, person: day, period: late}]
periods: [{name: office, zone: UTC, when: ["00:20-00:40"]}, {name: late, zone: UTC, when: ["00:30-01:00"]}]
actions:
  - {name: tell, notify: [ops, day], tasks: [disk], period: office}
  - {name: mend, task: mend, on: [problem], tasks: [disk], period: office}
`, func(t *testing.T, g *ground) {
		status := g.played()
		mend := model.Key{Task: "mend", Host: "loki"}
		time.Sleep(30 * time.Second)
		status.Store(2)
		time.Sleep(18 * time.Minute)
		g.wantLines()
		if len(g.times(mend)) != 0 {
			t.Error("it was mended before the period")
		}
		time.Sleep(3 * time.Minute)
		said := []string{"#ops disk is still CRITICAL on loki after 19m: it says. `check show disk on loki`"}
		g.wantLines(said...)
		if len(g.times(mend)) != 1 {
			t.Errorf("it was mended %d times", len(g.times(mend)))
		}
		time.Sleep(10 * time.Minute)
		said = append(said, "day disk is still CRITICAL on loki after 29m: it says. `check show disk on loki`")
		g.wantLines(said...)
		time.Sleep(20 * time.Minute)
		status.Store(0)
		time.Sleep(10 * time.Minute)
		g.wantLines(said...) // the end waits for the next day
		if len(g.times(mend)) != 1 {
			t.Errorf("it was mended %d times", len(g.times(mend)))
		}
	})
}

// TestAnEditWhileItStands: times are given and taken while a problem stands. Whoever would have been told at a time of
// their own, and has none any more, is told, once; whoever knows is not told again.
func TestAnEditWhileItStands(t *testing.T) {
	const (
		problem = " disk is CRITICAL on loki: it says. `check show disk on loki`"
		stood   = " disk is still CRITICAL on loki after "
	)
	for _, row := range []struct {
		name, before, after string
		want                []string
	}{
		{"after goes before its time", "{name: x, notify: [ops], after: 2h}", "{name: x, notify: [ops]}", []string{"#ops" + stood + "29m: it says. `check show disk on loki`"}},
		{"after goes when it was told", "{name: x, notify: [ops], after: 10m}", "{name: x, notify: [ops]}", []string{"#ops" + stood + "10m, not acknowledged: it says. `ack disk on loki`"}},
		{"every goes", "{name: x, notify: [ops], every: 6h}", "{name: x, notify: [ops]}", []string{"#ops" + problem}},
		{"its period goes while it is closed", "{name: x, notify: [ops], period: office}", "{name: x, notify: [ops]}", []string{"#ops" + stood + "29m: it says. `check show disk on loki`"}},
		{"one contact's goes", "{name: x, notify: [ops, day]}", "{name: x, notify: [ops, dusk]}", []string{"#ops" + problem}},
		{"one contact's goes, and it is among others", "{name: x, notify: [ops, day]}", "{name: x, notify: [ops, day]}\nCONTACT", []string{"#ops" + problem, "day" + stood + "29m: it says. `check show disk on loki`"}},
		{"of one that is told again and again", "{name: x, notify: [ops, day], every: 6h}", "{name: x, notify: [ops, day], every: 6h}\nCONTACT", []string{"#ops" + problem, "day" + stood + "29m: it says. `check show disk on loki`"}},
		{"the action goes", "{name: x, notify: [ops], after: 2h}", "{name: y, notify: [boss]}", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			defs := strings.Replace(listening, "]\nperiods", ", {name: dusk, person: dusk, period: office}]\nperiods", 1)
			bubble(t, defs+"actions: ["+row.before+"]\n", func(t *testing.T, g *ground) {
				status := g.played()
				time.Sleep(30 * time.Second)
				status.Store(2) // from 00:01:00 on
				time.Sleep(30 * time.Minute)
				g.stop()
				after, plain := strings.CutSuffix(row.after, "\nCONTACT")
				if plain {
					defs = strings.Replace(defs, "person: day, period: office", "person: day", 1)
				}
				g.edit(defs + "actions: [" + after + "]\n")
				g.start()
				time.Sleep(time.Hour)
				g.wantLines(row.want...)
			})
		})
	}
}

// The same of the next problem, when the contact was told of one before, and of its end not yet.
func TestAnEditWhileTheNextOneStands(t *testing.T) {
	bubble(t, listening+"actions: [{name: x, notify: [ops, day]}]\n", func(t *testing.T, g *ground) {
		status := g.played()
		time.Sleep(150*time.Minute + 30*time.Second)
		status.Store(2) // from 02:31:00 on, in the period of day
		time.Sleep(100 * time.Minute)
		status.Store(0) // from 04:11:00 on
		time.Sleep(10 * time.Minute)
		status.Store(2) // from 04:21:00 on
		time.Sleep(10 * time.Minute)
		said := []string{"#ops disk is CRITICAL on loki: it says. `check show disk on loki`", "day disk is CRITICAL on loki: it says. `check show disk on loki`",
			"#ops disk is OK again on loki after 1h40m", "#ops disk is CRITICAL on loki: it says. `check show disk on loki`"}
		g.wantLines(said...)
		g.stop()
		g.edit(strings.Replace(listening, "person: day, period: office", "person: day", 1) + "actions: [{name: x, notify: [ops, day]}]\n")
		g.start()
		time.Sleep(time.Hour)
		g.wantLines(append(said, "day disk is still CRITICAL on loki after 9m: it says. `check show disk on loki`")...)
	})
}
