package checks

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"iter"
	"net"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/store"
)

const (
	graphitePeriod = 5 * time.Second
	graphiteTime   = 10 * time.Second // to connect, and to write
	graphiteChunk  = 5000             // results in one go
)

// graphites follows the results, and sends their performance data to each Graphite that an action names, from where it
// was last. What a server took and did not store when it died is lost to it; the record has it.
func (m *Monitor) graphites(ctx context.Context) {
	t := time.NewTicker(graphitePeriod)
	defer t.Stop()
	failing := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		m.mu.Lock()
		cat := m.cat
		m.mu.Unlock()
		for _, a := range cat.Rules {
			if a.Graphite == "" {
				continue
			}
			n, err := graphiteChunk, error(nil)
			for err == nil && n == graphiteChunk && ctx.Err() == nil {
				n, err = m.toGraphite(ctx, a)
			}
			if err != nil && ctx.Err() == nil && !failing[a.Name] {
				m.Log.Warn("Graphite takes nothing; it is tried again from where it was", "action", a.Name, "err", err)
			}
			failing[a.Name] = err != nil
		}
	}
}

// toGraphite sends the next results and notes how far it came; n is how many were looked at, 0: there are none.
func (m *Monitor) toGraphite(ctx context.Context, a *model.Rule) (n int, err error) {
	name := "graphite " + a.Name
	after, err := m.ledger.mark(ctx, name)
	if err != nil {
		return 0, err
	}
	last, err := m.ledger.settledUpTo(ctx)
	if err != nil || last == 0 {
		return 0, err
	}
	if after == 0 { // a new one begins with what is new
		after = last
		return 0, m.DB.Write(ctx, func(tx store.Tx) error { return setMark(ctx, tx, name, after) })
	}
	if err := m.sync(ctx); err != nil { // pairs that another node made
		return 0, err
	}
	rows, err := m.DB.Query(ctx, "SELECT id, pair, at, perf FROM check_results WHERE id > ? AND id <= ? ORDER BY id LIMIT ?", after, last, graphiteChunk)
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	hosts, tasks := model.GraphiteNames(m.names(func(k model.Key) string { return k.Host })), model.GraphiteNames(m.names(func(k model.Key) string { return k.Task }))
	m.mu.Unlock()
	var b strings.Builder
	err = func() error {
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var pair, at int64
			var perf string
			if err := rows.Scan(&after, &pair, &at, &perf); err != nil {
				return err
			}
			n++
			m.mu.Lock()
			p := m.roster.byID(pair)
			m.mu.Unlock()
			if perf != "" && p != nil && a.Follows(p.Key, model.OnResult) {
				model.GraphiteLines(&b, cmp.Or(a.Prefix, "jarvis")+"."+hosts(p.Host)+"."+tasks(p.Task), perf, at/1000)
			}
		}
		return rows.Err()
	}()
	if err != nil || n == 0 {
		return n, err
	}
	if b.Len() > 0 {
		if err := sendGraphite(ctx, a.Graphite, b.String()); err != nil {
			return 0, err
		}
	}
	return n, m.DB.Write(ctx, func(tx store.Tx) error { return setMark(ctx, tx, name, after) })
}

// names gives a part of the keys of all checks. mu is held.
func (m *Monitor) names(part func(model.Key) string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for p := range m.roster.each() {
			if !yield(part(p.Key)) {
				return
			}
		}
	}
}

// sendGraphite gives nil only when the server closed its end, which it does when it has read all.
func sendGraphite(ctx context.Context, addr, text string) error {
	ctx, cancel := context.WithTimeout(ctx, graphiteTime)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline)
	w := bufio.NewWriterSize(c, 64<<10)
	if _, err := w.WriteString(text); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if t, ok := c.(*net.TCPConn); ok {
		if err := t.CloseWrite(); err != nil {
			return err
		}
		// It closes when it has read all.
		_, err = io.Copy(io.Discard, io.LimitReader(c, 1))
	}
	return err
}
