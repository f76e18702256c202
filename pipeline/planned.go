package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// A planned run waits on record for the time that its asker named. It has no job: one node looks each second whose time
// has come, asks MayBegin what speaks against it, and in one transaction lets it begin, has it wait for the end of a
// freeze, or ends it as one that never began. The members of a cluster are judged and begin together. docs/design/at.md
// has the whole.

// MaxLate is how long after its time a planned run still begins. What was to happen at night must not happen in the
// middle of the day, only because nobody was there before.
const MaxLate = time.Hour

// planEvery is how often is looked whose time has come.
const planEvery = time.Second

// Objection is what speaks against a planned run when its time has come; the zero value: nothing does.
type Objection struct {
	Why   string    // for people
	Until time.Time // it waits until then; zero: it does not begin at all
}

// plan has a run that is not on record yet wait for the time that was asked for, if one was.
func (r *Run) plan(q Request) {
	if q.At.IsZero() {
		return
	}
	r.State, r.At, r.Wake, r.Waits, r.Why, r.Needs = Planned, q.At, q.At, ForTime, plain.Zoned(q.At), q.Needs
}

// unplan ends a planned run that somebody does not want any more. r is the run as it is locked, and then as it is
// saved.
func (e *Engine) unplan(ctx context.Context, tx store.Tx, r *Run, by Who) error {
	how, text := EndDenied, "cancelled by "+by.Name
	if (Approval{By: r.By}).asked(plain.Line(by.Name)) {
		how, text = EndWithdrawn, "withdrawn by "+by.Name
	}
	next, err := e.neverBegin(ctx, tx, r, how, EvDenied, text, time.Now())
	if err == nil {
		*r = next
	}
	return err
}

// neverBegin saves that a planned run does not begin, and gives it as it is then.
func (e *Engine) neverBegin(ctx context.Context, tx store.Tx, r *Run, how Ending, kind EventKind, text string, now time.Time) (Run, error) {
	next := *r
	next.rest(Cancelled, how, now)
	next.Error = text + "; nothing was done"
	next.epoch++
	all, err := e.allReady(ctx, tx, &next, now)
	if err != nil {
		return next, err
	}
	return next, save(ctx, tx, r, &next, append([]Event{{At: now, Kind: kind, Text: text, Diff: ToStart}}, all...)...)
}

// beginByClock begins planned runs when it is time, until ctx ends.
func (e *Engine) beginByClock(ctx context.Context) {
	for ctx.Err() == nil {
		if err := e.beginDue(ctx, time.Now()); err != nil && ctx.Err() == nil {
			e.log.Error("begin what was planned; it is tried again", "err", err)
		}
		pause(ctx, planEvery)
	}
}

