package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// What is old is removed here, in small pieces, each a transaction by itself: whoever is killed in between begins
// again. What may not go is in spared; docs/design/retention.md says why.

// Ages says what may be removed: what ended before a time. The zero time removes nothing. Timings are not kept longer
// than runs.
type Ages struct {
	Runs, Events, Timings time.Time
	Heard                 int64 // events after this one have been told to nobody yet: their runs stay
}

// Removed counts rows.
type Removed struct{ Runs, Events, Timings int64 }

// GoneError: the run was there, and is older than what is kept. It is an ErrNotFound.
type GoneError struct {
	Run    int64
	Before time.Time // runs that ended before it were removed; the newest such time
}

// Error implements error.
func (e *GoneError) Error() string {
	return fmt.Sprintf("run %d is no longer on record: runs that ended before %s were removed", e.Run, plain.Time(e.Before))
}

// Unwrap gives ErrNotFound.
func (e *GoneError) Unwrap() error { return ErrNotFound }

// mayGo chooses runs, joined with their hosts, that ended before a time (the first argument), with none of their events
// after another (the second), and that nobody needs any more.
const mayGo = `runs.live = 0 AND runs.ended > 0 AND runs.ended < ?
	AND NOT EXISTS (SELECT 1 FROM events WHERE events.run = runs.id AND events.id > ?)
	AND runs.id <> hosts.run AND runs.id <> hosts.newest AND (runs.began = 0 OR runs.id < coalesce(
		(SELECT r.id FROM runs AS r WHERE r.fqdn = runs.fqdn AND r.id < hosts.run AND r.began > 0 AND r.ending IN ('ready', 'destroyed') ORDER BY r.id DESC LIMIT 1),
		(SELECT r.id FROM runs AS r WHERE r.fqdn = runs.fqdn AND r.id < hosts.run AND r.began > 0 AND r.ending <> 'undone' ORDER BY r.id DESC LIMIT 1), hosts.run))
	AND (runs.verb <> 'task' OR runs.variant = 'check')
	AND NOT EXISTS (SELECT 1 FROM machines WHERE machines.fqdn = runs.fqdn AND machines.run = runs.id)
	AND NOT EXISTS (SELECT 1 FROM approvals WHERE approvals.run = runs.id AND approvals.outcome = '')
	AND (runs.cluster = 0
		OR runs.cluster < (SELECT max(newer.id) FROM clusters AS its JOIN clusters AS newer ON newer.name = its.name WHERE its.id = runs.cluster)
		AND NOT EXISTS (SELECT 1 FROM runs AS r WHERE r.cluster = runs.cluster AND r.cluster > 0 AND r.live = 1))`

// pruneRuns is how many numbers of runs are looked through at once.
const pruneRuns = 500

// Prune removes what is older than the ages say. It may be called again after any failure, and with no ages: it
// finishes the run that a killed sweep was at.
func (e *Engine) Prune(ctx context.Context, a Ages) (Removed, error) {
	var gone Removed
	err := e.finishGoing(ctx, a, &gone)
	var newest int64
	if err == nil && !(a.Runs.IsZero() && a.Events.IsZero()) {
		err = e.db.QueryRow(ctx, "SELECT coalesce(max(id), 0) FROM runs").Scan(&newest)
	}
	for after := int64(0); err == nil && after < newest; after += pruneRuns {
		var old []int64
		old, err = store.Collect(ctx, e.db, func(row store.Row) (id int64, err error) { return id, row.Scan(&id) },
			"SELECT runs.id FROM runs JOIN hosts ON hosts.fqdn = runs.fqdn WHERE runs.id > ? AND runs.id <= ? AND (runs.ended < ? OR EXISTS (SELECT 1 FROM events WHERE events.run = runs.id)) AND "+mayGo+" ORDER BY runs.id",
			after, after+pruneRuns, ms(a.Runs), max(ms(a.Runs), ms(a.Events)), a.Heard)
		for err == nil && len(old) > 0 {
			old, err = e.prunePiece(ctx, a, old, &gone)
		}
	}
	if err == nil && gone.Runs > 0 {
		err = e.pruneClusters(ctx)
	}
	if err == nil && !a.Timings.IsZero() {
		gone.Timings, err = e.pruneTimings(ctx, a.Timings)
	}
	if err != nil {
		err = fmt.Errorf("remove old runs: %w", err)
	}
	return gone, err
}

// prunePiece removes what fits into one transaction, and gives the runs that are left.
func (e *Engine) prunePiece(ctx context.Context, a Ages, old []int64, gone *Removed) (left []int64, err error) {
	var did Removed
	err = e.db.Write(ctx, func(tx store.Tx) error { // not e.write: no follower has anything new to read
		did, left = Removed{}, old
		var last int64
		n, going, err := emptyGoing(ctx, tx)
		if did.Events = n; err != nil || going {
			return err
		}
		for room := store.Piece - n; len(left) > 0 && room > 0; {
			n, whole, removed, err := pruneRun(ctx, tx, a, left[0], room)
			if err != nil {
				return err
			}
			did.Events += n
			if room -= n + 1; !whole {
				break
			}
			if removed {
				did.Runs, last = did.Runs+1, left[0]
			}
			left = left[1:]
		}
		return noteGone(ctx, tx, last, a.Runs)
	})
	if err != nil {
		return nil, err
	}
	gone.Runs, gone.Events = gone.Runs+did.Runs, gone.Events+did.Events
	return left, store.Breathe(ctx)
}

