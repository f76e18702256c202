package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/store"
)

// errStale: the run has moved on under another turn; this job has nothing to say any more. errNotBegun: the engine stops,
// so the step was not called.
var (
	errStale    = errors.New("the run has moved on")
	errNotBegun = errors.New("the engine stops")
)

// carry takes a run through its steps until it waits (the pause is returned) or ends (0). An error means that the
// database refused; the run then stands where its last commit left it.
func (e *Engine) carry(jobCtx context.Context, job carryArgs) (again time.Duration, err error) {
	// The record is written to the end even while we stop; the step hears of it through its own context.
	ctx := context.WithoutCancel(jobCtx)
	stepCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stopOnShutdown := context.AfterFunc(jobCtx, func() { cancel(ErrStopping) })
	defer stopOnShutdown()
	u := &underway{cancel: cancel}
	e.mu.Lock()
	if e.active[job.Run] != nil {
		e.mu.Unlock()
		return time.Second, nil
	}
	e.active[job.Run] = u
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.active, job.Run)
		e.mu.Unlock()
		select {
		case e.left <- struct{}{}:
		default:
		}
	}()
	// Read after the run is in our hands: a cancel from now on reaches us through the context.
	r, err := e.load(ctx, job.Run)
	if err != nil {
		return 0, err
	}
	if r.turn != job.Turn || !r.State.Moving() {
		return 0, nil
	}
	defer func() {
		if errors.Is(err, errStale) {
			again, err = 0, nil
		}
	}()

	if r.undoing {
		return e.carryUndo(ctx, stepCtx, r, u)
	}
	crashed := r.State == Running && r.under == 1 // the step may have half happened
	seen, before := false, 0                      // crashed was seen to; the mark of the stage before we made it 1
	for {
		// Asked for before we held the run, or during a step that did not listen to its context.
		if r.cancelBy != "" || errors.Is(context.Cause(stepCtx), errCancelled) {
			return 0, e.endCancelled(ctx, r)
		}
		if r.Cluster > 0 {
			again, end, err := e.gate(ctx, stepCtx, r, u)
			if err != nil || end || again > 0 {
				return again, err
			}
		}
		if jobCtx.Err() != nil || e.halting() {
			if r.under == 1 && !crashed {
				// The mark says that the step is under way, but it never began: take the mark back.
				return time.Second, e.write(ctx, func(tx store.Tx) error {
					return exactlyOne(tx.Exec(ctx, "UPDATE runs SET under = ? WHERE id = ? AND turn = ?", before, r.ID, r.turn))
				})
			}
			return time.Second, nil
		}
		if r.Stage >= len(r.Steps) { // what is left is to give back what steps hold
			again, end, err := e.release(ctx, stepCtx, r, u)
			if err != nil || end || again > 0 {
				return again, err
			}
			if turned, err := e.endReady(ctx, r); err != nil || !turned {
				return 0, err
			}
			continue
		}
		step, err := e.reg.Lookup(r.Step(), "")
		if err != nil {
			return 0, e.fail(ctx, r, nil, err)
		}
		if crashed && !seen {
			seen = true
			if step.Resume == Ask {
				return 0, e.ask(ctx, r, nil, errors.New("jarvis stopped while it ran, so it may have half happened"))
			}
			if err := e.write(ctx, func(tx store.Tx) error {
				return insertEvent(ctx, tx, Event{Run: r.ID, Kind: EvResumed, Stage: r.Stage, Step: r.Step(), Text: "taken up again after a stop in its middle"})
			}); err != nil {
				return 0, err
			}
		}
		// A step between two tries that is safe to repeat needs no mark: a crash now leaves it between two tries.
		if r.under == 0 || r.under == 2 && step.Resume == Ask {
			before = r.under
			if err := e.begin(ctx, r); err != nil {
				return 0, err
			}
		}
		again, end, err := e.runStep(ctx, stepCtx, r, u, step)
		if errors.Is(err, errNotBegun) {
			continue
		}
		crashed, before = false, 0
		if err != nil || end || again > 0 {
			return again, err
		}
	}
}

// begin marks the stage as under way.
func (e *Engine) begin(ctx context.Context, r *Run) error {
	now := time.Now()
	first := r.under == 0
	err := e.write(ctx, func(tx store.Tx) error {
		q := "UPDATE runs SET under = 1, state = 'running', why = '' WHERE id = ? AND turn = ?"
		args := []any{r.ID, r.turn}
		if first {
			q = "UPDATE runs SET under = 1, state = 'running', why = '', stage_at = ? WHERE id = ? AND turn = ?"
			args = []any{now.UnixMilli(), r.ID, r.turn}
		}
		if err := exactlyOne(tx.Exec(ctx, q, args...)); err != nil {
			return err
		}
		if !first {
			return nil
		}
		return insertEvent(ctx, tx, Event{Run: r.ID, At: now, Kind: EvStep, Stage: r.Stage, Step: r.Step()})
	})
	if err == nil {
		r.under, r.State, r.Why = 1, Running, ""
		if first {
			r.StageAt = now
		}
	}
	return err
}

