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
		if errors.Is(err, ErrNotFound) || err == nil && (r.turn != job.Turn || !r.State.Moving()) {
			return nil // it is at rest, or somebody else's
		}
		if err != nil {
			return err
		}
		if r.undoing {
			err = e.brokenUndo(ctx, r)
		} else {
			err = e.fail(ctx, r, nil, errBug)
		}
		if errors.Is(err, errStale) {
			return nil
		}
		return err
	})
}

// brokenUndo ends an undo as one that could not take everything back, so that `undo` tries again.
func (e *Engine) brokenUndo(ctx context.Context, r *Run) error {
	now := time.Now()
	text := "could not undo all: " + errBug.Error()
	return e.write(ctx, func(tx store.Tx) error {
		if err := exactlyOne(tx.Exec(ctx, "UPDATE runs SET state = 'failed', live = 1, undoing = 0, under = 2, why = '', err = ? WHERE id = ? AND turn = ?", text, r.ID, r.turn)); err != nil {
			return err
		}
		return insertEvent(ctx, tx, Event{Run: r.ID, At: now, Kind: EvUndoFailed, Stage: r.Stage, Step: r.Step(), Text: text})
	})
}
