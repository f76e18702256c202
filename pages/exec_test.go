package pages

import (
	"testing"

	"github.com/jarvisops/jarvis/internal/guard"
)

// TestACommandDoesNotBeginWhileTheServerStops: a request may come until the very end, and nobody would end what it
// begins after all that had begun was told to end.
func TestACommandDoesNotBeginWhileTheServerStops(t *testing.T) {
	var e execs
	ended, began := false, false
	if !e.start(guard.Count, func() { ended = true }) {
		t.Error("nothing begins")
	}
	e.stop()
	if e.start(guard.Count, func() { began = true }); !ended {
		t.Error("it was not waited for")
	}
	if e.live.Wait(); began {
		t.Error("a command began after the end")
	}
}
