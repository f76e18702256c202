package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/store"
)

// A run that is ready may do some of its stages again: what puts right that the world is no longer as they left it. Its
// host is in production, so a second person approves, as for all that touches it. Retry is for runs that are not ready.

// makesMachine tells the steps that make or take down a machine, by their names, which are contract.
func makesMachine(step string) bool { return isDestroy(step) || strings.HasSuffix(step, ":deploy") }

// repeatable gives the stage from which a run that is ready can do its stages again. A *StateError says why it cannot:
// a later run replaced it, it is no deployment, or the machine would be made again.
func (e *Engine) repeatable(ctx context.Context, tx store.Tx, r *Run, from string) (int, error) {
	no := func(format string, args ...any) (int, error) {
		return 0, &StateError{Run: *r, Want: "retry", Why: fmt.Sprintf(format, args...)}
	}
	if err := resumable(ctx, tx, r, "retry", Ready); err != nil {
		return 0, err
	}
	if !(Standing{Run: *r}).comparable() {
		return no("it left no host that could be put right")
	}
	together, err := fallsTogether(ctx, tx, r)
	if err != nil {
		return 0, err
	}
	want := from
	if s, err := e.reg.Lookup(from, r.Provider); err == nil {
		want = s.Name
	}
	stage := slices.Index(r.Steps, want)
	switch {
	case from == "":
		return no("it is ready; `retry %s from STEP` does that step and those after it again", r.Host)
	case stage < 0:
		return no("it has no stage %s; its stages are %s", from, strings.Join(r.Steps, ", "))
	case together:
		return no("were it to fail, its cluster would take back all its hosts; `redeploy %s` is for this one alone", r.Host)
	case slices.ContainsFunc(r.Steps[stage:], makesMachine):
		return no("from %s on it would make the machine again; `redeploy %s` does that, with all that belongs to it", want, r.Host)
	}
	return stage, nil
}

// fallsTogether reports whether the run's failure takes back all hosts of its cluster.
func fallsTogether(ctx context.Context, q store.Querier, r *Run) (bool, error) {
	if r.Cluster == 0 {
		return false, nil
	}
	var how string
	err := q.QueryRow(ctx, "SELECT on_failure FROM clusters WHERE id = ?", r.Cluster).Scan(&how)
	return how == clipboard.UndoAll, err
}

// repeat makes the run move again from a stage.
func (r *Run) repeat(stage int, text string, now time.Time) Event {
	r.goOn(stage, now)
	r.tries++
	return Event{At: now, Kind: EvRetried, Stage: r.shown(), Step: r.Step(), Text: text + " from " + r.Step()}
}

// Repeat has a run that is ready do its stages again, from that of a step on. The errors are those of repeatable.
func (e *Engine) Repeat(ctx context.Context, id int64, from, by string) (Run, error) {
	return e.again(ctx, id, func(tx store.Tx, r *Run, now time.Time) ([]Event, error) {
		stage, err := e.repeatable(ctx, tx, r, from)
		if err != nil {
			return nil, err
		}
		return []Event{r.repeat(stage, "by "+by, now)}, nil
	})
}

// AskRepeat puts on record that somebody wants a Repeat which a second person has to approve. It is no error to ask
// twice for the same. The errors are those of Repeat, and a *StateError when something else about the run waits.
func (e *Engine) AskRepeat(ctx context.Context, r Run, from string, by Who, need NeedApproval) (Approval, error) {
	now := time.Now()
	a := Approval{Run: r.ID, What: ToRepeat, Why: need.Why, By: by.Name, Behind: by.Behind, Asked: now, Expires: now.Add(need.For)}
	err := e.write(ctx, func(tx store.Tx) error {
		held, err := lock(ctx, tx, r.ID)
		if err != nil {
			return err
		}
		stage, err := e.repeatable(ctx, tx, &held, from)
		if err == nil { // what holds the host now would hold it when somebody approves
			err = free(ctx, tx, &held)
		}
		if err != nil {
			return err
		}
		a.Step = held.Steps[stage]
		before, err := pendingIn(ctx, tx, r.ID)
		switch {
		case err == nil && before.What == ToRepeat && before.Step == a.Step:
			a = before
			return nil
		case err == nil:
			return &StateError{Run: held, Want: "retry", Why: fmt.Sprintf("something else about it waits for a second person: `approve %d` or `deny %d` first", r.ID, r.ID)}
		case !errors.Is(err, ErrNotFound):
			return err
		}
		if err := insertApproval(ctx, tx, a); err != nil {
			return err
		}
		return insertAll(ctx, tx, []Event{{Run: r.ID, At: now, Kind: EvProposed, Stage: stage, Step: a.Step, Diff: ToRepeat, Text: "retry from " + a.Step + " by " + by.Name + ": " + need.Why}})
	})
	return a, err
}