func exactlyOne(n int64, err error) error {
	if err == nil && n != 1 {
		return errStale
	}
	return err
}

// open makes the stepRun for one call: the step sees the secrets it names in Needs, and no other.
func (e *Engine) open(r *Run, step Step, undo bool) (*stepRun, error) {
	stored := r.parsed
	if stored == nil || stored.Text() != r.clipboard {
		var err error
		if stored, err = clipboard.Parse([]byte(r.clipboard)); err != nil {
			return nil, fmt.Errorf("read the clipboard: %w", err)
		}
		r.parsed = stored
	}
	keys := make([]string, 0, len(step.Needs)+len(step.Gives))
	for _, k := range append(append(keys, step.Needs...), step.Gives...) {
		keys = append(keys, strings.TrimSuffix(k, "?"))
	}
	view, err := stored.Open(e.key, keys)
	if err != nil {
		return nil, err
	}
	return &stepRun{e: e, run: r, step: step, stored: stored, view: view, alive: make(chan struct{}, 1),
		facts: Facts{Run: r.ID, Stage: r.Stage, Token: e.Token(r.ID), By: r.By, Waited: time.Since(r.StageAt), Undo: undo, Try: r.tries}}, nil
}

// Token gives what tags everything that a run makes.
func (e *Engine) Token(run int64) string { return fmt.Sprintf("jarvis-%s-%d", e.install, run) }

// use makes s visible to status, to the writer of lines and to a stop, until free is called. ok is false when the engine
// stops: then the step must not begin.
func (e *Engine) use(u *underway, s *stepRun) (free func(), ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopping {
		return nil, false
	}
	u.step = s
	return func() {
		e.mu.Lock()
		u.step = nil
		e.mu.Unlock()
	}, true
}

// runStep calls Do once and commits what came of it. end means that the run is over or needs a person.
func (e *Engine) runStep(ctx, stepCtx context.Context, r *Run, u *underway, step Step) (again time.Duration, end bool, err error) {
	s, err := e.open(r, step, false)
	if err != nil {
		return 0, true, e.fail(ctx, r, nil, err)
	}
	free, ok := e.use(u, s)
	if !ok {
		return 0, false, errNotBegun
	}
	began := time.Now()
	doErr := s.call(stepCtx, step.Do)
	free()

	if doErr == nil {
		if err := s.view.Seal(e.key); err != nil {
			return 0, true, e.fail(ctx, r, s, err)
		}
		end, err := e.advance(ctx, r, s)
		return 0, end, err
	}
	return e.stumble(ctx, r, s, step, began, doErr)
}

// stumble commits what an error of Do or Release means.
func (e *Engine) stumble(ctx context.Context, r *Run, s *stepRun, step Step, began time.Time, doErr error) (again time.Duration, end bool, err error) {
	var w *waitError
	var ask *askError
	switch {
	case errors.Is(doErr, ErrStopping):
		// Left as under way: the next start treats it as its Resume says.
		return time.Second, false, e.write(ctx, func(tx store.Tx) error { return insertAll(ctx, tx, s.take()) })
	case errors.Is(doErr, errCancelled):
		return 0, true, e.endCancelled(ctx, r)
	case errors.Is(doErr, errClusterUndo):
		return time.Millisecond, false, nil // the gate takes it from here
	case errors.As(doErr, &ask):
		return 0, true, e.ask(ctx, r, s, doErr)
	case errors.As(doErr, &w):
		limit := step.Timeout
		if limit == 0 {
			limit = DefaultTimeout
		}
		if time.Since(r.StageAt) > limit {
			return 0, true, e.fail(ctx, r, s, fmt.Errorf("gave up after %s: %s", limit, w.why))
		}
		return max(w.d, 10*time.Millisecond), false, e.pause(ctx, r, s, max(w.d, 10*time.Millisecond), w.why, EvWaiting, r.attempts)
	case IsPermanent(doErr), r.attempts >= len(e.retry):
		return 0, true, e.fail(ctx, r, s, doErr)
	default:
		d := e.retry[r.attempts]
		d += time.Duration(float64(d) * 0.2 * (float64(began.UnixNano()%100) / 100)) // spread, so that many do not return at once
		why := fmt.Sprintf("try %d of %d in %s: %s", r.attempts+2, len(e.retry)+1, d.Round(100*time.Millisecond), s.mask(oneLine(doErr)))
		return d, false, e.pause(ctx, r, s, d, why, EvRetrying, r.attempts+1)
	}
}

