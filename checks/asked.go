package checks

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

// runAsked has checks run that rows of the outbox ask for, until ctx ends.
func (m *Monitor) runAsked(ctx context.Context) {
	again := time.NewTicker(actPeriod)
	defer again.Stop()
	for {
		m.commit.Lock() // a row that was read before its result was committed would be done again
		rows, err := m.outbox.open(ctx, rowRun, maxGathered)
		if err != nil && ctx.Err() == nil {
			m.Log.Error("read what is to be run", "err", err)
		}
		m.mu.Lock()
		for _, r := range rows {
			k, err := r.target(m.cat)
			p := m.roster.pair(k)
			if err != nil || p == nil || !p.live || p.passive() || !m.ours(p.where) || !m.outbox.begins(r.id) {
				continue
			}
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
		case <-m.outbox.runs:
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

// askable says why a row asks for a run that may not be: what it asks for is no longer declared, or became passive.
func (m *Monitor) askable(r outboxRow) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, err := r.target(m.cat)
	switch p := m.roster.pair(k); {
	case err != nil:
		return err
	case p == nil || !p.live:
		return &goneError{"the check " + k.String()}
	case p.passive():
		return &PassiveError{k}
	}
	return nil
}

// runner says who checks a pair; the error is for people. mu is held.
func (m *Monitor) runner(p *pair) (node string, err error) {
	if m.alone {
		return m.name(), nil
	}
	if p.where == nil || !m.own.looked() {
		return "", errLooking
	}
	if x, ok := m.own.whose(p.where.share); ok {
		return x.name, nil
	}
	return "", &NobodyError{p.where.name, p.where.share}
}

var errLooking error = &NobodyError{}

// NobodyError: no server that lives may check a host.
type NobodyError struct{ Host, share string }

// Error implements error.
func (e *NobodyError) Error() string {
	if name, ok := strings.CutPrefix(e.share, pinned); ok {
		return fmt.Sprintf("nobody checks %s: the server %s is not there", e.Host, name)
	}
	if silo, _, _ := strings.Cut(e.share, "/"); silo != "" {
		return fmt.Sprintf("nobody checks %s: nobody serves the silo %s, in which it stands", e.Host, silo)
	}
	return fmt.Sprintf("nobody checks %s: every server drains, or has just begun", cmp.Or(e.Host, "it"))
}
