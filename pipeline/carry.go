package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// verdict is what becomes of a job.
type verdict struct {
	over  bool          // this job has nothing to do any more: the run is at rest, or somebody else's
	after time.Duration // the run waits; the job comes again then. 0 and not over: go on now
}

var (
	goOn = verdict{}
	over = verdict{over: true}
	// handOver is for a node that stops: it fetches no more, so another one goes on, at once.
	handOver = verdict{after: 1}
)

// again is never 0, which would mean to go on now.
func again(d time.Duration) verdict { return verdict{after: max(d, 10*time.Millisecond)} }

// carrier has one run in its hands, from take until let. It is used by one goroutine.
type carrier struct {
	*Engine
	r       *Run
	u       *underway
	ctx     context.Context // of the record: it is written to the end even while we stop
	stepCtx context.Context // of the steps: ends when somebody cancels, or we stop
	// died: the record says that the step is under way, and this process did not begin it. seen: that was said.
	died, seen bool
	before     mark         // what the stage's mark was before we made it underWay
	silo       string       // whose queue the run was in: where we are, for it
	turn       int64        // the epoch under which the run was taken
	lost       bool         // the run is not where its step is
	back       map[int]bool // stages that an undo took back; read when one begins
}

// carry takes a run through its steps until it waits or comes to rest. An error means that the database refused; the
// run then stands where its last commit left it.
func (e *Engine) carry(jobCtx context.Context, job carryArgs) (verdict, error) {
	c, v, err := e.take(jobCtx, job)
	if c == nil || err != nil {
		return v, err
	}
	defer c.let()
	for v = goOn; v == goOn && err == nil; {
		v, err = c.move()
	}
	c.let()
	if err == nil && v.after > 0 && errors.Is(context.Cause(c.stepCtx), errCancelled) {
		v, err = c.endCancelled() // said after our last look, and before we let go
	}
	if errors.Is(err, errStale) {
		return over, nil
	}
	return v, err
}

// take makes this worker the only one that carries the run. No carrier means that the job is somebody else's.
func (e *Engine) take(jobCtx context.Context, job carryArgs) (*carrier, verdict, error) {
	ctx := context.WithoutCancel(jobCtx)
	stepCtx, cancel := context.WithCancelCause(ctx)
	u := &underway{cancel: cancel}
	e.mu.Lock()
	if e.active[job.Run] != nil {
		e.mu.Unlock()
		cancel(nil)
		return nil, again(time.Second), nil
	}
	e.active[job.Run] = u
	e.mu.Unlock()
	u.end = context.AfterFunc(jobCtx, guard.Func(guard.Count, func() { cancel(ErrStopping) }))
	c := &carrier{Engine: e, r: &Run{ID: job.Run}, u: u, ctx: ctx, stepCtx: stepCtx, silo: job.silo, turn: job.Turn}
	if job.silo != e.here && !e.serving.anybody(job.silo) {
		c.let() // who served it has gone in this moment
		return nil, again(time.Second), nil
	}
	// Read after the run is in our hands: a cancel from now on reaches us through the context.
	r, err := e.load(ctx, job.Run)
	if err != nil || r.epoch != job.Turn || !r.State.Moving() {
		c.let()
		return nil, over, err
	}
	c.r = r
	c.died = (r.State == Running || r.State == Waiting && r.Waits == ForSilo) && r.mark == underWay && !e.never(r)
	return c, goOn, nil
}

// let gives the run out of our hands; once is enough. Whoever says cancel from now on does not find us.
func (c *carrier) let() {
	c.mu.Lock()
	if c.active[c.r.ID] == c.u {
		delete(c.active, c.r.ID)
	}
	c.mu.Unlock()
	c.u.end()
	c.u.cancel(nil)
	select {
	case c.left <- struct{}{}:
	default:
	}
}

