package checks

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/store"
)

// Runs that an action or a person asks for are rows of the outbox. Whoever has the host's part does them.

// askedFor is how long a person's row is obeyed: nobody waits any more after it.
const askedFor = 10 * time.Minute

// runAsked has checks run that rows of the outbox ask for, until ctx ends.
func (m *Monitor) runAsked(ctx context.Context) {
	again := time.NewTicker(actPeriod)
	defer again.Stop()
	for {
		m.commit.Lock() // a row that was read before its result was committed would be done again
		rows, err := m.openRows(ctx, rowRun, maxGathered)
		if err != nil && ctx.Err() == nil {
			m.Log.Error("read what is to be run", "err", err)
		}
		m.mu.Lock()
		for _, r := range rows {
			k, err := r.target(m.cat)
			p := m.pairs[k]
			if err != nil || p == nil || !p.live || p.passive() || !m.ours(p.where) || m.acting[r.id] {
				continue
			}
			m.acting[r.id] = true
			if r.action == "" {
				p.asks = append(p.asks, r.id)
			} else {
				p.owed = append(p.owed, r)
			}
			m.soon(p)
		}
		m.mu.Unlock()
		m.commit.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-m.asked:
		case <-again.C:
		}
	}
}

// target gives the check that a row asks for.
func (r outboxRow) target(c *model.Catalog) (model.Key, error) {
	if r.action == "" {
		return r.Key, nil
	}
	for _, a := range c.Rules {
		if a.Name == r.action && a.Task != "" {
			return model.Key{Task: a.Task, Host: cmp.Or(a.TaskHost, r.Host)}, nil
		}
	}
	return model.Key{}, &goneError{"the action " + r.action}
}

// gone gives up rows that ask for what is no longer declared or became passive, or whose person waits no longer.
func (m *Monitor) gone(ctx context.Context) error {
	rows, err := m.openRows(ctx, rowRun, maxGathered)
	if err != nil {
		return err
	}
	now := m.now()
	for _, r := range rows {
		m.mu.Lock()
		k, err := r.target(m.cat)
		switch p := m.pairs[k]; {
		case err != nil:
		case p == nil || !p.live:
			err = &goneError{"the check " + k.String()}
		case p.passive():
			err = &PassiveError{k}
		}
		m.mu.Unlock()
		if err == nil && r.action == "" && now.Sub(r.at) > askedFor {
			err = fmt.Errorf("nobody ran it within %s", askedFor)
		}
		if err == nil {
			continue
		}
		if r.action != "" {
			m.Log.Error("an action was given up", "action", r.action, "check", r.Key.String(), "err", err)
		}
		if err := m.DB.Write(ctx, func(tx store.Tx) error { return outboxDone(ctx, tx, r.id, now.UnixMilli(), model.OneLine(err)) }); err != nil {
			return err
		}
	}
	return nil
}

// runner says who checks a pair; the error is for people. mu is held.
func (m *Monitor) runner(p *pair) (node string, err error) {
	if m.alone {
		return m.name(), nil
	}
	if p.where == nil || m.plot == nil {
		return "", errLooking
	}
	if x, ok := m.plot.wants(p.where.share); ok {
		return x.name, nil
	}
	return "", &NobodyError{p.where.name, p.where.share}
}

var errLooking error = &NobodyError{}

// NobodyError: no server that lives may check a host.
type NobodyError struct{ Host, share string }

func (e *NobodyError) Error() string {
	if name, ok := strings.CutPrefix(e.share, pinned); ok {
		return fmt.Sprintf("nobody checks %s: the server %s is not there", e.Host, name)
	}
	if silo, _, _ := strings.Cut(e.share, "/"); silo != "" {
		return fmt.Sprintf("nobody checks %s: nobody serves the silo %s, in which it stands", e.Host, silo)
	}
	return fmt.Sprintf("nobody checks %s: every server drains, or has just begun", cmp.Or(e.Host, "it"))
}

// ask has another node run a check. The channel is closed when the row is done.
func (m *Monitor) ask(ctx context.Context, k model.Key) (<-chan struct{}, error) {
	event, err := json.Marshal(Event{Key: k})
	if err != nil {
		return nil, err
	}
	var id int64
	err = m.DB.Write(ctx, func(tx store.Tx) error {
		return tx.QueryRow(ctx, "INSERT INTO check_outbox (at, kind, action, event, done, tries, next, err) VALUES (?, ?, '', ?, 0, 0, 0, '') RETURNING id", m.now().UnixMilli(), rowRun, string(event)).Scan(&id)
	})
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	m.mu.Lock()
	m.waitAsked[id] = done
	m.mu.Unlock()
	m.tellNodes(newsDo)
	return done, nil
}

// hearAnswers tells those who wait for a run elsewhere that there is a result.
func (m *Monitor) hearAnswers(ctx context.Context) error {
	m.mu.Lock()
	var ids []int64
	for id := range m.waitAsked {
		ids = append(ids, id)
	}
	m.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	done, err := store.Collect(ctx, m.DB, func(row store.Row) (id int64, err error) { return id, row.Scan(&id) }, "SELECT id FROM check_outbox WHERE id = ANY(?) AND done > 0", ids)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range done {
		if ch := m.waitAsked[id]; ch != nil {
			close(ch)
			delete(m.waitAsked, id)
		}
	}
	return nil
}
