package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// Restored makes of a record that comes from a backup one that may go on. The world is newer than it: whoever made the
// record may have gone on after the backup, and may have finished, repeated or taken back what is under way in it. So
// every run whose stage may have touched the world since asks a person, who can look. What waits for other than its own
// step goes on: a proposal, a barrier, another member. What was planned for a time since then does not begin.
//
// It is for the transaction in which nobody works yet, after the migrations and before Run. It gives the runs that ask.
func (e *Engine) Restored(ctx context.Context, tx store.Tx, taken time.Time) ([]Run, error) {
	// A cluster that was being undone is not undone further by itself: its members say how far they are.
	if _, err := tx.Exec(ctx, "UPDATE clusters SET undoing = 0 WHERE undoing = 1"); err != nil {
		return nil, err
	}
	planned := fmt.Sprintf("this record is from a backup of %s, and it may have begun since", plain.Time(taken))
	if err := e.lapse(ctx, tx, time.Now(), planned, func(*Run) bool { return true }); err != nil {
		return nil, err
	}
	return e.behind(ctx, tx, fmt.Sprintf("this record is from a backup of %s, and the run may have gone on since; look at the host first", plain.Time(taken)), (*Run).mayHaveGoneOn)
}

// LostCommits makes of a record that may lack its last moments one that may go on: a standby has become the primary,
// and nobody knows whether it had everything. A step that the record does not know to have begun may be over. One that
// looks for what is there, or may be done again, does no harm; so only runs ask that have a step before them of which
// nobody could know. What is taken back may be taken back again.
//
// It is for the transaction in which nobody works yet on this primary.
func (e *Engine) LostCommits(ctx context.Context, tx store.Tx) ([]Run, error) {
	if err := e.lapse(ctx, tx, time.Now(), "another PostgreSQL server has taken over, and it may have begun before that", e.asksAhead); err != nil {
		return nil, err
	}
	return e.behind(ctx, tx, "another PostgreSQL server has taken over, and may not have had the last that was on record: the run may be further than it says here; look at the host first", func(r *Run) bool {
		return r.mayHaveGoneOn() && !r.undoing && e.asksAhead(r)
	})
}

// asksAhead reports whether a step from the run's stage on is one that is not repeated unasked. One that nobody knows
// is.
func (e *Engine) asksAhead(r *Run) bool {
	for _, name := range r.Steps[min(r.Stage, len(r.Steps)):] {
		if s, err := e.reg.Lookup(name, r.Provider); err != nil || s.Resume == Ask {
			return true
		}
	}
	return false
}

// behind has those runs ask that are chosen.
func (e *Engine) behind(ctx context.Context, tx store.Tx, why string, chosen func(*Run) bool) ([]Run, error) {
	if _, err := e.recall(ctx, tx); err != nil { // Run finds the files once more, and removes them
		return nil, err
	}
	live, err := store.Collect(ctx, tx, func(row store.Row) (Run, error) { return scan(row) },
		"SELECT "+runColumns+" FROM runs WHERE live = 1 AND state IN ('running', 'waiting', 'undoing') ORDER BY id")
	if err != nil {
		return nil, err
	}
	var asks []Run
	for _, was := range live {
		if !chosen(&was) {
			continue
		}
		now, next := time.Now(), was
		next.epoch++
		state, how, kind := Asking, EndFailed, EvAsking
		if was.undoing {
			next.undoing, state, how, kind = false, Failed, EndUndonePart, EvUndoFailed
		}
		if next.mark == underWay {
			next.mark = betweenTries
		}
		next.rest(state, how, now)
		next.cancelBy = ""
		next.Error = why
		if err := save(ctx, tx, &was, &next, Event{At: now, Kind: kind, Stage: next.shown(), Step: next.Step(), Text: next.Error, Took: next.Took(now)}); err != nil {
			return nil, fmt.Errorf("have run %d ask: %w", was.ID, err)
		}
		asks = append(asks, next)
	}
	return asks, nil
}

// mayHaveGoneOn reports whether the run may have touched the world after the moment that the record shows, without
// anybody's word or another run's.
func (r *Run) mayHaveGoneOn() bool {
	if r.State != Waiting {
		return true
	}
	return r.Waits == ForHost || r.Waits == ForRetry || r.Waits == ForSilo
}
