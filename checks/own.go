package checks

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/store"
)

const (
	sharePeriod = time.Second // between two looks at who lives
	// giveWithin is how long what runs may take while its part is to go to another node.
	giveWithin = 15 * time.Second
	// moveSpread is the time over which the hosts of parts that were taken are connected to.
	moveSpread = 8 * time.Second
	sharesGate = 0x6a617276_7301 // held while parts change hands
)

// ownership is which parts of the hosts this node has. Monitor.mu guards it.
type ownership struct {
	alone bool                 // there are no other nodes: everything is ours
	held  map[string]bool      // true: we run them; false: they are to go, and what runs ends
	going map[string]time.Time // since when
	// unsure: nobody knows whether the record says that we have it, because a transaction was cut off.
	unsure map[string]bool
	plot   *plot
}

// share makes parts change hands until ctx ends, and gives all of them back then.
func (m *Monitor) share(ctx context.Context) {
	if m.alone {
		<-ctx.Done()
		return
	}
	look := time.NewTicker(sharePeriod)
	defer look.Stop()
	draining := m.DB.Draining()
	for {
		if err := m.lookShares(ctx); err != nil && ctx.Err() == nil && m.DB.Why() == nil {
			m.Log.Warn("which hosts are to be checked here cannot be looked up; it is looked up again", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-draining:
			draining = nil
		case <-m.moving:
		case <-look.C:
		}
	}
}

// lookShares takes the parts that this node should have, and gives those that another should.
func (m *Monitor) lookShares(ctx context.Context) error {
	lives, err := m.DB.Living(ctx)
	if err != nil {
		return err
	}
	var through map[string][]string
	if m.Engine != nil {
		if through, err = m.Engine.ServedBy(ctx); err != nil {
			return err
		}
	}
	peers := peersOf(lives, through)
	us := m.DB.Holder()
	m.mu.Lock()
	if m.plot == nil || !slices.Equal(m.plot.peers, peers) {
		m.plot = newPlot(peers)
	}
	want := map[string]bool{}
	for _, h := range m.hosts {
		if !h.pair.live {
			continue
		}
		if p, ok := m.plot.wants(h.share); ok && p.holder == us {
			want[h.share] = true
		}
	}
	if m.DB.Drains() {
		clear(want)
	}
	var take []string
	for s := range want {
		if _, ours := m.held[s]; !ours || m.unsure[s] {
			take = append(take, s)
		} else {
			m.held[s] = true // it was to go, and is not now
			delete(m.going, s)
		}
	}
	for s := range m.held {
		if p, ok := m.plot.wants(s); m.held[s] && (ok && p.holder != us || m.DB.Drains()) {
			m.held[s], m.going[s] = false, m.now()
		}
	}
	m.follow()
	give := slices.DeleteFunc(m.quietShares(), func(s string) bool { return want[s] })
	m.mu.Unlock()
	if err := m.giveShares(ctx, give); err != nil {
		return err
	}
	return m.takeShares(ctx, take)
}

// follow has hosts run, or not, as their parts are ours. mu is held.
func (m *Monitor) follow() {
	if m.alone {
		return
	}
	for _, h := range m.hosts {
		if now := m.held[h.share]; now != h.held {
			h.held = now
			if now {
				m.resume(h)
			} else {
				m.pause(h)
			}
		}
	}
}

// pause has nothing begin on a host. mu is held.
func (m *Monitor) pause(h *host) {
	for _, p := range m.due.leave(h) {
		p.busy = false
	}
	for p := range h.pairs {
		m.due.remove(p)
	}
}

// resume has the checks of a host go on where the record says they are. mu is held.
func (m *Monitor) resume(h *host) {
	now := m.now()
	h.target, h.why = nil, h.pair.stand.Line
	h.down = hostDown(&h.pair.stand, h.by)
	first := now.Add(time.Duration(model.Part(h.name) * float64(moveSpread)))
	for p := range h.pairs {
		p.loaded, p.recent = false, nil
		if p.busy || !p.live {
			continue
		}
		if p == h.pair {
			if h.down || !p.Schedule.Never() {
				m.due.at(p, first)
			}
			continue
		}
		due := m.firstOf(p, now, h.alive, h.taken)
		p.cut = p.cut && !h.gently
		if !due.IsZero() && !due.After(now) {
			due = first
		}
		m.due.at(p, due)
	}
	m.watchWithheld()
	m.due.wake()
}

// quietShares gives the parts that are to go and in which nothing runs any more; what takes too long is cancelled. mu is held.
func (m *Monitor) quietShares() []string {
	busy := map[string]bool{}
	for _, h := range m.hosts {
		since, goes := m.going[h.share]
		if !goes {
			continue
		}
		for p := range h.pairs {
			if p.busy {
				busy[h.share] = true
			}
		}
		if busy[h.share] && m.now().Sub(since) > giveWithin {
			h.cancel()
		}
	}
	var out []string
	for s := range m.going {
		if !busy[s] {
			out = append(out, s)
		}
	}
	return out
}

// giveShares frees parts in which nothing of ours is under way.
func (m *Monitor) giveShares(ctx context.Context, list []string) error {
	if len(list) == 0 {
		return nil
	}
	err := m.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE check_shares SET holder = '', at = ? WHERE holder = ? AND name = ANY(?)", m.now().UnixMilli(), m.DB.Holder(), list)
		return err
	})
	m.mu.Lock()
	if err != nil {
		m.doubt(list)
		m.mu.Unlock()
		return err
	}
	for _, s := range list {
		delete(m.held, s)
		delete(m.going, s)
		delete(m.unsure, s)
	}
	for _, h := range m.hosts {
		if !h.held && slices.Contains(list, h.share) {
			for p := range h.pairs {
				m.disown(p)
			}
		}
	}
	m.mu.Unlock()
	m.tellNodes(newsMoved)
	return nil
}