// move takes the run one stage further, or says why it does not go on.
func (c *carrier) move() (verdict, error) {
	r := c.r
	switch {
	case c.handed():
		return over, nil
	case r.Waits == ForSilo && (r.undoing || r.cancelBy == ""):
		return c.arrive()
	case r.undoing:
		return c.undoNext()
	case r.cancelBy != "" || errors.Is(context.Cause(c.stepCtx), errCancelled):
		switch {
		case !c.died || c.seen:
		case c.place(r, c.silo) != c.silo:
			return c.send()
		case c.silo != c.here:
			return c.stopThere()
		}
		return c.endCancelled()
	}
	if v, err := c.gate(); v != goOn || err != nil || r.undoing {
		return v, err
	}
	switch {
	case errors.Is(context.Cause(c.stepCtx), ErrStopping), c.halting():
		return c.leave()
	case r.Stage >= len(r.Steps): // what is left is to give back what steps hold
		return c.finish()
	case c.place(r, c.silo) != c.silo:
		return c.send()
	case len(c.visits(r)) > 0:
		return c.visit()
	}
	step, err := c.find(r.Step())
	if err != nil {
		return c.fail(nil, err)
	}
	if step.gone {
		return c.notNow()
	}
	if c.died && !c.seen {
		c.seen = true
		if step.Resume == Ask && c.silo == c.here { // an agent knows what became of it, and asks by itself when it does not
			return c.ask(nil, errors.New("jarvis stopped while it ran, so it may have half happened"))
		}
		again := "taken up again after a stop in its middle"
		if c.silo != c.here {
			again = "taken up again; its agent knows how far it is, and goes on with what it has in hand"
		}
		err := c.write(c.ctx, func(tx store.Tx) error {
			return insertEvents(c.ctx, tx, r, []Event{{Kind: EvResumed, Stage: r.Stage, Step: r.Step(), Text: again}})
		})
		if err != nil {
			return over, err
		}
	}
	return c.do(step)
}

// leave stops before a step that did not begin. A mark that says otherwise is taken back.
func (c *carrier) leave() (verdict, error) {
	if c.r.mark != underWay || c.died {
		return handOver, nil
	}
	return handOver, c.outcome(func(_ store.Tx, n *Run) ([]Event, error) {
		n.mark = c.before
		return nil, nil
	})
}

// notNow leaves a step that could not begin, for another or for later.
func (c *carrier) notNow() (verdict, error) {
	v, err := c.leave()
	if v == handOver && !c.halting() {
		v = again(notThere)
	}
	return v, err
}

// notThere is how long a run waits whose step could not be begun because an agent went away in that moment.
const notThere = 200 * time.Millisecond

// begin marks the stage as under way. A step between two tries that is safe to repeat needs no mark: a crash now leaves
// it between two tries.
func (c *carrier) begin(step Step) error {
	if c.r.mark == underWay || c.r.mark == betweenTries && step.Resume != Ask {
		return nil
	}
	c.before = c.r.mark
	err := c.change(c.ctx, c.r, func(_ store.Tx, n *Run) ([]Event, error) {
		first, now := n.mark == notBegun, time.Now()
		n.mark, n.State, n.Waits, n.Why = underWay, Running, "", ""
		if !first {
			return nil, nil
		}
		n.StageAt = now
		return []Event{{At: now, Kind: EvStep, Stage: n.Stage, Step: n.Step()}}, nil
	})
	if err != nil {
		c.neverBegan(c.r) // that commit may be on disk although we were not told; the step did not run
	}
	return err
}

// do calls Do once and commits what came of it.
func (c *carrier) do(step Step) (verdict, error) {
	check := mustCheck(c.r)
	if err := c.begin(step); errors.Is(err, errCancelAsked) {
		return c.reread()
	} else if err != nil {
		return over, err
	}
	s, err := c.open(c.r, step, false)
	if err != nil {
		return c.fail(nil, err)
	}
	s.facts.Resumed = c.died
	if check {
		err = c.preflight()
	}
	if err == nil {
		err = c.call(s, step.Do)
	}
	if errors.Is(err, ErrNotBegun) {
		return c.notNow()
	}
	c.died, c.before = false, notBegun
	if err == nil {
		err = Permanent(s.view.Seal(c.key))
	}
	if err != nil {
		return c.stumble(s, step, err)
	}
	return c.advance(s)
}

// stopThere has an agent stop what it may have in hand, before the run is cancelled: whoever sent it there is gone.
func (c *carrier) stopThere() (verdict, error) {
	c.seen = true
	c.u.cancel(errCancelled)
	step, err := c.find(c.r.Step())
	if err == nil {
		var s *stepRun
		if s, err = c.open(c.r, step, false); err != nil {
			return c.fail(nil, err)
		}
		s.facts.Resumed = true
		switch err = c.call(s, step.Do); {
		case err == nil: // it was done by then
			c.died = false
			return c.advance(s)
		case c.halting():
			return handOver, nil
		case !errors.Is(err, ErrNotBegun):
			return c.stumble(s, step, err)
		}
	}
	return c.endCancelled()
}

