package checks

import (
	"fmt"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

// TestWhatWaitsForAPeriod is shown with the check: its own runs, and what is to be told or done about its problem.
func TestWhatWaitsForAPeriod(t *testing.T) {
	bubble(t, `
periods: [{name: office, zone: UTC, when: ["08:00-18:00"]}, {name: late, zone: UTC, when: ["09:00-18:00"]}]
tasks: [{name: disk, command: x, attempts: 1}, {name: shop, command: x, period: office}]
host_tasks: [{tasks: ["*"], hosts: [loki]}]
contacts: [{name: ops, channel: "#ops"}, {name: boss, person: alice, period: office}, {name: all, person: bob}]
actions: [{name: tell, notify: [ops, boss]}, {name: rouse, notify: [all], period: late}]
`, func(t *testing.T, g *ground) { // it begins at midnight
		g.says(func(k model.Key, _ int) outcome { return outcome{exit: 2, stdout: "full"} })
		disk, shop := model.Key{Task: "disk", Host: "loki"}, model.Key{Task: "shop", Host: "loki"}
		waits := func(k model.Key) (out []string) {
			v, err := g.Show(t.Context(), k)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range v.Waits {
				out = append(out, fmt.Sprintf("%s %s %s", w.What, w.Period, w.Until.UTC().Format("15:04")))
			}
			return out
		}
		want := func(k model.Key, want string) {
			t.Helper()
			if got := fmt.Sprint(waits(k)); got != want {
				t.Errorf("of %s waits %s, want %s", k, got, want)
			}
		}
		time.Sleep(5 * time.Minute)
		want(shop, "[check office 08:00]")
		want(disk, "[contact boss office 08:00 action rouse late 09:00]")
		time.Sleep(8 * time.Hour)
		want(shop, "[action rouse late 09:00]")
		want(disk, "[action rouse late 09:00]")
		time.Sleep(time.Hour)
		want(disk, "[]")
	})
}
