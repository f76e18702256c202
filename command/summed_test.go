package command

import (
	"slices"
	"testing"

	"github.com/jarvisops/jarvis/pipeline"
)

// A night in which a planned run did not begin is none in which nothing failed.
func TestASummaryCountsEveryFailureThatEndsARun(t *testing.T) {
	for _, k := range pipeline.NoticesOf("failures") {
		if k == pipeline.EvAsking {
			continue // it waits, and is in what waits for people
		}
		what := summed(pipeline.Run{}, pipeline.Event{Kind: k})
		if what == "ready" || !slices.ContainsFunc(summary, func(w struct{ what, one, many string }) bool { return w.what == what }) {
			t.Errorf("%s counts as %q", k, what)
		}
	}
}
