package pipeline

import (
	"context"
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
// crash all are called again. end means that one failed, and the run needs a person.
func (e *Engine) release(ctx, stepCtx context.Context, r *Run, u *underway) (again time.Duration, end bool, err error) {
	for i := len(r.Steps) - 1; i >= 0; i-- {
		step, err := e.reg.Lookup(r.Steps[i], "")
		if err != nil || step.Release == nil {
			continue
		}
		s, err := e.open(r, step, false)
		if err != nil {
			return 0, true, e.fail(ctx, r, nil, err)
		}
		s.facts.Stage = i
		free, ok := e.use(u, s)
		if !ok {
			return time.Second, false, nil
		}
		began := time.Now()
		err = s.call(stepCtx, step.Release)
		free()
		if err == nil {
			err = s.view.Seal(e.key)
		}
		if err != nil {
			if _, _, waits := AsWait(err); !waits && !IsPermanent(err) {
				err = fmt.Errorf("give back what %s holds: %w", step.Name, err)
			} else if !waits {
				err = Permanentf("give back what %s holds: %w", step.Name, err)
			}
			return e.stumble(ctx, r, s, step, began, err)
		}
		text, diff, lines, now := s.view.Text(), clipboard.Diff(s.stored, s.view), s.take(), time.Now()
		line := s.lastLine()
		err = e.write(ctx, func(tx store.Tx) error {
			if err := exactlyOne(tx.Exec(ctx, "UPDATE runs SET clipboard = ?, attempts = 0 WHERE id = ? AND turn = ?", text, r.ID, r.turn)); err != nil {
				return err
			}
			return insertAll(ctx, tx, append(lines, Event{Run: r.ID, At: now, Kind: EvReleased, Stage: i, Step: step.Name, Text: line, Diff: diff, Took: now.Sub(began)}))
		})
		if err != nil {
			return 0, false, err
		}
		r.clipboard, r.parsed, r.attempts = text, s.view, 0
	}
	return 0, false, nil
}
