package checks

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/guard"
)

// settleResult takes a result into a pair's Standing, and finds what follows. mu is held.
func (m *Monitor) settleResult(f *finished, now time.Time) settled {
	p := f.p
	s := settled{f: f, p: p, stand: p.stand}
	attempts := p.Attempts
	if f.missed { // nothing would be learnt by waiting for another that does not come
		f.out.text, attempts = p.staleText(), 1
	}
	if bug := guard.Do(func() { s.j = p.hear(f) }); bug != nil { // what reads plugins' output meets anything
		guard.Log(m.Log, "read what a check said", "check", p.Key.String())(bug)
		s.j = judged{status: model.Unknown, line: bugText}
	}
	st := &s.stand
	flap := st.Apply(s.j.status, f.at, attempts)
	st.At, st.Due, st.Took, st.Exit, st.Line, st.Perf, st.Down = f.at, f.due, f.out.took, f.out.code(), s.j.line, s.j.perf, f.out.unreachable && p.Task != model.HostAnswers
	if st.Due.IsZero() {
		st.Due = f.at
	}
	if f.given != nil {
		st.Heard = f.at
	}
	m.tell(&s, now, flap)
	return s
}

// tell finds what is to be told of a pair now, and reports whether that changes anything. mu is held.
func (m *Monitor) tell(s *settled, now time.Time, flap model.Transition) (changed bool) {
	st := &s.stand
	if a := st.Ack; a != nil && (st.Hard == model.OK && st.Status == model.OK || !a.Until.IsZero() && !now.Before(a.Until)) {
		st.Ack, changed = nil, true
		if st.Hard != model.OK {
			st.tellAgain()
			s.again = true
		}
	}
	changed = m.askFirst(s, now) || changed
	_, s.quiet = m.quiet(s.p, st, now)
	if s.quiet || !s.p.live {
		return changed
	}
	var transitions []model.Transition
	if flap != "" {
		transitions = append(transitions, flap)
	}
	if st.Ack == nil || st.Hard == model.OK {
		t := st.Tell()
		if t != "" {
			transitions = append(transitions, t)
		}
		switch t {
		case model.Problem:
			st.Known = now
		case model.Recovery:
			st.Known = time.Time{}
		}
	}
	for _, t := range transitions {
		changed = true
		s.say(m.cat, string(t))
	}
	if s.f != nil && st.Status != model.OK && st.Status == st.Hard && st.Ack == nil {
		s.sayStays(m.cat, now)
	}
	return s.tellListeners(m.cat, now, slices.Contains(transitions, model.Problem)) || changed
}

// say notes what follows on a transition.
func (s *settled) say(c *model.Catalog, on string) {
	if !c.Notifies() {
		s.add(nil, s.event(on, nil))
	}
	for _, a := range c.Rules {
		if !a.Silent && a.Follows(s.p.Key, on) && a.Heeds(&s.stand.State, on) {
			s.add(a, s.event(on, a.To))
		}
	}
}

// sayStays notes what follows when the same problem has come so many times in a row.
func (s *settled) sayStays(c *model.Catalog, now time.Time) {
	st, on := &s.stand, model.OnStays
	due := func(a *model.Rule) bool {
		return a.Stays > 0 && st.Count%a.Stays == 0 && a.Follows(s.p.Key, on) && a.Heeds(&st.State, on)
	}
	for _, a := range c.Rules {
		if !a.Silent && due(a) {
			s.add(a, s.event(on, a.To))
		}
	}
	for _, l := range c.Listeners {
		if due(l.Rule) && l.Open(now) {
			s.add(l.Rule, s.event(on, l.To))
		}
	}
}

