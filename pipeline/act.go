package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// Everybody is the Origin of a run that no person asked for: its notices go where everybody hears them.
const Everybody = "everybody"

// Who asks for something: a person, by whatever way in.
type Who struct {
	Name string
	// Behind are others who count as asking too: who made the token that was used, and the token that made that one.
	// What one of them asked for, another of them does not approve. One that begins with Operator is no person: whoever
	// keeps the machine, who could as well write the record.
	Behind []string
}

// Operator begins the names of those who keep the machine, and whom the configuration does not name.
const Operator = "local:"

// is reports whether the two are, or may be, one person.
func (w Who) is(o Who) bool {
	same := func(a, b string) bool {
		return strings.EqualFold(strings.TrimPrefix(a, Operator), strings.TrimPrefix(b, Operator))
	}
	stands := func(w Who, name string) bool {
		return slices.ContainsFunc(w.Behind, func(b string) bool { return same(b, name) })
	}
	// Tokens that the operator made for two people are theirs; those that one of the people made are that one's. One
	// that only one of the two records calls the operator may be a person: an earlier program took everybody for the
	// operator who was not one of the people.
	return same(w.Name, o.Name) || stands(w, o.Name) || stands(o, w.Name) || slices.ContainsFunc(w.Behind, func(b string) bool {
		return slices.ContainsFunc(o.Behind, func(c string) bool {
			return same(b, c) && !(strings.HasPrefix(b, Operator) && strings.HasPrefix(c, Operator))
		})
	})
}

// Request asks for a run.
type Request struct {
	Clipboard *clipboard.Clipboard // its secrets are sealed before it is stored
	Kind      Kind                 // times are compared among runs of one kind
	Steps     []string             // names as people write them; resolved and checked here
	By        string               // who asks
	Behind    []string             // see Who
	Origin    string               // where to tell the asker
	Approval  *NeedApproval        // nil: it may start at once
	At        time.Time            // when it is to begin, in the zone in which people are told; zero: at once
	Needs     string               // see Run
	Key       string               // of a client that may ask twice for the same run: the second time it gets the first one's
	Hash      string               // of what it asked for with Key
}

// prepare checks a request without starting anything.
func (e *Engine) prepare(q Request) (clipboard.Instance, []Step, error) {
	in, err := q.Clipboard.Instance()
	if err != nil {
		return in, nil, err
	}
	if len(q.Steps) == 0 {
		return in, nil, fmt.Errorf("the pipeline %s has no steps", q.Kind)
	}
	steps, err := e.reg.Check(q.Steps, q.Clipboard, in.Provider)
	return in, steps, err
}

// Start begins a run, or says why not: a *clipboard.SyntaxError or *clipboard.KeyError, an *UnknownStepError, a
// *NeedsError or a *BusyError. When it returns nil the run is on disk and will be carried, whatever dies.
func (e *Engine) Start(ctx context.Context, q Request) (Run, error) {
	in, steps, err := e.prepare(q)
	if err != nil {
		return Run{}, err
	}
	r, err := e.newRun(q, in, steps)
	if err != nil {
		return Run{}, err
	}
	if first, err := e.repeated(ctx, q); err != nil || first != nil {
		return *cmp.Or(first, &Run{}), err
	}
	err = e.write(ctx, func(tx store.Tx) error { return e.insertRun(ctx, tx, &r, q) })
	if err == nil {
		return r, nil
	}
	first, err := e.other(ctx, err, q, r)
	return *cmp.Or(first, &Run{}), err
}

// other says why runs were not put on record: the first run of the same key when both requests came at once, or the
// error.
func (e *Engine) other(ctx context.Context, err error, q Request, runs ...Run) (first *Run, _ error) {
	if first, rerr := e.repeated(ctx, q); rerr != nil || first != nil {
		return first, rerr
	}
	if !store.Unstorable(err) {
		return nil, err
	}
	// On PostgreSQL two requests for one host can pass the check in insertRun together; the index lets one through.
	for _, r := range runs {
		if busy, berr := holder(ctx, e.db, r.FQDN); berr == nil {
			return nil, &BusyError{busy}
		}
	}
	return nil, err
}

