package checks

import (
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

// Who was told of a problem is told of its end, also where an acknowledgement ended while nothing could be said.
func TestARecoveryIsTold(t *testing.T) {
	for name, end := range map[string]func(*ground, *testing.T){
		"it ended by itself": func(*ground, *testing.T) {},
		"it was taken back": func(g *ground, t *testing.T) {
			if _, err := g.Unacknowledge(t.Context(), []model.Key{diskLoki}); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, listening+"actions: [{name: tell, notify: [ops]}, {name: wake, notify: [boss], every: 1h}]", func(t *testing.T, g *ground) {
				status := g.played()
				time.Sleep(30 * time.Second)
				status.Store(2)
				time.Sleep(2 * time.Minute)
				problem := "disk is CRITICAL on loki: it says. `check show disk on loki`"
				g.wantLines("#ops "+problem, "boss "+problem)
				ack := Ack{By: "alice", Until: g.wall().Add(time.Minute)}
				if strings.Contains(name, "back") {
					ack.Until = time.Time{}
				}
				if _, err := g.Acknowledge(t.Context(), []model.Key{diskLoki}, ack); err != nil {
					t.Fatal(err)
				}
				if _, err := g.Silence(t.Context(), Downtime{Host: "lo*", Until: g.wall().Add(4 * time.Minute), By: "alice"}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(90 * time.Second)
				end(g, t)
				status.Store(0)
				time.Sleep(5 * time.Minute)
				if got := g.lines(); len(got) != 4 || !strings.HasPrefix(got[2], "#ops disk is OK again on loki") || !strings.HasPrefix(got[3], "boss disk is OK again on loki") {
					t.Errorf("%q", got)
				}
			})
		})
	}
}

// What stands when an acknowledgement has ended in a downtime is told behind it, once.
func TestAProblemIsToldAgainBehindADowntime(t *testing.T) {
	bubble(t, listening+"actions: [{name: tell, notify: [ops]}]", func(t *testing.T, g *ground) {
		status := g.played()
		time.Sleep(30 * time.Second)
		status.Store(2)
		time.Sleep(2 * time.Minute)
		if _, err := g.Acknowledge(t.Context(), []model.Key{diskLoki}, Ack{By: "alice", Until: g.wall().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Silence(t.Context(), Downtime{Host: "lo*", Until: g.wall().Add(4 * time.Minute), By: "alice"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		g.stop() // the next server knows it
		g.start()
		time.Sleep(10 * time.Minute)
		problem := "#ops disk is CRITICAL on loki: it says. `check show disk on loki`"
		g.wantLines(problem, problem)
	})
}

// Who was told that it is critical hears of the end, also when it was less by the time that it was told again.
func TestARecoveryOfWhatWasToldBeforeIsTold(t *testing.T) {
	bubble(t, listening+"actions: [{name: tell, notify: [ops]}, {name: wake, notify: [boss], status: [critical]}]", func(t *testing.T, g *ground) {
		status := g.played()
		time.Sleep(30 * time.Second)
		status.Store(2)
		time.Sleep(2 * time.Minute)
		if _, err := g.Acknowledge(t.Context(), []model.Key{diskLoki}, Ack{By: "alice"}); err != nil {
			t.Fatal(err)
		}
		status.Store(1)
		time.Sleep(2 * time.Minute)
		if _, err := g.Unacknowledge(t.Context(), []model.Key{diskLoki}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		status.Store(0)
		time.Sleep(2 * time.Minute)
		var boss []string
		for _, l := range g.lines() {
			if strings.HasPrefix(l, "boss ") {
				boss = append(boss, l)
			}
		}
		if len(boss) != 2 || !strings.HasPrefix(boss[1], "boss disk is OK again on loki") {
			t.Errorf("%q", boss)
		}
	})
}