// advance commits a finished step: clipboard, stage and events in one transaction.
func (e *Engine) advance(ctx context.Context, r *Run, s *stepRun) (end bool, err error) {
	now := time.Now()
	text := s.view.Text()
	done := Event{Run: r.ID, At: now, Kind: EvDone, Stage: r.Stage, Step: r.Step(), Text: s.lastLine(), Diff: clipboard.Diff(s.stored, s.view), Took: now.Sub(r.StageAt)}
	lines := s.take()
	next := r.Stage + 1
	last := next >= len(r.Steps)
	end = last && !e.holds(r) && r.Cluster == 0
	// A member of a cluster passes the gate before its next stage begins, and once more before it is ready.
	under := 1
	if last || r.Cluster > 0 {
		under = 0
	}
	err = e.write(ctx, func(tx store.Tx) error {
		var err error
		if end {
			err = exactlyOne(tx.Exec(ctx, "UPDATE runs SET clipboard = ?, stage = ?, state = 'ready', live = 0, under = 0, attempts = 0, err = '', why = '', ended = ?, stage_at = ? WHERE id = ? AND turn = ?",
				text, next, now.UnixMilli(), now.UnixMilli(), r.ID, r.turn))
		} else {
			err = exactlyOne(tx.Exec(ctx, "UPDATE runs SET clipboard = ?, stage = ?, state = 'running', under = ?, attempts = 0, why = '', stage_at = ? WHERE id = ? AND turn = ?",
				text, next, under, now.UnixMilli(), r.ID, r.turn))
		}
		if err != nil {
			return err
		}
		if err := insertAll(ctx, tx, lines); err != nil {
			return err
		}
		if under == 1 {
			return insertTwo(ctx, tx, done, Event{Run: r.ID, At: now, Kind: EvStep, Stage: next, Step: r.Steps[next]})
		}
		if err := insertEvent(ctx, tx, done); err != nil || !end {
			return err
		}
		return e.recordReady(ctx, tx, r, now)
	})
	if err != nil {
		return false, err
	}
	if end {
		e.forgetUsual(r.Pipeline)
		r.State = Ready
	}
	r.clipboard, r.Stage, r.StageAt, r.under, r.attempts, r.Why = text, next, now, under, 0, ""
	r.parsed = s.view
	return end, nil
}

// recordReady writes what a run that is ready leaves: its times, unless a stage was skipped, for they say nothing about
// the usual; the notice; and that of its cluster when it is the last member.
func (e *Engine) recordReady(ctx context.Context, tx store.Tx, r *Run, now time.Time) error {
	if _, err := tx.Exec(ctx, "INSERT INTO timings (pipeline, stage, step, run, took) SELECT ?, stage, step, run, took FROM events WHERE run = ? AND kind = 'done' AND NOT EXISTS (SELECT 1 FROM events WHERE run = ? AND kind = 'skipped')", r.Pipeline, r.ID, r.ID); err != nil {
		return err
	}
	if err := insertEvent(ctx, tx, Event{Run: r.ID, At: now, Kind: EvReady, Stage: len(r.Steps) - 1, Took: now.Sub(r.Started)}); err != nil || r.Cluster == 0 {
		return err
	}
	return e.recordAllReady(ctx, tx, r, now)
}

// endReady commits that a run is ready whose stages are all done or skipped. turned reports that its cluster is being
// undone meanwhile, so that it has to turn back instead.
func (e *Engine) endReady(ctx context.Context, r *Run) (turned bool, err error) {
	now := time.Now()
	err = e.write(ctx, func(tx store.Tx) error {
		if r.Cluster > 0 {
			if turned, err = isUndoing(ctx, tx, r.Cluster); turned || err != nil {
				return err
			}
		}
		if err := exactlyOne(tx.Exec(ctx, "UPDATE runs SET state = 'ready', live = 0, under = 0, attempts = 0, err = '', why = '', ended = ?, stage_at = ? WHERE id = ? AND turn = ?", now.UnixMilli(), now.UnixMilli(), r.ID, r.turn)); err != nil {
			return err
		}
		return e.recordReady(ctx, tx, r, now)
	})
	e.forgetUsual(r.Pipeline)
	return turned, err
}

