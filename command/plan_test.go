package command

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/pipeline"
)

// The accident: a plan was silent of the second person that the verb itself asked for a moment later.
func TestAPlanSaysThatASecondPersonIsNeeded(t *testing.T) {
	w := newWalk(t)
	w.must("alice", "p1", "deploy FILE")
	w.until("p1", func(r pipeline.Run) bool { return r.State == pipeline.Ready })
	for _, line := range []string{"plan p1", "redeploy p1 --dry-run", "plan destroy p1"} {
		planned, err := w.say("alice", "p1", line)
		if err != nil || !strings.Contains(planned, "needs a second person, because ") || !strings.Contains(planned, "p1 is in production since run 1.") {
			t.Errorf("%s = %s (%v)", line, planned, err)
		}
	}
	if said, err := w.say("alice", "p1", "redeploy p1"); err != nil || !strings.Contains(said, "waits for a second person, because p1 is in production since run 1") {
		t.Errorf("redeploy = %s (%v)", said, err)
	}
	if said, _ := w.say("alice", "p1", "history p1"); !strings.Contains(said, "run 2, redeploy, ") || !strings.Contains(said, "run 1, deploy, ") {
		t.Errorf("history = %s", said)
	}
}
