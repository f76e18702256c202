package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
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

// Request asks for a run.
type Request struct {
	Clipboard *clipboard.Clipboard // its secrets are sealed before it is stored
	Pipeline  string               // "deploy/esx": the name under which times are compared
	Steps     []string             // names as people write them; resolved and checked here
	By        string               // who asks
	Origin    string               // where to tell the asker
	Approval  *NeedApproval        // nil: it may start at once
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
		return in, nil, fmt.Errorf("the pipeline %s has no steps", q.Pipeline)
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
	if first, rerr := e.repeated(ctx, q); rerr != nil || first != nil { // both came at once
		return *cmp.Or(first, &Run{}), rerr
	}
	// On PostgreSQL two requests for one host can pass the check above together; the index lets one through.
	if busy, berr := scanRun(e.db.QueryRow(ctx, "SELECT "+runColumns+" FROM runs WHERE fqdn = ? AND live = 1", in.FQDN)); berr == nil {
		return Run{}, &BusyError{busy}
	}
	return Run{}, err
}

// RepeatError: a key that was used before, for something else.
type RepeatError struct{ Run Run }

func (e *RepeatError) Error() string {
	return fmt.Sprintf("this idempotency key was used for run %d, which asked for something else", e.Run.ID)
}

// repeated gives the run that an earlier request with the same key began, nil when there is none.
func (e *Engine) repeated(ctx context.Context, q Request) (*Run, error) {
	if q.Key == "" {
		return nil, nil
	}
	var id int64
	var hash string
	err := e.db.QueryRow(ctx, "SELECT id, request_hash FROM runs WHERE request_key = ?", q.Key).Scan(&id, &hash)
	if errors.Is(err, store.ErrNoRows) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	r, err := e.load(ctx, id)
	if err == nil && hash != q.Hash {
		return nil, &RepeatError{*r}
	}
	return r, err
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
	state := Running
	if q.Approval != nil {
		state = Proposed
	}
	q.By = plain.Line(q.By)
	return Run{Host: in.Hostname, FQDN: in.FQDN, Pipeline: q.Pipeline, Steps: names, State: state, By: q.By, Origin: q.Origin, turn: 1, undoAt: -1, clipboard: c.Text()}, nil
}

// insertRun puts a run on record and makes its job, or asks for its approval. A *BusyError when another run holds the
// host.
func (e *Engine) insertRun(ctx context.Context, tx store.Tx, r *Run, q Request) error {
	busy, err := scanRun(tx.QueryRow(ctx, "SELECT "+runColumns+" FROM runs WHERE fqdn = ? AND live = 1", r.FQDN))
	if err == nil {
		return &BusyError{busy}
	} else if !errors.Is(err, store.ErrNoRows) {
		return err
	}
	list, err := json.Marshal(r.Steps)
	if err != nil {
		return err
	}
	r.Started = time.Now()
	r.StageAt = r.Started
	now := r.Started.UnixMilli()
	err = tx.QueryRow(ctx, `INSERT INTO runs (host, fqdn, pipeline, steps, stage, state, live, under, attempts, turn, undo_at, undoing, clipboard, err, why, by_whom, origin, cancel_by, tries, started, stage_at, wake, ended, cluster, request_key, request_hash)
		VALUES (?, ?, ?, ?, 0, ?, 1, 0, 0, 1, -1, 0, ?, '', '', ?, ?, '', 0, ?, ?, 0, 0, ?, ?, ?) RETURNING id`,
		r.Host, r.FQDN, r.Pipeline, string(list), string(r.State), r.clipboard, r.By, r.Origin, now, now, r.Cluster, q.Key, q.Hash).Scan(&r.ID)
	if err != nil {
		return err
	}
	if q.Approval != nil {
		if err := insertApproval(ctx, tx, Approval{Run: r.ID, Cluster: r.Cluster, What: ToStart, Why: q.Approval.Why, By: r.By, Asked: r.Started, Expires: r.Started.Add(q.Approval.For)}); err != nil {
			return err
		}
		return insertEvent(ctx, tx, Event{Run: r.ID, At: r.Started, Kind: EvProposed, Text: r.Pipeline + " by " + r.By + ": " + q.Approval.Why})
	}
	if err := insertEvent(ctx, tx, Event{Run: r.ID, At: r.Started, Kind: EvStarted, Text: r.Pipeline + " by " + r.By}); err != nil {
		return err
	}
	return e.queue.insert(ctx, tx, carryArgs{r.ID, r.turn})
}

// PlanLine says what one stage would do.
type PlanLine struct {
	Step string `json:"step"`
	Text string `json:"text"`
}

