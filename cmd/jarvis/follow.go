package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/web"
)

// view shows a run as it moves.
type view interface {
	event(ev pipeline.Event, r web.RunView)
	tick(r web.RunView) // now and then, as often as every says
	every() time.Duration
	end(r web.RunView)
}

// A link that breaks is made again so often, with a pause between; what comes over it begins the count again.
const (
	linkTries = 60
	linkPause = 500 * time.Millisecond
)

// gone says that a link could not be made again.
func gone(err error) error { return fmt.Errorf("%w: the server is gone: %w", command.ErrLost, err) }

// isVerdict reports whether the server has judged what was asked of it, so that asking again changes nothing. That it
// stops, or cannot read its record now, is no such answer.
func isVerdict(err error) bool {
	var said *command.UserError
	return errors.As(err, &said) && !errors.Is(said, command.ErrLost) && !errors.Is(said, command.ErrLimited)
}

// steadily asks again while the link is broken. What the server says, as a refusal, ends it.
func steadily[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	for try := 1; ; try++ {
		v, err := ask()
		switch {
		case err == nil || isVerdict(err):
			return v, err
		case try == linkTries:
			return v, gone(err)
		case !sleep(ctx, linkPause):
			return v, ctx.Err()
		}
	}
}

// watch feeds a view with a run's events until the run rests, and gives it. It goes on after the last event that it saw
// when the link broke, or the server was restarted meanwhile.
func watch(ctx context.Context, cl *web.Client, id, last int64, v view) (web.RunView, error) {
	ctx, cancel := context.WithCancel(ctx)
	now := func() (web.RunView, error) { return cl.Run(ctx, id) }
	var mu sync.Mutex
	r, err := steadily(ctx, now)
	if err != nil {
		cancel()
		return r, err
	}
	v.tick(r)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		for sleep(ctx, v.every()) {
			if at, err := cl.Run(ctx, id); err == nil {
				mu.Lock()
				r = at
				v.tick(r)
				mu.Unlock()
			}
		}
	})
	seen := func() web.RunView {
		mu.Lock()
		defer mu.Unlock()
		return r
	}
	for tries := 0; ; tries++ {
		err := cl.Follow(ctx, id, last, func(ev pipeline.Event) {
			mu.Lock()
			defer mu.Unlock()
			last, tries = ev.ID, 0
			v.event(ev, r)
		})
		if isVerdict(err) {
			return seen(), err
		}
		at, rerr := steadily(ctx, now)
		switch {
		case ctx.Err() != nil:
			return seen(), ctx.Err()
		case rerr != nil:
			return at, rerr
		case err == nil && at.State.Resting():
			return at, nil
		case tries > linkTries:
			return at, gone(cmp.Or(err, rerr))
		case !sleep(ctx, linkPause):
			return at, ctx.Err()
		}
	}
}

// errTimeout ends the watching, not the run.
var errTimeout = errors.New("the time to watch is over")

// leftError: what is followed goes on, and nobody follows it any more.
type leftError struct {
	what  string         // as in "run 13"
	name  string         // what status and cancel take
	a     command.Answer // with the run or the cluster, as it was seen last
	cause error          // that the link is lost; else somebody interrupted us
}

func (e *leftError) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%v; as far as I know %s goes on: `jarvis status %s` says", e.cause, e.what, e.name)
	}
	return fmt.Sprintf("stopped watching; %s goes on (`jarvis status %s`, `jarvis cancel %s`)", e.what, e.name, e.name)
}

func (e *leftError) Unwrap() error { return e.cause }

// envelope is the last line for programs.
func (e *leftError) envelope(code int) command.Envelope {
	last := command.Envelope{Type: command.TypeLeft, Exit: code, Answer: e.a}
	if e.cause != nil {
		last.Error = &command.Fault{Kind: command.KindOf(e.cause).Name, Detail: e.cause.Error(), Hint: fmt.Sprintf("as far as I know %s goes on; `jarvis status %s` says", e.what, e.name)}
	} else {
		last.Lines = []string{e.Error()}
	}
	return last
}

