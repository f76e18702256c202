package checks

import (
	"context"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
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
