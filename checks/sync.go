package checks

import (
	"context"
	"slices"
	"time"
)

// sync makes memory what the record is, before an answer. Alone, it always is.
func (m *Monitor) sync(ctx context.Context) error {
	if m.alone {
		return nil
	}
	m.commit.Lock()
	defer m.commit.Unlock()
	return m.readChanged(ctx)
}

// readChanged takes over the states that other nodes wrote since it was called last. commit is held.
func (m *Monitor) readChanged(ctx context.Context) error {
	if m.alone {
		return nil
	}
	list, err := m.ledger.changes(ctx)
	if err == nil {
		m.takeStates(list)
	}
	return err
}

// takeStates takes over states as they are on record. commit is held.
func (m *Monitor) takeStates(list []state) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range list {
		if p := m.roster.take(s); p != nil {
			m.seen(p)
		}
	}
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
	m.roster.watch(p, m.mayTell(p) && m.ours(p.where))
	if p.live && p.passive() && !p.busy && m.ours(p.where) { // another node heard of it
		m.due.at(p, p.next(m.now()))
	}
}

// reread reads pairs again whose state on record is another than was thought. Those that are gone are made again by
// what is declared. commit is held.
func (m *Monitor) reread(ctx context.Context, ids []int64) error {
	there := map[int64]bool{}
	for piece := range slices.Chunk(ids, 500) {
		list, err := m.ledger.statesOf(ctx, piece)
		if err != nil {
			return err
		}
		m.takeStates(list)
		for _, s := range list {
			there[s.id] = true
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		p := m.roster.byID(id)
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
	m.town.tell(newsDo)
}

// drop forgets a pair that is no longer on record. mu is held.
func (m *Monitor) drop(p *pair) {
	m.roster.remove(p)
	m.due.remove(p)
	m.done.forget(p)
	p.live, p.busy = false, false
}
