package agent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

// steps gives the engine what an agent offers: descriptions, with functions that call over the line.
func (h *Hub) steps(p *peer, offers []offered) []pipeline.Step {
	out := make([]pipeline.Step, 0, len(offers))
	for _, o := range offers {
		s := pipeline.Step{Name: o.Name, Aliases: o.Aliases, Doc: o.Doc, Needs: o.Needs, Gives: o.Gives, Timeout: max(o.Timeout, 0), Silence: max(o.Silence, 0), Resume: resumeOf(o.Resume)}
		do := func(fn function) func(context.Context, *clipboard.Clipboard) error {
			if !slices.Contains(o.Has, string(fn)) {
				return nil
			}
			return func(ctx context.Context, c *clipboard.Clipboard) error {
				_, err := h.call(ctx, p, s, fn, c)
				return err
			}
		}
		s.Do, s.Undo, s.Release, s.Check = do(fnDo), do(fnUndo), do(fnRelease), do(fnCheck)
		if slices.Contains(o.Has, string(fnPlan)) {
			s.Plan = func(ctx context.Context, c *clipboard.Clipboard) (string, error) {
				got, err := h.call(ctx, p, s, fnPlan, c)
				return got.Text, err
			}
		}
		if slices.Contains(o.Has, string(fnDrift)) {
			s.Drift = func(ctx context.Context, c *clipboard.Clipboard) ([]pipeline.Difference, error) {
				got, err := h.call(ctx, p, s, fnDrift, c)
				return got.Drift, err
			}
		}
		if s.Do != nil {
			out = append(out, s)
		}
	}
	return out
}

// resumeOf takes a word that it does not know, as of a newer agent, for Ask: then a person decides.
func resumeOf(word string) pipeline.Resume {
	switch word {
	case pipeline.Again.String():
		return pipeline.Again
	case pipeline.Probe.String():
		return pipeline.Probe
	}
	return pipeline.Ask
}

// pending is one call for which somebody waits.
type pending struct {
	h    *Hub
	p    *peer
	call call
	c    *clipboard.Clipboard // what the step works on
	sent *clipboard.Clipboard // what the agent got of it
	may  []string             // keys that it may change

	noted bool // the ledger has it
	begun bool // it was sent, so the agent may have it
	kept  int64
	keptE string
}

// call has an agent do one function of a step. It returns when that is over there; pipeline.ErrStopping when that is
// not known, and the work may go on.
func (h *Hub) call(ctx context.Context, p *peer, s pipeline.Step, fn function, c *clipboard.Clipboard) (outcome, error) {
	facts := pipeline.FactsOf(ctx)
	w := &pending{h: h, p: p, c: c, call: call{ID: rand.Text(), callKey: callKey{facts.Run, facts.Stage, s.Name, fn}, Facts: facts, Resumed: facts.Resumed && fn == fnDo}}
	for _, k := range slices.Concat(s.Needs, s.Gives) {
		k, _, _ = strings.Cut(strings.TrimSuffix(k, "?"), ".")
		w.may = append(w.may, k)
	}
	var err error
	if w.sent, err = c.Only(w.may); err != nil {
		return outcome{}, pipeline.Permanent(err)
	}
	w.call.Clipboard = w.sent.Text()
	if deadline, ok := ctx.Deadline(); ok {
		w.call.Within = time.Until(deadline)
	}
	if w.owned() {
		if err := w.whose(ctx); err != nil {
			return outcome{}, err
		}
	}
	got, err := w.await(ctx)
	if err != nil {
		return outcome{}, err
	}
	got.Text = clip(plain.Line(got.Text))
	for i := range got.Drift {
		d := &got.Drift[i]
		d.What, d.Want, d.Have, d.First, d.Fix = clip(plain.Line(d.What)), clip(plain.Line(d.Want)), clip(plain.Line(d.Have)), clip(plain.Line(d.First)), clip(plain.Line(d.Fix))
	}
	if got.Clipboard != "" && !fn.reads() {
		if err := w.take(got.Clipboard); err != nil {
			return got, pipeline.Permanentf("what the agent %s gave back of %s is not taken: %v", w.owner().Name, s.Name, err)
		}
	}
	if w.owned() {
		err := error(nil)
		if got.Kind == kindAgain { // it has ended over there, and whoever comes first takes it up
			err = h.Ledger.Own(context.WithoutCancel(ctx), facts.Run, w.nobody())
		} else {
			err = h.Ledger.Over(context.WithoutCancel(ctx), facts.Run, w.owner())
		}
		if err != nil {
			h.Log.Warn("note that an agent is done", "run", facts.Run, "err", err)
		}
	}
	err = got.err()
	if errors.Is(err, pipeline.ErrNotBegun) || errors.Is(err, pipeline.ErrStopping) && fn.reads() {
		return outcome{}, fmt.Errorf("the agent %s is stopping: %w", w.owner().Name, pipeline.ErrNotBegun)
	}
	return got, err
}

