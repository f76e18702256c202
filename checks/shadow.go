package checks

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

// Nothing is told of a check that stands in another's shadow: its host is down, all ways to it are, or what it depends
// on is a problem. Because each is looked at in its own time, whoever finds a problem first asks those before it is
// told, and when they are well again it is told only if it was found once more.

const (
	// askWithin is how long a problem waits for the answer of what it may come from.
	askWithin = 30 * time.Second
	// skipAgain is when it is looked again whether a check that is not run may be.
	skipAgain = time.Minute
)

// shadowed says because of which other check nothing is told of a pair now. mu is held.
func (m *Monitor) shadowed(p *pair, st *Standing, now time.Time) (why string, yes bool) {
	if !m.cat.Linked() {
		return "", false
	}
	if own := m.roster.host(p.Host); own != nil && p.Task != model.HostAnswers && own.by.Asked() && own.down {
		return "its host cannot be reached", true
	}
	if why := m.behind(p.Host); why != "" {
		return why, true
	}
	if l := m.linkedTo(p.Key, func(model.Link) bool { return true }); l != nil {
		return fmt.Sprintf("it depends on %s, which is %s", l.Key, m.roster.pair(l.Key).stand.Status), true
	}
	if st.Hard == model.OK {
		return "", false
	}
	if ask := m.notAsked(p, st, now); len(ask) > 0 {
		return "it is asked first how " + ask[0].String() + " stands", true
	}
	if d := m.returnedSince(p, st, now); d != "" {
		return d + " is well again; it is looked at once more before it is told", true
	}
	return "", false
}

// behind says by which hosts another one would be reached, when all of them are down; "" when it may be reached. A host
// that answers all the same has another way. mu is held.
func (m *Monitor) behind(name string) string {
	parents := m.cat.Hosts[name].Parents
	if len(parents) == 0 || slices.ContainsFunc(parents, func(x string) bool { h := m.roster.host(x); return h == nil || !h.down }) {
		return ""
	}
	own := m.roster.host(name)
	if own != nil && !own.down && own.by.By != model.ByNothing && m.cat.Runs[name] {
		return ""
	}
	if len(parents) > 1 {
		return "its ways are down: " + strings.Join(parents, ", ")
	}
	return "its way is down: " + strings.Join(parents, ", ")
}

// linkedTo gives the first pair that a pair depends on, of those that count, and that is a problem; also one that is
// not run because of another. nil: there is none. mu is held.
func (m *Monitor) linkedTo(k model.Key, counts func(model.Link) bool) *model.Link {
	return m.linkedFrom(k, counts, map[model.Key]bool{})
}

// linkedFrom looks at each pair once, over however many ways it is reached: seen are those that were.
func (m *Monitor) linkedFrom(k model.Key, counts func(model.Link) bool, seen map[model.Key]bool) *model.Link {
	for _, l := range m.cat.Links[k] {
		if !counts(l) || seen[l.Key] {
			continue
		}
		seen[l.Key] = true
		if d := m.roster.pair(l.Key); d != nil && d.live && m.bad(d) {
			return &l
		}
		if further := m.linkedFrom(l.Key, func(l model.Link) bool { return l.Skip }, seen); further != nil {
			return further
		}
	}
	return nil
}

// bad reports whether what depends on a pair stands in its shadow. A host need not be believed to be down for that. mu
// is held.
func (m *Monitor) bad(d *pair) bool {
	if d.Task == model.HostAnswers {
		return d.where != nil && d.where.down
	}
	return d.stand.Hard != model.OK
}

// skipped reports whether a pair is not run now. mu is held.
func (m *Monitor) skipped(p *pair) bool {
	if len(p.waiters) > 0 || len(p.asks) > 0 || len(p.owed) > 0 { // somebody wants to know
		return false
	}
	return m.linkedTo(p.Key, func(l model.Link) bool { return l.Skip }) != nil
}

// skip has a pair wait for its next time. mu is held.
func (m *Monitor) skip(p *pair, now time.Time) {
	due := p.next(now)
	if !due.After(now) {
		due = now.Add(skipAgain)
	}
	m.due.at(p, due)
}

// above gives what a problem may come from and is no problem itself, as far as is known: its own host, the hosts by
// which that is reached, and what it depends on. mu is held.
func (m *Monitor) above(p *pair, st *Standing) (above []*pair) {
	own, parents := m.roster.host(p.Host), m.cat.Hosts[p.Host].Parents
	itself := p.Task == model.HostAnswers
	ran := own != nil && own == p.where && st.Exit >= 0 // on the host, which answers then
	if own != nil && !itself && !ran && (own.by.Asked() || len(parents) > 0) {
		above = append(above, own.pair)
	}
	for _, x := range parents {
		if h := m.roster.host(x); h != nil && !ran {
			above = append(above, h.pair)
		}
	}
	for _, l := range m.cat.Links[p.Key] {
		if d := m.roster.pair(l.Key); d != nil && d.live {
			above = append(above, d)
		}
	}
	return slices.DeleteFunc(above, func(d *pair) bool { return !d.live || m.bad(d) })
}

// notAsked gives what is to be asked before a problem is told. A passive check answers nobody: what it said last
// counts. mu is held.
func (m *Monitor) notAsked(p *pair, st *Standing, now time.Time) (ask []model.Key) {
	if wait := now.Sub(st.Since); wait < 0 || wait >= askWithin {
		return nil
	}
	for _, d := range m.above(p, st) {
		if d.stand.At.Before(st.Since) && !d.passive() {
			ask = append(ask, d.Key)
		} else if p.Task == model.HostAnswers && d.Task == model.HostAnswers {
			return nil // one way is open
		}
	}
	return ask
}

// returnedSince gives what a problem may have come from and is well again since it was found; "": nothing is, or long
// enough. mu is held.
func (m *Monitor) returnedSince(p *pair, st *Standing, now time.Time) string {
	for _, d := range m.above(p, st) {
		since := d.stand.Since
		if d.Task == model.HostAnswers {
			since = d.where.upAt
		} else if d.stand.Bad.IsZero() {
			continue // it never was a problem
		}
		if st.At.Before(since) && now.Sub(since) < settleDown {
			return d.Key.String()
		}
	}
	return ""
}

// askFirst has what a problem may come from be run, in the same transaction. It reports whether there is any, not asked
// yet. mu is held.
func (m *Monitor) askFirst(s *settled, now time.Time) bool {
	st := &s.stand
	if !m.cat.Linked() || !s.p.live || st.Hard == model.OK || !st.Untold() || st.Flapping || s.p.askedFor.Equal(st.Since) {
		return false
	}
	ask := m.notAsked(s.p, st, now)
	for _, k := range ask {
		event, err := json.Marshal(Event{Key: k})
		if err != nil {
			continue // a struct of plain values
		}
		s.events = append(s.events, row{kind: rowRun, event: string(event)})
	}
	if len(ask) > 0 {
		s.askedFor = st.Since
	}
	return len(ask) > 0
}

// concerns reports whether other nodes are to know at once how a pair stands: others depend on it. mu is held.
func (m *Monitor) concerns(s *settled) bool {
	return !m.alone && m.cat.Needed[s.p.Key] && (s.p.stand.Status != s.stand.Status || s.p.stand.Hard != s.stand.Hard || len(s.asks) > 0)
}