// call runs one function of a step, visible to status while it runs.
func (c *carrier) call(s *stepRun, f func(context.Context, *clipboard.Clipboard) error) error {
	free, ok := c.use(c.u, s)
	if !ok {
		return ErrNotBegun
	}
	defer free()
	return s.call(c.stepCtx, f)
}

// reread takes the run as it is on record after a cancel arrived between two of our commits.
func (c *carrier) reread() (verdict, error) {
	now, err := c.load(c.ctx, c.r.ID)
	switch {
	case err != nil:
		return over, err
	case now.epoch != c.r.epoch:
		return over, nil
	}
	c.r.cancelBy = now.cancelBy
	return goOn, nil
}

// outcome commits what a step has done. That is known, and stays known: while the database refuses, it is tried again
// for as long as this process lives. A cancel that came in the same moment is seen after it. f may be called with no
// transaction, to see what it would make of the run.
func (c *carrier) outcome(f func(tx store.Tx, next *Run) ([]Event, error)) error {
	return c.keep(nil, f)
}

// keep is outcome with a file for it.
func (c *carrier) keep(k *keeper, f func(tx store.Tx, next *Run) ([]Event, error)) error {
	f = c.placing(f)
	was, tried := *c.r, false
	err := c.settle(func() error {
		if tried {
			if c.committed(&was, f) {
				return nil
			}
			k.keep()
		}
		tried = true
		err := c.change(c.ctx, c.r, f)
		if errors.Is(err, errCancelAsked) {
			if _, err := c.reread(); err != nil {
				return err
			}
			was = *c.r
			err = c.change(c.ctx, c.r, f)
		}
		return err
	})
	k.close(err == nil || errors.Is(err, errStale) || errors.Is(err, errUnstorable))
	return err
}

// committed reports whether a commit of ours went through although we were told that it failed: the connection broke
// between the two.
func (c *carrier) committed(was *Run, f func(tx store.Tx, next *Run) ([]Event, error)) bool {
	now, err := c.load(c.ctx, was.ID)
	if err != nil {
		return false
	}
	next := *was
	if _, err := f(nil, &next); err != nil || !now.reads(&next) || now.reads(was) {
		return false
	}
	*c.r = *now
	return true
}

// reads reports whether two runs stand at the same place in the record.
func (r *Run) reads(o *Run) bool {
	return r.epoch == o.epoch && r.State == o.State && r.Stage == o.Stage && r.mark == o.mark && r.undoAt == o.undoAt && r.attempts == o.attempts && r.Why == o.Why && r.clipboard == o.clipboard
}

// stumble commits what an error of Do or Release means.
func (c *carrier) stumble(s *stepRun, step Step, doErr error) (verdict, error) {
	r := c.r
	var w *waitError
	var ask *askError
	var check *checkError
	host, retry := ForHost, ForRetry
	if errors.As(doErr, &check) {
		host, retry = ForCheck, ForCheck
	}
	switch errors.As(doErr, &w); {
	case errors.Is(doErr, ErrStopping):
		// Left as under way: the next start treats it as its Resume says.
		v := handOver
		if !errors.Is(context.Cause(c.stepCtx), ErrStopping) && !c.halting() { // an agent let go of it
			v = again(min(max(time.Since(r.StageAt)/10, time.Second), 30*time.Second))
		}
		lines := s.take() // once: a transaction that is tried again has the same
		return v, c.write(c.ctx, func(tx store.Tx) error { return insertAll(c.ctx, tx, lines) })
	case errors.Is(doErr, errCancelled):
		return c.endCancelled()
	case errors.Is(doErr, errClusterUndo):
		return goOn, nil // the gate takes it from here
	case errors.As(doErr, &ask):
		return c.ask(s, doErr)
	case w != nil:
		why := w.why
		if check != nil {
			why = check.step + " cannot be checked yet: " + why
		}
		limit := step.Timeout
		if limit == 0 {
			limit = DefaultTimeout
		}
		if time.Since(r.StageAt) > limit {
			return c.fail(s, fmt.Errorf("gave up after %s: %s", limit, why))
		}
		// It got as far as waiting: what failed before counts no more. The step's Timeout ends what does both for ever.
		return c.pause(s, w.d, host, why, 0)
	case IsPermanent(doErr), r.attempts >= len(c.retry):
		return c.fail(s, doErr)
	}
	d := spread(c.retry[r.attempts])
	why := fmt.Sprintf("try %d of %d in %s: %s", r.attempts+2, len(c.retry)+1, d.Round(100*time.Millisecond), oneLine(doErr))
	return c.pause(s, d, retry, why, r.attempts+1)
}