// newRun makes a run that is not on record yet.
func (e *Engine) newRun(q Request, in clipboard.Instance, steps []Step) (Run, error) {
	c := q.Clipboard.Clone()
	if err := c.Seal(e.key); err != nil {
		return Run{}, err
	}
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.Name
	}
	r := Run{Host: in.Hostname, FQDN: in.FQDN, Kind: q.Kind, Pipeline: q.Kind.String(), Steps: names, State: Running, By: plain.Line(q.By), Behind: q.Behind, Origin: q.Origin, epoch: 1, undoAt: -1, clipboard: c.Text()}
	r.plan(q)
	if q.Approval != nil {
		r.State = Proposed
	}
	return r, nil
}

// insertRun puts a run on record and makes its job, or asks for its approval. A *BusyError when another run holds the
// host.
func (e *Engine) insertRun(ctx context.Context, tx store.Tx, r *Run, q Request) error {
	if err := free(ctx, tx, r); err != nil {
		return err
	}
	if err := notHeld(ctx, tx, r.FQDN); err != nil {
		return err
	}
	r.Started = time.Now()
	r.StageAt = r.Started
	what := r.Pipeline + " by " + r.By
	if q.Approval != nil {
		if err := insert(ctx, tx, r, q.Key, q.Hash, Event{At: r.Started, Kind: EvProposed, Text: what + ": " + q.Approval.Why}); err != nil {
			return err
		}
		return insertApproval(ctx, tx, Approval{Run: r.ID, Cluster: r.Cluster, What: ToStart, Why: q.Approval.Why, By: r.By, Behind: r.Behind, Asked: r.Started, Expires: q.Approval.Until(r.Started, r.At)})
	}
	if r.State == Planned {
		return insert(ctx, tx, r, q.Key, q.Hash, Event{At: r.Started, Kind: EvPlanned, Text: what + ", for " + r.Why})
	}
	r.Began = r.Started
	if err := insert(ctx, tx, r, q.Key, q.Hash, Event{At: r.Started, Kind: EvStarted, Text: what}); err != nil {
		return err
	}
	return e.enqueue(ctx, tx, r)
}

// PlanLine says what one stage would do.
type PlanLine struct {
	Host  string `json:"host,omitempty"` // of a cluster's host
	Step  string `json:"step"`
	Text  string `json:"text"`
	Fails bool   `json:"fails,omitempty"` // it would fail, and Text says why
}

// Holder gives the run that holds a host, so that no other can begin. ErrNotFound when none does.
func (e *Engine) Holder(ctx context.Context, fqdn string) (Run, error) {
	return holder(ctx, e.db, fqdn)
}

// Plan says what a request would do, without doing any of it. The errors are those of Start, but for *BusyError: a plan
// holds nothing and is in nobody's way.
func (e *Engine) Plan(ctx context.Context, q Request) ([]PlanLine, error) {
	in, steps, err := e.prepare(q)
	if err != nil {
		return nil, err
	}
	c := q.Clipboard.Clone()
	all := c
	if opened, err := c.OpenAll(e.key); err == nil {
		all = opened
	}
	out := make([]PlanLine, 0, len(steps))
	ctx = WithHost(ctx, &planned{e, in.FQDN, Facts{Owner: OwnerOf(e.install, in.FQDN), By: q.By}})
	for _, s := range steps {
		line := PlanLine{Step: s.Name, Text: s.Doc}
		asked := fmt.Sprintf(" (%s is asked about it when the run begins)", siloWords(s.Silo))
		switch s = e.nearby(s); {
		case s.away:
			line.Text += asked
		case s.Plan != nil:
			var text string
			err := guard.Call(func() (err error) {
				text, err = s.Plan(ctx, c)
				return err
			})
			var p *guard.Panic
			if errors.As(err, &p) {
				e.log.Error("a bug: something panicked", "what", "plan a step", "step", s.Name, "err", all.Redact(p.Error()), "stack", string(p.Stack))
				err = errStepBug
			}
			if errors.Is(err, ErrNotBegun) { // its agent went away in this moment
				text, err = s.Doc+asked, nil
			}
			if err != nil {
				text, line.Fails = "would fail: "+oneLine(err), true
			}
			line.Text = all.Redact(plain.Line(all.Redact(text)))
		}
		out = append(out, line)
	}
	return out, nil
}

