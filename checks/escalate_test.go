package checks

import (
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

// TestAnEscalationWithinAMinute reads as one, and not as a first report.
func TestAnEscalationWithinAMinute(t *testing.T) {
	bubble(t, "tasks: [{name: disk, command: x, attempts: 1}]\nhost_tasks: [{tasks: [disk], hosts: [loki]}]\ncontacts: [{name: ops, channel: \"#ops\"}, {name: alice, person: alice}]\nactions: [{name: tell, notify: [ops]}, {name: rouse, notify: [alice], after: 30s}]\n", func(t *testing.T, g *ground) {
		g.says(func(model.Key, int) outcome { return outcome{exit: 2, stdout: "full"} })
		time.Sleep(3 * time.Minute)
		g.wantLines("#ops disk is CRITICAL on loki: full. `check show disk on loki`", "alice disk is still CRITICAL on loki after 30s, not acknowledged: full. `ack disk on loki`")
	})
}

// TestAnEscalationAtOnce is told as what it is, whatever time the problem stood.
func TestAnEscalationAtOnce(t *testing.T) {
	e := Event{Key: model.Key{Task: "disk", Host: "loki"}, Status: model.Critical, On: string(model.Problem)}
	now := time.Unix(1_000_000, 0)
	e.late(now, now.Add(-300*time.Millisecond), true)
	b := &bunch{on: e.On, task: "disk", status: e.Status, unheeded: e.Unheeded, rows: []outboxRow{{Event: e}}}
	if got, want := b.line(), "disk is still CRITICAL on loki, not acknowledged. `ack disk on loki`"; got != want {
		t.Errorf("it is told as %q, want %q", got, want)
	}
}
