package pipeline

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// How a run comes to rest: ready, failed, asking, cancelled. How one is taken back is in undo.go.

// ready makes a run ready, and gives the events of that: its times, unless a stage was skipped, or it was ready before,
// for they say nothing about the usual; the notice; and that of its cluster when it is the last member.
func (e *Engine) ready(tx store.Tx, n *Run, now time.Time) ([]Event, error) {
	how := EndReady
	if n.Verb == VerbDestroy {
		how = EndDestroyed
	}
	n.rest(Ready, how, now)
	n.mark, n.attempts, n.Error, n.StageAt = notBegun, 0, "", now
	over := Event{At: now, Kind: EvReady, Stage: len(n.Steps) - 1, Took: n.Took(now)}
	if how == EndDestroyed { // the kind is what programs follow; people read what it means here
		over.Text = "the host is destroyed"
	}
	events := []Event{over}
	if tx == nil {
		return events, nil
	}
	ctx := context.Background() // the transaction's own ends it
	if how == EndDestroyed {
		if err := forgetReach(ctx, tx, n.FQDN); err != nil {
			return nil, err
		}
	}
	if _, err := tx.Exec(ctx, "INSERT INTO timings (pipeline, stage, step, run, took) SELECT ?, stage, step, run, took FROM events WHERE run = ? AND kind = 'done' AND NOT EXISTS (SELECT 1 FROM events WHERE run = ? AND kind IN ('skipped', 'ready'))", n.Pipeline, n.ID, n.ID); err != nil {
		return nil, err
	}
	all, err := e.allReady(ctx, tx, n, now)
	return append(events, all...), err
}

// finish gives back what the steps hold and makes the run ready; its stages are all done or skipped.
func (c *carrier) finish() (verdict, error) {
	if v, err := c.release(); v != goOn || err != nil {
		return v, err
	}
	now, turned := time.Now(), false
	err := c.outcome(func(tx store.Tx, n *Run) (events []Event, err error) {
		if turned = false; n.cancelBy != "" {
			turned = true
			return nil, nil
		}
		if n.Cluster > 0 && tx != nil {
			if _, err := lock(c.ctx, tx, n.ID); err != nil { // always the run before its cluster
				return nil, err
			}
			if turned, err = isUndoing(c.ctx, tx, n.Cluster); turned || err != nil {
				return nil, err
			}
		}
		return c.ready(tx, n, now)
	})
	c.forgetUsual(c.r.Pipeline)
	if turned || err != nil {
		return goOn, err
	}
	return over, nil
}

// stop commits a state in which the run needs a person; or, when somebody said cancel meanwhile, that it is cancelled.
func (c *carrier) stop(s *stepRun, state State, kind EventKind, cause error) (verdict, error) {
	msg, lines := oneLine(cause), []Event(nil)
	if s != nil {
		msg, lines = s.mask(msg), s.take()
	} else {
		msg = plain.Line(msg)
	}
	now := time.Now()
	err := c.outcome(func(tx store.Tx, n *Run) ([]Event, error) {
		events := lines[:len(lines):len(lines)]
		n.mark = betweenTries
		if n.cancelBy != "" {
			return append(events, Event{At: now, Kind: EvLog, Stage: n.shown(), Step: n.Step(), Text: msg}), nil
		}
		n.rest(state, EndFailed, now)
		n.Error = msg
		if state == Failed && n.Cluster > 0 && tx != nil {
			if _, err := lock(c.ctx, tx, n.ID); err != nil { // always the run before its cluster
				return nil, err
			}
			// In the same transaction: whoever dies now, the cluster is undone.
			if _, err := tx.Exec(c.ctx, "UPDATE clusters SET undoing = 1 WHERE id = ? AND on_failure = 'undo'", n.Cluster); err != nil {
				return nil, err
			}
		}
		return append(events, Event{At: now, Kind: kind, Stage: n.shown(), Step: n.Step(), Text: msg, Took: n.Took(now)}), nil
	})
	switch {
	case err != nil:
		return over, err
	case c.r.cancelBy != "":
		return goOn, nil
	case c.r.Cluster > 0:
		c.turnMembers()
	}
	return over, nil
}

func (c *carrier) fail(s *stepRun, cause error) (verdict, error) {
	return c.stop(s, Failed, EvFailed, cause)
}

// ask stops the run with a question: only a person can find out whether the step was done.
func (c *carrier) ask(s *stepRun, cause error) (verdict, error) {
	return c.stop(s, Asking, EvAsking, cause)
}

// turnMembers sees to a cluster that is being undone when one of its runs has come to rest.
func (c *carrier) turnMembers() {
	if _, err := c.undoMembers(c.ctx, c.r.Cluster); err != nil {
		c.log.Error("undo the cluster", "run", c.r.ID, "err", err) // the run itself is at rest, and that is on record
	}
}

// endCancelled commits the cancellation and says what is left standing.
func (c *carrier) endCancelled() (verdict, error) {
	if c.r.cancelBy == "" { // we heard of it by the context alone
		if v, err := c.reread(); err != nil || v != goOn {
			return v, err
		}
	}
	return over, c.outcome(func(tx store.Tx, n *Run) ([]Event, error) { return c.cancelled(tx, n, n.cancelBy) })
}

// cancelled makes a run cancelled, and gives the events of that. It raises the epoch, so that whoever else holds the
// run writes nothing more. What could not be stopped is said.
func (e *Engine) cancelled(tx store.Tx, n *Run, by string) ([]Event, error) {
	now := time.Now()
	text := "cancelled by " + by
	if tx != nil && e.goesOn != nil {
		list, err := e.goesOn(context.Background(), tx, n.ID)
		if err != nil {
			return nil, err
		}
		for _, what := range list {
			text += "; " + what
		}
	}
	if left := e.leftStanding(n); len(left) > 0 {
		text += "; left standing: whatever " + strings.Join(left, ", ") + " made"
	} else {
		text += "; nothing is left standing that `undo` could remove"
	}
	n.rest(Cancelled, EndCancelled, now)
	if n.mark == underWay {
		n.mark = betweenTries
	}
	n.Error = text
	n.epoch++
	events := []Event{{At: now, Kind: EvCancelled, Stage: n.shown(), Step: n.Step(), Text: text, Took: n.Took(now)}}
	if tx == nil {
		return events, nil
	}
	all, err := e.allReady(context.Background(), tx, n, now)
	return append(events, all...), err
}

// leftStanding lists the begun steps that have something to undo, in order.
func (e *Engine) leftStanding(r *Run) []string {
	var left []string
	for _, name := range r.Steps[:r.lastBegun()+1] {
		if s, err := e.reg.Lookup(name, ""); err == nil && s.Undo != nil {
			left = append(left, s.Name)
		}
	}
	return left
}

// Left gives the steps that have begun: what `undo` takes back, last first, and what stays whatever anybody does.
func (e *Engine) Left(r Run) (takes, stays []string) {
	takes = e.leftStanding(&r)
	slices.Reverse(takes)
	for _, name := range r.Steps[:r.lastBegun()+1] {
		if s, err := e.reg.Lookup(name, ""); err != nil || s.Undo == nil {
			stays = append(stays, name)
		}
	}
	return takes, stays
}

// Undoable reports whether `undo` would have anything to take back.
func (e *Engine) Undoable(r Run) bool { return len(e.leftStanding(&r)) > 0 }
