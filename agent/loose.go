package agent

import (
	"context"
	"errors"
	"fmt"
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

// sweep has an agent stop what it may still do and nobody wants: its run has ended, or is taken back, or went on at another agent. It
// is looked for again and again, and not told of by whoever ends a run: that may have been any server, while this line was cut.
func (h *Hub) sweep(ctx context.Context, p *peer, session *yamux.Session) {
	within, cancel := context.WithTimeout(ctx, stillEvery)
	defer cancel()
	owns, list, err := h.Ledger.Holds(within, p.id)
	if err != nil {
		return // the database does not answer: it is asked again
	}
	if len(owns) > 0 {
		runs := make([]int64, len(owns))
		for i, l := range owns {
			runs[i] = l.Run
		}
		ended, back, err := h.Engine.Ended(within, runs)
		if err != nil {
			return
		}
		for _, l := range owns {
			if ended[l.Run] || back[l.Run] && !l.undoes() {
				list = append(list, l)
			}
		}
	}
	for _, l := range list {
		if !p.halting(l, true) {
			continue
		}
		h.ends.Go(guard.Log(h.Log, "have an agent stop"), func() {
			defer p.halting(l, false)
			if err := h.haltOver(ctx, session, l); err != nil && ctx.Err() == nil {
				h.Log.Warn("an agent is to stop a step that nobody wants any more; it is told again", "run", l.Run, "agent", l.Name, "err", err)
			}
		})
	}
}

// undoes reports whether the call takes something back.
func (l Loose) undoes() bool {
	f := strings.Fields(l.Call)
	return len(f) > 2 && f[2] == string(fnUndo)
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
	return h.Ledger.Stopped(within, l)
}
