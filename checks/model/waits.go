package model

import (
	"time"

	"github.com/jarvisops/jarvis/checks/calendar"
)

// Wait is what waits for the begin of a period: a check itself, or who is told of its problem, or what is done about
// it.
type Wait struct {
	What   string    `json:"what" doc:"check, or as in contact boss or action mend"`
	Period string    `json:"period"`
	Until  time.Time `json:"until,omitzero" doc:"when it begins; without it, it does not come again"`
}

// Waits gives what waits for a period with a check. heard is what its listeners were told last.
func (c *Catalog) Waits(k Key, st Stand, heard map[string]Heard, now time.Time) (out []Wait) {
	if def := c.Plans[k].Def; def != nil {
		if p := c.periods[def.Period]; p != nil && !p.Within(now) {
			out = append(out, Wait{"check", def.Period, p.Next(now)})
		}
	}
	if st.Hard == OK && !st.Flapping && len(heard) == 0 {
		return out
	}
	for _, l := range c.Listeners {
		if !l.Rule.Covers(k) || l.Open(now) {
			continue
		}
		var was *Heard
		if h, ok := heard[l.Name]; ok {
			was = &h
		}
		always := *l
		always.periods = nil
		if on, _ := always.Hear(k, st, was, now); len(on) > 0 {
			out = append(out, c.waitOf(l, now))
		}
	}
	return out
}

// waitOf says for which of its periods a listener waits: the last that begins.
func (c *Catalog) waitOf(l *Listener, now time.Time) Wait {
	w := Wait{What: "action " + l.Rule.Name}
	if len(l.To) == 1 && l.Name != l.Rule.Name {
		w.What = "contact " + l.To[0]
	}
	for _, p := range l.periods {
		if p.Within(now) {
			continue
		}
		if begin := p.Next(now); w.Period == "" || begin.IsZero() || !w.Until.IsZero() && begin.After(w.Until) {
			w.Period, w.Until = c.nameOf(p), begin
		}
	}
	return w
}

// nameOf looks through all of them: a Period does not know its name.
func (c *Catalog) nameOf(p *calendar.Period) string {
	for name, x := range c.periods {
		if x == p {
			return name
		}
	}
	return ""
}
