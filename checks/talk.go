package checks

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/store"
)

const lookEvery = 2 * time.Second

// listen does what other nodes ask for, and tells them what is new here.
func (m *Monitor) listen(ctx context.Context) {
	if m.alone {
		<-ctx.Done()
		return
	}
	said := m.town.listen(ctx)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	marks, err := m.countChanges(ctx)
	if err != nil && ctx.Err() == nil {
		m.Log.Debug("look for changes", "err", err)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-said:
			if what, others := m.town.heard(n); others {
				m.heed(ctx, what)
			}
		case what := <-m.town.telling:
			m.town.sayAll(ctx, what)
		case <-look.C:
			now, err := m.countChanges(ctx)
			if err != nil {
				continue
			}
			for mark, what := range map[string]string{markDefs: newsDefs, markDowntimes: newsQuiet} {
				if now[mark] != marks[mark] {
					m.heed(ctx, what)
				}
			}
			marks = now
			if m.linked() {
				m.heed(ctx, newsStates)
			}
			for _, what := range []string{newsDone, newsNotices} {
				m.heed(ctx, what)
			}
			poke(m.outbox.runs)
		}
	}
}

// heed looks at what another node said is new.
func (m *Monitor) heed(ctx context.Context, what string) {
	var err error
	switch what {
	case newsStates:
		err = m.sync(ctx)
	case newsDefs:
		m.again(ctx)
	case newsQuiet:
		err = m.downtimes.read(ctx)
	case newsDo:
		m.outbox.wake()
	case newsDone:
		err = m.outbox.hear(ctx)
	case newsNotices:
		m.notices.wake()
	case newsMoved:
		poke(m.moving)
	}
	if err != nil && ctx.Err() == nil && m.DB.Why() == nil {
		m.Log.Warn("look at what another node changed", "what", what, "err", err)
	}
}

// countChanges gives how often each kind of thing was changed.
func (m *Monitor) countChanges(ctx context.Context) (map[string]int64, error) {
	out := map[string]int64{}
	for _, name := range []string{markDefs, markDowntimes} {
		v, err := m.ledger.mark(ctx, name)
		if err != nil {
			return nil, err
		}
		out[name] = v
	}
	return out, nil
}

// nameRuns finds by what runs are known on their hosts: a server's own by its name, and those of many by a number of
// their record, so that each of them finds what another left.
func (m *Monitor) nameRuns(ctx context.Context) error {
	m.known = m.name()
	if m.alone {
		return nil
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	err := m.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO check_marks (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", markRecord, int64(binary.BigEndian.Uint64(b[:])>>1))
		return err
	})
	if err != nil {
		return err
	}
	v, err := m.ledger.mark(ctx, markRecord)
	m.known = fmt.Sprintf("%016x", v)
	return err
}
