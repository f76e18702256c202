package checks

import (
	"context"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

const (
	sharePeriod = time.Second // between two looks at who lives
	// giveWithin is how long what runs may take while its part is to go to another node.
	giveWithin = 15 * time.Second
	// moveSpread is the time over which the hosts of parts that were taken are connected to.
	moveSpread = 8 * time.Second
)

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
	m.mu.Lock()
	var there []string
	for h := range m.roster.eachHost() {
		if h.pair.live {
			there = append(there, h.share)
		}
	}
	want, take := m.own.look(peers, m.DB.Holder(), there, m.DB.Drains(), m.now())
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
	for h := range m.roster.eachHost() {
		if now := m.own.runs(h.share); now != h.held {
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
	m.prober.forget(h)
	h.why = h.pair.stand.Line
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

// quietShares gives the parts that are to go and in which nothing runs any more; what takes too long is cancelled. mu
// is held.
func (m *Monitor) quietShares() []string {
	busy := map[string]bool{}
	for h := range m.roster.eachHost() {
		since, goes := m.own.goes(h.share)
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
	return m.own.leaving(busy)
}

// giveShares frees parts in which nothing of ours is under way.
func (m *Monitor) giveShares(ctx context.Context, list []string) error {
	if len(list) == 0 {
		return nil
	}
	err := m.claims.free(ctx, list)
	m.mu.Lock()
	if err != nil {
		m.own.doubt(list, m.now())
		m.mu.Unlock()
		return err
	}
	m.own.gave(list)
	for h := range m.roster.eachHost() {
		if !h.held && slices.Contains(list, h.share) {
			for p := range h.pairs {
				m.disown(p)
			}
		}
	}
	m.mu.Unlock()
	m.town.tell(newsMoved)
	return nil
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
	list := m.own.leave(m.now())
	m.follow()
	m.mu.Unlock()
	if err := m.giveShares(ctx, list); err != nil { // else they are free when this life has ended
		m.Log.Debug("give back what was checked here", "err", err)
	}
	_ = m.town.say(ctx, newsMoved)
}

// takeShares takes those parts that nobody has, and goes on with their checks.
func (m *Monitor) takeShares(ctx context.Context, list []string) error {
	if len(list) == 0 {
		return nil
	}
	got, err := m.claims.take(ctx, list, m.alive)
	m.commit.Lock()
	defer m.commit.Unlock()
	if err == nil && len(got) > 0 {
		err = m.readChanged(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.own.doubt(list, m.now())
		return err
	}
	by := map[string]taken{}
	for _, t := range got {
		by[t.name] = t
		m.own.got(t.name)
	}
	for h := range m.roster.eachHost() {
		if t, ok := by[h.share]; ok {
			h.alive, h.taken, h.gently = t.alive, m.now(), t.gently
		}
	}
	m.follow()
	poke(m.outbox.runs)
	return nil
}

// ours reports whether a host is checked by this node. mu is held.
func (m *Monitor) ours(h *host) bool { return m.alone || h != nil && h.held && m.own.runs(h.share) }