// unwatched ends a command whose following ended before what it followed: the time is over, somebody interrupted it, or
// the link is lost. Any other error is as it was.
func (t *term) unwatched(ctx context.Context, asJSON bool, e *leftError, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), errTimeout):
		e.a.Lines = []string{fmt.Sprintf("%s is not over; it goes on (`jarvis status %s`)", e.what, e.name)}
		return t.notYet(asJSON, e.a)
	case ctx.Err() != nil:
		return e
	case errors.Is(err, command.ErrLost):
		e.cause = err
		return e
	}
	return err
}

// leftRun is a run that is no longer followed.
func leftRun(r pipeline.Run) *leftError {
	return &leftError{what: fmt.Sprintf("run %d", r.ID), name: fmt.Sprint(r.ID), a: command.Answer{Data: r, Run: &r}}
}

// still is how often a view that prints lines says that a run waits for something.
const still = 10 * time.Minute

// waiting says what a run that does not move waits for; "" when it moves.
func waiting(r pipeline.Run) string {
	if !r.State.Ahead() && r.State != pipeline.Waiting {
		return ""
	}
	return command.StatusLine(r, "", 0, time.Now())
}

// reminder says now and then that a run waits.
type reminder struct{ last time.Time }

func (m *reminder) every() time.Duration { return still / 10 }

// due reports whether it is time to say so.
func (m *reminder) due(r web.RunView) bool {
	if waiting(r.Run) == "" || time.Since(m.last) < still {
		return false
	}
	m.last = time.Now()
	return true
}

// jsonView prints each event, and at the end the run, as an envelope.
type jsonView struct {
	reminder
	t    *term
	verb string
}

func (v *jsonView) event(ev pipeline.Event, r web.RunView) {
	_ = v.t.envelope(eventEnvelope(ev, len(r.Steps)))
}

// eventEnvelope is what programs are told of one event of a run with so many stages.
func eventEnvelope(ev pipeline.Event, stages int) command.Envelope {
	return command.Envelope{Type: command.TypeEvent, OK: true, Answer: command.Answer{Lines: []string{command.EventLine(ev, stages)}, Data: ev}}
}

// tick tells now and then that the run waits: a program would see nothing else until it goes on.
func (v *jsonView) tick(r web.RunView) {
	if v.due(r) {
		_ = v.t.envelope(command.Envelope{Type: command.TypeWaits, OK: true, Answer: command.Answer{Lines: []string{waiting(r.Run)}, Data: r.Run, Run: &r.Run}})
	}
}

// end has the exit code in the envelope: failed, unless the run became what the verb wants.
func (v *jsonView) end(r web.RunView) {
	e := command.Envelope{Type: command.TypeEnd, OK: wanted(v.verb, r.State), Answer: command.Answer{Lines: []string{outcome(r)}, Data: r.Run, Run: &r.Run}}
	if !e.OK {
		e.Exit = exitFailed
	}
	_ = v.t.envelope(e)
}

// notYet ends a command that does not wait for what it asked for.
func (t *term) notYet(asJSON bool, a command.Answer) error {
	if !asJSON {
		for _, l := range a.Lines {
			_, _ = fmt.Fprintln(t.out, l)
		}
	} else if err := t.envelope(command.Envelope{Type: command.TypeWaits, Exit: command.ExitWaits, Answer: a}); err != nil {
		return err
	}
	return &exitError{code: command.ExitWaits}
}

// typeOf gives the type of a line about a run of a cluster.
func typeOf(r pipeline.Run) string {
	if r.State == pipeline.Proposed {
		return command.TypeWaits
	}
	return command.TypeRun
}

// isLater reports whether what an answer is about is to begin at a time that somebody named, and has not: nobody sits
// there until then.
func isLater(a command.Answer) bool {
	later := func(r pipeline.Run) bool { return !r.At.IsZero() && !r.HasBegun() && r.State.Live() }
	return a.Run != nil && later(*a.Run) || a.Cluster != nil && slices.ContainsFunc(a.Cluster.Runs, later)
}

// undecided reports whether an answer says that a second person must decide first.
func undecided(a command.Answer) bool {
	switch {
	case a.Approval != nil:
		return true
	case a.Run != nil:
		return a.Run.State == pipeline.Proposed
	case a.Cluster != nil:
		for _, r := range a.Cluster.Runs {
			if r.State == pipeline.Proposed {
				return true
			}
		}
	}
	return false
}
