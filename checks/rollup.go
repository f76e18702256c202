package checks

import (
	"context"
	"math"
	"time"

	"github.com/jarvisops/jarvis/store"
)

const (
	rollPeriod = time.Minute
	rollChunk  = 5000 // results in one go
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

// rollUp follows the results, and adds their performance data to sums by 5 minutes, hour and day: each once, because the sums
// and how far they are go into one transaction.
func (m *Monitor) rollUp(ctx context.Context) {
	t := time.NewTicker(rollPeriod)
	defer t.Stop()
	for {
		for more := true; more && ctx.Err() == nil; {
			n, err := m.rollSome(ctx)
			if err != nil && ctx.Err() == nil {
				m.Log.Error("sum up performance data", "err", err)
			}
			more = err == nil && n == rollChunk
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (m *Monitor) rollSome(ctx context.Context) (n int, err error) {
	after, err := m.mark(ctx, markRollUp)
	if err != nil {
		return 0, err
	}
	rows, err := m.DB.Query(ctx, "SELECT id, pair, at, perf FROM check_results WHERE id > ? ORDER BY id LIMIT ?", after, rollChunk)
	if err != nil {
		return 0, err
	}
	sums := map[rollKey]*rolled{}
	err = func() error {
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var pair, at int64
			var perf string
			if err := rows.Scan(&after, &pair, &at, &perf); err != nil {
				return err
			}
			n++
			if perf == "" {
				continue
			}
			list, _ := ParsePerf(perf)
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
		return rows.Err()
	}()
	if err != nil || n == 0 {
		return n, err
	}
	return n, m.DB.Write(ctx, func(tx store.Tx) error {
		for k, s := range sums {
			if _, err := tx.Exec(ctx, `INSERT INTO check_metrics (pair, label, step, at, n, low, high, total, unit) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT (pair, label, step, at) DO UPDATE SET n = check_metrics.n + excluded.n, total = check_metrics.total + excluded.total, unit = excluded.unit,
				low = CASE WHEN excluded.low < check_metrics.low THEN excluded.low ELSE check_metrics.low END,
				high = CASE WHEN excluded.high > check_metrics.high THEN excluded.high ELSE check_metrics.high END`,
				k.pair, k.label, k.step, k.at, s.n, s.low, s.high, s.total, s.unit); err != nil {
				return err
			}
		}
		return setMark(ctx, tx, markRollUp, after)
	})
}
