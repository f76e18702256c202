package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// maxLineBytes bounds one line of progress or log; maxPending bounds the lines of a step that wait to be written. As
// many again come at most while a batch is being written.
const (
	maxLineBytes = 2000
	maxPending   = 5000
)

// stepRun is one call of Do or Undo; it is the Host of the step's context.
type stepRun struct {
	e     *Engine
	facts Facts
	run   *Run
	step  Step
	alive chan struct{} // fed by every report

	mu      sync.Mutex
	line    string
	pending []Event
	dropped int
	view    *clipboard.Clipboard // what the step works on
	stored  *clipboard.Clipboard // sealed, as last committed
	all     *clipboard.Clipboard // every secret open, for masking; made when first needed
}

func (s *stepRun) Facts() Facts { return s.facts }

func (s *stepRun) Progress(line string) { s.report(EvProgress, line) }
func (s *stepRun) Log(line string)      { s.report(EvLog, line) }

// report keeps a line until it is written, and feeds the watchdog. Above maxPending lines are counted only.
func (s *stepRun) report(kind EventKind, line string) {
	line = plain.Clip(s.mask(line), maxLineBytes)
	s.mu.Lock()
	if kind == EvProgress {
		s.line = line
	}
	if len(s.pending) < maxPending {
		s.pending = append(s.pending, Event{Run: s.run.ID, At: time.Now(), Kind: kind, Stage: s.facts.Stage, Step: s.step.Name, Text: line})
	} else {
		s.dropped++
	}
	s.mu.Unlock()
	select {
	case s.alive <- struct{}{}:
	default:
	}
}

// mask hides every secret of the run, also those that this step may not see, and makes the line plain. It looks for
// secrets on both sides of that: one may hold what is cleaned away, and one may come with a control character in it.
func (s *stepRun) mask(line string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = s.stored
		if s.stored.HasSealed() {
			if all, err := s.stored.OpenAll(s.e.key); err == nil {
				s.all = all
			}
		}
	}
	hidden := s.view.Redact(s.all.Redact(line))
	if line = plain.Line(hidden); line != hidden {
		line = s.view.Redact(s.all.Redact(line))
	}
	return line
}

// open makes the stepRun for one call: the step sees the secrets it names in Needs, and no other.
func (e *Engine) open(r *Run, step Step, undo bool) (*stepRun, error) {
	stored, err := r.doc()
	if err != nil {
		return nil, err
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
		facts: Facts{Run: r.ID, Stage: r.Stage, Token: e.Token(r.ID), Owner: OwnerOf(e.install, r.FQDN), By: r.By, Waited: time.Since(r.StageAt), Undo: undo, Try: r.tries}}, nil
}

// Token gives what tags everything that a run makes.
func (e *Engine) Token(run int64) string { return fmt.Sprintf("jarvis-%s-%d", e.install, run) }

// ErrNotBegun is what a function of a step returns that was not called after all: the engine stops, or whoever was to
// do it elsewhere is not there. Nothing has happened, it costs no try, and it is tried again.
var ErrNotBegun = errors.New("it was not begun")

// use makes s visible to status, to the writer of lines and to a stop, until free is called. ok is false when the
// engine stops: then the step must not begin.
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

// take removes the lines that wait to be written, with one that says how many were only counted.
func (s *stepRun) take() []Event { return marked(s.takeApart()) }

// takeApart is take for whoever may give them back: how many were only counted is apart.
func (s *stepRun) takeApart() (lines []Event, dropped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines = s.pending
	s.pending = nil
	if len(lines) > 0 {
		dropped, s.dropped = s.dropped, 0
	}
	return lines, dropped
}

// marked ends lines with one that says how many more there were.
func marked(lines []Event, dropped int) []Event {
	if dropped == 0 || len(lines) == 0 {
		return lines
	}
	last := lines[len(lines)-1]
	last.Kind, last.Text = EvLog, fmt.Sprintf("(%d more lines came faster than they could be kept)", dropped)
	return append(slices.Clip(lines), last)
}

// Keep stores the clipboard in the middle of the step.
func (s *stepRun) Keep(ctx context.Context, c *clipboard.Clipboard) error {
	sealed := c.Clone()
	if err := sealed.Seal(s.e.key); err != nil {
		return err
	}
	stored := s.stored
	diff, reach := clipboard.Diff(stored, sealed), reachOf(sealed)
	moved := !reach.equal(reachOf(stored))
	keep := func() error {
		return s.e.change(ctx, s.run, func(tx store.Tx, n *Run) ([]Event, error) {
			n.clipboard, n.parsed = sealed.Text(), sealed
			if err := noteMachine(ctx, tx, n, s.step.Name, stored, sealed); err != nil {
				return nil, err
			}
			if moved {
				if err := noteReach(ctx, tx, n.FQDN, reach); err != nil {
					return nil, err
				}
			}
			return []Event{{Kind: EvKept, Stage: s.facts.Stage, Step: s.step.Name, Diff: diff}}, nil
		})
	}
	err := keep()
	if errors.Is(err, errCancelAsked) { // what is kept is needed all the more when the step is stopped
		var now *Run
		if now, err = s.e.load(ctx, s.run.ID); err == nil {
			s.run.cancelBy = now.cancelBy
			err = keep()
		}
	}
	if err != nil {
		return fmt.Errorf("keep the clipboard: %w", err)
	}
	s.mu.Lock()
	s.stored, s.all = sealed, nil
	s.mu.Unlock()
	return nil
}

