package checks

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/store"
)

const (
	spanPeriod = rollPeriod
	spanRange  = 50_000 // results in one go
	spanPiece  = 1000   // spans in one transaction
)

// followSpans follows the results, and notes from when to when each check was what: what reports are made of.
func (m *Monitor) followSpans(ctx context.Context) {
	f := m.spans()
	m.ledger.inPieces(ctx, "note how checks were", f.some, func(time.Time) time.Duration { return spanPeriod })
}

// spans begins to follow them.
func (m *Monitor) spans() *spanFollower { return &spanFollower{ledger: &m.ledger, holds: m.holds} }

// spanFollower adds results to spans. What it was killed over is read again, and says nothing new then (model.AddSeen).
type spanFollower struct {
	ledger *ledger
	holds  func(pair int64) func(time.Time) time.Time // until when a result of a pair says how it is
	last   map[int64]model.Span                       // the last of each pair, as it is on record; nil: not read
}

// some takes a range of results in.
func (f *spanFollower) some(ctx context.Context) (more bool, err error) {
	defer func() {
		if err != nil {
			f.last = nil // what was written, nobody knows
		}
	}()
	after, err := f.ledger.mark(ctx, markSpans)
	if err != nil {
		return false, err
	}
	settled, err := f.ledger.settledUpTo(ctx)
	if err != nil || settled <= after {
		return false, err
	}
	if f.last == nil {
		if f.last, err = f.ledger.lastSpans(ctx); err != nil {
			return false, err
		}
	}
	list, upTo, err := f.ledger.readSeen(ctx, after, settled, spanRange)
	if err != nil || len(list) == 0 {
		return false, err
	}
	changed := map[int64][]model.Span{}
	for pair, results := range list {
		spans := []model.Span{}
		if was, ok := f.last[pair]; ok {
			spans = append(spans, was)
		}
		holds, from := f.holds(pair), len(spans)
		for _, r := range results {
			var n int
			spans, n = model.AddSeen(spans, r, holds)
			from = min(from, n)
		}
		changed[pair] = spans[from:]
	}
	if err := f.write(ctx, changed, upTo); err != nil {
		return false, err
	}
	for pair, spans := range changed {
		if n := len(spans); n > 0 {
			f.last[pair] = spans[n-1]
		}
	}
	return upTo < settled, nil
}

type spanRow struct {
	pair int64
	model.Span
}

// write notes spans in small transactions, and with the last how far it is.
func (f *spanFollower) write(ctx context.Context, changed map[int64][]model.Span, upTo int64) error {
	var rows []spanRow
	for pair, spans := range changed {
		for _, s := range spans {
			rows = append(rows, spanRow{pair, s})
		}
	}
	slices.SortFunc(rows, func(a, b spanRow) int { return int(a.pair - b.pair) }) // a server that takes over waits for locks in one order
	for part := range slices.Chunk(rows, spanPiece) {
		if err := f.ledger.db.Write(ctx, func(tx store.Tx) error {
			for _, r := range part {
				if _, err := tx.Exec(ctx, "INSERT INTO check_spans (pair, since, until, status) VALUES (?, ?, ?, ?) ON CONFLICT (pair, since) DO UPDATE SET until = excluded.until, status = excluded.status",
					r.pair, r.From.UnixMilli(), r.To.UnixMilli(), int(r.Status)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return f.ledger.db.Write(ctx, func(tx store.Tx) error { return setMark(ctx, tx, markSpans, upTo) })
}

// holds says of a pair until when a result says how it is.
func (m *Monitor) holds(pair int64) func(time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ever := m.roster.byID(pair), m.now().Add(day)
	if p == nil || !p.live {
		return func(at time.Time) time.Time { return at.Add(model.SpanGrace) }
	}
	schedule, key := p.Schedule, p.String()
	return func(at time.Time) time.Time { return schedule.Holds(at, key, ever) }
}

// lastSpans gives the last span of each pair.
func (l *ledger) lastSpans(ctx context.Context) (map[int64]model.Span, error) {
	list, err := l.readSpans(ctx, "WHERE (pair, since) IN (SELECT pair, MAX(since) FROM check_spans GROUP BY pair)")
	out := map[int64]model.Span{}
	for _, r := range list {
		out[r.pair] = r.Span
	}
	return out, err
}

func (l *ledger) readSpans(ctx context.Context, where string, args ...any) ([]spanRow, error) {
	return store.Collect(ctx, l.db, func(row store.Row) (r spanRow, err error) {
		var since, until int64
		var status int
		err = row.Scan(&r.pair, &since, &until, &status)
		r.From, r.To, r.Status = time.UnixMilli(since), time.UnixMilli(until), model.Status(status)
		return r, err
	}, "SELECT pair, since, until, status FROM check_spans "+where+" ORDER BY pair, since", args...)
}

// errBehind: too many results are not in the spans yet.
var errBehind = errors.New("the results are still being summed up; ask again in some minutes")

// readSeen gives what results say, by pair and in their order, and the last of them; those of one go are limit at most.
func (l *ledger) readSeen(ctx context.Context, after, upTo int64, limit int) (out map[int64][]model.Seen, last int64, err error) {
	rows, err := l.db.Query(ctx, "SELECT id, pair, at, status, soft FROM check_results WHERE id > ? AND id <= ? ORDER BY id LIMIT ?", after, upTo, limit)
	if err != nil {
		return nil, 0, err
	}
	out, last = map[int64][]model.Seen{}, after
	for rows.Next() {
		var pair, at int64
		var status, soft int
		if err := rows.Scan(&last, &pair, &at, &status, &soft); err != nil {
			return nil, 0, errors.Join(err, rows.Close())
		}
		out[pair] = append(out[pair], model.Seen{At: time.UnixMilli(at), Status: model.Status(status), Soft: soft == 1})
	}
	return out, last, errors.Join(rows.Err(), rows.Close())
}