// pause commits that the run waits. A wait whose reason did not change writes nothing: ten thousand hosts that are
// not up yet must not cost ten thousand commits a second.
func (e *Engine) pause(ctx context.Context, r *Run, s *stepRun, d time.Duration, why string, kind EventKind, attempts int) error {
	why = s.mask(why)
	lines := s.take()
	if r.State == Waiting && r.Why == why && r.attempts == attempts && len(lines) == 0 {
		return nil
	}
	now := time.Now()
	err := e.write(ctx, func(tx store.Tx) error {
		if err := exactlyOne(tx.Exec(ctx, "UPDATE runs SET state = 'waiting', under = 2, attempts = ?, why = ?, wake = ? WHERE id = ? AND turn = ?", attempts, why, now.Add(d).UnixMilli(), r.ID, r.turn)); err != nil {
			return err
		}
		return insertAll(ctx, tx, append(lines, Event{Run: r.ID, At: now, Kind: kind, Stage: r.Stage, Step: r.Step(), Text: why}))
	})
	if err == nil {
		r.State, r.under, r.attempts, r.Why = Waiting, 2, attempts, why
	}
	return err
}

// stop commits a state in which the run needs a person.
func (e *Engine) stop(ctx context.Context, r *Run, s *stepRun, state State, kind EventKind, cause error) error {
	msg := oneLine(cause)
	var lines []Event
	if s != nil {
		msg, lines = s.mask(msg), s.take()
	}
	now := time.Now()
	return e.write(ctx, func(tx store.Tx) error {
		if err := exactlyOne(tx.Exec(ctx, "UPDATE runs SET state = ?, under = 2, err = ?, why = '' WHERE id = ? AND turn = ?", string(state), msg, r.ID, r.turn)); err != nil {
			return err
		}
		if state == Failed && r.Cluster > 0 {
			// In the same transaction: whoever dies now, the cluster is undone.
			if _, err := tx.Exec(ctx, "UPDATE clusters SET undoing = 1 WHERE id = ? AND on_failure = 'undo'", r.Cluster); err != nil {
				return err
			}
		}
		return insertAll(ctx, tx, append(lines, Event{Run: r.ID, At: now, Kind: kind, Stage: min(r.Stage, len(r.Steps)-1), Step: r.Step(), Text: msg, Took: now.Sub(r.Started)}))
	})
}

func (e *Engine) fail(ctx context.Context, r *Run, s *stepRun, cause error) error {
	if err := e.stop(ctx, r, s, Failed, EvFailed, cause); err != nil || r.Cluster == 0 {
		return err
	}
	return e.turnMembers(ctx, r)
}

func (e *Engine) ask(ctx context.Context, r *Run, s *stepRun, cause error) error {
	if err := e.stop(ctx, r, s, Asking, EvAsking, cause); err != nil || r.Cluster == 0 {
		return err
	}
	return e.turnMembers(ctx, r)
}

// turnMembers sees to a cluster that is being undone when one of its runs has come to rest.
func (e *Engine) turnMembers(ctx context.Context, r *Run) error {
	if err := e.undoMembers(ctx, r.Cluster); err != nil {
		e.log.Error("undo the cluster", "run", r.ID, "err", err) // the run itself is at rest, and that is on record
	}
	return nil
}

// endCancelled commits the cancellation and says what is left standing. It raises the turn, so that whoever else
// holds the run writes nothing more.
func (e *Engine) endCancelled(ctx context.Context, r *Run) error {
	now := time.Now()
	text := "nothing is left standing that `undo` could remove"
	if left := e.standing(r); len(left) > 0 {
		text = "left standing: whatever " + strings.Join(left, ", ") + " made"
	}
	by := r.cancelBy
	return e.write(ctx, func(tx store.Tx) error {
		if by == "" {
			if err := tx.QueryRow(ctx, "SELECT cancel_by FROM runs WHERE id = ?", r.ID).Scan(&by); err != nil {
				return err
			}
		}
		if err := exactlyOne(tx.Exec(ctx, "UPDATE runs SET state = 'cancelled', live = 0, under = 2, turn = turn + 1, why = '', err = ?, ended = ? WHERE id = ? AND turn = ?", "cancelled by "+by+"; "+text, now.UnixMilli(), r.ID, r.turn)); err != nil {
			return err
		}
		return insertEvent(ctx, tx, Event{Run: r.ID, At: now, Kind: EvCancelled, Stage: r.Stage, Step: r.Step(), Text: "cancelled by " + by + "; " + text, Took: now.Sub(r.Started)})
	})
}

// standing lists the begun steps that have something to undo, in order.
func (e *Engine) standing(r *Run) []string {
	var left []string
	for i := 0; i <= r.Stage && i < len(r.Steps); i++ {
		if i == r.Stage && r.under == 0 {
			break
		}
		if s, err := e.reg.Lookup(r.Steps[i], ""); err == nil && s.Undo != nil {
			left = append(left, s.Name)
		}
	}
	return left
}

// oneLine gives an error as one line of bounded length, as chat shows it.
func oneLine(err error) string {
	s := strings.Join(strings.Fields(err.Error()), " ")
	if len(s) > 600 {
		s = strings.ToValidUTF8(s[:600], "") + "…"
	}
	return s
}