// spread makes a pause a little longer, so that many do not return at once.
func spread(d time.Duration) time.Duration {
	return d + time.Duration(float64(d)*0.2*(float64(time.Now().UnixNano()/1000%100)/100))
}

// advance commits a finished step: clipboard, stage and events in one transaction.
func (c *carrier) advance(s *stepRun) (verdict, error) {
	now := time.Now()
	text, before, after := s.view.Text(), s.stored, s.view
	done := Event{At: now, Kind: EvDone, Stage: c.r.Stage, Step: c.r.Step(), Text: s.lastLine(), Diff: clipboard.Diff(s.stored, s.view), Took: now.Sub(c.r.StageAt)}
	lines := s.take()
	end := false
	k := c.keeper(kept{Run: c.r.ID, Epoch: c.r.epoch, Stage: c.r.Stage, Step: c.r.Step(), At: now, TookMS: done.Took.Milliseconds(), Text: done.Text, Diff: done.Diff, Clipboard: text})
	err := c.keep(k, func(tx store.Tx, n *Run) ([]Event, error) {
		events := append(lines[:len(lines):len(lines)], done)
		if tx != nil {
			if err := noteStep(c.ctx, tx, n, n.Step(), before, after); err != nil {
				return nil, err
			}
		}
		n.clipboard, n.parsed = text, s.view
		n.pass(now)
		// A member of a cluster passes the gate before its next stage begins, and once more before it is ready.
		last := n.Stage >= len(n.Steps)
		switch end = last && n.Cluster == 0 && n.cancelBy == "" && !c.holds(n); {
		case end:
			if tx != nil { // the usual times are made of what is on record
				if err := insertEvents(c.ctx, tx, n, events); err != nil {
					return nil, err
				}
			}
			return c.ready(tx, n, now)
		case !last && n.Cluster == 0 && n.cancelBy == "" && !c.halting() && c.place(n, c.silo) == c.silo && len(c.visits(n)) == 0:
			n.mark = underWay
			events = append(events, Event{At: now, Kind: EvStep, Stage: n.Stage, Step: n.Step()})
		}
		return events, nil
	})
	if err != nil {
		return c.unstored(err)
	}
	if end {
		c.forgetUsual(c.r.Pipeline)
		return over, nil
	}
	return goOn, nil
}

// unstored ends a run whose outcome no database can ever take, so that the step does not run again for it.
func (c *carrier) unstored(err error) (verdict, error) {
	if !errors.Is(err, errUnstorable) {
		return over, err
	}
	return c.fail(nil, fmt.Errorf("it is done, but the record cannot take what it gave: %w", err))
}

// pause commits that the run waits. A wait whose reason did not change writes nothing: ten thousand hosts that are
// not up yet must not cost ten thousand commits a second.
func (c *carrier) pause(s *stepRun, d time.Duration, reason Reason, why string, attempts int) (verdict, error) {
	why = s.mask(why)
	lines := s.take()
	if r := c.r; r.State == Waiting && r.Waits == reason && r.Why == why && r.attempts == attempts && len(lines) == 0 {
		return again(d), nil
	}
	now := time.Now()
	kind := EvWaiting
	if attempts > 0 {
		kind = EvRetrying
	}
	err := c.outcome(func(_ store.Tx, n *Run) ([]Event, error) {
		n.State, n.attempts, n.Waits, n.Why, n.Wake = Waiting, attempts, reason, why, now.Add(d)
		if n.mark != notBegun || n.Stage >= len(n.Steps) { // a check in another silo is asked before the stage begins
			n.mark = betweenTries
		}
		return append(lines[:len(lines):len(lines)], Event{At: now, Kind: kind, Stage: n.Stage, Step: n.Step(), Text: why}), nil
	})
	if err != nil {
		return c.unstored(err)
	}
	if c.r.cancelBy != "" {
		return goOn, nil
	}
	return again(time.Until(now.Add(d))), nil // the commit took a part of it
}

// oneLine gives an error as one line of bounded length, as chat shows it.
func oneLine(err error) string {
	return plain.Clip(plain.Joined(err.Error()), 600)
}
