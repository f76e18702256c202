package pipeline_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// TestWhatWaitsGoesOnWhenItIsTime: the queue looks twice a second for what is due, which would be a quarter of a second late
// on average.
func TestWhatWaitsGoesOnWhenItIsTime(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	waits := &late{due: map[string]time.Time{}}
	step := pipeline.Step{Name: "test:wait", Do: func(_ context.Context, c *clipboard.Clipboard) error {
		if waits.now(c.Get("hostname"), 300*time.Millisecond) {
			return pipeline.Wait(300*time.Millisecond, "not there yet")
		}
		return nil
	}}
	a := n.start("a", step)
	n.start("b", step)
	for i := range 21 { // one after the other: what comes for one would have the queue look for others
		r := a.ask(fmt.Sprint("host", i), "test:wait")
		a.waitFor(20*time.Second, r.ID, pipeline.Ready)
	}
	if late := waits.at(50); late > 120*time.Millisecond {
		t.Errorf("half of them went on %s late", late)
	}
}