// call runs f under the step's timeout and silence watchdog; a panic becomes an error of this run alone.
func (s *stepRun) call(ctx context.Context, f func(context.Context, *clipboard.Clipboard) error) (err error) {
	timeout := s.step.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	tooLong := fmt.Errorf("gave up after %s", timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, tooLong)
	defer cancel()
	ctx, stop := context.WithCancelCause(WithHost(ctx, s))
	defer stop(nil)
	if s.step.Silence > 0 {
		done := make(chan struct{})
		defer func() { stop(nil); <-done }()
		guard.Go(func(p *guard.Panic) { s.e.logPanic(p, s, "watch a step") }, func() {
			defer close(done)
			s.watch(ctx, stop)
		})
	}
	err = guard.Call(func() error { return f(ctx, s.view) })
	var p *guard.Panic
	if errors.As(err, &p) {
		s.e.logPanic(p, s, "run a step")
		return Permanent(errStepBug)
	}
	if cause := context.Cause(ctx); err != nil && ctx.Err() != nil && cause != nil {
		what, goesOn := AsGoesOn(err)
		switch {
		case errors.Is(cause, errCancelled) && goesOn:
			return GoesOn(cause, what)
		case errors.Is(cause, errCancelled), errors.Is(cause, ErrStopping), errors.Is(cause, errClusterUndo):
			return cause
		case goesOn:
			return Permanent(GoesOn(cause, what))
		case errors.Is(cause, tooLong), errors.Is(cause, errSilent):
			if line := s.lastLine(); line != "" {
				return Permanent(fmt.Errorf("%w; the last it said: %s", cause, line))
			}
			return Permanent(cause)
		}
	}
	return err
}

var errStepBug = errors.New("the step has a bug and panicked; the stack is in the log")

// logPanic writes what a step's code came to. The value of a panic may show what the step worked with.
func (e *Engine) logPanic(p *guard.Panic, s *stepRun, what string) {
	e.log.Error("a bug: something panicked", "what", what, "run", s.run.ID, "step", s.step.Name, "err", s.mask(p.Error()), "stack", string(p.Stack))
}

// lastLine is the last progress, which stays on record as what the step came to.
func (s *stepRun) lastLine() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.line
}

var errSilent = errors.New("hung")

// watch cancels the step when it reports nothing for its Silence.
func (s *stepRun) watch(ctx context.Context, stop context.CancelCauseFunc) {
	t := time.NewTimer(s.step.Silence)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.alive:
			t.Reset(s.step.Silence)
		case <-t.C:
			stop(fmt.Errorf("%w: it said nothing for %s", errSilent, s.step.Silence))
			return
		}
	}
}

// writeLines stores the lines of all steps under way in batches. Engine.Run owns its goroutine.
func (e *Engine) writeLines(ctx context.Context) {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		var batch []Event
		type taken struct {
			lines   []Event
			dropped int
		}
		from := map[*stepRun]taken{}
		e.mu.Lock()
		for _, u := range e.active {
			if u.step == nil {
				continue
			}
			if lines, dropped := u.step.takeApart(); len(lines) > 0 {
				from[u.step] = taken{lines, dropped}
				batch = append(batch, marked(lines, dropped)...)
			}
		}
		e.mu.Unlock()
		if len(batch) == 0 {
			continue
		}
		err := e.write(ctx, func(tx store.Tx) error { return insertAll(ctx, tx, batch) })
		if err == nil {
			continue
		}
		if ctx.Err() == nil {
			e.log.Error("write progress lines", "err", err)
		}
		for s, t := range from {
			s.giveBack(t.lines, t.dropped)
		}
	}
}

// giveBack puts lines in front of those that wait to be written: the database did not take them. What came meanwhile
// has the room that is left, and the rest is counted only.
func (s *stepRun) giveBack(lines []Event, dropped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := max(0, maxPending-len(lines))
	if n := len(s.pending); n > room {
		dropped += n - room
		s.pending = s.pending[:room]
	}
	s.pending = append(slices.Clip(lines), s.pending...)
	s.dropped += dropped
}
