package checks

import (
	"context"
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

// quiet says why nothing is told of a pair now. mu is held.
func (m *Monitor) quiet(p *pair, st *Standing, now time.Time) (why string, yes bool) {
	if st.Down || p.Task != model.HostAnswers && p.where != nil && p.where.down {
		return "its host cannot be reached", true
	}
	if why, yes := m.shadowed(p, st, now); yes {
		return why, true
	}
	if why := m.deployed.why(p.Host, now); why != "" {
		return why, true
	}
	if why := m.downtimes.why(p.Key, now); why != "" {
		return why, true
	}
	for _, q := range m.cat.Quiets {
		if q.Covers(p.Key, now) {
			return fmt.Sprintf("downtime %s (%s)", q.Name, q.Period), true
		}
	}
	return "", false
}

// Acknowledge notes that a person knows of problems: nothing is told of them until they end, or until the time is over.
// It gives the checks that it counts for; those that are no problem, and those that somebody else has acknowledged, are
// left out.
func (m *Monitor) Acknowledge(ctx context.Context, keys []model.Key, a Ack) ([]model.Key, error) {
	a.At, a.Why = m.now(), clip(a.Why, maxLine)
	return m.change(ctx, keys, func(st *Standing) bool {
		if st.Status == model.OK && st.Hard == model.OK {
			return false
		}
		if st.Ack != nil && st.Ack.By != a.By && (st.Ack.Until.IsZero() || m.now().Before(st.Ack.Until)) {
			return false
		}
		st.Ack = &a
		return true
	})
}

// Unacknowledge takes acknowledgements back; what is still a problem is told again.
func (m *Monitor) Unacknowledge(ctx context.Context, keys []model.Key) ([]model.Key, error) {
	return m.change(ctx, keys, func(st *Standing) bool {
		if st.Ack == nil {
			return false
		}
		st.Ack = nil
		if st.Hard != model.OK {
			st.tellAgain()
		}
		return true
	})
}

// change changes Standings, on record and in memory. Whoever runs these checks takes it over.
func (m *Monitor) change(ctx context.Context, keys []model.Key, f func(*Standing) bool) (changed []model.Key, err error) {
	m.commit.Lock()
	defer m.commit.Unlock()
	for {
		if err := m.readChanged(ctx); err != nil {
			return nil, err
		}
		changed, err = m.tryChange(ctx, keys, f)
		if ids, stale := isStale(err); !stale {
			break
		} else if err := m.reread(ctx, ids); err != nil {
			return nil, err
		}
	}
	if len(changed) > 0 {
		m.town.tell(newsStates)
	}
	return changed, err
}

// tryChange is change, where nobody changes the same. commit is held.
func (m *Monitor) tryChange(ctx context.Context, keys []model.Key, f func(*Standing) bool) ([]model.Key, error) {
	var batch []settled
	var changed []model.Key
	seen := map[model.Key]bool{} // one that is written twice would be stale for ever
	m.mu.Lock()
	for _, k := range keys {
		if p := m.roster.pair(k); p != nil && p.live && !seen[k] {
			seen[k] = true
			if s := (settled{p: p, stand: p.stand}); f(&s.stand) {
				batch, changed = append(batch, s), append(changed, k)
			}
		}
	}
	m.mu.Unlock()
	if len(batch) == 0 {
		return nil, nil
	}
	if err := m.ledger.write(ctx, batch, nil); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.takeOver(batch)
	return changed, nil
}
