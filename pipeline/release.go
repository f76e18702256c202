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

// release calls the steps' Release, last step first. Each is safe to repeat, so nothing marks how far it came: after a
// crash all are called again.
func (c *carrier) release() (verdict, error) {
	for i := len(c.r.Steps) - 1; i >= 0; i-- {
		step, err := c.reg.Lookup(c.r.Steps[i], "")
		if err != nil || step.Release == nil {
			continue
		}
		if v, err := c.giveBack(i, step); v != goOn || err != nil {
			return v, err
		}
	}
	return goOn, nil
}

func (c *carrier) giveBack(stage int, step Step) (verdict, error) {
	s, err := c.open(c.r, step, false)
	if err != nil {
		return c.fail(nil, err)
	}
	s.facts.Stage = stage
	began := time.Now()
	err = c.call(s, step.Release)
	if errors.Is(err, errNotBegun) {
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
		return append(lines[:len(lines):len(lines)], Event{At: now, Kind: EvReleased, Stage: stage, Step: step.Name, Text: line, Diff: diff, Took: now.Sub(began)}), nil
	})
}