// owned reports whether the call is one that only one agent may have.
func (w *pending) owned() bool { return !w.call.reads() && w.call.Run > 0 }

func (w *pending) owner() Owner {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	return Owner{ID: w.p.id, Name: w.p.name, Call: w.word()}
}

func (w *pending) word() string { return w.call.word() }

// word names the call in the ledger. What a person asked for again is another call.
func (c *call) word() string { return fmt.Sprintf("%d %s %s %d", c.Stage, c.Step, c.Func, c.Facts.Try) }

// nobody owns the work of a run when its agent could not hear the cancel, or gave the work back as it stopped: whoever
// is asked next begins.
const nobody = "-"

func (w *pending) nobody() Owner { return Owner{ID: nobody, Call: w.word()} }

// whose makes sure that no two agents do something for one host: the call goes to the one that has it in hand already;
// and what another may still do, of this run or an earlier one, ends first, or a person is asked.
func (w *pending) whose(ctx context.Context) error {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), helloTime) // it is asked as well for a call that is to be cancelled
	defer cancel()
	owner, err := w.h.Ledger.Owner(within, w.call.Run)
	if err != nil {
		return err
	}
	others, err := w.h.Ledger.Loose(within, w.call.Run)
	if err != nil {
		return err
	}
	if owner.Call != "" && owner.Call != w.word() {
		w.call.Resumed = false // that is on record before a call is sent, so this one never was
	}
	if owner.mayGoOn() || owner.Over && w.call.Resumed { // it knows what came of it
		others = append(others, Loose{w.call.Run, owner})
	}
	for _, l := range others {
		ours := l.Run == w.call.Run
		if ours && l.ID == w.p.id {
			continue // before it begins anything else of a run, it ends what it does
		}
		if err := w.wait(ctx, l); err != nil {
			return err
		}
		p := w.h.await(ctx, w.p.silo, l.ID, 0)
		if p != nil && ours && l.ID == owner.ID {
			w.p = p
			continue
		}
		if p != nil {
			if err = w.h.halt(ctx, p, l); err == nil {
				continue
			}
			w.h.Log.Warn("an agent did not stop what another run must wait for", "run", l.Run, "agent", l.Name, "err", err)
		}
		switch {
		case ctx.Err() != nil && !errors.Is(context.Cause(ctx), pipeline.ErrStopping) && ours:
			return w.unheard(ctx, l.Owner)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !l.Asked:
			return w.ask(ctx, l)
		}
	}
	return nil
}

// wait waits for an agent that may have something in hand, as long as it may still come. ErrNotBegun: another server
// has a line to it, and is to do this.
func (w *pending) wait(ctx context.Context, l Loose) error {
	if l.Asked || ctx.Err() != nil || w.h.await(ctx, w.p.silo, l.ID, 0) != nil {
		return nil // it was waited for before a person was asked
	}
	left := w.h.Grace - w.h.away(w.p.silo, l.ID)
	if left <= 0 {
		return nil
	}
	pipeline.Progress(ctx, fmt.Sprintf("waits for the agent %s, which has %s in hand", plain.Line(l.Name), l.what()))
	if there, err := w.h.Engine.ServedElsewhere(ctx, w.p.silo, l.Name); err == nil && there && w.h.pass(w.call.Run) {
		return fmt.Errorf("another server has a line to the agent %s: %w", plain.Line(l.Name), pipeline.ErrNotBegun)
	}
	w.h.await(ctx, w.p.silo, l.ID, left)
	return nil
}

// ask has a person decide about what an agent may still do that did not come back.
func (w *pending) ask(ctx context.Context, l Loose) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), helloTime)
	defer cancel()
	if err := w.h.Ledger.Asked(ctx, l.Run, l.ID); err != nil {
		return err
	}
	return pipeline.AskPerson(errors.New(l.away(w.call.Run)))
}

