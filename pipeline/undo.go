package pipeline

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// An undo takes a run back, last step first. undoAt is the next stage to take back; each one taken back is a commit of
// its own. What could not be taken back keeps the run alive, and `undo` tries again.

// beginUndo makes a run turn back, and gives the event of that.
func (r *Run) beginUndo(why string, now time.Time) Event {
	r.undoAt = r.lastBegun()
	r.State, r.Ending, r.undoing = Undoing, "", true
	r.attempts, r.Error, r.Waits, r.Why, r.cancelBy, r.StageAt, r.Ended = 0, "", "", "", "", now, time.Time{}
	return Event{At: now, Kind: EvUndoStarted, Stage: r.shown(), Step: r.Step(), Text: why}
}

// undoNext takes back one stage, or ends the undo.
func (c *carrier) undoNext() (verdict, error) {
	r := c.r
	if r.undoAt < 0 {
		return c.endUndo()
	}
	if errors.Is(context.Cause(c.stepCtx), ErrStopping) {
		return again(time.Second), nil
	}
	if c.back == nil {
		var err error
		if c.back, err = c.takenBack(); err != nil {
			return over, err
		}
	}
	step, err := c.reg.Lookup(r.Steps[r.undoAt], "")
	if c.back[r.undoAt] || err == nil && step.Undo == nil {
		r.undoAt--
		return goOn, nil
	}
	// Without its step, or with a clipboard that does not open, no second try will do better.
	if err == nil && c.siloed() {
		if c.stepSilo(step.Name) != c.silo {
			return c.send()
		}
		step, err = c.find(r.Steps[r.undoAt])
	}
	if err != nil {
		return c.tookBack(nil, EvUndoStuck, oneLine(err))
	}
	s, err := c.open(r, step, true)
	if err != nil {
		return c.tookBack(nil, EvUndoStuck, oneLine(err))
	}
	s.facts.Stage = r.undoAt
	err = c.call(s, step.Undo)
	var w *waitError
	what, stays := AsStays(err)
	switch {
	case err == nil:
		text := "undone"
		if line := s.lastLine(); line != "" {
			text = line
		}
		return c.tookBack(s, EvStepUndone, text)
	case errors.Is(err, ErrNotBegun), errors.Is(err, ErrStopping), errors.Is(err, errCancelled), errors.Is(err, errClusterUndo):
		return again(time.Second), nil
	case IsAskPerson(err): // what the stages below made may be in use where this one goes on
		return c.tookBackTo(-1, s, EvUndoStuck, oneLine(err))
	case stays:
		return c.tookBack(s, EvStays, what)
	case errors.As(err, &w) && time.Since(r.StageAt) < DefaultTimeout:
		return c.pauseUndo(s, w.d, r.attempts, w.why)
	case !IsPermanent(err) && r.attempts < len(c.retry):
		return c.pauseUndo(s, spread(c.retry[r.attempts]), r.attempts+1, oneLine(err))
	}
	return c.tookBack(s, EvUndoStuck, oneLine(err))
}

// tookBack commits what became of one stage.
func (c *carrier) tookBack(s *stepRun, kind EventKind, text string) (verdict, error) {
	return c.tookBackTo(c.r.undoAt-1, s, kind, text)
}

// tookBackTo has the undo go on with another stage than the one below; with -1 it ends.
func (c *carrier) tookBackTo(next int, s *stepRun, kind EventKind, text string) (verdict, error) {
	var lines []Event
	clip, changed := c.r.clipboard, false
	if s != nil {
		text, lines = s.mask(text), s.take()
		if kind == EvStepUndone && s.view.Seal(c.key) == nil {
			clip, changed = s.view.Text(), true
		}
	}
	now := time.Now()
	err := c.outcome(func(tx store.Tx, n *Run) ([]Event, error) {
		if changed && tx != nil {
			if err := noteMachine(c.ctx, tx, n, n.Steps[n.undoAt], s.stored, s.view); err != nil {
				return nil, err
			}
		}
		n.clipboard = clip
		events := append(lines[:len(lines):len(lines)], Event{At: now, Kind: kind, Stage: n.undoAt, Step: n.Steps[n.undoAt], Text: text})
		n.undoAt = next
		n.attempts, n.Waits, n.Why, n.StageAt = 0, "", "", now
		return events, nil
	})
	return goOn, err
}

// pauseUndo has the undo go on after d, and notes why.
func (c *carrier) pauseUndo(s *stepRun, d time.Duration, attempts int, why string) (verdict, error) {
	why = s.mask(why)
	lines := s.take()
	return again(d), c.outcome(func(_ store.Tx, n *Run) ([]Event, error) {
		n.attempts, n.Why = attempts, why
		return lines, nil
	})
}

// undoResult is what became of the stages since the undo began.
type undoResult struct{ done, stuck, stays []string }