// tellListeners notes what those are told who have times of their own, and reports whether that changes anything.
// Nothing holds the pair back. all: whoever has no time of their own is told of a problem now.
func (s *settled) tellListeners(c *model.Catalog, now time.Time, all bool) (changed bool) {
	st := &s.stand
	stand := model.Stand{State: st.State, Known: st.known(), Acked: st.Ack != nil}
	if !all {
		for _, o := range c.Owed(s.p.Key, stand, st.Listeners) {
			e := s.event(string(model.Problem), o.To)
			e.late(now, st.Bad, false)
			s.add(o.Rule, e)
		}
	}
	heard := map[string]model.Heard{}
	for _, l := range c.Listeners {
		if !l.Rule.Covers(s.p.Key) {
			continue
		}
		var was *model.Heard
		if h, ok := st.Listeners[l.Name]; ok {
			was = &h
		}
		on, is := l.Hear(s.p.Key, stand, was, now)
		if is != nil {
			heard[l.Name] = *is
		}
		for _, o := range on {
			e := s.event(o, l.To)
			if o == model.OnStays || o == string(model.Problem) {
				e.late(now, st.Bad, l.Rule.After > 0)
			}
			s.add(l.Rule, e)
		}
	}
	if maps.EqualFunc(heard, st.Listeners, model.Heard.Equal) {
		return false
	}
	st.Listeners = heard
	return true
}

// Event is what an action is about.
type Event struct {
	model.Key
	On      string        `json:"on"`              // problem, change, recovery, flapping, steady, stays
	Status  model.Status  `json:"status"`          // told now
	Was     time.Duration `json:"was"`             // how long it was what it no longer is; of a recovery: how long it was not OK
	Since   time.Time     `json:"since"`           // of the status
	Bad     time.Time     `json:"bad,omitzero"`    // since when it is not OK, or was not; it tells one problem from the next
	Count   int           `json:"count"`           // results in a row
	Attempt int           `json:"attempt"`         // problems in a row, at most those after which one is believed
	Again   bool          `json:"again,omitempty"` // it was acknowledged for a time, and that is over
	Line    string        `json:"line"`            // what the check said
	Perf    string        `json:"perf,omitempty"`  // its performance data, as it was written
	Checked time.Time     `json:"checked"`         // and when
	// Stood is how long it was a problem when it is told late, or again.
	Stood    time.Duration `json:"stood,omitempty"`
	Unheeded bool          `json:"unheeded,omitempty"` // nobody acknowledged it for the time of the action
	To       []string      `json:"to,omitempty"`       // of the action's contacts, who is told; empty: all
}

// late notes how long a problem stands that is told now.
func (e *Event) late(now, bad time.Time, unheeded bool) {
	if stood := now.Sub(bad).Truncate(time.Second); e.Status != model.OK && !bad.IsZero() && (unheeded || stood >= time.Minute) {
		e.Stood, e.Unheeded = stood, unheeded
	}
}

// event gives what there is to tell.
func (s *settled) event(on string, to []string) Event {
	st := &s.stand
	e := Event{To: to, Key: s.p.Key, On: on, Status: st.Hard, Since: st.Since, Bad: st.Bad, Count: st.Count, Attempt: st.Attempt, Again: s.again, Line: st.Line, Perf: st.Perf, Checked: st.At}
	if old := s.p.stand.Since; !old.IsZero() {
		e.Was = st.Since.Sub(old)
	}
	if on == string(model.Recovery) && !st.Bad.IsZero() {
		e.Was = st.Since.Sub(st.Bad) // the outage, whatever became of it on the way
	}
	if on == model.OnStays {
		e.Was = st.At.Sub(st.Since)
	}
	return e
}

// add notes one; without an action it goes to the first channel.
func (s *settled) add(a *model.Rule, e Event) {
	b, err := json.Marshal(e)
	if err != nil {
		return // a struct of plain values
	}
	r := row{kind: rowNotice, event: string(b)}
	if a != nil {
		r.action = a.Name
		switch {
		case a.Task != "":
			r.kind = rowRun
		case len(a.Notify) == 0:
			r.kind = rowDo
		}
	}
	s.events = append(s.events, r)
}