// again commits a change to a run that a person asked for, and a fresh job for it when the run is to move. The run is
// locked while it is looked at, so that of two words said at once the second finds what the first made.
func (e *Engine) again(ctx context.Context, id int64, f func(tx store.Tx, r *Run, now time.Time) ([]Event, error)) (Run, error) {
	var out Run
	err := e.write(ctx, func(tx store.Tx) error {
		r, err := lock(ctx, tx, id)
		if err != nil {
			return err
		}
		next := r
		events, err := f(tx, &next, time.Now())
		if err != nil {
			return err
		}
		if !r.State.Live() && next.State.Live() { // it wants its host back; somebody else may have it
			if err := free(ctx, tx, &r); err != nil {
				return err
			}
		}
		next.epoch++
		if err := save(ctx, tx, &r, &next, events...); err != nil {
			return err
		}
		if next.State.Moving() {
			err = e.enqueue(ctx, tx, &next)
		}
		out = next
		return err
	})
	return out, err
}

// resumable says why a run cannot go on where it stopped; nil when it can.
func resumable(ctx context.Context, tx store.Tx, r *Run, want string, states ...State) error {
	no := func(why string) error { return &StateError{Run: *r, Want: want, Why: why} }
	switch {
	case r.IsImport():
		return no(notMade(r))
	case !r.HasBegun() && r.State == Proposed:
		return no(fmt.Sprintf("it waits for a second person; `approve %d` or `deny %d`", r.ID, r.ID))
	case r.State == Planned:
		return no(fmt.Sprintf("it has not begun, and is planned for %s; `cancel %d` ends that", r.Why, r.ID))
	case !r.HasBegun():
		return no("it never began (" + endingWords[r.Ending] + "); ask for it again, as a new run")
	case r.Ending == EndUndonePart:
		return no(partly(r))
	case r.Ending == EndGivenUp:
		return no(fmt.Sprintf("it is taken back in part, and was given up; `undo %s` goes on with taking it back, or ask for it again, as a new run", r.Host))
	case !slices.Contains(states, r.State):
		return no("")
	}
	if err := notHeld(ctx, tx, r.FQDN); err != nil {
		return err
	}
	return notReplaced(ctx, tx, r, want)
}

var endingWords = map[Ending]string{EndDenied: "it was denied", EndWithdrawn: "it was withdrawn", EndExpired: "nobody approved it in time", EndLapsed: "when its time came something spoke against it"}

// notReplaced makes sure that the host still stands by the run: what a later one made of it is not this one's to
// change. A run that only looked at a repository of tasks (VariantCheck) made nothing.
func notReplaced(ctx context.Context, tx store.Tx, r *Run, want string) error {
	var id int64
	err := tx.QueryRow(ctx, "SELECT run FROM hosts WHERE fqdn = ?", r.FQDN).Scan(&id)
	if err != nil || id <= r.ID {
		return err
	}
	given := "('undone')"
	if want == "undo" { // what was given up leaves the earlier run's things where they were
		given = "('undone', 'cancelled', 'given_up')"
	}
	later, err := scan(tx.QueryRow(ctx, "SELECT "+runColumns+" FROM runs WHERE fqdn = ? AND id > ? AND began > 0 AND ending NOT IN "+given+" AND NOT (verb = ? AND variant = ?) ORDER BY id DESC LIMIT 1", r.FQDN, r.ID, VerbTask, VariantCheck))
	switch {
	case errors.Is(err, store.ErrNoRows):
		return nil
	case err != nil:
		return err
	case want == "undo":
		return &StateError{Run: *r, Want: want, Why: fmt.Sprintf("run %d came after it and is %s; `undo %d` first", later.ID, later.State, later.ID)}
	}
	return &StateError{Run: *r, Want: want, Why: fmt.Sprintf("run %d came after it and is %s", later.ID, later.State)}
}

// goOn makes a run move again at a stage.
func (r *Run) goOn(stage int, now time.Time) {
	r.Stage, r.State, r.Ending, r.mark, r.attempts = stage, Running, "", notBegun, 0
	r.Error, r.Waits, r.Why, r.cancelBy, r.StageAt, r.Ended = "", "", "", "", now, time.Time{}
	r.checked, r.released = "", 0
}

