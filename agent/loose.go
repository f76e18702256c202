package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
)

// sweepOn sweeps while there is a line.
func (h *Hub) sweepOn(ctx context.Context, p *peer, session *yamux.Session) {
	t := time.NewTicker(stillEvery)
	defer t.Stop()
	for {
		h.sweep(ctx, p, session)
		select {
		case <-ctx.Done():
			return
		case <-session.CloseChan():
			return
		case <-t.C:
		}
	}
}

// sweep has an agent stop what it may still do and nobody wants: its run has ended, or is taken back, or went on at
// another agent. It is looked for again and again, and not told of by whoever ends a run: that may have been any
// server, while this line was cut.
func (h *Hub) sweep(ctx context.Context, p *peer, session *yamux.Session) {
	within, cancel := context.WithTimeout(ctx, stillEvery)
	defer cancel()
	owns, list, err := h.Ledger.Holds(within, p.id)
	if err != nil {
		return // the database does not answer: it is asked again
	}
	for _, l := range owns {
		stage, function := l.parts()
		if wants, err := h.Engine.Wants(within, l.Run, stage, function); err == nil && !wants {
			list = append(list, l)
		}
	}
	for _, l := range list {
		if !p.halting(l, true) {
			continue
		}
		h.ends.Go(guard.Log(h.Log, "have an agent stop"), func() {
			defer p.halting(l, false)
			if err := h.haltOver(ctx, session, l); err != nil && ctx.Err() == nil && p.warn(l) {
				h.Log.Warn("an agent is to stop a step that nobody wants any more; it is told again", "run", l.Run, "agent", l.Name, "err", err)
			}
		})
	}
}

// parts gives the stage and the function of a call.
func (l Loose) parts() (stage int, function string) {
	f := strings.Fields(l.Call)
	if len(f) < 3 {
		return -1, ""
	}
	stage, err := strconv.Atoi(f[0])
	if err != nil {
		stage = -1
	}
	return stage, f[2]
}

// what names the call for people.
func (l Loose) what() string {
	f := strings.Fields(l.Call)
	switch {
	case len(f) < 3:
		return "it"
	case f[2] != string(fnDo):
		return plain.Line("the " + f[2] + " of " + f[1])
	}
	return plain.Line(f[1])
}

// goesOn and ended are the two sentences about a call that nobody wants. When the call has ended, the second takes the
// place of the first.
func (l Loose) goesOn() string {
	return fmt.Sprintf("%s may go on at the agent %s, which is told to stop as soon as it can be reached", l.what(), plain.Line(l.Name))
}
func (l Loose) ended() string {
	return fmt.Sprintf("%s has ended at the agent %s", l.what(), plain.Line(l.Name))
}

// away is the question about an agent that did not come back, to a run that may be another one; back is what it
// becomes.
func (l Loose) away(asks int64) string {
	what := l.what()
	if l.Run != asks {
		what += fmt.Sprintf(" of run %d", l.Run)
	}
	return fmt.Sprintf("the agent %s had %s in hand and has not come back, so it may have half happened, or still be under way there", plain.Line(l.Name), what)
}
func (l Loose) back() string {
	return fmt.Sprintf("the agent %s has %s in hand and is back; `retry` goes on with what it did", plain.Line(l.Name), l.what())
}

// returned looks, when an agent greets, what it no longer does, and tells those who were asked about it that it is
// back.
func (h *Hub) returned(ctx context.Context, hi *hello) {
	ctx, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	owns, loose, err := h.Ledger.Holds(ctx, hi.ID)
	for _, l := range loose {
		stage, function := l.parts()
		if err == nil && !slices.ContainsFunc(hi.Holds, func(c held) bool { return c.Run == l.Run && c.Stage == stage && string(c.Func) == function }) {
			err = h.noteStopped(ctx, l)
		}
	}
	for _, l := range owns {
		if err == nil && l.Asked {
			err = h.Engine.Correct(ctx, l.Run, l.away(l.Run), l.back())
		}
	}
	if err != nil {
		h.Log.Warn("look what an agent that is back had in hand", "agent", hi.Name, "err", err)
	}
}

// noteStopped notes that a call has ended, and puts right what its run says of it.
func (h *Hub) noteStopped(ctx context.Context, l Loose) error {
	if err := h.Ledger.Stopped(ctx, l); err != nil {
		return err
	}
	return errors.Join(h.Engine.Correct(ctx, l.Run, l.goesOn(), l.ended()), h.Engine.Correct(ctx, l.Run, l.away(l.Run), l.ended()))
}

// halting notes that a call is being stopped, or is not any more; false when it was noted already.
func (p *peer) halting(l Loose, on bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := fmt.Sprint(l.Run, " ", l.Call)
	if on && p.halts[key] {
		return false
	}
	if p.halts == nil {
		p.halts = map[string]bool{}
	}
	if p.halts[key] = on; !on {
		delete(p.halts, key)
	}
	return true
}

// warn reports whether it is the first time that this call could not be stopped.
func (p *peer) warn(l Loose) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.warned != l
	p.warned = l
	return first
}

// halt has an agent that is here stop a call, and returns when it has.
func (h *Hub) halt(ctx context.Context, p *peer, l Loose) error {
	p.mu.Lock()
	session := p.session
	p.mu.Unlock()
	if session == nil {
		return fmt.Errorf("the line to the agent %s was cut", plain.Line(l.Name))
	}
	return h.haltOver(ctx, session, l)
}

// haltTime is how long a step may take to end when it is told to.
const haltTime = time.Minute

// haltOver is halt over a session. It fails until the agent has said that the call is over and that is on record.
func (h *Hub) haltOver(ctx context.Context, session *yamux.Session, l Loose) error {
	s, err := session.OpenStream()
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	defer context.AfterFunc(ctx, guard.Func(guard.Count, func() { _ = s.SetDeadline(time.Now()) }))()
	k := newLink(s)
	if err := k.send(frame{Stop: &stop{Run: l.Run, Call: l.Call}}); err != nil {
		return err
	}
	if f, err := k.receiveWithin(haltTime); err != nil {
		return fmt.Errorf("it has not said that it stopped: %w", err)
	} else if !f.Stopped {
		return errors.New("it has not said that it stopped")
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), helloTime)
	defer cancel()
	return h.noteStopped(within, l)
}
