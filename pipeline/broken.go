package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/store"
)

// errBug is what the record says; the value of a panic may show what the run worked with, so that is in the log only.
var errBug = errors.New("a bug in Jarvis itself, not in what it works with; the stack is in the log under the run's number")

// broken fails a run in whose hands the engine's own code panicked: carried again, it would panic again, and nobody
// would hear of it. An error means that the database refused; the run is then carried again.
func (e *Engine) broken(ctx context.Context, job carryArgs, p *guard.Panic) error {
	e.log.Error("a bug: something panicked", "what", "carry a run", "run", job.Run, "err", p.Error(), "stack", string(p.Stack))
	return guard.Call(func() error {
		r, err := e.load(ctx, job.Run)
		if errors.Is(err, ErrNotFound) || err == nil && (r.epoch != job.Turn || !r.State.Moving()) {
			return nil // it is at rest, or somebody else's
		}
		if err != nil {
			return err
		}
		c := &carrier{Engine: e, r: r, ctx: ctx, stepCtx: ctx}
		if r.undoing {
			err = c.brokenUndo()
		} else {
			_, err = c.fail(nil, errBug)
		}
		if errors.Is(err, errStale) {
			return nil
		}
		return err
	})
}

// brokenUndo ends an undo as one that could not take everything back, so that `undo` tries again.
func (c *carrier) brokenUndo() error {
	now := time.Now()
	return c.outcome(func(_ store.Tx, n *Run) ([]Event, error) {
		n.undoing, n.mark, n.Error = false, betweenTries, "could not undo all: "+errBug.Error()
		n.rest(Failed, EndUndonePart, now)
		return []Event{{At: now, Kind: EvUndoFailed, Stage: n.shown(), Step: n.Step(), Text: n.Error}}, nil
	})
}