// await gives an agent that comes within a time; nil when it does not.
func (h *Hub) await(ctx context.Context, silo, id string, within time.Duration) *peer {
	end := time.NewTimer(within)
	defer end.Stop()
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for {
		h.mu.Lock()
		p := h.peers[peerKey(silo, id)]
		h.mu.Unlock()
		if p != nil {
			p.mu.Lock()
			here := p.session != nil
			p.mu.Unlock()
			if here {
				return p
			}
		}
		if within == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-end.C:
			return nil
		case <-look.C:
		}
	}
}

// errCut: the line broke before the outcome came.
var errCut = errors.New("the line was cut")

// await sends the call, over as many lines as it takes, until its outcome is there.
func (w *pending) await(ctx context.Context) (outcome, error) {
	cut := false
	for {
		l, err := w.link(ctx, cut)
		if err != nil {
			return outcome{}, err
		}
		if w.owned() && !w.noted {
			if err := w.h.Ledger.Own(context.WithoutCancel(ctx), w.call.Run, w.owner()); err != nil {
				_ = l.Close()
				return outcome{}, fmt.Errorf("%w: %w", pipeline.ErrNotBegun, err)
			}
		}
		switch {
		case !w.noted && !w.call.reads():
			pipeline.Progress(ctx, "at the agent "+w.owner().Name)
		case cut:
			pipeline.Progress(ctx, fmt.Sprintf("the agent %s is back, and goes on", w.owner().Name))
		}
		w.noted = true
		got, err := w.talk(ctx, l)
		_ = l.Close()
		switch {
		case err == nil:
			return got, nil
		case errors.Is(context.Cause(ctx), pipeline.ErrStopping):
			return outcome{}, pipeline.ErrStopping // the work goes on over there, and whoever takes the run up joins it
		case !errors.Is(err, errCut):
			return outcome{}, err
		case w.call.reads(): // it can be asked again, and elsewhere
			return outcome{}, fmt.Errorf("the line to the agent %s was cut: %w", w.owner().Name, pipeline.ErrNotBegun)
		}
		if !cut {
			pipeline.Progress(ctx, fmt.Sprintf("the line to the agent %s is cut; it is waited for", w.owner().Name))
		}
		cut = true
	}
}

// link opens a stream to the agent. A call that it may have waits for it while its line is cut; another does not begin.
func (w *pending) link(ctx context.Context, cut bool) (*link, error) {
	ended := ctx.Done()
	var patience <-chan time.Time
	for {
		w.p.mu.Lock()
		session, news, gone := w.p.session, w.p.news, w.p.gone
		w.p.mu.Unlock()
		switch {
		case session != nil:
			if s, err := session.OpenStream(); err == nil {
				return newLink(s), nil
			}
			// It is about to be noticed that this line is dead.
			select {
			case <-session.CloseChan():
			case <-time.After(time.Second):
			case <-ended:
			}
		case gone:
			return nil, w.giveUp(ctx)
		}
		if !w.begun && ctx.Err() == nil {
			return nil, fmt.Errorf("the line to the agent %s is cut: %w", w.owner().Name, pipeline.ErrNotBegun)
		}
		select {
		case <-w.h.stopped:
			return nil, pipeline.ErrStopping
		default:
		}
		if ctx.Err() != nil && ended != nil {
			switch {
			case errors.Is(context.Cause(ctx), pipeline.ErrStopping):
				return nil, pipeline.ErrStopping
			case !w.maybe():
				return nil, context.Cause(ctx)
			}
			// It has to be told that it is cancelled: undoing what still is being done is worse than waiting a little.
			ended, patience = nil, time.After(min(w.h.Grace, cancelPatience))
		}
		if session != nil {
			continue
		}
		select {
		case <-news:
		case <-ended:
		case <-w.h.stopped:
		case <-patience:
			return nil, w.giveUp(ctx)
		}
	}
}

// maybe reports whether the agent may have the call: we sent it, or whoever had the run before us.
func (w *pending) maybe() bool { return (w.begun || w.call.Resumed) && w.owned() }

// cancelPatience is how long a cancel waits for an agent whose line is cut. Then the person hears that it may go on
// there.
const cancelPatience = 5 * time.Second

// giveUp is what a call comes to whose agent does not come back.
func (w *pending) giveUp(ctx context.Context) error {
	switch {
	case ctx.Err() != nil && !w.maybe():
		return context.Cause(ctx)
	case ctx.Err() != nil:
		return w.unheard(ctx, w.owner())
	case !w.begun || w.call.reads():
		return fmt.Errorf("the agent %s is not connected: %w", w.owner().Name, pipeline.ErrNotBegun)
	}
	return pipeline.ErrStopping
}

