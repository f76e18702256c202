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

// A run whose undo is stuck holds its host, so that nobody deploys over what is left. When what keeps it stuck cannot
// be mended, a person gives it up, and a second one agrees: the host is free, and what stays is said, by its id.

// partly says where a run stands that is taken back in part.
func partly(r *Run) string {
	return fmt.Sprintf("it is taken back in part; `undo %s` goes on with that, `cancel %s` gives it up and says what stays", r.Host, r.Host)
}

// givable says why a run cannot be given up; nil when it can.
func givable(r *Run) error {
	if r.Ending == EndUndonePart {
		return nil
	}
	return &StateError{Run: *r, Want: "give up", Why: "its undo is not stuck: it is " + string(r.State)}
}

// stuckWith says what an undo could not take back: by which step, why, and what that step had given.
func (e *Engine) stuckWith(ctx context.Context, q store.Querier, r *Run) (string, error) {
	last, err := lastOfUndo(ctx, q, r.ID)
	if err != nil {
		return "", err
	}
	var out []string
	for i, ev := range last {
		if ev.Kind == EvStays || ev.Kind == EvUndoStuck {
			out = append(out, fmt.Sprintf("%03d %s (%s%s)", i, ev.Step, e.idOf(r, ev.Step), ev.Text))
		}
	}
	slices.Sort(out)
	for i := range out {
		_, out[i], _ = strings.Cut(out[i], " ")
	}
	if len(out) == 0 {
		return "nothing that is known", nil
	}
	return strings.Join(out, "; "), nil
}

// idOf gives the id of the machine that a step gave, as the clipboard still has it.
func (e *Engine) idOf(r *Run, step string) string {
	s, err := e.reg.Lookup(step, "")
	if err != nil || !slices.Contains(s.Gives, "provider_id") {
		return ""
	}
	if id := e.Value(*r, "provider_id"); id != "" {
		return "machine " + id + ": "
	}
	return ""
}

// giveUpUndo ends a run whose undo is stuck, and gives the events of that.
func (e *Engine) giveUpUndo(ctx context.Context, tx store.Tx, r *Run, by string, now time.Time) ([]Event, error) {
	if err := givable(r); err != nil {
		return nil, err
	}
	left, err := e.stuckWith(ctx, tx, r)
	if err != nil {
		return nil, err
	}
	r.rest(Cancelled, EndGivenUp, now)
	r.Error = "given up " + by + "; left standing: " + left
	// The machine at the address that this run found is the host's no more; one that was there before still is.
	if doc, err := r.doc(); err == nil && r.Verb != VerbDestroy && reachOf(doc).Addr != "" {
		if err := forgetReach(ctx, tx, r.FQDN); err != nil {
			return nil, err
		}
	}
	all, err := e.allReady(ctx, tx, r, now)
	return append([]Event{{At: now, Kind: EvCancelled, Stage: r.shown(), Step: r.Step(), Text: r.Error, Took: r.Took(now)}}, all...), err
}

// GiveUp frees the host of a run that is taken back in part: what stays is left standing. A *StateError for any other
// run.
func (e *Engine) GiveUp(ctx context.Context, id int64, by string) (Run, error) {
	return e.again(ctx, id, func(tx store.Tx, r *Run, now time.Time) ([]Event, error) {
		return e.giveUpUndo(ctx, tx, r, "by "+by, now)
	})
}

// AskGiveUp puts on record that somebody wants to give up a run which a second person has to approve. It is no error to
// ask twice. The errors are those of GiveUp, and a *StateError when something else about the run waits.
func (e *Engine) AskGiveUp(ctx context.Context, r Run, by Who, need NeedApproval) (Approval, error) {
	now := time.Now()
	a := Approval{Run: r.ID, What: ToGiveUp, By: by.Name, Behind: by.Behind, Asked: now, Expires: now.Add(need.For)}
	err := e.write(ctx, func(tx store.Tx) error {
		held, err := lock(ctx, tx, r.ID)
		if err != nil {
			return err
		}
		if err := givable(&held); err != nil {
			return err
		}
		before, err := pendingIn(ctx, tx, r.ID)
		switch {
		case err == nil && before.What == ToGiveUp:
			a = before
			return nil
		case err == nil:
			return &StateError{Run: held, Want: "give up", Why: fmt.Sprintf("something else about it waits for a second person: `approve %d` or `deny %d` first", r.ID, r.ID)}
		case !errors.Is(err, ErrNotFound):
			return err
		}
		left, err := e.stuckWith(ctx, tx, &held)
		if err != nil {
			return err
		}
		a.Why = need.Why + left
		if err := insertApproval(ctx, tx, a); err != nil {
			return err
		}
		return insertAll(ctx, tx, []Event{{Run: r.ID, At: now, Kind: EvProposed, Stage: held.shown(), Diff: ToGiveUp, Text: "to give it up, by " + by.Name + ": " + a.Why}})
	})
	return a, err
}
