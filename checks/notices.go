package checks

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/store"
)

// Notice is a line for people. With neither person nor channel it is for the first channel.
type Notice struct {
	ID      int64
	Person  string
	Channel string
	Line    string
}

// Notices gives those after an id, in order.
func (m *Monitor) Notices(ctx context.Context, after int64, limit int) ([]Notice, error) {
	return m.notices.read(ctx, after, limit)
}

// NewNotices gives a channel that has something when there are new ones, and what ends that.
func (m *Monitor) NewNotices() (<-chan struct{}, func()) { return m.notices.follow() }

// notices gathers the rows of the outbox that are to be said, and makes lines for people and letters of them, in one
// transaction for each round. It owns the table check_notices, and who follows it. It needs what is declared, and how
// long a row waits for company.
type notices struct {
	box     *outbox
	news    fan
	catalog func() *model.Catalog
	gather  func() time.Duration
	written func() // other nodes are to look for new ones
}

// follow gives a channel that has something when there are new ones, and what ends that.
func (n *notices) follow() (<-chan struct{}, func()) { return n.news.follow() }

// wake has who follows look: another node has written some.
func (n *notices) wake() { n.news.poke() }

// read gives those after an id, in order.
func (n *notices) read(ctx context.Context, after int64, limit int) ([]Notice, error) {
	rows, err := n.box.db.Query(ctx, "SELECT id, person, channel, line FROM check_notices WHERE id > ? ORDER BY id LIMIT ?", after, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []Notice
	for rows.Next() {
		var x Notice
		if err := rows.Scan(&x.ID, &x.Person, &x.Channel, &x.Line); err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, rows.Err()
}

const (
	maxGathered = 10_000 // rows of one round
	maxLines    = 6      // for one contact; more become one that counts them
)

// run gathers what is to be said, and says what belongs together in one line.
func (n *notices) run(ctx context.Context) {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.box.says:
		case <-wait.C:
		}
		next, err := n.round(ctx)
		if err != nil && ctx.Err() == nil {
			n.box.log.Error("gather notices", "err", err)
			next = time.Second
		}
		wait.Reset(next)
	}
}

// round says what has waited for company long enough, and gives when to look again.
func (n *notices) round(ctx context.Context) (next time.Duration, err error) {
	const idle = 10 * time.Second
	rows, err := n.box.open(ctx, rowNotice, maxGathered)
	if err != nil || len(rows) == 0 {
		return idle, err
	}
	if left := n.gather() - n.box.now().Sub(rows[0].at); left > 0 && left <= n.gather() {
		return left, nil
	}
	heard := heardBy(n.catalog(), rows)
	now := n.box.now().UnixMilli()
	err = n.box.db.Write(ctx, func(tx store.Tx) error {
		for _, h := range heard {
			if !h.contact.InChat() {
				if err := h.letter(ctx, tx, now); err != nil {
					return err
				}
			}
		}
		for _, x := range noticesOf(heard) {
			if _, err := tx.Exec(ctx, "INSERT INTO check_notices (at, person, channel, line) VALUES (?, ?, ?, ?)", now, x.Person, x.Channel, x.Line); err != nil {
				return err
			}
		}
		for _, r := range rows {
			if err := outboxDone(ctx, tx, r.id, now, ""); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	n.news.poke()
	poke(n.box.sends)
	n.written()
	return 0, nil
}

// hearing is what one contact is told in one round.
type hearing struct {
	contact model.Contact
	rows    []outboxRow
}

// heardBy gives who is told what: places of chat that are the same are one.
func heardBy(c *model.Catalog, rows []outboxRow) []*hearing {
	type place struct{ name, person, channel string }
	var out []*hearing
	of := map[place]*hearing{}
	for _, r := range rows {
		for _, to := range c.ContactsOf(r.action, r.To) {
			at := place{to.Name, to.Person, to.Channel}
			if to.InChat() {
				at.name = ""
			}
			h := of[at]
			if h == nil {
				h = &hearing{contact: to}
				of[at], out = h, append(out, h)
			}
			h.rows = append(h.rows, r)
		}
	}
	return out
}

// bunches puts what is said in one line together.
func bunches(rows []outboxRow) (out []*bunch) {
	for _, r := range rows {
		i := slices.IndexFunc(out, func(b *bunch) bool {
			return b.on == r.On && b.task == r.Task && b.status == r.Status && b.unheeded == r.Unheeded
		})
		if i < 0 {
			out = append(out, &bunch{on: r.On, task: r.Task, status: r.Status, unheeded: r.Unheeded})
			i = len(out) - 1
		}
		out[i].rows = append(out[i].rows, r)
	}
	return out
}

// noticesOf makes notices of what chat is told: those of a kind and a check in one line.
func noticesOf(heard []*hearing) (out []Notice) {
	for _, h := range heard {
		if !h.contact.InChat() {
			continue
		}
		list := bunches(h.rows)
		if len(list) > maxLines {
			out = append(out, Notice{Person: h.contact.Person, Channel: h.contact.Channel, Line: summary(list)})
			continue
		}
		for _, b := range list {
			out = append(out, Notice{Person: h.contact.Person, Channel: h.contact.Channel, Line: b.line()})
		}
	}
	return out
}

// fan wakes whoever follows.
type fan struct {
	mu   sync.Mutex
	subs map[chan struct{}]bool
}

// follow gives a channel that has a value when there is news, and what ends that.
func (f *fan) follow() (<-chan struct{}, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ch := make(chan struct{}, 1)
	if f.subs == nil {
		f.subs = map[chan struct{}]bool{}
	}
	f.subs[ch] = true
	return ch, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.subs, ch)
	}
}

func (f *fan) poke() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ch := range f.subs {
		poke(ch)
	}
}
