package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

// work is one call on the agent: waiting to begin, under way, or over. It is the Host of its step's context.
type work struct {
	a    *Agent
	call call
	step pipeline.Step

	since time.Time
	stop  context.CancelCauseFunc // nil: an earlier process had it
	ended chan struct{}           // closed when the step has returned
	told  chan struct{}           // closed when its outcome was sent; by once
	once  sync.Once

	mu      sync.Mutex
	news    chan struct{} // closed when there is something to send
	lines   []line        // the newest
	n, sent int64         // of lines: made, and given to some line
	keep    *keep         // waits for its answer
	answer  chan *kept
	keeps   int64
	outcome *frame // what came of it; nil: it is under way
	view    *clipboard.Clipboard
	on      *link // the newest stream
}

const maxLines = 1000

// errCancelled is the cause of a step's end that the server wants.
type cancelledError struct{ why string }

func (e *cancelledError) Error() string { return e.why }

// errOther: another call of the same run took its place.
var errOther = errors.New("the run went on without it")

// called answers a call: with work that is known, or by beginning.
func (a *Agent) called(l *link, c *call) {
	w, direct := a.enter(c)
	if w == nil {
		if l.send(frame{Outcome: &direct}) == nil {
			_, _ = l.receiveWithin(helloTime) // the server hangs up
		}
		return
	}
	w.attach(l, c)
}

// enter finds or begins the work of a call; nil with what to answer when there is none to be done.
func (a *Agent) enter(c *call) (*work, outcome) {
	step, known := a.steps[c.Step]
	f := functionOf(step, c.Func)
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.works[c.ID]
	if w == nil && c.Resumed {
		for _, o := range a.works {
			if o.call.callKey == c.callKey && !c.reads() {
				w = o
			}
		}
	}
	switch {
	case w != nil && w.stop != nil || w != nil && w.over():
		if c.Cancelled != "" && w.stop != nil {
			w.stop(&cancelledError{c.Cancelled})
		}
		return w, outcome{}
	case c.Cancelled != "":
		return nil, outcome{Kind: kindCancelled, Text: c.Cancelled}
	case (w != nil || c.Resumed) && step.Resume == pipeline.Ask && c.Func == fnDo:
		return nil, outcome{Kind: kindAsk, Text: "the agent ended while it ran, so it may have half happened"}
	case a.stopped:
		return nil, outcome{Kind: kindNotBegun}
	case !known || f == nil:
		return nil, outcome{Kind: kindPermanent, Text: fmt.Sprintf("the agent %s has no %s of %s", a.Name, c.Func, c.Step)}
	}
	cb, err := clipboard.Parse([]byte(c.Clipboard))
	if err != nil {
		return nil, outcome{Kind: kindPermanent, Text: "the clipboard that the server sent cannot be read: " + err.Error()}
	}
	var before []*work
	if !c.reads() {
		for _, o := range a.works {
			if o.call.Run == c.Run && !o.call.reads() {
				before = append(before, o)
			}
		}
	}
	ctx, stop := context.WithCancelCause(context.Background())
	w = &work{a: a, call: *c, step: step, since: time.Now(), stop: stop, ended: make(chan struct{}), told: make(chan struct{}), news: make(chan struct{}), view: cb}
	a.works[c.ID] = w
	a.wg.Go(guard.Log(a.Log, "do a step", "run", c.Run, "step", c.Step), func() {
		defer close(w.ended)
		defer stop(nil)
		a.bound()
		w.finish(ctx, w.do(ctx, before, f))
	})
	return w, outcome{}
}

type doing func(context.Context, *clipboard.Clipboard) (outcome, error)

// functionOf gives one function of a step in one form.
func functionOf(s pipeline.Step, fn function) doing {
	plainly := func(f func(context.Context, *clipboard.Clipboard) error) doing {
		if f == nil {
			return nil
		}
		return func(ctx context.Context, c *clipboard.Clipboard) (outcome, error) { return outcome{}, f(ctx, c) }
	}
	switch {
	case fn == fnDo:
		return plainly(s.Do)
	case fn == fnUndo:
		return plainly(s.Undo)
	case fn == fnRelease:
		return plainly(s.Release)
	case fn == fnCheck:
		return plainly(s.Check)
	case fn == fnPlan && s.Plan != nil:
		return func(ctx context.Context, c *clipboard.Clipboard) (outcome, error) {
			text, err := s.Plan(ctx, c)
			return outcome{Text: text}, err
		}
	case fn == fnDrift && s.Drift != nil:
		return func(ctx context.Context, c *clipboard.Clipboard) (outcome, error) {
			list, err := s.Drift(ctx, c)
			return outcome{Drift: list}, err
		}
	}
	return nil
}

// do makes sure that nothing else of the run works here, and calls the step's function.
func (w *work) do(ctx context.Context, before []*work, f doing) outcome {
	for _, o := range before {
		if o.stop != nil {
			o.stop(errOther)
			<-o.ended
		}
		w.a.remove(o)
	}
	if err := w.a.note(w); err != nil {
		return outcome{Kind: kindFailed, Text: "the agent cannot write down that it begins: " + err.Error()}
	}
	if ctx.Err() != nil {
		return outcome{Kind: kindCancelled, Text: context.Cause(ctx).Error()}
	}
	// The server bounds the step, and so do we when we do not hear it.
	if w.call.Within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, w.call.Within, &cancelledError{"gave up: the time of the step is over"})
		defer cancel()
	}
	var got outcome
	err := guard.Call(func() (err error) {
		got, err = f(pipeline.WithHost(ctx, w), w.view)
		return err
	})
	var p *guard.Panic
	if errors.As(err, &p) {
		w.a.Log.Error("a bug: something panicked", "what", "run a step", "run", w.call.Run, "step", w.step.Name, "err", w.hide(p.Error()), "stack", string(p.Stack))
		err = pipeline.Permanent(errors.New("the step has a bug and panicked; the stack is in the agent's log"))
	}
	cause := context.Cause(ctx)
	var cancelled *cancelledError
	switch {
	case err != nil && errors.Is(cause, pipeline.ErrStopping):
		return outcome{Kind: kindAgain}
	case err != nil && errors.As(cause, &cancelled):
		got = outcome{Kind: kindCancelled, Text: cancelled.why}
	default:
		o := outcomeOf(err)
		got.Kind, got.Wait = o.Kind, o.Wait
		if err != nil {
			got.Text = o.Text
		}
	}
	got.Text = w.hide(got.Text)
	if !w.call.reads() {
		got.Clipboard = w.view.Text()
	}
	return got
}

