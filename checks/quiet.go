package checks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// Downtime is a time in which nothing is told of some checks. They run all the same. One that comes again and again has the name of its
// definition, and no number.
type Downtime struct {
	ID    int64     `json:"id"`
	Name  string    `json:"name,omitempty"`
	Every string    `json:"every,omitempty"` // the period in which it comes
	Task  string    `json:"task"`            // a name or pattern; "*": all
	Host  string    `json:"host"`
	From  time.Time `json:"from"`
	Until time.Time `json:"until,omitzero"`
	By    string    `json:"by"`
	Why   string    `json:"why,omitempty"`
}

func (d *Downtime) covers(k model.Key, now time.Time) bool {
	return !now.Before(d.From) && now.Before(d.Until) && model.Match(d.Host, k.Host) && model.Match(d.Task, k.Task)
}

// quiet is why nothing is told of a host while it is deployed.
type quiet struct {
	run   int64
	until time.Time // zero: the run goes on
}

// settleDown is how long a host has behind a deployment until problems are told: services come up.
const settleDown = 2 * time.Minute

// quiet says why nothing is told of a pair now. mu is held.
func (m *Monitor) quiet(p *pair, st *Standing, now time.Time) (why string, yes bool) {
	if st.Down || p.Task != model.HostAnswers && p.where != nil && p.where.down {
		return "its host can not be reached", true
	}
	if why, yes := m.shadowed(p, st, now); yes {
		return why, true
	}
	if q, ok := m.deploying[p.Host]; ok && (q.until.IsZero() || now.Before(q.until)) {
		if !q.until.IsZero() {
			return fmt.Sprintf("run %d has just ended on it; problems are told from %s on", q.run, plain.Time(q.until)), true
		}
		return fmt.Sprintf("run %d works on it", q.run), true
	}
	for i := range m.downtimes {
		if d := &m.downtimes[i]; d.covers(p.Key, now) {
			return fmt.Sprintf("downtime %d by %s until %s", d.ID, d.By, plain.Time(d.Until)), true
		}
	}
	for _, q := range m.cat.Quiets {
		if q.Covers(p.Key, now) {
			return fmt.Sprintf("downtime %s (%s)", q.Name, q.Period), true
		}
	}
	return "", false
}

// readDeploying asks the engine which hosts are worked on.
func (m *Monitor) readDeploying(ctx context.Context) error {
	runs, err := m.Engine.Live(ctx, maxRecord)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	moving := map[string]bool{}
	for _, r := range runs {
		if r.State.Moving() {
			moving[r.Host] = true
			m.deploying[r.Host] = quiet{run: r.ID}
		}
	}
	for h, q := range m.deploying {
		switch {
		case moving[h]:
		case q.until.IsZero():
			q.until = now.Add(settleDown)
			m.deploying[h] = q
		case !now.Before(q.until):
			delete(m.deploying, h)
		}
	}
	return nil
}

// readDowntimes takes over what is on record. One at a time: an earlier answer would hide a later downtime.
func (m *Monitor) readDowntimes(ctx context.Context) error {
	m.reading.Lock()
	defer m.reading.Unlock()
	rows, err := m.DB.Query(ctx, "SELECT id, task, host, begins, ends, by_whom, why FROM check_downtimes WHERE ends > ? ORDER BY id", m.now().UnixMilli())
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var out []Downtime
	for rows.Next() {
		var d Downtime
		var from, until int64
		if err := rows.Scan(&d.ID, &d.Task, &d.Host, &from, &until, &d.By, &d.Why); err != nil {
			return err
		}
		d.From, d.Until = time.UnixMilli(from), time.UnixMilli(until)
		out = append(out, d)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.downtimes = out
	return rows.Err()
}

// Silence begins downtimes: all of them, or none.
func (m *Monitor) Silence(ctx context.Context, list ...Downtime) ([]Downtime, error) {
	list = slices.Clone(list)
	for i := range list {
		d := &list[i]
		d.Task, d.Host = cmp.Or(d.Task, "*"), cmp.Or(d.Host, "*")
		if err := errors.Join(model.Glob(d.Task), model.Glob(d.Host)); err != nil {
			return nil, fmt.Errorf("%w: %w", model.ErrInvalid, err)
		}
		if d.From.IsZero() {
			d.From = m.now()
		}
		if now := m.now(); !d.Until.After(d.From) || !d.Until.After(now) {
			return nil, fmt.Errorf("%w: a downtime from %s until %s is none", model.ErrInvalid, plain.Time(d.From), plain.Time(d.Until))
		}
		d.Why = clip(d.Why, maxLine)
	}
	err := m.DB.Write(ctx, func(tx store.Tx) error {
		for i := range list {
			d := &list[i]
			if err := tx.QueryRow(ctx, "INSERT INTO check_downtimes (task, host, begins, ends, by_whom, why) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
				d.Task, d.Host, d.From.UnixMilli(), d.Until.UnixMilli(), d.By, d.Why).Scan(&d.ID); err != nil {
				return err
			}
		}
		return changed(ctx, tx, markDowntimes)
	})
	if err != nil {
		return nil, err
	}
	m.tellNodes(newsQuiet)
	return list, m.readDowntimes(ctx)
}

// EndSilence ends a downtime now.
func (m *Monitor) EndSilence(ctx context.Context, id int64) (Downtime, error) {
	if err := m.readDowntimes(ctx); err != nil { // another node may have begun it
		return Downtime{}, err
	}
	m.mu.Lock()
	i := slices.IndexFunc(m.downtimes, func(d Downtime) bool { return d.ID == id && m.now().Before(d.Until) })
	var d Downtime
	if i >= 0 {
		d = m.downtimes[i]
	}
	m.mu.Unlock()
	if i < 0 {
		return d, fmt.Errorf("%w: downtime %d", ErrNotFound, id)
	}
	err := m.DB.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE check_downtimes SET ends = ? WHERE id = ?", m.now().UnixMilli(), id); err != nil {
			return err
		}
		return changed(ctx, tx, markDowntimes)
	})
	if err != nil {
		return d, err
	}
	m.tellNodes(newsQuiet)
	return d, m.readDowntimes(ctx)
}

// Downtimes gives those that are, or are to come; of those that come again and again the time that is, or is next.
func (m *Monitor) Downtimes() []Downtime {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	out := []Downtime{}
	for _, d := range m.downtimes {
		if now.Before(d.Until) {
			out = append(out, d)
		}
	}
	for _, q := range m.cat.Quiets {
		d := Downtime{Name: q.Name, Every: q.Period, Task: cmp.Or(strings.Join(q.Tasks, ","), "*"), Host: cmp.Or(strings.Join(q.Hosts, ","), "*"), Why: q.Because}
		if d.From = q.When.Begin(now); d.From.IsZero() {
			continue
		}
		d.Until = q.When.Next(d.From)
		out = append(out, d)
	}
	return out
}

// Acknowledge notes that a person knows of problems: nothing is told of them until they end, or until the time is over. It
// gives the checks that it counts for; those that are no problem, and those that somebody else has acknowledged, are left out.
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
		m.tellNodes(newsStates)
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
		if p := m.pairs[k]; p != nil && p.live && !seen[k] {
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
	if err := m.store(ctx, batch); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.takeOver(batch)
	return changed, nil
}
