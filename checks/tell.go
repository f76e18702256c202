package checks

import (
	"encoding/json"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/guard"
)

// settleResult takes a result into a pair's Standing, and finds what follows. mu is held.
func (m *Monitor) settleResult(f *finished, now time.Time) settled {
	p := f.p
	s := settled{f: f, p: p, stand: p.stand}
	if bug := guard.Do(func() { s.j = judge(&p.Plan, f.out) }); bug != nil { // what reads plugins' output meets anything
		guard.Log(m.Log, "read what a check said", "check", p.Key.String())(bug)
		s.j = judged{status: model.Unknown, line: bugText}
	}
	st := &s.stand
	flap := st.Apply(s.j.status, f.at, p.Attempts)
	st.At, st.Due, st.Took, st.Exit, st.Line, st.Perf, st.Down = f.at, f.due, f.out.took, f.out.code(), s.j.line, s.j.perf, f.out.unreachable && p.Task != model.HostAnswers
	if st.Due.IsZero() {
		st.Due = f.at
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
			st.Told = model.OK // it is told again
			s.again = true
		}
	}
	_, s.quiet = m.quiet(s.p, st, now)
	if s.quiet || !s.p.live {
		return changed
	}
	var transitions []model.Transition
	if flap != "" {
		transitions = append(transitions, flap)
	}
	if st.Ack == nil || st.Hard == model.OK {
		if t := st.Tell(); t != "" {
			transitions = append(transitions, t)
		}
	}
	for _, t := range transitions {
		changed = true
		s.say(m.cat, string(t))
	}
	if s.f != nil && st.Status != model.OK && st.Status == st.Hard && st.Ack == nil {
		for _, a := range m.cat.Rules {
			if a.Stays > 0 && st.Count%a.Stays == 0 && a.Follows(s.p.Key, model.OnStays) && a.Heeds(&st.State, model.OnStays) {
				s.add(a, model.OnStays)
			}
		}
	}
	return changed
}

// say notes what follows on a transition.
func (s *settled) say(c *model.Catalog, on string) {
	if !c.Notifies() {
		s.add(nil, on)
	}
	for _, a := range c.Rules {
		if a.Follows(s.p.Key, on) && a.Heeds(&s.stand.State, on) {
			s.add(a, on)
		}
	}
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
}

// add notes one; without an action it is said in the first channel.
func (s *settled) add(a *model.Rule, on string) {
	st := &s.stand
	e := Event{Key: s.p.Key, On: on, Status: st.Hard, Since: st.Since, Bad: st.Bad, Count: st.Count, Attempt: st.Attempt, Again: s.again, Line: st.Line, Perf: st.Perf, Checked: st.At}
	if old := s.p.stand.Since; !old.IsZero() {
		e.Was = st.Since.Sub(old)
	}
	if on == string(model.Recovery) && !st.Bad.IsZero() {
		e.Was = st.Since.Sub(st.Bad) // the outage, whatever became of it on the way
	}
	if on == model.OnStays {
		e.Was = st.At.Sub(st.Since)
	}
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