// hide takes out of a text what must not be seen, and cleans it.
func (w *work) hide(text string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return clip(plain.Line(w.a.Conceal(w.view.Redact(text))))
}

// finish keeps what came of it, and has it sent.
func (w *work) finish(ctx context.Context, o outcome) {
	f := &frame{Outcome: &o}
	if o.Kind != kindAgain && !w.call.reads() && !errors.Is(context.Cause(ctx), errOther) {
		if sealed, err := w.a.sealed(o); err == nil && sealed != "" {
			f = &frame{Sealed: sealed}
			err = w.a.write(note{ID: w.call.ID, callKey: w.call.callKey, Outcome: sealed})
			if err != nil {
				w.a.Log.Error("the outcome of a step is in memory alone", "run", w.call.Run, "step", w.call.Step, "err", err)
			}
		}
	}
	w.mu.Lock()
	w.outcome, w.keep = f, nil
	w.tell()
	w.mu.Unlock()
}

// sealed gives an outcome that only the server can read; "" when its key is not known.
func (a *Agent) sealed(o outcome) (string, error) {
	to := a.seal.Load()
	if to == nil {
		return "", nil
	}
	b, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	return clipboard.SealTo(*to, string(b))
}

// tell wakes who sends. mu is held.
func (w *work) tell() {
	close(w.news)
	w.news = make(chan struct{})
}

func (w *work) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.outcome != nil
}

// attach sends over a stream what there is and what comes, until the outcome is out or the stream ends.
func (w *work) attach(l *link, c *call) {
	w.mu.Lock()
	if w.on != nil {
		_ = w.on.SetReadDeadline(time.Now()) // the newest counts
	}
	w.on = l
	at := c.Seen
	if !c.Attach && c.ID != w.call.ID {
		at = w.sent // whoever took the run over goes on where the lines were
	}
	w.mu.Unlock()
	closed := make(chan struct{})
	guard.Go(guard.Log(w.a.Log, "hear the server about a step"), func() {
		defer close(closed)
		w.hear(l)
	})
	defer func() {
		_ = l.Close()
		_ = l.SetReadDeadline(time.Now())
		<-closed
	}()
	var asked int64
	for {
		w.mu.Lock()
		var out []frame
		for _, ln := range w.lines {
			if ln.N > at {
				out = append(out, frame{Line: &ln})
				at = ln.N
			}
		}
		w.sent = max(w.sent, at)
		if w.keep != nil && w.keep.N != asked {
			asked = w.keep.N
			out = append(out, frame{Keep: w.keep})
		}
		last := w.outcome
		news := w.news
		w.mu.Unlock()
		if last != nil {
			out = append(out, *last)
		}
		for _, f := range out {
			if l.send(f) != nil {
				return
			}
		}
		if last != nil {
			w.once.Do(func() { close(w.told) })
			select {
			case <-closed:
			case <-time.After(helloTime):
			}
			if w.call.reads() {
				w.a.remove(w)
			}
			return
		}
		select {
		case <-news:
		case <-closed:
			return
		}
	}
}

// hear takes what the server says about a call.
func (w *work) hear(l *link) {
	for {
		f, err := l.receive()
		switch {
		case err != nil:
			if w.call.reads() && w.stop != nil {
				w.stop(&cancelledError{"nobody waits for it"})
			}
			return
		case f.Cancel != "" && w.stop != nil:
			w.stop(&cancelledError{clip(plain.Line(f.Cancel))})
		case f.Kept != nil:
			w.mu.Lock()
			if w.keep != nil && w.keep.N == f.Kept.N {
				w.keep = nil
				w.answer <- f.Kept
			}
			w.mu.Unlock()
		}
	}
}

// Progress is pipeline.Host.
func (w *work) Progress(text string) { w.say(text, true) }

// Log is pipeline.Host.
func (w *work) Log(text string) { w.say(text, false) }

// say keeps a line, without its secrets, until the server takes it. Past twice maxLines the newest maxLines stay.
func (w *work) say(text string, progress bool) {
	text = w.hide(text)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	if w.lines = append(w.lines, line{N: w.n, Progress: progress, Text: text}); len(w.lines) > 2*maxLines {
		w.lines = slices.Clone(w.lines[maxLines:])
	}
	w.tell()
}

// Keep is pipeline.Host: it returns when the server has it on record.
func (w *work) Keep(ctx context.Context, c *clipboard.Clipboard) error {
	w.mu.Lock()
	w.keeps++
	answer := make(chan *kept, 1)
	w.keep, w.answer = &keep{N: w.keeps, Clipboard: c.Text()}, answer
	w.tell()
	w.mu.Unlock()
	select {
	case k := <-answer:
		if k.Error != "" {
			return errors.New(strings.TrimPrefix(plain.Line(k.Error), "keep the clipboard: "))
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Facts is pipeline.Host.
func (w *work) Facts() pipeline.Facts { return w.call.Facts }
