package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// A silo is a part of the network that only some servers, or an agent that dials out of it, can reach. Each has a queue
// of its own; a run is in the queue of the silo of its next step, and moves between them in the commit that changes
// what its next step is: its epoch is raised, and a job is made there. Whoever finds a run in hand whose step belongs
// elsewhere sends it on.
//
//	hub ── step 1 ──► commit: stage 2, job in silo-vmware ──► a server of vmware: step 2 ──► commit: stage 3, job in default ──► hub

// siloed reports whether silos matter at all here.
func (e *Engine) siloed() bool { return e.here != "" || len(e.silos) > 0 }

// stepSilo gives the silo of a step of a run.
func (e *Engine) stepSilo(name string) string { return e.reg.SiloOf(name) }

// place gives the silo to which a run has to go next; any where it does not matter.
func (e *Engine) place(r *Run, anywhere string) string {
	switch {
	case !e.siloed() || r.cancelBy != "" && !r.undoing && r.mark != underWay: // what is under way has to be stopped where it is
		return anywhere
	case r.undoing:
		for i := min(r.undoAt, len(r.Steps)-1); i >= 0; i-- {
			if s, err := e.reg.Lookup(r.Steps[i], ""); err != nil || s.Undo != nil {
				return e.stepSilo(r.Steps[i])
			}
		}
		return anywhere
	case r.Stage >= len(r.Steps):
		for i := len(r.Steps) - 1 - r.released; i >= 0; i-- {
			if s, err := e.reg.Lookup(r.Steps[i], ""); err == nil && s.Release != nil {
				return e.stepSilo(r.Steps[i])
			}
		}
		return anywhere
	}
	if v := e.visits(r); len(v) > 0 {
		return v[0]
	}
	return e.stepSilo(r.Step())
}

// Before a stage whose run must be checked, a run visits the silos of the stages to come that have something to say,
// and that of the stage itself last. Which it has been to stands in its column checked: names, and "." for outside of
// all silos; checkAsked alone says that there is to be such a round although nothing else shows it.
const (
	checkAsked = "?"
	outside    = "."
)

// visits lists the silos that a run has to visit before its stage begins.
func (e *Engine) visits(r *Run) []string {
	if r.mark != notBegun || !mustCheck(r) {
		return nil
	}
	been := strings.Fields(r.checked)
	own := e.stepSilo(r.Step())
	var out []string
	for _, name := range r.Steps[r.Stage:] {
		silo := e.stepSilo(name)
		if silo == own || slices.Contains(out, silo) || slices.Contains(been, visited(silo)) {
			continue
		}
		if s, err := e.reg.Lookup(name, ""); err == nil && s.Check != nil {
			out = append(out, silo)
		}
	}
	return out
}

// visited gives a name that is not empty, for a list of names cut at blanks.
func visited(silo string) string {
	if silo == "" {
		return outside
	}
	return silo
}

// visit asks the Checks of the silo that the run is in, for stages to come. No stage begins.
func (c *carrier) visit() (verdict, error) {
	step, err := c.reg.Lookup(c.r.Step(), "")
	if err != nil {
		return c.fail(nil, err)
	}
	s, err := c.open(c.r, step, false)
	if err != nil {
		return c.fail(nil, err)
	}
	switch err := c.preflight(); {
	case errors.Is(err, ErrNotBegun):
		return again(time.Second), nil
	case err != nil:
		return c.stumble(s, step, err)
	}
	return goOn, c.outcome(func(_ store.Tx, n *Run) ([]Event, error) {
		n.checked = strings.TrimSpace(n.checked + " " + visited(c.silo))
		return nil, nil
	})
}

// placing has a commit move the run when its next step is elsewhere.
func (c *carrier) placing(f func(store.Tx, *Run) ([]Event, error)) func(store.Tx, *Run) ([]Event, error) {
	if !c.siloed() {
		return f
	}
	return func(tx store.Tx, n *Run) ([]Event, error) {
		events, err := f(tx, n)
		if err != nil || !n.State.Moving() {
			return events, err
		}
		to := c.place(n, c.silo)
		if to == c.silo {
			return events, nil
		}
		n.epoch++
		if tx == nil {
			return events, nil
		}
		job := carryArgs{Run: n.ID, Turn: n.epoch, silo: to}
		if c.lost {
			job.after = lostAgain
		}
		more, err := c.hand(c.ctx, tx, n, job)
		return append(events, more...), err
	}
}