// pruneRun removes the events of a run, and then the run itself, if it is that old. They go whole: a run that has no
// room in this transaction waits for the next, and one that has more events than a transaction takes is marked first
// (see factGoing). whole says that there is no more to do.
func pruneRun(ctx context.Context, tx store.Tx, a Ages, id, room int64) (events int64, whole, removed bool, err error) {
	var fqdn string
	var ended int64
	err = tx.QueryRow(ctx, "SELECT runs.fqdn, runs.ended FROM runs JOIN hosts ON hosts.fqdn = runs.fqdn WHERE runs.id = ? AND "+mayGo+tx.ForUpdate(),
		id, max(ms(a.Runs), ms(a.Events)), a.Heard).Scan(&fqdn, &ended)
	if errors.Is(err, store.ErrNoRows) { // it came to be needed, or another sweep was here
		return 0, true, false, nil
	} else if err != nil {
		return 0, false, false, err
	}
	var last int64
	if err := tx.QueryRow(ctx, "SELECT count(*), coalesce(max(id), 0) FROM events WHERE run = ?", id).Scan(&events, &last); err != nil {
		return 0, false, false, err
	}
	switch {
	case events > store.Piece:
		if room < store.Piece {
			return 0, false, false, nil
		}
		if err := setGoing(ctx, tx, id, last); err != nil {
			return 0, false, false, err
		}
		events, _, err = emptyGoing(ctx, tx)
		return events, false, false, err
	case events > room:
		return 0, false, false, nil
	case events > 0:
		if events, err = emptyRun(ctx, tx, id, fqdn, last); err != nil {
			return 0, false, false, err
		}
	}
	if ended >= ms(a.Runs) {
		return events, true, false, nil
	}
	for _, q := range []string{"DELETE FROM approvals WHERE run = ?", "DELETE FROM runs WHERE id = ?"} {
		if _, err := tx.Exec(ctx, q, id); err != nil {
			return 0, false, false, err
		}
	}
	return events, true, true, nil
}

// emptyRun removes the events of a run up to one, a transaction full of them at most.
func emptyRun(ctx context.Context, tx store.Tx, id int64, fqdn string, upTo int64) (int64, error) {
	evs, err := store.Collect(ctx, tx, scanEvent, "SELECT id, run, at, kind, stage, step, text, diff, took FROM events WHERE run = ? AND id <= ? ORDER BY id LIMIT ?", id, upTo, store.Piece)
	if err != nil || len(evs) == 0 {
		return 0, err
	}
	if err := foldGiven(ctx, tx, fqdn, evs); err != nil {
		return 0, err
	}
	return tx.Exec(ctx, "DELETE FROM events WHERE run = ? AND id <= ?", id, evs[len(evs)-1].ID)
}

// What is going: the events of one run, up to one, that take several transactions. From the first on, nobody is shown
// any of them, for half a log misleads; whoever sweeps next, after a kill too, and whatever keep says by then, takes
// the rest.
const (
	factGoing     = "events_going_run"
	factGoingUpTo = "events_going_up_to"
)

// notGoing is the condition of events that are shown.
var notGoing = fmt.Sprintf("NOT (run = %s AND id <= %s)", goingFact(factGoing), goingFact(factGoingUpTo))

// goingFact is SQL for a fact that is a number; 0 where it is not there.
func goingFact(name string) string {
	return "coalesce((SELECT CAST(value AS BIGINT) FROM jarvis_facts WHERE name = '" + name + "'), 0)"
}

// setGoing notes whose events are under removal, and up to which: what is cut off there goes on. 0: none are.
func setGoing(ctx context.Context, tx store.Tx, run, upTo int64) error {
	return errors.Join(store.SetFact(ctx, tx, factGoing, strconv.FormatInt(run, 10)), store.SetFact(ctx, tx, factGoingUpTo, strconv.FormatInt(upTo, 10)))
}

func readGoing(ctx context.Context, q store.Querier) (run, upTo int64, err error) {
	err = q.QueryRow(ctx, "SELECT "+goingFact(factGoing)+", "+goingFact(factGoingUpTo)).Scan(&run, &upTo)
	return run, upTo, err
}

// emptyGoing takes the next of the events that go; going says that there may be more.
func emptyGoing(ctx context.Context, tx store.Tx) (n int64, going bool, err error) {
	id, upTo, err := readGoing(ctx, tx)
	if err != nil || id == 0 {
		return 0, false, err
	}
	var fqdn string
	err = tx.QueryRow(ctx, "SELECT fqdn FROM runs WHERE id = ?", id).Scan(&fqdn)
	if err == nil {
		n, err = emptyRun(ctx, tx, id, fqdn, upTo)
	}
	if err != nil && !errors.Is(err, store.ErrNoRows) || n == store.Piece {
		return n, err == nil, err
	}
	return n, false, setGoing(ctx, tx, 0, 0)
}

