package checks

import (
	"strings"
	"testing"
	"time"
)

// A contact whose period was closed while a problem ended and another began, with the same status, is told of that one.
func TestTheNextProblemOutsideOfAPeriod(t *testing.T) {
	bubble(t, listening+"actions: [{name: tell, notify: [day]}]", func(t *testing.T, g *ground) {
		status := g.played()
		time.Sleep(3*time.Hour + 30*time.Second) // 03:00:30
		status.Store(2)
		time.Sleep(90 * time.Minute)
		status.Store(0) // 04:30:30
		time.Sleep(time.Hour)
		status.Store(2) // 05:30:30
		time.Sleep(time.Hour)
		g.step(19*time.Hour + 30*time.Minute) // 02:00 of the next day
		time.Sleep(5 * time.Minute)
		if got := g.lines(); len(got) != 2 || !strings.HasPrefix(got[1], "day disk is still CRITICAL on loki after ") {
			t.Errorf("%q", got)
		}
		time.Sleep(10 * time.Minute)
		status.Store(0)
		time.Sleep(5 * time.Minute)
		if got := g.lines(); len(got) != 3 || !strings.HasPrefix(got[2], "day disk is OK again on loki after ") {
			t.Errorf("%q", got)
		}
	})
}