// Plan says what a request would do, without doing any of it. The errors are those of Start.
func (e *Engine) Plan(ctx context.Context, q Request) ([]PlanLine, error) {
	in, steps, err := e.prepare(q)
	if err != nil {
		return nil, err
	}
	if busy, err := scanRun(e.db.QueryRow(ctx, "SELECT "+runColumns+" FROM runs WHERE fqdn = ? AND live = 1", in.FQDN)); err == nil {
		return nil, &BusyError{busy}
	}
	c := q.Clipboard.Clone()
	out := make([]PlanLine, 0, len(steps))
	for _, s := range steps {
		line := PlanLine{Step: s.Name, Text: s.Doc}
		if s.Plan != nil {
			var text string
			err := guard.Call(func() (err error) {
				text, err = s.Plan(ctx, c)
				return err
			})
			var p *guard.Panic
			if errors.As(err, &p) {
				e.log.Error("a bug: something panicked", "what", "plan a step", "step", s.Name, "err", c.Redact(p.Error()), "stack", string(p.Stack))
				err = errStepBug
			}
			if err != nil {
				text = "would fail: " + oneLine(err)
			}
			line.Text = c.Redact(plain.Line(c.Redact(text)))
		}
		out = append(out, line)
	}
	return out, nil
}

// again commits a change to a run that a person asked for, and a fresh job for it.
func (e *Engine) again(ctx context.Context, id int64, change func(r *Run, tx store.Tx) (Event, error)) (Run, error) {
	var out Run
	err := e.write(ctx, func(tx store.Tx) error {
		r, err := scanRun(tx.QueryRow(ctx, "SELECT "+runColumns+" FROM runs WHERE id = ?", id))
		if errors.Is(err, store.ErrNoRows) {
			return ErrNotFound
		} else if err != nil {
			return err
		}
		if !r.State.Live() {
			// It wants its host back; somebody else may have it.
			busy, err := scanRun(tx.QueryRow(ctx, "SELECT "+runColumns+" FROM runs WHERE fqdn = ? AND live = 1", r.FQDN))
			if err == nil {
				return &BusyError{busy}
			} else if !errors.Is(err, store.ErrNoRows) {
				return err
			}
		}
		ev, err := change(&r, tx)
		if err != nil {
			return err
		}
		r.turn++
		now := time.Now()
		r.StageAt = now
		undoing := 0
		if r.undoing {
			undoing = 1
		}
		if err := exactlyOne(tx.Exec(ctx, "UPDATE runs SET stage = ?, state = ?, live = 1, under = ?, attempts = 0, turn = ?, undo_at = ?, undoing = ?, err = '', why = '', cancel_by = '', tries = ?, stage_at = ?, ended = 0 WHERE id = ?",
			r.Stage, string(r.State), r.under, r.turn, r.undoAt, undoing, r.tries, now.UnixMilli(), r.ID)); err != nil {
			return err
		}
		ev.Run, ev.Stage, ev.Step = r.ID, r.Stage, r.Step()
		if err := insertEvent(ctx, tx, ev); err != nil {
			return err
		}
		out = r
		return e.queue.insert(ctx, tx, carryArgs{r.ID, r.turn})
	})
	return out, err
}

// Retry goes on at the failed stage, or at an earlier one named by its step. A *StateError when the run neither
// failed, asks, nor was cancelled.
func (e *Engine) Retry(ctx context.Context, id int64, from, by string) (Run, error) {
	return e.again(ctx, id, func(r *Run, tx store.Tx) (Event, error) {
		if r.State != Failed && r.State != Asking && r.State != Cancelled {
			return Event{}, &StateError{Run: *r, Want: "retry"}
		}
		text := "by " + by
		if from != "" {
			want := from
			if s, err := e.reg.Lookup(from, r.provider()); err == nil {
				want = s.Name
			}
			i := slices.Index(r.Steps, want)
			if i < 0 {
				return Event{}, &StateError{Run: *r, Want: "retry", Why: fmt.Sprintf("it has no stage %s; its stages are %s", from, strings.Join(r.Steps, ", "))}
			}
			if i > r.Stage {
				return Event{}, &StateError{Run: *r, Want: "retry", Why: fmt.Sprintf("%s comes after the stage it stopped at; `skip` goes on behind a stage", from)}
			}
			r.Stage = i
			text += " from " + r.Steps[i]
		}
		r.State, r.under = Running, 0
		r.tries++
		return Event{Kind: EvRetried, Text: text}, nil
	})
}

// provider is the one that sp: stands for: "deploy/esx-network" is on esx.
func (r *Run) provider() string {
	_, p, _ := strings.Cut(r.Pipeline, "/")
	p, _, _ = strings.Cut(p, "-")
	return p
}