// goOnChecked is goOn after the Checks of the stages to come have been asked again.
func (r *Run) goOnChecked(stage int, now time.Time) {
	r.goOn(stage, now)
	r.Waits, r.checked = ForCheck, checkAsked
}

// Retry goes on at the failed stage, or at an earlier one named by its step. A *StateError when the run neither
// failed, asks, nor was cancelled after it had begun; when it is being taken back; or when a later run replaced it.
func (e *Engine) Retry(ctx context.Context, id int64, from, by string) (Run, error) {
	return e.again(ctx, id, func(tx store.Tx, r *Run, now time.Time) ([]Event, error) {
		if err := resumable(ctx, tx, r, "retry", Failed, Asking, Cancelled); err != nil {
			return nil, err
		}
		stage, text := r.Stage, "by "+by
		if from != "" {
			want := from
			if s, err := e.reg.Lookup(from, r.Provider); err == nil {
				want = s.Name
			}
			stage = slices.Index(r.Steps, want)
			if stage < 0 {
				return nil, &StateError{Run: *r, Want: "retry", Why: fmt.Sprintf("it has no stage %s; its stages are %s", from, strings.Join(r.Steps, ", "))}
			}
			if stage > r.Stage {
				return nil, &StateError{Run: *r, Want: "retry", Why: fmt.Sprintf("%s comes after the stage it stopped at, %s; `retry %s` goes on there", from, r.Where(), r.Host)}
			}
			text += " from " + r.Steps[stage]
			if slices.ContainsFunc(r.Steps[stage:r.Stage], isDestroy) {
				approved, err := wasApproved(ctx, tx, r.ID)
				if err != nil {
					return nil, err
				}
				if approved {
					return nil, &StateError{Run: *r, Want: "retry", Why: "it would destroy a second time, and was approved for once; ask for it again, as a new run"}
				}
			}
		}
		r.goOnChecked(stage, now)
		r.tries++
		return []Event{{At: now, Kind: EvRetried, Stage: r.shown(), Step: r.Step(), Text: text}}, nil
	})
}

// wasApproved reports whether a run began because a second person allowed it.
func wasApproved(ctx context.Context, tx store.Tx, id int64) (bool, error) {
	var n int
	err := tx.QueryRow(ctx, "SELECT count(*) FROM approvals WHERE run = ? AND what = 'start' AND outcome = 'approved'", id).Scan(&n)
	return n > 0, err
}

// Skip goes on after the stage at which the run failed or asks; after the last one the run is ready. A *NeedsError when
// a later step needs what the skipped one would have given; otherwise the errors of Retry.
func (e *Engine) Skip(ctx context.Context, id int64, by string) (Run, error) {
	return e.SkipAt(ctx, id, -1, by)
}

// SkipAt is Skip of one stage, from 0: a *StateError when the run is at another one by now. -1 is any.
func (e *Engine) SkipAt(ctx context.Context, id int64, stage int, by string) (Run, error) {
	return e.again(ctx, id, func(tx store.Tx, r *Run, now time.Time) ([]Event, error) {
		if stage >= 0 && r.Stage != stage {
			return nil, &StateError{Run: *r, Want: fmt.Sprintf("skip stage %d of", stage+1), Why: "it is at " + r.Where() + " by now"}
		}
		if err := resumable(ctx, tx, r, "skip a stage of", Failed, Asking); err != nil {
			return nil, err
		}
		if r.Stage >= len(r.Steps) {
			return nil, &StateError{Run: *r, Want: "skip a stage of", Why: "its stages are all done; what is left is to give back what they hold, and `retry " + r.Host + "` does"}
		}
		doc, err := r.doc()
		if err != nil {
			return nil, err
		}
		if _, err := e.reg.Check(r.Steps[r.Stage+1:], doc, ""); err != nil {
			return nil, err
		}
		ev := Event{At: now, Kind: EvSkipped, Stage: r.Stage, Step: r.Step(), Text: r.Step() + " skipped by " + by}
		r.goOnChecked(r.Stage+1, now)
		return []Event{ev}, nil
	})
}