// lostAgain is how long a run waits that came to where its step is not: servers whose configurations do not agree about
// silos must not send it to and fro as fast as they can.
const lostAgain = time.Second

// handed reports whether the run was given to another silo: a job for it is there.
func (c *carrier) handed() bool { return c.r.epoch != c.turn }

// send has the run go to the silo of its next step, which is not this one.
func (c *carrier) send() (verdict, error) {
	c.lost = true
	c.log.Info("a run is not where its step is, and is sent on", "run", c.r.ID, "here", c.silo)
	if err := c.outcome(func(store.Tx, *Run) ([]Event, error) { return nil, nil }); err != nil || c.handed() {
		return over, err
	}
	return goOn, nil // somebody said cancel
}

// arrive ends the wait for somebody who serves the silo.
func (c *carrier) arrive() (verdict, error) {
	return goOn, c.outcome(func(_ store.Tx, n *Run) ([]Event, error) {
		n.Waits, n.Why, n.StageAt = "", "", time.Now()
		if !n.undoing {
			n.State = Running
		}
		return nil, nil
	})
}

// enqueue makes the job of a run that was written in this transaction, where the run has to go.
func (e *Engine) enqueue(ctx context.Context, tx store.Tx, r *Run) error {
	next := *r
	events, err := e.hand(ctx, tx, &next, carryArgs{Run: r.ID, Turn: r.epoch, silo: e.place(r, e.here)})
	if err != nil || len(events) == 0 {
		return err
	}
	err = save(ctx, tx, r, &next, events...)
	*r = next
	return err
}

// hand makes a job, and has the run wait when nobody serves the silo; then it gives the events of that.
func (e *Engine) hand(ctx context.Context, tx store.Tx, n *Run, job carryArgs) ([]Event, error) {
	if err := e.queue.insert(ctx, tx, job); err != nil || !e.siloed() {
		return nil, err
	}
	ok, err := served(ctx, tx, job.silo)
	if err != nil || ok {
		return nil, err
	}
	return []Event{n.waitForSilo(job.silo, time.Now())}, nil
}

// waitForSilo has a run wait until somebody serves a silo.
func (r *Run) waitForSilo(silo string, now time.Time) Event {
	if !r.undoing {
		r.State = Waiting
	}
	r.Waits, r.Wake = ForSilo, time.Time{}
	r.Why = fmt.Sprintf("waits for the silo %s, which nobody serves: start a server with `node: {silo: %s}` or an agent there, and it goes on by itself", silo, silo)
	if silo == "" {
		r.Why = "waits for a server that is in no silo, and none lives: start one, and it goes on by itself"
	}
	if r.mark == underWay && !r.undoing {
		r.Why += fmt.Sprintf("; %s is under way there, and goes on meanwhile if its agent lives", r.Step())
	}
	if !r.undoing {
		r.Why += fmt.Sprintf("; `cancel %s` gives it up", r.Host)
	}
	return Event{At: now, Kind: EvWaiting, Stage: r.shown(), Step: r.Step(), Text: r.Why}
}

// find gives a step as it can be done here, for this silo.
func (c *carrier) find(name string) (Step, error) {
	if c.silo == c.here {
		return c.reg.Lookup(name, "")
	}
	s, err := c.serving.step(c.silo, name)
	if err == nil || c.serving.anybody(c.silo) {
		return s, err
	}
	// Who served the silo has gone, which says nothing of the step: it was not begun.
	known, lerr := c.reg.Lookup(name, "")
	if lerr != nil {
		return s, err
	}
	return known.absent(), nil
}

// nearby gives a step that runs elsewhere as it can be asked from here, when an agent that is connected here has it.
func (e *Engine) nearby(s Step) Step {
	if s.away {
		if n, err := e.serving.step(s.Silo, s.Name); err == nil {
			return n
		}
	}
	return s
}
