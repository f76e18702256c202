package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// maxLineBytes bounds one line of progress or log; maxPending bounds the lines that wait to be written, per step.
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

func (s *stepRun) report(kind EventKind, line string) {
	line = s.mask(line)
	if len(line) > maxLineBytes {
		line = strings.ToValidUTF8(line[:maxLineBytes], "") + "…"
	}
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

// take removes the lines that wait to be written.
func (s *stepRun) take() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.pending
	s.pending = nil
	if s.dropped > 0 && len(out) > 0 {
		last := out[len(out)-1]
		last.Kind, last.Text = EvLog, fmt.Sprintf("(%d more lines came faster than they could be kept)", s.dropped)
		out = append(out, last)
		s.dropped = 0
	}
	return out
}

// Keep stores the clipboard in the middle of the step.
func (s *stepRun) Keep(ctx context.Context, c *clipboard.Clipboard) error {
	sealed := c.Clone()
	if err := sealed.Seal(s.e.key); err != nil {
		return err
	}
	diff := clipboard.Diff(s.stored, sealed)
	err := s.e.write(ctx, func(tx store.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE runs SET clipboard = ? WHERE id = ? AND turn = ?", sealed.Text(), s.run.ID, s.run.turn)
		if err != nil {
			return err
		}
		if n == 0 {
			return errStale
		}
		return insertEvent(ctx, tx, Event{Run: s.run.ID, Kind: EvKept, Stage: s.facts.Stage, Step: s.step.Name, Diff: diff})
	})
	if err != nil {
		return fmt.Errorf("keep the clipboard: %w", err)
	}
	s.mu.Lock()
	s.stored, s.all = sealed, nil
	s.mu.Unlock()
	s.run.clipboard = sealed.Text()
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
		switch {
		case errors.Is(cause, errCancelled), errors.Is(cause, ErrStopping), errors.Is(cause, errClusterUndo):
			return cause
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
		e.mu.Lock()
		for _, u := range e.active {
			if u.step != nil {
				batch = append(batch, u.step.take()...)
			}
		}
		e.mu.Unlock()
		if len(batch) == 0 {
			continue
		}
		err := e.write(ctx, func(tx store.Tx) error { return insertAll(ctx, tx, batch) })
		if err != nil && ctx.Err() == nil {
			e.log.Error("write progress lines", "err", err)
		}
	}
}

func insertAll(ctx context.Context, tx store.Tx, evs []Event) error {
	for _, ev := range evs {
		if err := insertEvent(ctx, tx, ev); err != nil {
			return err
		}
	}
	return nil
}