// beginDue judges the runs whose time has come. One that waits for the end of a freeze is judged each time: somebody
// may have taken the freeze away.
func (e *Engine) beginDue(ctx context.Context, now time.Time) error {
	due, err := e.runs(ctx, "state = 'planned' AND (wake <= ? OR reason = 'freeze') ORDER BY wake, id LIMIT 1000", now.UnixMilli())
	errs := []error{err}
	var seen []int64
	for _, r := range due {
		group := []Run{r}
		if r.Cluster != 0 {
			if slices.Contains(seen, r.Cluster) {
				continue
			}
			seen = append(seen, r.Cluster)
			if group, err = e.runs(ctx, "cluster = ? AND state = 'planned' ORDER BY id", r.Cluster); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		if err := e.judge(ctx, group, now); err != nil {
			errs = append(errs, fmt.Errorf("run %d: %w", r.ID, err))
		}
	}
	return errors.Join(errs...)
}

// judge commits what becomes of planned runs that begin together, or not at all.
func (e *Engine) judge(ctx context.Context, group []Run, now time.Time) error {
	var o Objection
	for _, r := range group {
		if e.mayBegin == nil {
			break
		}
		one, err := e.mayBegin(ctx, r)
		if err != nil {
			return err
		}
		if o = worse(o, one); o.forGood() {
			break
		}
	}
	err := e.write(ctx, func(tx store.Tx) error {
		var runs []Run
		against := o
		for _, r := range group {
			r, err := lock(ctx, tx, r.ID)
			if err != nil {
				return err
			}
			if r.State != Planned { // somebody ended it, or another node was first
				continue
			}
			runs = append(runs, r)
			more, err := r.objection(ctx, tx, now)
			if err != nil {
				return err
			}
			against = worse(against, more)
		}
		for _, r := range runs {
			if err := e.letBegin(ctx, tx, r, against, now); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, errStale) || errors.Is(err, errCancelAsked) {
		return nil // it is looked at again in a moment
	}
	return err
}

// forGood reports an objection that does not end by waiting.
func (o Objection) forGood() bool { return o.Why != "" && o.Until.IsZero() }

// worse gives the one that holds a run up for longer.
func worse(a, b Objection) Objection {
	if b.Why == "" || a.forGood() || a.Why != "" && !b.forGood() && b.Until.Before(a.Until) {
		return a
	}
	return b
}

// objection says what the record has against a run whose time has come.
func (r *Run) objection(ctx context.Context, tx store.Tx, now time.Time) (Objection, error) {
	if late := now.Sub(r.Wake); late > MaxLate {
		return Objection{Why: fmt.Sprintf("its time was %s, and no server was there to begin it for more than %d minutes after that", plain.Time(r.Wake), int(MaxLate.Minutes()))}, nil
	}
	err := notHeld(ctx, tx, r.FQDN)
	var held *HeldError
	if errors.As(err, &held) {
		return Objection{Why: held.Error()}, nil
	}
	if err != nil || r.Cluster == 0 {
		return Objection{}, err
	}
	var open int
	err = tx.QueryRow(ctx, "SELECT count(*) FROM runs WHERE cluster = ? AND (state = 'proposed' OR ending = 'expired')", r.Cluster).Scan(&open)
	if err == nil && open > 0 {
		return Objection{Why: "not all hosts of its cluster were approved"}, nil
	}
	return Objection{}, err
}

// letBegin saves what becomes of one planned run.
func (e *Engine) letBegin(ctx context.Context, tx store.Tx, r Run, o Objection, now time.Time) error {
	if o.forGood() {
		_, err := e.neverBegin(ctx, tx, &r, EndLapsed, EvLapsed, o.Why, now)
		return err
	}
	next := r
	if o.Why != "" {
		next.Waits, next.Why, next.Wake = ForFreeze, plain.Line(o.Why), o.Until
		if r.Waits == next.Waits && r.Why == next.Why && ms(r.Wake) == ms(next.Wake) {
			return nil
		}
		return save(ctx, tx, &r, &next, Event{At: now, Kind: EvPostponed, Text: o.Why})
	}
	text := r.Pipeline + " by " + r.By + ", asked for at " + plain.Time(r.Started)
	next.Began, next.Wake = now, time.Time{}
	next.goOn(0, now)
	next.epoch++
	if err := save(ctx, tx, &r, &next, Event{At: now, Kind: EvBegins, Text: text}); err != nil {
		return err
	}
	return e.enqueue(ctx, tx, &next)
}

// noneAhead makes sure that no run of a cluster is still to begin: it would do so only to turn back.
func noneAhead(ctx context.Context, tx store.Tx, cluster int64) error {
	r, err := scan(tx.QueryRow(ctx, "SELECT "+runColumns+" FROM runs WHERE cluster = ? AND began = 0 AND state IN ('planned', 'proposed') ORDER BY id LIMIT 1", cluster))
	switch {
	case errors.Is(err, store.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return resumable(ctx, tx, &r, "undo")
}

// lapse ends the planned runs of a record that is older than the world, or may be: somebody may have begun them. It is
// for those whose time is not after a moment.
func (e *Engine) lapse(ctx context.Context, tx store.Tx, until time.Time, why string, chosen func(*Run) bool) error {
	list, err := store.Collect(ctx, tx, func(row store.Row) (Run, error) { return scan(row) }, "SELECT "+runColumns+" FROM runs WHERE state = 'planned' AND begin_at <= ? ORDER BY id", ms(until))
	for _, r := range list {
		if err == nil && chosen(&r) {
			_, err = e.neverBegin(ctx, tx, &r, EndLapsed, EvLapsed, why, until)
		}
	}
	return err
}