// undoResults reads it. A stage that an earlier undo could not take back, and a later one did, is taken back.
func undoResults(ctx context.Context, tx store.Tx, run int64) (undoResult, error) {
	var res undoResult
	last, err := lastOfUndo(ctx, tx, run)
	stages := slices.Sorted(maps.Keys(last))
	slices.Reverse(stages)
	for _, i := range stages {
		switch ev := last[i]; ev.Kind {
		case EvStepUndone:
			res.done = append(res.done, ev.Step)
		case EvStays:
			res.stays = append(res.stays, ev.Text)
		case EvUndoStuck:
			res.stuck = append(res.stuck, ev.Step+" ("+ev.Text+")")
		}
	}
	return res, err
}

// lastOfUndo gives the newest event of each stage that an undo came to, when the stage has not begun again since.
func lastOfUndo(ctx context.Context, q store.Querier, run int64) (map[int]Event, error) {
	evs, err := store.Collect(ctx, q, scanEvent, "SELECT id, run, at, kind, stage, step, text, diff, took FROM events WHERE run = ? AND kind IN ('step', 'undo', 'step_undone', 'stays', 'undo_stuck') ORDER BY id", run)
	last := map[int]Event{}
	for _, ev := range evs {
		switch ev.Kind {
		case EvStep:
			delete(last, ev.Stage)
		case EvUndoStarted: // what was stuck is tried again
			maps.DeleteFunc(last, func(_ int, ev Event) bool { return ev.Kind == EvUndoStuck })
		default:
			last[ev.Stage] = ev
		}
	}
	return last, err
}

// takenBack gives the stages that an earlier undo of the run took back, or said that they stay: nothing is done twice.
func (c *carrier) takenBack() (map[int]bool, error) {
	last, err := lastOfUndo(c.ctx, c.db, c.r.ID)
	back := map[int]bool{}
	for i, ev := range last {
		back[i] = ev.Kind != EvUndoStuck // a restart in the middle tries that again, too
	}
	return back, err
}

// String says it in one sentence, what needs a person first.
func (u undoResult) String() string {
	var parts []string
	for _, p := range []struct {
		words string
		list  []string
		sep   string
	}{{"could not undo ", u.stuck, "; "}, {"took back ", u.done, ", "}, {"what stays: ", u.stays, ", "}} {
		if len(p.list) > 0 {
			parts = append(parts, p.words+strings.Join(p.list, p.sep))
		}
	}
	if len(parts) == 0 {
		return "there was nothing to undo"
	}
	return strings.Join(parts, "; ")
}

// endUndo says what was taken back and what stays.
func (c *carrier) endUndo() (verdict, error) {
	now := time.Now()
	err := c.outcome(func(tx store.Tx, n *Run) ([]Event, error) {
		var res undoResult
		if tx != nil {
			var err error
			if res, err = undoResults(c.ctx, tx, n.ID); err != nil {
				return nil, err
			}
		}
		n.undoing, n.Error = false, res.String()
		if n.mark == underWay {
			n.mark = betweenTries
		}
		if len(res.stuck) > 0 {
			n.rest(Failed, EndUndonePart, now)
			return []Event{{At: now, Kind: EvUndoFailed, Stage: n.shown(), Text: n.Error}}, nil
		}
		n.rest(Undone, EndUndone, now)
		if tx != nil {
			if err := c.standBack(tx, n); err != nil {
				return nil, err
			}
		}
		return []Event{{At: now, Kind: EvUndone, Stage: n.shown(), Text: n.Error}}, nil
	})
	return over, err
}

// standBack has the host stand by what was there before an undone run: by the newest earlier run that began and is not
// undone itself, also when that took the host down. When this run had taken the earlier machine down, there is none,
// and the host stands by this one: undone.
func (c *carrier) standBack(tx store.Tx, n *Run) error {
	var before Run
	err := store.ErrNoRows
	if !c.tookDown(n) {
		before, err = scan(tx.QueryRow(c.ctx, "SELECT "+runColumns+" FROM runs WHERE fqdn = ? AND id < ? AND began > 0 AND ending <> 'undone' ORDER BY id DESC LIMIT 1", n.FQDN, n.ID))
	}
	if errors.Is(err, store.ErrNoRows) {
		return forgetReach(c.ctx, tx, n.FQDN)
	} else if err != nil {
		return err
	}
	if _, err := tx.Exec(c.ctx, "UPDATE hosts SET run = ? WHERE fqdn = ? AND run = ?", before.ID, n.FQDN, n.ID); err != nil {
		return err
	}
	if before.Ending == EndDestroyed {
		return forgetReach(c.ctx, tx, n.FQDN)
	}
	mine, err := n.doc()
	if err != nil || reachOf(mine).Addr == "" {
		return nil // it never came so far: what is on record is the earlier one's
	}
	theirs, err := before.doc()
	if err != nil {
		return forgetReach(c.ctx, tx, n.FQDN)
	}
	return noteReach(c.ctx, tx, n.FQDN, reachOf(theirs))
}
