package checks

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/jarvisops/jarvis/store"
)

// write writes a batch in one transaction, and now and then that this server works; also is written in the same one.
func (l *ledger) write(ctx context.Context, batch []settled, also func(store.Tx) error) (err error) {
	at := l.now()
	now := at.UnixMilli()
	alive := l.aliveDue()
	if alive {
		defer func() {
			if err == nil {
				l.noted = at
			}
		}()
	}
	states := make([]string, len(batch))
	for i := range batch {
		b, err := json.Marshal(batch[i].stand)
		if err != nil {
			return err
		}
		states[i] = string(b)
	}
	return l.db.Write(ctx, func(tx store.Tx) error {
		if alive {
			if err := setMark(ctx, tx, markAlive, now); err != nil {
				return err
			}
		}
		write := l.storeEach
		if l.shared {
			write = l.storeTogether
		}
		if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		if err := write(ctx, tx, batch, states); err != nil {
			return err
		}
		for i := range batch {
			s := &batch[i]
			if s.f != nil {
				for _, id := range slices.Concat(ids(s.f.owed), s.asks) {
					if err := outboxDone(ctx, tx, id, now, ""); err != nil {
						return err
					}
				}
			}
			for _, e := range s.events {
				if _, err := e.put(ctx, tx, now); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// aliveDue: with other nodes, each one's row says until when it lived.
func (l *ledger) aliveDue() bool { return !l.shared && l.now().Sub(l.noted).Abs() >= alivePeriod }

// storeEach writes a batch row by row: SQLite has its statements prepared.
func (l *ledger) storeEach(ctx context.Context, tx store.Tx, batch []settled, states []string) error {
	var stale []int64
	for i := range batch {
		s := &batch[i]
		if f := s.f; f != nil {
			soft, quiet := s.marks()
			if _, err := tx.Exec(ctx, "INSERT INTO check_results (pair, at, due, took, status, soft, quiet, exit, sig, line, long, perf) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
				s.p.id, f.at.UnixMilli(), s.stand.Due.UnixMilli(), f.out.took.Microseconds(), int(s.j.status), soft, quiet, f.out.code(), f.out.signal, s.j.line, s.j.long, s.j.perf); err != nil {
				return err
			}
		}
		n, err := tx.Exec(ctx, l.sqlState(), states[i], s.p.id, s.p.rev)
		if err != nil {
			return err
		}
		if n == 0 {
			stale = append(stale, s.p.id)
		}
	}
	if len(stale) > 0 {
		return &staleError{stale}
	}
	return nil
}

// storeTogether writes a batch with two statements: over a network each one is a journey.
func (l *ledger) storeTogether(ctx context.Context, tx store.Tx, batch []settled, states []string) error {
	// Followers wait for those who write now, so that no lower id becomes visible after they have passed it.
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock_shared(?)", int64(resultsGate)); err != nil {
		return err
	}
	ids, revs := make([]int64, len(batch)), make([]int64, len(batch))
	var r struct {
		pair, at, due, took, status, soft, quiet, exit []int64
		sig, line, long, perf                          []string
	}
	for i := range batch {
		s := &batch[i]
		ids[i], revs[i] = s.p.id, s.p.rev
		f := s.f
		if f == nil {
			continue
		}
		soft, quiet := s.marks()
		r.pair, r.at, r.due, r.took = append(r.pair, s.p.id), append(r.at, f.at.UnixMilli()), append(r.due, s.stand.Due.UnixMilli()), append(r.took, f.out.took.Microseconds())
		r.status, r.soft, r.quiet, r.exit = append(r.status, int64(s.j.status)), append(r.soft, soft), append(r.quiet, quiet), append(r.exit, int64(f.out.code()))
		r.sig, r.line, r.long, r.perf = append(r.sig, f.out.signal), append(r.line, s.j.line), append(r.long, s.j.long), append(r.perf, s.j.perf)
	}
	rows, err := tx.Query(ctx, "UPDATE check_pairs SET state = v.state, rev = check_pairs.rev + 1, tx = "+l.sqlTx()+` FROM unnest(?::bigint[], ?::text[], ?::bigint[]) AS v (id, state, rev)
		WHERE check_pairs.id = v.id AND check_pairs.rev = v.rev RETURNING v.id`, ids, states, revs)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	written := map[int64]bool{}
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		written[id] = true
	}
	if err := rows.Err(); err != nil {
		return err
	}
	_ = rows.Close()
	var stale []int64
	for _, id := range ids {
		if !written[id] {
			stale = append(stale, id)
		}
	}
	if len(stale) > 0 {
		return &staleError{stale}
	}
	if len(r.pair) == 0 {
		return nil
	}
	_, err = tx.Exec(ctx, `INSERT INTO check_results (pair, at, due, took, status, soft, quiet, exit, sig, line, long, perf)
		SELECT * FROM unnest(?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::int[], ?::int[], ?::int[], ?::int[], ?::text[], ?::text[], ?::text[], ?::text[])`,
		r.pair, r.at, r.due, r.took, r.status, r.soft, r.quiet, r.exit, r.sig, r.line, r.long, r.perf)
	return err
}

// marks gives what the table has of a result beside its status: 1 is yes.
func (s *settled) marks() (soft, quiet int64) {
	if s.stand.Soft() {
		soft = 1
	}
	if s.quiet {
		quiet = 1
	}
	return soft, quiet
}

// resultsGate is shared by those who write results.
const resultsGate = 0x6a617276_7302

// settledUpTo gives an id up to which every result that there will be is there. With one writer that is the last.
func (l *ledger) settledUpTo(ctx context.Context) (id int64, err error) {
	const last = "SELECT COALESCE(MAX(id), 0) FROM check_results"
	if !l.shared {
		return id, l.db.QueryRow(ctx, last).Scan(&id)
	}
	return id, l.db.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(?)", int64(resultsGate)); err != nil {
			return err
		}
		return tx.QueryRow(ctx, last).Scan(&id)
	})
}
