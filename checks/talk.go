package checks

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// Nodes tell each other by NOTIFY that there is something to look at; what it is stands in the record. A message that is lost
// delays: each looks every two seconds as well.
const (
	chanChecks = "jarvis_checks" // the payload is who says it, and what of

	newsStates  = "states"  // somebody changed states of checks that he does not run
	newsDefs    = "defs"    // definitions
	newsQuiet   = "quiet"   // downtimes
	newsDo      = "do"      // rows of the outbox
	newsDone    = "done"    // runs that were asked for
	newsNotices = "notices" // lines for people
	newsMoved   = "moved"   // a part is free
)

const (
	lookEvery  = 2 * time.Second
	tellPeriod = 20 * time.Millisecond // between two messages: NOTIFY makes commits wait for each other
)

// tellNodes has the others look at something. It does not wait.
func (m *Monitor) tellNodes(what string) {
	if m.alone {
		return
	}
	select {
	case m.telling <- what:
	default: // there is much to tell, and they look by themselves
	}
}

// listen does what other nodes ask for, and tells them what is new here.
func (m *Monitor) listen(ctx context.Context) {
	if m.alone {
		<-ctx.Done()
		return
	}
	said := m.DB.Listen(ctx, chanChecks)
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
			if who, what, _ := cutLast(n.Payload); who != m.DB.Holder() {
				m.heed(ctx, what)
			}
		case what := <-m.telling:
			m.sayAll(ctx, what)
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

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// sayAll says what is to be said now, each once.
func (m *Monitor) sayAll(ctx context.Context, what string) {
	all := map[string]bool{what: true}
	for more := true; more; {
		select {
		case w := <-m.telling:
			all[w] = true
		default:
			more = false
		}
	}
	for _, w := range slices.Sorted(maps.Keys(all)) {
		if err := m.DB.Notify(ctx, chanChecks, m.DB.Holder()+" "+w); err != nil && ctx.Err() == nil {
			m.Log.Debug("tell the other nodes", "err", err) // they look by themselves
		}
	}
	t := time.NewTimer(tellPeriod)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
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
		m.notices.news.poke()
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

// changed counts a change, in its transaction.
func changed(ctx context.Context, tx store.Tx, mark string) error {
	_, err := tx.Exec(ctx, "INSERT INTO check_marks (name, value) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = check_marks.value + 1", mark)
	return err
}

// nameRuns finds by what runs are known on their hosts: a server's own by its name, and those of many by a number of their record,
// so that each of them finds what another left.
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
