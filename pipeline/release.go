package pipeline

import (
	"errors"
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/store"
)

// holds reports whether a step of the run holds something that must be given back at the end.
func (e *Engine) holds(r *Run) bool {
	for _, name := range r.Steps {
		if s, err := e.reg.Lookup(name, ""); err == nil && s.Release != nil {
			return true
		}
	}
	return false
}

// release calls the steps' Release, last step first, and goes from silo to silo for it: released says how far it came.
// Each is safe to repeat.
func (c *carrier) release() (verdict, error) {
	for i := len(c.r.Steps) - 1 - c.r.released; i >= 0; i-- {
		step, err := c.reg.Lookup(c.r.Steps[i], "")
		if err != nil || step.Release == nil {
			continue
		}
		if c.siloed() && c.stepSilo(step.Name) != c.silo {
			return c.send()
		}
		if step, err = c.find(c.r.Steps[i]); err != nil {
			return c.fail(nil, err)
		}
		if v, err := c.giveBack(i, step); v != goOn || err != nil {
			return v, err
		}
		if c.handed() {
			return over, nil
		}
	}
	return goOn, nil
}

// giveBack calls the Release of one stage's step, and notes on record how far that has come.
func (c *carrier) giveBack(stage int, step Step) (verdict, error) {
	s, err := c.open(c.r, step, false)
	if err != nil {
		return c.fail(nil, err)
	}
	s.facts.Stage = stage
	began := time.Now()
	err = c.call(s, step.Release)
	if errors.Is(err, ErrNotBegun) {
		return again(time.Second), nil
	}
	if err == nil {
		err = s.view.Seal(c.key)
	}
	if err != nil {
		if _, _, waits := AsWait(err); !waits && !IsPermanent(err) {
			err = fmt.Errorf("give back what %s holds: %w", step.Name, err)
		} else if !waits {
			err = Permanentf("give back what %s holds: %w", step.Name, err)
		}
		return c.stumble(s, step, err)
	}
	text, diff, lines, line, now := s.view.Text(), clipboard.Diff(s.stored, s.view), s.take(), s.lastLine(), time.Now()
	return goOn, c.outcome(func(_ store.Tx, n *Run) ([]Event, error) {
		n.clipboard, n.parsed, n.attempts = text, s.view, 0
		n.released = len(n.Steps) - stage
		return append(lines[:len(lines):len(lines)], Event{At: now, Kind: EvReleased, Stage: stage, Step: step.Name, Text: line, Diff: diff, Took: now.Sub(began)}), nil
	})
}