// Undo takes back what the run did, last step first. Cancel it first while it moves.
func (e *Engine) Undo(ctx context.Context, id int64, by string) (Run, error) {
	return e.undo(ctx, id, "by "+by, false)
}

// undo begins an undo; waiting allows that of a run that waits and is in nobody's hands.
func (e *Engine) undo(ctx context.Context, id int64, why string, waiting bool) (Run, error) {
	return e.again(ctx, id, func(tx store.Tx, r *Run, now time.Time) ([]Event, error) {
		if err := undoable(ctx, tx, r, waiting); err != nil {
			return nil, err
		}
		return []Event{r.beginUndo(why, now)}, nil
	})
}

// undoable says why a run cannot be taken back; nil when it can.
func undoable(ctx context.Context, tx store.Tx, r *Run, waiting bool) error {
	no := func(why string) error { return &StateError{Run: *r, Want: "undo", Why: why} }
	switch {
	case r.IsImport():
		return no(notMade(r))
	case !r.HasBegun() && !r.State.Ahead():
		return no("it never began (" + endingWords[r.Ending] + "), so there is nothing to take back")
	case r.State == Undone:
		return no("it is undone already")
	case r.State == Undoing:
		return no(fmt.Sprintf("it is being undone already; `status %s` tells how far it is", r.Host))
	case !r.State.Resting() && !(waiting && r.State == Waiting):
		return no(fmt.Sprintf("it is %s; `cancel %s` first", r.State, r.Host))
	}
	if r.State != Waiting { // what waits is under way
		if err := notHeld(ctx, tx, r.FQDN); err != nil {
			return err
		}
	}
	return notReplaced(ctx, tx, r, "undo")
}

// Cancel stops the step under way, or gives up a run that waits, failed or asks. What is left standing is said in
// the notice. A proposal or a planned run is withdrawn by who asked for it, and denied by everybody else. An undo
// cannot be cancelled: half of it is the worst of both. For one that is stuck there is GiveUp.
func (e *Engine) Cancel(ctx context.Context, id int64, by Who) (Run, error) {
	var out Run
	err := e.write(ctx, func(tx store.Tx) error {
		r, err := lock(ctx, tx, id)
		if err != nil {
			return err
		}
		out = r
		no := func(why string) error { return &StateError{Run: r, Want: "cancel", Why: why} }
		switch r.State {
		case Proposed:
			a, err := pendingIn(ctx, tx, r.ID)
			if err != nil {
				return err
			}
			return e.refuse(ctx, tx, a, &out, by, "")
		case Planned:
			return e.unplan(ctx, tx, &out, by)
		case Undoing:
			return no("it is being undone, and half of that is worse than all")
		case Ready, Cancelled, Undone:
			return no("it is over: " + string(r.State))
		}
		if r.Ending == EndUndonePart {
			return no(partly(&r))
		}
		there, err := e.elsewhere(ctx, tx, id)
		if err != nil {
			return err
		}
		if r.State.Moving() && (r.State == Running || there || e.carries(id)) {
			// Whoever carries it, or is about to, sees the word at its next commit, or through its context.
			out.cancelBy = plain.Line(by.Name)
			return save(ctx, tx, &r, &out, Event{Kind: EvCancelAsked, Stage: r.shown(), Step: r.Step(), Text: "by " + by.Name})
		}
		events, err := e.cancelled(tx, &out, by.Name)
		if err != nil {
			return err
		}
		return save(ctx, tx, &r, &out, events...)
	})
	if err != nil {
		return out, err
	}
	e.mu.Lock()
	u := e.active[id]
	if u != nil {
		u.cancel(errCancelled)
	}
	e.mu.Unlock()
	switch {
	case u != nil, out.State != Running && out.State != Waiting:
		return out, nil
	case out.State == Running:
		e.tellWord(ctx)
		return out, nil
	}
	// Whoever carried it has let go since we looked, or another node has it.
	if err := e.cancelWaiting(ctx, id); err != nil {
		return out, err
	}
	e.tellWord(ctx)
	return out, nil
}

// carries reports whether a worker of this process has the run in its hands.
func (e *Engine) carries(id int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.active[id] != nil
}