// Skip goes on behind the stage at which the run failed or asks; behind the last one the run is ready. A *NeedsError when a later step needs what the
// skipped one would have given.
func (e *Engine) Skip(ctx context.Context, id int64, by string) (Run, error) {
	return e.again(ctx, id, func(r *Run, tx store.Tx) (Event, error) {
		if r.State != Failed && r.State != Asking {
			return Event{}, &StateError{Run: *r, Want: "skip a stage of"}
		}
		if r.Stage >= len(r.Steps) {
			return Event{}, &StateError{Run: *r, Want: "skip a stage of", Why: "its stages are all done; what is left is to give back what they hold, and `retry` does"}
		}
		c, err := clipboard.Parse([]byte(r.clipboard))
		if err != nil {
			return Event{}, err
		}
		if _, err := e.reg.Check(r.Steps[r.Stage+1:], c, ""); err != nil {
			return Event{}, err
		}
		skipped := r.Steps[r.Stage]
		r.Stage++
		r.State, r.under = Running, 0
		return Event{Kind: EvSkipped, Text: skipped + " skipped by " + by}, nil
	})
}

// Undo takes back what the run did, last step first. Cancel it first while it moves.
func (e *Engine) Undo(ctx context.Context, id int64, by string) (Run, error) {
	return e.undo(ctx, id, "by "+by, false)
}

// undo begins an undo; waiting allows that of a run that waits and is in nobody's hands.
func (e *Engine) undo(ctx context.Context, id int64, why string, waiting bool) (Run, error) {
	return e.again(ctx, id, func(r *Run, tx store.Tx) (Event, error) { return e.beginUndo(ctx, tx, r, why, waiting) })
}

func (e *Engine) beginUndo(ctx context.Context, tx store.Tx, r *Run, why string, waiting bool) (Event, error) {
	if !r.State.Resting() && !(waiting && r.State == Waiting) {
		return Event{}, &StateError{Run: *r, Want: "undo", Why: "it is " + string(r.State) + "; `cancel` it first"}
	}
	if r.State == Undone {
		return Event{}, &StateError{Run: *r, Want: "undo", Why: "it is undone already"}
	}
	// What a later run made of the host is not ours to pull from under it.
	later, err := scanRun(tx.QueryRow(ctx, "SELECT "+runColumns+" FROM runs WHERE fqdn = ? AND id > ? AND state NOT IN ('cancelled', 'undone') ORDER BY id DESC LIMIT 1", r.FQDN, r.ID))
	if err == nil {
		return Event{}, &StateError{Run: *r, Want: "undo", Why: fmt.Sprintf("run %d came after it and is %s; `undo %d` first", later.ID, later.State, later.ID)}
	} else if !errors.Is(err, store.ErrNoRows) {
		return Event{}, err
	}
	r.undoAt = r.lastBegun()
	r.State, r.undoing = Undoing, true
	return Event{Kind: EvUndoStarted, Text: why}, nil
}

// lastBegun gives the last stage that may have done something, -1 for none.
func (r *Run) lastBegun() int {
	if r.Stage < len(r.Steps) && r.under == 0 {
		return r.Stage - 1
	}
	return min(r.Stage, len(r.Steps)-1)
}

// Cancel stops the step under way, or gives up a run that waits, failed or asks. What is left standing is said in
// the notice. An undo can not be cancelled: half of it is the worst of both.
func (e *Engine) Cancel(ctx context.Context, id int64, by string) (Run, error) {
	if a, err := e.Pending(ctx, id); err == nil && a.What == ToStart {
		if err := e.close(ctx, a, "denied", by); err != nil {
			return Run{}, err
		}
		return e.Get(ctx, id)
	}
	by = plain.Line(by)
	var out Run
	direct := false
	err := e.write(ctx, func(tx store.Tx) error {
		r, err := scanRun(tx.QueryRow(ctx, "SELECT "+runColumns+" FROM runs WHERE id = ?", id))
		if errors.Is(err, store.ErrNoRows) {
			return ErrNotFound
		} else if err != nil {
			return err
		}
		switch r.State {
		case Undoing:
			return &StateError{Run: r, Want: "cancel", Why: "it is being undone, and half of that is worse than all"}
		case Ready, Cancelled, Undone:
			return &StateError{Run: r, Want: "cancel", Why: "it is over: " + string(r.State)}
		}
		r.cancelBy = by
		out, direct = r, true
		if _, err := tx.Exec(ctx, "UPDATE runs SET cancel_by = ? WHERE id = ?", by, id); err != nil {
			return err
		}
		return insertEvent(ctx, tx, Event{Run: id, Kind: EvCancelAsked, Stage: r.Stage, Step: r.Step(), Text: "by " + by})
	})
	if err != nil || !direct {
		return out, err
	}
	e.mu.Lock()
	u := e.active[id]
	if u != nil {
		u.cancel(errCancelled)
	}
	e.mu.Unlock()
	if u != nil {
		return out, nil
	}
	if out.State == Running {
		// A job is on its way and will see cancel_by; it may also have just begun.
		return out, nil
	}
	err = e.endCancelled(ctx, &out)
	if errors.Is(err, errStale) {
		err = nil
	}
	return out, err
}
