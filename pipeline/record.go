package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// The record of runs is written here and nowhere else: insert makes a row, save is the only one that changes it. Each
// transaction that changes a run carries the events that say so.
//
// Two things fence a row. Its epoch says who may write it: a person's word and a take-up raise it, and whoever holds
// the run under an older one writes nothing more. And a cancel that arrived since the run was read makes save fail with
// errCancelAsked, so that no outcome is committed past it.

// errStale: the run has moved on under another epoch; whoever finds this has nothing to say any more.
var errStale = errors.New("the run has moved on")

// errCancelAsked: somebody said cancel since the run was read.
var errCancelAsked = errors.New("somebody said cancel meanwhile")

const runColumns = "id, host, fqdn, verb, provider, variant, pipeline, steps, stage, state, ending, mark, attempts, epoch, undo_at, undoing, clipboard, err, reason, why, by_whom, behind, origin, cancel_by, tries, started, began, stage_at, wake, ended, cluster, checked, released, begin_at, needs"

// scan reads runColumns, in their order.
func scan(row interface{ Scan(...any) error }) (Run, error) {
	var r Run
	var steps, behind string
	var undoing int
	var started, began, stageAt, wake, ended, beginAt int64
	err := row.Scan(&r.ID, &r.Host, &r.FQDN, &r.Verb, &r.Provider, &r.Variant, &r.Pipeline, &steps, &r.Stage, &r.State, &r.Ending, &r.mark, &r.attempts, &r.epoch, &r.undoAt, &undoing,
		&r.clipboard, &r.Error, &r.Waits, &r.Why, &r.By, &behind, &r.Origin, &r.cancelBy, &r.tries, &started, &began, &stageAt, &wake, &ended, &r.Cluster, &r.checked, &r.released, &beginAt, &r.Needs)
	if err != nil {
		return r, err
	}
	r.undoing = undoing == 1
	r.Started, r.Began, r.StageAt, r.Wake, r.Ended, r.At = at(started), at(began), at(stageAt), at(wake), at(ended), at(beginAt)
	if behind != "" {
		err = json.Unmarshal([]byte(behind), &r.Behind)
	}
	return r, errors.Join(err, json.Unmarshal([]byte(steps), &r.Steps))
}

