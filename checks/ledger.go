package checks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/store"
)

// ledger is what was found, on record: how each pair stands, its results, and what is summed up of them. It owns the
// tables check_pairs, check_results, check_metrics, check_spans and check_marks, when it was noted last that this
// server works, and what others wrote that was not read. It needs the record and a clock. Monitor.commit lets in one at
// a time who writes states, or reads what changed.
type ledger struct {
	tools
	shared bool // with other nodes

	noted    time.Time // when it was written last that this server works
	readFrom int64     // transactions from this one on may have written states that are not read
}

// The marks of table check_marks.
const (
	markAlive  = "alive"   // when this server was last known to work
	markRollUp = "roll-up" // the last result that the roll-ups have
	// The range that is being added ends with this result, and the pairs up to this one have it.
	markRollUpTo   = "roll-up to"
	markRollUpPair = "roll-up pair"
	markSpans      = "spans" // the last result that check_spans has
	// They count changes, so that nodes find them.
	markDefs      = "defs"
	markDowntimes = "downtimes"
	markRecord    = "record" // a random number, which tells this record from others
)

// mark is 0 where none was set.
func (l *ledger) mark(ctx context.Context, name string) (v int64, err error) {
	err = l.db.QueryRow(ctx, "SELECT value FROM check_marks WHERE name = ?", name).Scan(&v)
	if errors.Is(err, store.ErrNoRows) {
		return 0, nil
	}
	return v, err
}

func setMark(ctx context.Context, tx store.Tx, name string, v int64) error {
	_, err := tx.Exec(ctx, "INSERT INTO check_marks (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, v)
	return err
}

// staleError: what was to be written was judged on states that are no longer those on record.
type staleError struct{ ids []int64 }

func (e *staleError) Error() string {
	return fmt.Sprintf("%d checks were changed on record meanwhile", len(e.ids))
}

// isStale gives the pairs that a transaction could not write.
func isStale(err error) ([]int64, bool) {
	var s *staleError
	if errors.As(err, &s) {
		return s.ids, true
	}
	return nil, false
}

// state is a row of check_pairs.
type state struct {
	model.Key
	id, rev int64
	stand   Standing
}

// states gives how some pairs stand.
func (l *ledger) states(ctx context.Context, where string, args ...any) ([]state, error) {
	return store.Collect(ctx, l.db, func(row store.Row) (s state, err error) {
		var text string
		if err := row.Scan(&s.id, &s.Task, &s.Host, &text, &s.rev); err != nil || text == "" {
			return s, err
		}
		if err := json.Unmarshal([]byte(text), &s.stand); err != nil {
			return s, fmt.Errorf("the state of %s on record: %w", s.Key, err)
		}
		return s, nil
	}, "SELECT id, task, host, state, rev FROM check_pairs "+where, args...)
}

// statesOf gives how those pairs stand that are still there.
func (l *ledger) statesOf(ctx context.Context, ids []int64) ([]state, error) {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	return l.states(ctx, "WHERE id IN (?"+strings.Repeat(", ?", len(ids)-1)+")", args...)
}

// changes gives the states that other nodes wrote since it was called last. What a transaction wrote that is not over
// now has a higher number than the oldest of those, and is read next time.
func (l *ledger) changes(ctx context.Context) ([]state, error) {
	var from int64
	if err := l.db.QueryRow(ctx, "SELECT txid_snapshot_xmin(txid_current_snapshot())").Scan(&from); err != nil {
		return nil, err
	}
	list, err := l.states(ctx, "WHERE tx >= ?", l.readFrom)
	if err == nil {
		l.readFrom = from
	}
	return list, err
}

// sqlState writes a state. Its revision is a fence: whoever judged on another one finds no row.
func (l *ledger) sqlState() string {
	return "UPDATE check_pairs SET state = ?, rev = rev + 1, tx = " + l.sqlTx() + " WHERE id = ? AND rev = ?"
}

// sqlTx is the number of a transaction, by which other nodes find what it wrote.
func (l *ledger) sqlTx() string {
	if !l.shared {
		return "0"
	}
	return "txid_current()"
}

// pieces runs a statement until it finds less than a piece.
func (l *ledger) pieces(ctx context.Context, q string, args ...any) error {
	_, err := l.db.Pieces(ctx, func(tx store.Tx) (int64, error) { return tx.Exec(ctx, q, args...) })
	return err
}
