package pipeline

import (
	"errors"
	"fmt"
	"slices"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/store"
)

// mustCheck reports whether the steps to come are to be asked before the stage begins: before the first one, before one
// that deletes a machine, whatever came between, and when a person has the run go on. A stage that waits for something
// of its own is past it; one that waits for a check is not.
func mustCheck(r *Run) bool {
	return r.Waits != ForHost && (r.Stage == 0 || isDestroy(r.Step()) || r.Waits == ForCheck || r.checked != "" && r.mark == notBegun)
}

// preflight calls the Check of the stage and of those to come, as far as they belong to the silo where the run is; see
// visits for the others. Nothing marks that it was done: it only reads. An error becomes
// that of the stage, which does not begin.
func (c *carrier) preflight() error {
	for i, name := range c.r.Steps[c.r.Stage:] {
		if c.siloed() && c.stepSilo(name) != c.silo {
			continue
		}
		step, err := c.find(name)
		if err != nil || step.Check == nil {
			continue // a step that is not there is told at its own stage
		}
		later, err := c.waitsForMembers(step)
		if err != nil {
			return Permanent(err)
		}
		if later {
			continue // what it is to be asked about is not there yet
		}
		s, err := c.open(c.r, step, false)
		if err != nil {
			return Permanent(err)
		}
		err = c.call(s, step.Check)
		if lines := s.take(); len(lines) > 0 {
			if err := c.write(c.ctx, func(tx store.Tx) error { return insertAll(c.ctx, tx, lines) }); err != nil {
				c.log.Error("write what a check said", "run", c.r.ID, "step", name, "err", err) // Do says it again
			}
		}
		switch {
		case errors.Is(err, ErrStopping), errors.Is(err, ErrNotBegun):
			return ErrNotBegun // nor did the stage
		case err != nil:
			return &checkError{c.r.Stage + i + 1, name, i == 0, err}
		}
	}
	return nil
}

// waitsForMembers reports whether what a step reads still refers to other members of the cluster.
func (c *carrier) waitsForMembers(step Step) (bool, error) {
	if c.r.Cluster == 0 {
		return false, nil
	}
	doc, err := c.r.doc()
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(doc.Refs(), func(r clipboard.Ref) bool { return needsKey(step, r.Key) }), nil
}

// checkError is what a Check said. It stands after the stage that did not begin, which is an earlier one as a rule.
type checkError struct {
	stage int // from 1
	step  string
	own   bool // it is that of the stage which did not begin
	err   error
}

func (e *checkError) Error() string {
	if e.own {
		return "not begun, because " + e.step + " would fail: " + e.err.Error()
	}
	return fmt.Sprintf("not begun, because stage %d %s would fail: %v", e.stage, e.step, e.err)
}
func (e *checkError) Unwrap() error { return e.err }
