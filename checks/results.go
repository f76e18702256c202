package checks

import (
	"context"
	"errors"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/store"
)

// firstResult gives the id of the first result that began at a time or later, or the one after the last: there is no
// index by time, and results stand nearly in the order of theirs.
func (l *ledger) firstResult(ctx context.Context, t time.Time) (int64, error) {
	var low, high int64
	if err := l.db.QueryRow(ctx, "SELECT COALESCE(MIN(id), 0), COALESCE(MAX(id), 0) + 1 FROM check_results").Scan(&low, &high); err != nil {
		return 0, err
	}
	for low < high {
		mid := low + (high-low)/2
		var id, at int64
		err := l.db.QueryRow(ctx, "SELECT id, at FROM check_results WHERE id >= ? ORDER BY id LIMIT 1", mid).Scan(&id, &at)
		switch {
		case errors.Is(err, store.ErrNoRows): // what was there has gone meanwhile
			high = mid
		case err != nil:
			return 0, err
		case at < t.UnixMilli():
			low = id + 1
		default:
			high = mid
		}
	}
	return low, nil
}

// readIDs gives those of results, the newest first.
func (l *ledger) readIDs(ctx context.Context, where string, args []any, limit int) ([]int64, error) {
	rows, err := l.db.Query(ctx, "SELECT id FROM check_results WHERE "+where+" ORDER BY id DESC LIMIT ?", append(args, limit)...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, rows.Err()
}

// readResults reads results, the newest first; key says of which check each is.
func (l *ledger) readResults(ctx context.Context, key func(pair int64) model.Key, where string, args []any, limit int) ([]Result, error) {
	rows, err := l.db.Query(ctx, "SELECT id, pair, at, due, took, status, soft, quiet, exit, sig, line, long, perf FROM check_results WHERE "+where+" ORDER BY id DESC LIMIT ?", append(args, limit)...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	out := []Result{}
	for rows.Next() {
		var r Result
		var pair, at, due, took int64
		var status, soft, quiet int
		if err := rows.Scan(&r.ID, &pair, &at, &due, &took, &status, &soft, &quiet, &r.Exit, &r.Signal, &r.Line, &r.Long, &r.Perfdata); err != nil {
			return nil, err
		}
		r.At, r.Due, r.Took = time.UnixMilli(at), time.UnixMilli(due), time.Duration(took)*time.Microsecond
		r.Status, r.Soft, r.Quiet = model.Status(status), soft == 1, quiet == 1
		r.Word, r.Perf = r.Status.String(), model.Values(r.Perfdata)
		r.Key = key(pair)
		out = append(out, r)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}

// metrics gives the sums of a pair from a time on, by the step.
func (l *ledger) metrics(ctx context.Context, pair int64, step time.Duration, from time.Time) ([]Series, error) {
	rows, err := l.db.Query(ctx, "SELECT label, at, n, low, high, total, unit FROM check_metrics WHERE pair = ? AND step = ? AND at >= ? ORDER BY label, at", pair, int64(step/time.Second), from.UnixMilli())
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	out := []Series{}
	for rows.Next() {
		var label, unit string
		var at int64
		var pt Point
		var total float64
		if err := rows.Scan(&label, &at, &pt.N, &pt.Min, &pt.Max, &total, &unit); err != nil {
			return nil, err
		}
		pt.At, pt.Mean = time.UnixMilli(at), total/float64(pt.N)
		if len(out) == 0 || out[len(out)-1].Label != label {
			out = append(out, Series{Label: label})
		}
		s := &out[len(out)-1]
		s.Unit, s.Points = unit, append(s.Points, pt)
	}
	return out, rows.Err()
}
