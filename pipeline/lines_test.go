package pipeline

import (
	"fmt"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
)

// The fault: while the database refused, each batch that came back let the step say as many lines again as may wait at
// all: more than 100,000 of one step waited.
func TestLinesThatNobodyTakesAreBounded(t *testing.T) {
	c, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := &stepRun{run: &Run{ID: 1}, view: c, stored: c, alive: make(chan struct{}, 1)}
	said := 0
	say := func(n int) {
		for range n {
			said++
			s.Log(fmt.Sprint("line ", said))
		}
	}
	say(3000)
	for range 20 {
		lines, dropped := s.takeApart()
		say(maxPending + 1) // while it is being written
		s.giveBack(lines, dropped)
		if len(s.pending) > maxPending {
			t.Fatalf("%d lines wait", len(s.pending))
		}
	}
	lines := s.take()
	if n := len(lines); n != maxPending+1 || lines[0].Text != "line 1" || lines[n-2].Text != fmt.Sprint("line ", maxPending) {
		t.Fatalf("%d lines are written, from %q to %q", n, lines[0].Text, lines[n-2].Text)
	}
	if want := fmt.Sprintf("(%d more lines came faster than they could be kept)", said-maxPending); lines[maxPending].Text != want {
		t.Errorf("the log of the run says %q, want %q", lines[maxPending].Text, want)
	}
	if say(1); len(s.take()) != 1 {
		t.Error("what was counted is told twice")
	}
}
