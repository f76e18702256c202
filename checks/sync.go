package checks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/store"
)

// staleError: what was to be written was judged on states that are no longer those on record.
type staleError struct{ ids []int64 }

func (e *staleError) Error() string {
	return fmt.Sprintf("%d checks were changed on record meanwhile", len(e.ids))
}

// sync makes memory what the record is, before an answer. Alone, it always is.
func (m *Monitor) sync(ctx context.Context) error {
	if m.alone {
		return nil
	}
	m.commit.Lock()
	defer m.commit.Unlock()
	return m.readChanged(ctx)
}

// readChanged takes over the states that other nodes wrote since it was called last. What a transaction wrote that is not
// over now has a higher number than the oldest of those, and is read next time. commit is held.
func (m *Monitor) readChanged(ctx context.Context) error {
	if m.alone {
		return nil
	}
	var from int64
	if err := m.DB.QueryRow(ctx, "SELECT txid_snapshot_xmin(txid_current_snapshot())").Scan(&from); err != nil {
		return err
	}
	if _, err := m.readStates(ctx, "WHERE tx >= ?", m.readFrom); err != nil {
		return err
	}
	m.readFrom = from
	return nil
}

// state is a row of check_pairs.
type state struct {
	model.Key
	id, rev int64
	stand   Standing
}

// readStates takes over the states of some pairs, and gives them. commit is held.
func (m *Monitor) readStates(ctx context.Context, where string, args ...any) ([]state, error) {
	list, err := store.Collect(ctx, m.DB, func(row store.Row) (s state, err error) {
		var text string
		if err := row.Scan(&s.id, &s.Task, &s.Host, &text, &s.rev); err != nil || text == "" {
			return s, err
		}
		if err := json.Unmarshal([]byte(text), &s.stand); err != nil {
			return s, fmt.Errorf("the state of %s on record: %w", s.Key, err)
		}
		return s, nil
	}, "SELECT id, task, host, state, rev FROM check_pairs "+where, args...)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range list {
		p := m.pairs[s.Key]
		if p == nil {
			p = &pair{Plan: model.Plan{Key: s.Key}, known: true}
			m.pairs[s.Key] = p
		}
		if p.id == s.id && p.rev == s.rev {
			continue
		}
		delete(m.byID, p.id)
		p.id, p.rev, p.stand, p.known, p.loaded = s.id, s.rev, s.stand, true, false
		m.byID[p.id] = p
		m.seen(p)
	}
	return list, nil
}

// seen takes in that a pair stands elsewhere than it did here. mu is held.
func (m *Monitor) seen(p *pair) {
	if p.where != nil && p == p.where.pair && !m.ours(p.where) {
		down := hostDown(&p.stand, p.where.by)
		if p.where.down && !down {
			p.where.upAt = m.now()
		}
		p.where.down, p.where.why = down, p.stand.Line
	}
	if m.mayTell(p) && m.ours(p.where) {
		m.withheld[p] = true
	} else {
		delete(m.withheld, p)
	}
	if p.live && p.passive() && !p.busy && m.ours(p.where) { // another node heard of it
		m.due.at(p, p.next(m.now()))
	}
}

// reread reads pairs again whose state on record is another than was thought. Those that are gone are made again by what is
// declared. commit is held.
func (m *Monitor) reread(ctx context.Context, ids []int64) error {
	there := map[int64]bool{}
	for piece := range slices.Chunk(ids, 500) {
		args := make([]any, len(piece))
		for i, id := range piece {
			args[i] = id
		}
		list, err := m.readStates(ctx, "WHERE id IN (?"+strings.Repeat(", ?", len(piece)-1)+")", args...)
		if err != nil {
			return err
		}
		for _, s := range list {
			there[s.id] = true
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		p := m.byID[id]
		if p == nil {
			continue
		}
		if !there[id] {
			m.drop(p)
			m.lostPairs = true
			continue
		}
		// A transaction whose end nobody saw may have been committed.
		if f := m.done.of(p); f != nil && p.stand.At.Equal(f.at) {
			m.wasWritten(f)
		}
	}
	return nil
}

// wasWritten takes over a result that is on record already. commit and mu are held.
func (m *Monitor) wasWritten(f *finished) {
	st := &f.p.stand
	m.takeIn(&settled{f: f, p: f.p, stand: *st, j: judged{status: st.Status, line: st.Line}, asks: f.p.asks})
	m.done.forget(f.p)
	m.reschedule(f.p)
	m.stats.committed(time.Now(), 1)
	m.heed(context.Background(), newsDo)
	m.tellNodes(newsDo)
}

// drop forgets a pair that is no longer on record. mu is held.
func (m *Monitor) drop(p *pair) {
	delete(m.pairs, p.Key)
	delete(m.byID, p.id)
	delete(m.withheld, p)
	m.due.remove(p)
	p.live, p.busy = false, false
	m.done.forget(p)
	if h := p.where; h != nil {
		delete(h.pairs, p)
		if p == h.pair {
			delete(m.hosts, h.name)
		}
	}
}

// isStale gives the pairs that a transaction could not write.
func isStale(err error) ([]int64, bool) {
	var s *staleError
	if errors.As(err, &s) {
		return s.ids, true
	}
	return nil, false
}

// sqlState writes a state. Its revision is a fence: whoever judged on another one finds no row.
func (m *Monitor) sqlState() string {
	return "UPDATE check_pairs SET state = ?, rev = rev + 1, tx = " + m.sqlTx() + " WHERE id = ? AND rev = ?"
}

// sqlTx is the number of a transaction, by which other nodes find what it wrote.
func (m *Monitor) sqlTx() string {
	if m.alone {
		return "0"
	}
	return "txid_current()"
}
