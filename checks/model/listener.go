package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/calendar"
)

// Listener is who is told what an action follows on at times of its own: in a period, after a while, or again and
// again. What it was told last is remembered for each check.
type Listener struct {
	Name    string // of what is remembered: ACTION or ACTION/CONTACT
	Rule    *Rule
	To      []string           // contacts of the action; nil: all, or it tells nobody
	periods []*calendar.Period // all must be open
}

// Heard is what a listener was told last of a check. Without an At, or with the Bad of another problem, it is still to
// be told of the one that stands: also when an edit leaves no listener of that name, so that nobody else would know of
// it.
type Heard struct {
	Told    Status    `json:"told"`            // OK: it is to be told again
	At      time.Time `json:"at,omitzero"`     // when; zero: of no problem yet
	Through uint8     `json:"through"`         // a bit for each status since it was OK
	Flaps   bool      `json:"flaps,omitempty"` // it knows that it flaps
	Bad     time.Time `json:"bad,omitzero"`    // since when it was not OK, of the problem that was told, or waits; zero: an older Jarvis told it
}

// Stand is what a listener may be told of.
type Stand struct {
	State
	Known time.Time // since when the problem is told
	Acked bool
}

// Equal reports whether both are the same.
func (h Heard) Equal(o Heard) bool {
	return h.Told == o.Told && h.At.Equal(o.At) && h.Through == o.Through && h.Flaps == o.Flaps && h.Bad.Equal(o.Bad)
}

// timed reports whether an action has times of its own.
func (a *Action) timed() bool { return a.After > 0 || a.Every > 0 || a.Period != "" }

// listen finds the listeners of a rule; who remains is told at each transition.
func (c *Catalog) listen(a *Rule) {
	if a.Graphite != "" {
		return
	}
	var periods []*calendar.Period
	if p := c.periods[a.Period]; p != nil {
		periods = append(periods, p)
	}
	plain := []string{}
	for _, n := range a.Notify {
		p := c.periods[c.contacts[n].Period]
		if p == nil {
			plain = append(plain, n)
			continue
		}
		c.Listeners = append(c.Listeners, &Listener{Name: a.Name + "/" + n, Rule: a, To: []string{n}, periods: append(slices.Clone(periods), p)})
	}
	switch none := len(plain) == 0 && len(a.Notify) > 0; {
	case none:
		a.Silent = true
	case a.timed():
		a.Silent = true
		c.Listeners = append(c.Listeners, &Listener{Name: a.Name, Rule: a, To: less(plain, a.Notify), periods: periods})
	default:
		a.To = less(plain, a.Notify)
	}
}

// less gives a part of a list; nil: it is all of it.
func less(part, all []string) []string {
	if len(part) == len(all) {
		return nil
	}
	return part
}

// Open reports whether all its periods are.
func (l *Listener) Open(now time.Time) bool {
	return !slices.ContainsFunc(l.periods, func(p *calendar.Period) bool { return !p.Within(now) })
}

// Hear gives what a listener is told now of a check that its rule covers, in the words of `on`, and what it has heard
// then; nil: what it has heard is forgotten. Nothing holds the check back: no downtime, and no host that is down.
func (l *Listener) Hear(k Key, st Stand, h *Heard, now time.Time) (on []string, heard *Heard) {
	var x Heard
	if h != nil {
		x = *h
	}
	if !l.Open(now) {
		if st.Hard == OK || st.Acked || !l.Rule.Heeds(&st.State, string(Problem)) || !x.waits(st.Bad) {
			return nil, h
		}
		return nil, &x
	}
	if st.Flapping != x.Flaps && l.Rule.After == 0 {
		x.Flaps = st.Flapping
		t := Steady
		if st.Flapping {
			t = Flaps
		}
		on = l.want(on, k, st, t)
	}
	if !st.Flapping {
		on = append(on, l.hearStatus(k, st, &x, now)...)
	}
	if x == (Heard{}) {
		return on, nil
	}
	return on, &x
}

