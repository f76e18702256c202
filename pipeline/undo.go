package pipeline

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// carryUndo takes the run back, last step first. Each step taken back is a commit of its own.
func (e *Engine) carryUndo(ctx, stepCtx context.Context, r *Run, u *underway) (time.Duration, error) {
	for ; r.undoAt >= 0; r.undoAt-- {
		if stepCtx.Err() != nil {
			return time.Second, nil
		}
		step, err := e.reg.Lookup(r.Steps[r.undoAt], "")
		if err == nil && step.Undo == nil {
			continue
		}
		r.Stage = r.undoAt
		var s *stepRun
		if err == nil {
			s, err = e.open(r, step, true)
		}
		if err == nil {
			free, ok := e.use(u, s)
			if !ok {
				return time.Second, nil
			}
			err = s.call(stepCtx, step.Undo)
			free()
		}
		kind, text := EvStepUndone, "undone"
		var w *waitError
		switch {
		case err == nil:
			if line := s.lastLine(); line != "" {
				text = line
			}
			if err := s.view.Seal(e.key); err == nil {
				r.clipboard = s.view.Text()
			}
		case errors.Is(err, ErrStopping), errors.Is(err, errCancelled):
			return time.Second, nil
		case stays(err, &text):
			kind = EvStays
		case errors.As(err, &w) && time.Since(r.StageAt) < DefaultTimeout:
			return max(w.d, 10*time.Millisecond), e.pauseUndo(ctx, r, s, r.attempts, w.why)
		case !IsPermanent(err) && r.attempts < len(e.retry):
			d := e.retry[r.attempts]
			return d, e.pauseUndo(ctx, r, s, r.attempts+1, oneLine(err))
		default:
			kind, text = EvUndoStuck, oneLine(err)
		}
		var lines []Event
		if s != nil {
			text, lines = s.mask(text), s.take()
		}
		now := time.Now()
		err = e.write(ctx, func(tx store.Tx) error {
			if err := exactlyOne(tx.Exec(ctx, "UPDATE runs SET undo_at = ?, attempts = 0, why = '', clipboard = ?, stage_at = ? WHERE id = ? AND turn = ?", r.undoAt-1, r.clipboard, now.UnixMilli(), r.ID, r.turn)); err != nil {
				return err
			}
			return insertAll(ctx, tx, append(lines, Event{Run: r.ID, At: now, Kind: kind, Stage: r.undoAt, Step: step.Name, Text: text}))
		})
		if err != nil {
			return 0, err
		}
		r.attempts, r.StageAt = 0, now
	}
	return 0, e.endUndo(ctx, r)
}

func (e *Engine) pauseUndo(ctx context.Context, r *Run, s *stepRun, attempts int, why string) error {
	why = s.mask(why)
	lines := s.take()
	return e.write(ctx, func(tx store.Tx) error {
		if err := exactlyOne(tx.Exec(ctx, "UPDATE runs SET attempts = ?, why = ?, undo_at = ? WHERE id = ? AND turn = ?", attempts, why, r.undoAt, r.ID, r.turn)); err != nil {
			return err
		}
		return insertAll(ctx, tx, lines)
	})
}

// stays reports whether err says what stays, and puts that into text.
func stays(err error, text *string) bool {
	what, ok := AsStays(err)
	if ok {
		*text = what
	}
	return ok
}

// endUndo says what was taken back and what stays. What could not be taken back keeps the run alive: `undo` again.
func (e *Engine) endUndo(ctx context.Context, r *Run) error {
	now := time.Now()
	return e.write(ctx, func(tx store.Tx) error {
		rows, err := tx.Query(ctx, "SELECT kind, step, text FROM events WHERE run = ? AND id > (SELECT max(id) FROM events WHERE run = ? AND kind = 'undo') AND kind IN ('step_undone', 'stays', 'undo_stuck') ORDER BY id", r.ID, r.ID)
		if err != nil {
			return err
		}
		var done, stuck, left []string
		for rows.Next() {
			var kind, step, text string
			if err := rows.Scan(&kind, &step, &text); err != nil {
				return errors.Join(err, rows.Close())
			}
			switch EventKind(kind) {
			case EvStepUndone:
				done = append(done, step)
			case EvStays:
				left = append(left, text)
			default:
				stuck = append(stuck, step+" ("+text+")")
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		var parts []string
		state, live, kind, ended := Undone, 0, EvUndone, now.UnixMilli()
		if len(stuck) > 0 {
			state, live, kind, ended = Failed, 1, EvUndoFailed, 0
			parts = append(parts, "could not undo "+strings.Join(stuck, "; "))
		}
		if len(done) > 0 {
			parts = append(parts, "took back "+strings.Join(done, ", "))
		}
		if len(left) > 0 {
			parts = append(parts, "what stays: "+strings.Join(left, ", "))
		}
		text := "there was nothing to undo"
		if len(parts) > 0 {
			text = strings.Join(parts, "; ")
		}
		if err := exactlyOne(tx.Exec(ctx, "UPDATE runs SET state = ?, live = ?, undoing = 0, under = 2, why = '', err = ?, ended = ? WHERE id = ? AND turn = ?", string(state), live, text, ended, r.ID, r.turn)); err != nil {
			return err
		}
		return insertEvent(ctx, tx, Event{Run: r.ID, At: now, Kind: kind, Stage: r.Stage, Text: text})
	})
}
