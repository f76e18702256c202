package pipeline_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// TestPeopleAreToldOfASiloThatIsAway: once, whatever waits for it and however many servers look; and once when somebody
// is back.
func TestPeopleAreToldOfASiloThatIsAway(t *testing.T) {
	t.Parallel()
	n := newNodes(t).siloed(inVMware)
	var d diary
	hub := n.start("hub", d.step("hub", "dns:up"))
	n.start("other", d.step("other", "dns:up"))
	first, second := hub.ask("loki", "vc:make"), hub.ask("thor", "dns:up", "vc:make")
	hub.waits(first.ID, pipeline.ForSilo)
	hub.waits(second.ID, pipeline.ForSilo)
	told := func() (out []string) {
		evs, err := hub.e.Events(t.Context(), pipeline.EventFilter{Kinds: []pipeline.EventKind{pipeline.EvSiloAway, pipeline.EvSiloBack}})
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range evs {
			if ev.Run != first.ID {
				t.Errorf("it is told of run %d", ev.Run)
			}
			out = append(out, ev.Text)
		}
		return out
	}
	past := func() {
		until(t, "it is noted that nobody serves the silo", func() (noted bool) {
			if err := hub.db.Write(t.Context(), func(tx store.Tx) error {
				k, err := tx.Exec(t.Context(), "UPDATE silo_away SET since = ? WHERE silo = 'vmware'", time.Now().Add(-2*time.Minute).UnixMilli())
				noted = k == 1
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return noted
		})
	}
	if len(told()) > 0 {
		t.Errorf("it is told at once: %q", told())
	}
	past()
	until(t, "it is told", func() bool { return len(told()) > 0 })
	stop, err := hub.e.Serve("vmware", "box", []pipeline.Step{d.step("agent", "vc:make")})
	if err != nil {
		t.Fatal(err)
	}
	hub.wait(first.ID, pipeline.Ready)
	hub.wait(second.ID, pipeline.Ready)
	until(t, "it is told that somebody is back", func() bool { return len(told()) > 1 })
	stop()

	// What waited was cancelled: there is nothing to tell, and nobody is back.
	third := hub.ask("odin", "vc:make")
	hub.waits(third.ID, pipeline.ForSilo)
	if _, err := hub.e.Cancel(t.Context(), third.ID, pipeline.Who{Name: "alice"}); err != nil {
		t.Fatal(err)
	}
	hub.wait(third.ID, pipeline.Cancelled)
	if s := told(); len(s) != 2 || !strings.HasPrefix(s[0], "nobody serves the silo vmware, and 2 runs wait for it, the first that of loki;") || !strings.HasPrefix(s[1], "the silo vmware is served again") {
		t.Errorf("told: %q", s)
	}
}