// unheard notes that an agent could not be told to stop. It is told when it is back.
func (w *pending) unheard(ctx context.Context, o Owner) error {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), helloTime)
	defer cancel()
	if err := w.h.Ledger.LetGo(within, w.call.Run, o); err != nil {
		w.h.Log.Error("note that an agent is to stop", "run", w.call.Run, "agent", o.Name, "err", err)
	}
	return pipeline.GoesOn(context.Cause(ctx), Loose{w.call.Run, o}.goesOn())
}

// talk is one stream: the call, what comes of it, and what is to be answered. errCut when it broke.
func (w *pending) talk(ctx context.Context, l *link) (outcome, error) {
	w.call.Attach = w.begun
	if ctx.Err() != nil {
		if !w.call.reads() && !w.ours(ctx) {
			return outcome{}, pipeline.ErrStopping
		}
		w.call.Cancelled = cancelText(ctx)
	}
	w.begun = true // from now on nobody knows whether it has it
	if err := l.send(frame{Call: &w.call}); err != nil {
		return outcome{}, errCut
	}
	stop := context.AfterFunc(ctx, guard.Func(guard.Count, func() {
		if errors.Is(context.Cause(ctx), pipeline.ErrStopping) || !w.call.reads() && !w.ours(ctx) {
			_ = l.Close()
			_ = l.SetReadDeadline(time.Now())
			return
		}
		_ = l.send(frame{Cancel: cancelText(ctx)})
		l.alive()
	}))
	defer stop()
	for {
		f, err := l.receive()
		if err != nil {
			return outcome{}, errCut
		}
		switch {
		case f.Line != nil:
			w.line(ctx, *f.Line)
		case f.Keep != nil:
			if err := l.send(frame{Kept: w.keep(ctx, *f.Keep)}); err != nil {
				return outcome{}, errCut
			}
		case f.Outcome != nil:
			return *f.Outcome, nil
		case f.Sealed != "":
			return w.open(f.Sealed)
		}
	}
}

// ours reports whether this server has a say about the call. One that was frozen wakes up with time-outs that are over,
// and another may have the run by now; to a server that was taken for dead the database does not answer.
func (w *pending) ours(ctx context.Context) bool {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), helloTime)
	defer cancel()
	_, err := w.h.Ledger.Owner(within, w.call.Run)
	return err == nil
}

func cancelText(ctx context.Context) string { return plain.Line(context.Cause(ctx).Error()) }

// line passes one on, once.
func (w *pending) line(ctx context.Context, l line) {
	if l.N <= w.call.Seen {
		return
	}
	w.call.Seen = l.N
	if l.Progress {
		pipeline.Progress(ctx, l.Text) // it cleans, bounds and masks
	} else {
		pipeline.Log(ctx, l.Text)
	}
}

// keep stores the clipboard for a step, once.
func (w *pending) keep(ctx context.Context, k keep) *kept {
	if k.N > w.kept {
		w.kept, w.keptE = k.N, ""
		err := w.take(k.Clipboard)
		if err == nil {
			within, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendWithin) // what is kept is needed all the more when the step is stopped
			err = pipeline.Keep(within, w.c)
			cancel()
		}
		if err != nil {
			w.keptE = clip(err.Error())
		}
	}
	return &kept{N: k.N, Error: w.keptE}
}

// take puts what an agent changed into the clipboard.
func (w *pending) take(text string) error {
	got, err := clipboard.Parse([]byte(text))
	if err != nil {
		return err
	}
	return w.c.Merge(w.sent, got, w.may)
}

// open reads an outcome that was sealed to us.
func (w *pending) open(sealed string) (outcome, error) {
	var o outcome
	if w.h.Key == nil {
		return o, pipeline.AskPerson(errors.New("the agent sealed what came of it, and there is no key here"))
	}
	b, err := w.h.Key.Open(sealed)
	if err == nil {
		err = json.Unmarshal([]byte(b), &o)
	}
	if err != nil {
		return o, pipeline.AskPerson(fmt.Errorf("the agent has done it, and what came of it cannot be read: %w", err))
	}
	return o, nil
}

// reads looks at one field alone: others change meanwhile.
func (c *call) reads() bool { return c.Func.reads() }