// finishGoing takes all that a killed sweep left.
func (e *Engine) finishGoing(ctx context.Context, a Ages, gone *Removed) error {
	for {
		id, _, err := readGoing(ctx, e.db)
		if err != nil || id == 0 {
			return err
		}
		if _, err := e.prunePiece(ctx, a, nil, gone); err != nil {
			return err
		}
	}
}

// foldGiven moves what steps gave a host out of events that go: see given.
func foldGiven(ctx context.Context, tx store.Tx, fqdn string, evs []Event) error {
	for _, ev := range evs {
		if ev.Kind != EvDone && ev.Kind != EvKept {
			continue
		}
		_, task, _ := strings.Cut(ev.Step, ":")
		for _, p := range givenIn(ev.Diff) {
			if _, err := tx.Exec(ctx, "DELETE FROM given WHERE fqdn = ? AND task = ? AND name = ? AND value = ?", fqdn, task, p.key, p.value); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "INSERT INTO given (fqdn, task, name, value, event) VALUES (?, ?, ?, ?, ?)", fqdn, task, p.key, p.value, ev.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// factGone names the newest run that was removed, and the time before which runs are.
const factGone = "runs_removed"

// noteGone notes how far runs were removed, so that a *GoneError can tell a run that was from one that never was.
func noteGone(ctx context.Context, tx store.Tx, run int64, before time.Time) error {
	if run == 0 {
		return nil
	}
	last, _, err := readGone(ctx, tx)
	if err != nil {
		return err
	}
	return store.SetFact(ctx, tx, factGone, fmt.Sprintf("%d %d", max(run, last), ms(before)))
}

func readGone(ctx context.Context, q store.Querier) (run int64, before time.Time, err error) {
	var text string
	err = q.QueryRow(ctx, "SELECT value FROM jarvis_facts WHERE name = ?", factGone).Scan(&text)
	if errors.Is(err, store.ErrNoRows) {
		return 0, time.Time{}, nil
	}
	first, second, _ := strings.Cut(text, " ")
	if err == nil {
		run, err = strconv.ParseInt(first, 10, 64)
	}
	if err == nil {
		var when int64
		when, err = strconv.ParseInt(second, 10, 64)
		before = at(when)
	}
	return run, before, err
}

// missing says why a run is not there: a *GoneError, or ErrNotFound.
func (e *Engine) missing(ctx context.Context, id int64) error {
	last, before, err := readGone(ctx, e.db)
	switch {
	case err != nil:
		return err
	case id < 1 || id > last:
		return ErrNotFound
	}
	return &GoneError{id, before}
}

// pruneClusters removes clusters without runs, when a later one has their name.
func (e *Engine) pruneClusters(ctx context.Context) error {
	_, err := e.db.Pieces(ctx, func(tx store.Tx) (int64, error) {
		return tx.Exec(ctx, `DELETE FROM clusters WHERE id IN (SELECT its.id FROM clusters AS its WHERE EXISTS (SELECT 1 FROM clusters AS newer WHERE newer.name = its.name AND newer.id > its.id)
	AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.cluster = its.id AND runs.cluster > 0) ORDER BY its.id LIMIT ?)`, store.Piece)
	})
	return err
}

// pruneTimings removes those of runs that began before a time, but of the newest runs of each pipeline, of which Usual
// is made.
func (e *Engine) pruneTimings(ctx context.Context, before time.Time) (total int64, err error) {
	upTo, _, err := readGone(ctx, e.db) // runs that are gone are older
	if err != nil {
		return 0, err
	}
	var old int64
	if err := e.db.QueryRow(ctx, "SELECT coalesce(max(id), 0) FROM (SELECT id FROM runs WHERE started < ? ORDER BY id DESC LIMIT 1) AS r", ms(before)).Scan(&old); err != nil {
		return 0, err
	}
	upTo = max(upTo, old)
	for name := ""; ; {
		err := e.db.QueryRow(ctx, "SELECT pipeline FROM timings WHERE pipeline > ? ORDER BY pipeline LIMIT 1", name).Scan(&name)
		if errors.Is(err, store.ErrNoRows) {
			return total, nil
		} else if err != nil {
			return total, err
		}
		n, err := e.db.Pieces(ctx, func(tx store.Tx) (int64, error) {
			var end int64
			err := tx.QueryRow(ctx, "SELECT coalesce(max(run), 0) FROM (SELECT run FROM timings WHERE pipeline = ? AND run <= ? AND run < (SELECT min(run) FROM (SELECT DISTINCT run FROM timings WHERE pipeline = ? ORDER BY run DESC LIMIT ?) AS newest) ORDER BY run LIMIT ?) AS old",
				name, upTo, name, usualRuns, store.Piece).Scan(&end)
			if err != nil || end == 0 {
				return 0, err
			}
			return tx.Exec(ctx, "DELETE FROM timings WHERE pipeline = ? AND run <= ?", name, end)
		})
		if total += n; err != nil {
			return total, err
		}
	}
}