// hearStatus is Hear of a status, while it does not flap.
func (l *Listener) hearStatus(k Key, st Stand, x *Heard, now time.Time) (on []string) {
	if st.Hard == OK {
		if !x.At.IsZero() {
			st.Through = x.Through
			on = l.want(on, k, st, Recovery)
		}
		*x = Heard{Flaps: x.Flaps}
		return on
	}
	if st.Acked || !l.Rule.Heeds(&st.State, string(Problem)) {
		return nil
	}
	if now.Before(st.Known.Add(l.Rule.After)) {
		x.waits(st.Bad)
		return nil
	}
	if !x.Bad.IsZero() && !x.Bad.Equal(st.Bad) { // it was OK while nobody was told
		x.Told, x.Through = OK, 0
	}
	switch {
	case x.Told == OK:
		on = l.want(on, k, st, Problem)
	case x.Told != st.Hard:
		on = l.want(on, k, st, Change)
	case l.Rule.Every > 0 && !now.Before(x.At.Add(l.Rule.Every)):
		on = append(on, OnStays)
	default:
		return nil
	}
	x.Told, x.At, x.Through, x.Bad = st.Hard, now, x.Through|1<<st.Hard, st.Bad
	return on
}

// waits notes that a problem is still to be told, unless one was told already; it reports whether it did.
func (h *Heard) waits(bad time.Time) bool {
	if !h.At.IsZero() || bad.IsZero() {
		return false
	}
	h.Bad = bad
	return true
}

// Owed is a problem of which somebody would have been told at a time of their own, and who has no such time any more.
type Owed struct {
	Rule *Rule
	To   []string // contacts of the rule; nil: all
}

// Owed finds what an edit of the definitions left untold: heard has a listener that waits, and its action, or contact,
// is told at each transition now, of which there may be no other for long. Of a listener that is still there it is
// nothing.
func (c *Catalog) Owed(k Key, st Stand, heard map[string]Heard) (out []Owed) {
	if st.Hard == OK || st.Flapping || st.Acked {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(heard)) {
		h := heard[name]
		told := !h.At.IsZero() && h.Bad.Equal(st.Bad) // of this problem
		if told || h.Bad.IsZero() || slices.ContainsFunc(c.Listeners, func(l *Listener) bool { return l.Name == name }) {
			continue
		}
		action, contact, one := strings.Cut(name, "/")
		for _, r := range c.Rules {
			if r.Name != action || !r.Follows(k, string(Problem)) || !r.Heeds(&st.State, string(Problem)) {
				continue
			}
			switch {
			case !one && !r.Silent:
				out = append(out, Owed{r, r.To})
			case one && c.tells(r, contact, heard):
				out = append(out, Owed{r, []string{contact}})
			}
		}
	}
	return out
}

// tells reports whether a contact is told by a rule with the others that have no time of their own, and these know of
// the problem already.
func (c *Catalog) tells(r *Rule, contact string, heard map[string]Heard) bool {
	among := func(to []string) bool {
		return slices.Contains(to, contact) || to == nil && slices.Contains(r.Notify, contact)
	}
	if !r.Silent {
		return among(r.To)
	}
	return slices.ContainsFunc(c.Listeners, func(l *Listener) bool {
		return l.Name == r.Name && among(l.To) && !heard[l.Name].At.IsZero()
	})
}

// want adds a transition that the rule follows on. What acts, and does so after a while or again, acts on problems
// alone, unless it says otherwise.
func (l *Listener) want(on []string, k Key, st Stand, t Transition) []string {
	a := l.Rule
	acts := len(a.On) == 0 && (a.After > 0 || a.Every > 0) && (a.Task != "" || a.Run != "")
	if acts && t != Problem || !a.Follows(k, string(t)) || !a.Heeds(&st.State, string(t)) {
		return on
	}
	return append(on, string(t))
}

// checkTimed says what is wrong with the times of an action.
func (d *Defs) checkTimed(a *Action) error {
	switch {
	case a.After < 0 || a.Every < 0:
		return fmt.Errorf("after and every cannot be negative")
	case a.Every > 0 && a.Every < time.Minute:
		return fmt.Errorf("every is %s; it is a minute at least", a.Every)
	case a.timed() && a.Graphite != "":
		return fmt.Errorf("graphite is given every value, at any time: it has no after, every and period")
	}
	if err := d.knowsPeriod(a.Period); err != nil || a.After == 0 && a.Every == 0 {
		return err
	}
	if a.Stays > 0 {
		return fmt.Errorf("on: [stays] counts results, and after and every are times: it has one of them")
	}
	if len(a.On) > 0 && !slices.Contains(a.On, string(Problem)) {
		return fmt.Errorf("after and every are of problems: on must have problem")
	}
	if a.After > 0 && (slices.Contains(a.On, string(Flaps)) || slices.Contains(a.On, string(Steady))) {
		return fmt.Errorf("after is of problems: on cannot have flapping and steady")
	}
	return nil
}
