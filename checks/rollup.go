package checks

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/store"
)

const (
	rollPeriod = 5 * time.Minute  // that of the finest sums: each is mostly written once
	rollAfter  = 10 * time.Second // after its end: results come late
	rollRange  = 100_000          // results in one go
	rollPiece  = 1000             // sums in one transaction
)

type rollKey struct {
	pair  int64
	label string
	step  int64
	at    int64
}

type rolled struct {
	n                int64
	low, high, total float64
	unit             string
}

// rollUp follows the results, and adds their performance data to sums by 5 minutes, hour and day.
func (l *ledger) rollUp(ctx context.Context) {
	l.inPieces(ctx, "sum up performance data", l.rollSome, func(now time.Time) time.Duration {
		return now.Truncate(rollPeriod).Add(rollPeriod + rollAfter).Sub(now)
	})
}

// inPieces does some until there is no more, now and again after a wait, until ctx ends.
func (l *ledger) inPieces(ctx context.Context, what string, some func(context.Context) (more bool, err error), wait func(now time.Time) time.Duration) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = some(ctx); err != nil && ctx.Err() == nil {
				l.log.Error(what, "err", err)
			}
		}
		t.Reset(wait(l.now()))
	}
}

// rollSome adds a range of results to the sums, each once: the sums are written pair by pair in small transactions, and
// with each goes how far it is. After a crash the same range is read again, and the pairs that have it are left out.
func (l *ledger) rollSome(ctx context.Context) (more bool, err error) {
	after, err := l.mark(ctx, markRollUp)
	if err != nil {
		return false, err
	}
	upTo, err := l.mark(ctx, markRollUpTo)
	if err != nil {
		return false, err
	}
	pair, err := l.mark(ctx, markRollUpPair)
	if err != nil {
		return false, err
	}
	if upTo <= after { // a new range
		pair = 0
		last, err := l.settledUpTo(ctx)
		if err != nil {
			return false, err
		}
		if err := l.db.QueryRow(ctx, "SELECT COALESCE(MAX(id), 0) FROM (SELECT id FROM check_results WHERE id > ? AND id <= ? ORDER BY id LIMIT ?) AS r", after, last, rollRange).Scan(&upTo); err != nil || upTo == 0 {
			return false, err
		}
		err = l.db.Write(ctx, func(tx store.Tx) error {
			if err := setMark(ctx, tx, markRollUpPair, 0); err != nil {
				return err
			}
			return setMark(ctx, tx, markRollUpTo, upTo)
		})
		if err != nil {
			return false, err
		}
	}
	sums, n, err := l.sum(ctx, after, upTo)
	if err != nil {
		return false, err
	}
	keys := slices.Collect(maps.Keys(sums))
	slices.SortFunc(keys, func(a, b rollKey) int { return cmp.Compare(a.pair, b.pair) })
	for len(keys) > 0 && keys[0].pair <= pair {
		keys = keys[1:]
	}
	for len(keys) > 0 {
		// A pair's sums stay together.
		k := min(rollPiece, len(keys))
		for k < len(keys) && keys[k].pair == keys[k-1].pair {
			k++
		}
		piece := keys[:k]
		keys = keys[k:]
		err := l.db.Write(ctx, func(tx store.Tx) error {
			for _, k := range piece {
				if err := sums[k].add(ctx, tx, k); err != nil {
					return err
				}
			}
			return setMark(ctx, tx, markRollUpPair, piece[len(piece)-1].pair)
		})
		if err != nil {
			return false, err
		}
	}
	return n == rollRange, l.db.Write(ctx, func(tx store.Tx) error { return setMark(ctx, tx, markRollUp, upTo) })
}

// sum adds up the performance data of a range of results.
func (l *ledger) sum(ctx context.Context, after, upTo int64) (sums map[rollKey]*rolled, n int, err error) {
	rows, err := l.db.Query(ctx, "SELECT pair, at, perf FROM check_results WHERE id > ? AND id <= ? ORDER BY id", after, upTo)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = rows.Close() }()
	sums = map[rollKey]*rolled{}
	for rows.Next() {
		var pair, at int64
		var perf string
		if err := rows.Scan(&pair, &at, &perf); err != nil {
			return nil, 0, err
		}
		n++
		list, _ := model.ParsePerf(perf)
		for _, x := range list {
			if math.IsNaN(x.Value) {
				continue
			}
			for _, step := range rollSteps {
				k := rollKey{pair, clip(x.Label, 200), int64(step / time.Second), at - at%step.Milliseconds()}
				s := sums[k]
				if s == nil {
					s = &rolled{low: x.Value, high: x.Value, unit: x.Unit}
					sums[k] = s
				}
				s.n++
				s.total += x.Value
				s.low, s.high = min(s.low, x.Value), max(s.high, x.Value)
			}
		}
	}
	return sums, n, rows.Err()
}

// add puts more values into an interval; the same ones twice would count twice.
func (s *rolled) add(ctx context.Context, tx store.Tx, k rollKey) error {
	_, err := tx.Exec(ctx, `INSERT INTO check_metrics (pair, label, step, at, n, low, high, total, unit) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (pair, label, step, at) DO UPDATE SET n = check_metrics.n + excluded.n, total = check_metrics.total + excluded.total, unit = excluded.unit,
		low = CASE WHEN excluded.low < check_metrics.low THEN excluded.low ELSE check_metrics.low END,
		high = CASE WHEN excluded.high > check_metrics.high THEN excluded.high ELSE check_metrics.high END`,
		k.pair, k.label, k.step, k.at, s.n, s.low, s.high, s.total, s.unit)
	return err
}