// Times are Unix milliseconds in the record; 0 is no time.
func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// ms keeps the zero time as 0, which at reads as the zero time.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// list encodes what a column holds several of.
func list(v []string) (string, error) {
	if v == nil {
		return "", nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

// lock reads a run that the transaction is going to change: on PostgreSQL nobody else changes it until then, on SQLite
// there is one writer anyway. ErrNotFound when there is none.
func lock(ctx context.Context, tx store.Tx, id int64) (Run, error) {
	r, err := scan(tx.QueryRow(ctx, "SELECT "+runColumns+" FROM runs WHERE id = ?"+tx.ForUpdate(), id))
	if errors.Is(err, store.ErrNoRows) {
		return r, ErrNotFound
	}
	return r, err
}

// holder gives the run that holds a host; ErrNotFound when none does.
func holder(ctx context.Context, q store.Querier, fqdn string) (Run, error) {
	r, err := scan(q.QueryRow(ctx, "SELECT "+runColumns+" FROM runs WHERE fqdn = ? AND live = 1", fqdn))
	if errors.Is(err, store.ErrNoRows) {
		return r, ErrNotFound
	}
	return r, err
}

// free makes sure that no run holds the host of r, but r itself: a *BusyError when one does.
func free(ctx context.Context, tx store.Tx, r *Run) error {
	busy, err := holder(ctx, tx, r.FQDN)
	switch {
	case errors.Is(err, ErrNotFound), err == nil && busy.ID == r.ID:
		return nil
	case err != nil:
		return err
	}
	return &BusyError{busy}
}

// insert puts a new run on record, with its number in r, and its events.
func insert(ctx context.Context, tx store.Tx, r *Run, key, hash string, events ...Event) error {
	steps, err := list(r.Steps)
	if err != nil {
		return err
	}
	behind, err := list(r.Behind)
	if err != nil {
		return err
	}
	err = tx.QueryRow(ctx, `INSERT INTO runs (host, fqdn, verb, provider, variant, pipeline, steps, stage, state, live, ending, mark, attempts, epoch, undo_at, undoing, clipboard, err, reason, why, by_whom, behind, origin, cancel_by, tries, started, began, stage_at, wake, ended, cluster, request_key, request_hash, begin_at, needs)
		VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, 1, '', 0, 0, ?, -1, 0, ?, '', ?, ?, ?, ?, ?, '', 0, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?) RETURNING id`,
		r.Host, r.FQDN, r.Verb, r.Provider, r.Variant, r.Pipeline, steps, r.State, r.epoch, r.clipboard, r.Waits, r.Why, r.By, behind, r.Origin, ms(r.Started), ms(r.Began), ms(r.StageAt), ms(r.Wake), r.Cluster, key, hash, ms(r.At), r.Needs).Scan(&r.ID)
	if err != nil {
		return err
	}
	if err := stand(ctx, tx, r); err != nil {
		return err
	}
	return insertEvents(ctx, tx, r, events)
}

// columns are those of a row that change, in the order of values.
var columns = []string{"stage", "state", "live", "ending", "mark", "attempts", "epoch", "undo_at", "undoing", "clipboard", "err", "reason", "why", "cancel_by", "tries", "began", "stage_at", "wake", "ended", "checked", "released"}

// values are what changes of a run, in the order of the statement that writes it.
func (r *Run) values() []any {
	return []any{r.Stage, r.State, flag(r.State.Live()), r.Ending, r.mark, r.attempts, r.epoch, r.undoAt, flag(r.undoing), r.clipboard, plain.Line(r.Error), r.Waits, plain.Line(r.Why), r.cancelBy, r.tries, ms(r.Began), ms(r.StageAt), ms(r.Wake), ms(r.Ended), r.checked, r.released}
}

// save writes what became of a run, and the events that say so. was is the run as it was read; next as it is now. The
// error of Engine.write is errStale or errCancelAsked when somebody wrote it since; then nothing of the transaction
// happens.
//
// It names only the columns that change: SQLite writes an index again for each column of it that is named.
func save(ctx context.Context, tx store.Tx, was, next *Run, events ...Event) error {
	q := "UPDATE runs SET epoch = ?"
	args := []any{next.epoch}
	before := was.values()
	for i, v := range next.values() {
		if v != before[i] && columns[i] != "epoch" {
			q += ", " + columns[i] + " = ?"
			args = append(args, v)
		}
	}
	if err := tx.Later(ctx, &movedError{was}, q+" WHERE id = ? AND epoch = ? AND cancel_by = ?", append(args, was.ID, was.epoch, was.cancelBy)...); err != nil {
		return err
	}
	if was.HasBegun() != next.HasBegun() {
		if err := stand(ctx, tx, next); err != nil {
			return err
		}
	}
	return insertEvents(ctx, tx, next, events)
}

// movedError: somebody wrote the run since it was read. Engine.write turns it into errStale or errCancelAsked.
type movedError struct{ was *Run }

func (e *movedError) Error() string { return fmt.Sprintf("run %d was written meanwhile", e.was.ID) }

// moved says why a run could not be saved.
func moved(ctx context.Context, q store.Querier, was *Run) error {
	var epoch int64
	err := q.QueryRow(ctx, "SELECT epoch FROM runs WHERE id = ?", was.ID).Scan(&epoch)
	if err == nil && epoch == was.epoch {
		return errCancelAsked
	} else if err != nil && !errors.Is(err, store.ErrNoRows) {
		return err
	}
	return errStale
}

// change commits what f makes of a run that the caller holds, and then makes r what is on record. f gets a copy, and
// may be called more than once.
func (e *Engine) change(ctx context.Context, r *Run, f func(tx store.Tx, next *Run) ([]Event, error)) error {
	var next Run
	err := e.write(ctx, func(tx store.Tx) error {
		next = *r
		events, err := f(tx, &next)
		if err != nil {
			return err
		}
		return save(ctx, tx, r, &next, events...)
	})
	if err == nil {
		*r = next
	}
	return err
}

// rest puts a run to rest in a state.
func (r *Run) rest(s State, how Ending, now time.Time) {
	r.State, r.Ending, r.Waits, r.Why, r.Wake = s, how, "", "", time.Time{}
	if !s.Live() {
		r.Ended = now
	}
}

// insertEvents writes rows of the record about a run, in one statement. What an event leaves out is that of the run.
func insertEvents(ctx context.Context, tx store.Tx, r *Run, events []Event) error {
	for i := range events {
		ev := &events[i]
		if ev.Run == 0 {
			ev.Run = r.ID
		}
	}
	return insertAll(ctx, tx, events)
}

// clean makes what an event says fit for the record, for terminals and for chat, whoever said it.
func (ev *Event) clean() {
	ev.Step, ev.Text, ev.Diff = plain.Line(ev.Step), plain.Line(ev.Text), plain.Text(ev.Diff)
}

// maxRows bounds one statement: each row has eight arguments.
const maxRows = 50

// insertAll writes by Later: events cost no journey to the database of their own, and an error of theirs may come with
// a later statement.
func insertAll(ctx context.Context, tx store.Tx, events []Event) error {
	for len(events) > 0 {
		n := min(len(events), maxRows)
		if n > 2 && n < maxRows {
			n = 1 // few shapes of statements are prepared: one row, two, and many
		}
		q := "INSERT INTO events (run, at, kind, stage, step, text, diff, took) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
		args := make([]any, 0, 8*n)
		for i, ev := range events[:n] {
			if i > 0 {
				q += ", (?, ?, ?, ?, ?, ?, ?, ?)"
			}
			if ev.At.IsZero() {
				ev.At = time.Now()
			}
			ev.clean()
			args = append(args, ev.Run, ev.At.UnixMilli(), ev.Kind, ev.Stage, ev.Step, ev.Text, ev.Diff, ev.Took.Milliseconds())
		}
		if err := tx.Later(ctx, nil, q, args...); err != nil {
			return fmt.Errorf("write events: %w", err)
		}
		events = events[n:]
	}
	return nil
}
