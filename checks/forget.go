package checks

import (
	"context"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/store"
)

const (
	forgetPeriod = time.Minute
	forgetPiece  = store.Piece
)

// forget takes away what need not be kept, in small pieces: nobody waits for it longer than for one.
func (m *Monitor) forget(ctx context.Context) {
	t := time.NewTicker(forgetPeriod)
	defer t.Stop()
	next := 0 // of the pairs whose results are counted
	for {
		if err := m.forgetAll(ctx, &next); err != nil && ctx.Err() == nil {
			m.Log.Error("take away what is old", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// forgetAll deletes what is older than checks.keep says, piece by piece. No result goes before it is summed up and
// counted for reports.
func (m *Monitor) forgetAll(ctx context.Context, next *int) error {
	now := m.now()
	ago := func(d time.Duration) int64 { return now.Add(-d).UnixMilli() }
	ahead := now.Add(day).UnixMilli() // by a clock that was wrong
	rolled, err := m.ledger.mark(ctx, markRollUp)
	if err != nil {
		return err
	}
	followed, err := m.ledger.mark(ctx, markSpans)
	if err != nil {
		return err
	}
	rolled = min(rolled, followed)
	keep := m.conf().Keep
	// Results stand in the order of their time, so the old ones are at the head: no more than a piece of it is read.
	err = m.ledger.pieces(ctx, "DELETE FROM check_results WHERE id IN (SELECT id FROM check_results WHERE id <= ? ORDER BY id LIMIT ?) AND (at < ? OR at > ?)", rolled, forgetPiece, ago(keep.Results), ahead)
	if err != nil {
		return err
	}
	for i, d := range []time.Duration{keep.Minutes, keep.Hours, keep.Days} {
		if err := m.ledger.pieces(ctx, "DELETE FROM check_metrics WHERE (pair, label, step, at) IN (SELECT pair, label, step, at FROM check_metrics WHERE step = ? AND at < ? ORDER BY at LIMIT ?)",
			int64(rollSteps[i]/time.Second), ago(d), forgetPiece); err != nil {
			return err
		}
	}
	if err := m.ledger.pieces(ctx, "DELETE FROM check_outbox WHERE id IN (SELECT id FROM check_outbox ORDER BY id LIMIT ?) AND done > 0 AND at < ?", forgetPiece, ago(keep.Results)); err != nil {
		return err
	}
	if err := m.ledger.pieces(ctx, "DELETE FROM check_notices WHERE id IN (SELECT id FROM check_notices ORDER BY id LIMIT ?) AND at < ?", forgetPiece, ago(keep.Results)); err != nil {
		return err
	}
	if err := m.ledger.pieces(ctx, "DELETE FROM check_threads WHERE (contact, host, task) IN (SELECT contact, host, task FROM check_threads WHERE at < ? LIMIT ?)", ago(keep.Days), forgetPiece); err != nil {
		return err
	}
	if err := m.ledger.pieces(ctx, "DELETE FROM check_downtimes WHERE id IN (SELECT id FROM check_downtimes WHERE ends < ? ORDER BY id LIMIT ?)", ago(keep.States), forgetPiece); err != nil {
		return err
	}
	if err := m.ledger.pieces(ctx, "DELETE FROM check_spans WHERE (pair, since) IN (SELECT pair, since FROM check_spans WHERE until < ? LIMIT ?)", ago(keep.States), forgetPiece); err != nil {
		return err
	}
	if err := m.ledger.pieces(ctx, "DELETE FROM check_given WHERE id IN (SELECT id FROM check_given WHERE at < ? ORDER BY at LIMIT ?)", ago(keepGiven), forgetPiece); err != nil {
		return err
	}
	if err := m.forgetPairs(ctx); err != nil {
		return err
	}
	return m.forgetCount(ctx, rolled, next)
}

// forgetPairs takes away checks that are no longer declared, and have nothing on record any more.
func (m *Monitor) forgetPairs(ctx context.Context) error {
	m.commit.Lock() // nobody declares them meanwhile
	defer m.commit.Unlock()
	const round = 100
	var list []*pair
	m.mu.Lock()
	for p := range m.roster.each() {
		if h := m.roster.host(p.Host); !p.live && !p.busy && len(list) < round && (p.Task != model.HostAnswers || h == nil || h.idle()) {
			list = append(list, p)
		}
	}
	m.mu.Unlock()
	for _, p := range list {
		var n int
		if err := m.DB.QueryRow(ctx, "SELECT (SELECT count(*) FROM (SELECT 1 FROM check_results WHERE pair = ? LIMIT 1) AS r) + (SELECT count(*) FROM (SELECT 1 FROM check_metrics WHERE pair = ? LIMIT 1) AS s)", p.id, p.id).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		if err := m.DB.Write(ctx, func(tx store.Tx) error {
			_, err := tx.Exec(ctx, "DELETE FROM check_spans WHERE pair = ?", p.id)
			if err == nil {
				_, err = tx.Exec(ctx, "DELETE FROM check_pairs WHERE id = ?", p.id)
			}
			return err
		}); err != nil {
			return err
		}
		m.mu.Lock()
		m.drop(p)
		m.mu.Unlock()
	}
	return nil
}

// forgetCount takes away what a check has beyond keep.count; each round looks at a part of the checks, and at all in an
// hour.
func (m *Monitor) forgetCount(ctx context.Context, rolled int64, next *int) error {
	if m.conf().Keep.Count <= 0 {
		return nil
	}
	m.mu.Lock()
	ids := m.roster.allIDs()
	m.mu.Unlock()
	slices.Sort(ids) // each round goes on where the last one ended
	for range min(len(ids)/60+1, len(ids)) {
		id := ids[*next%len(ids)]
		*next++
		if err := m.ledger.pieces(ctx, "DELETE FROM check_results WHERE id IN (SELECT id FROM check_results WHERE pair = ? AND id <= ? AND id <= (SELECT id FROM check_results WHERE pair = ? ORDER BY id DESC LIMIT 1 OFFSET ?) ORDER BY id LIMIT ?)",
			id, rolled, id, m.conf().Keep.Count, forgetPiece); err != nil {
			return err
		}
	}
	return nil
}