// doubt notes parts that the record may say are ours: they are taken again, or given back. mu is held.
func (m *Monitor) doubt(list []string) {
	for _, s := range list {
		m.held[s], m.going[s], m.unsure[s] = false, m.now(), true
	}
}

// disown forgets what asked for a run here; the rows stay, and are done where the part goes. mu is held.
func (m *Monitor) disown(p *pair) {
	m.outbox.ended(slices.Concat(ids(p.owed), p.asks))
	p.owed, p.asks, p.again = nil, nil, false
}

// giveAll frees what this node has, when nothing of it runs any more.
func (m *Monitor) giveAll() {
	if m.alone {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	m.mu.Lock()
	list := slices.Collect(maps.Keys(m.held))
	for s := range m.held {
		m.held[s], m.going[s] = false, m.now()
	}
	m.follow()
	m.mu.Unlock()
	if err := m.giveShares(ctx, list); err != nil { // else they are free when this life has ended
		m.Log.Debug("give back what was checked here", "err", err)
	}
	_ = m.DB.Notify(ctx, chanChecks, m.DB.Holder()+" "+newsMoved)
}

// taken is a part that is ours now.
type taken struct {
	name   string
	alive  time.Time // until when it is known to have been run
	gently bool      // whoever had it has ended all that ran
}

// takeShares takes those parts that nobody has, and goes on with their checks.
func (m *Monitor) takeShares(ctx context.Context, list []string) error {
	if len(list) == 0 {
		return nil
	}
	var got []taken
	err := m.DB.Write(ctx, func(tx store.Tx) (err error) {
		got, err = m.tryShares(ctx, tx, list)
		return err
	})
	m.commit.Lock()
	defer m.commit.Unlock()
	if err == nil && len(got) > 0 {
		err = m.readChanged(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.doubt(list)
		return err
	}
	by := map[string]taken{}
	for _, t := range got {
		by[t.name] = t
		m.held[t.name] = true
		delete(m.going, t.name)
		delete(m.unsure, t.name)
	}
	for _, h := range m.hosts {
		if t, ok := by[h.share]; ok {
			h.alive, h.taken, h.gently = t.alive, m.now(), t.gently
		}
	}
	m.follow()
	poke(m.outbox.runs)
	return nil
}

// tryShares takes what is free. The gate makes each statement after it see what whoever was here before us did.
func (m *Monitor) tryShares(ctx context.Context, tx store.Tx, list []string) ([]taken, error) {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(?)", int64(sharesGate)); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `SELECT s.name, s.holder, s.at, COALESCE(n.renewed_at, 0), COALESCE(n.state, '') FROM check_shares s
		LEFT JOIN jarvis_nodes n ON n.holder = s.holder WHERE s.name = ANY(?)`, list)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	got := map[string]taken{}
	for _, s := range list {
		got[s] = taken{s, m.alive, false} // nobody had it, since there are parts
	}
	for rows.Next() {
		var name, holder, state string
		var at, renewed int64
		if err := rows.Scan(&name, &holder, &at, &renewed, &state); err != nil {
			return nil, err
		}
		if s := store.LifeState(state); holder != m.DB.Holder() && (s == store.Lives || s == store.Dead) {
			delete(got, name)
			continue
		}
		got[name] = taken{name, time.UnixMilli(max(at, renewed)), holder == ""}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	_ = rows.Close()
	_, err = tx.Exec(ctx, `INSERT INTO check_shares (name, holder, since, at) SELECT unnest(?::text[]), ?, ?::bigint, 0
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, since = excluded.since`, slices.Collect(maps.Keys(got)), m.DB.Holder(), m.now().UnixMilli())
	return slices.Collect(maps.Values(got)), err
}

// ours reports whether a host is checked by this node. mu is held.
func (m *Monitor) ours(h *host) bool { return m.alone || h != nil && h.held && m.held[h.share] }
