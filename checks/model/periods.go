package model

import (
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/checks/calendar"
	"github.com/jarvisops/jarvis/internal/plain"
)

// maxBegins is how many beginnings of a period are looked at for one that a schedule has a time in.
const maxBegins = 1000

// In has a schedule be due only in a period; nil is all time.
func (s Schedule) In(p *calendar.Period) Schedule {
	s.period = p
	return s
}

// May reports whether it is due at all at a moment.
func (s Schedule) May(t time.Time) bool { return s.period == nil || s.period.Within(t) }

// inside gives the first time from n on, which it is due at, that is in its period; zero: there is none.
func (s Schedule) inside(n time.Time, share float64) time.Time {
	for range maxBegins {
		if n.IsZero() || s.period.Within(n) {
			return n
		}
		begin := s.period.Next(n)
		if begin.IsZero() {
			return begin
		}
		n = s.anyTime(begin.Add(-1), share)
	}
	return time.Time{}
}

// moved gives a time at which a check is due that runs every so often: n itself, or when that is not in the period a
// time when it is: the first that it is due at anyway, or else the host's part of the period, so that each host has
// one. Zero: it never is.
func (s Schedule) moved(n time.Time, share float64) time.Time {
	if s.period.Within(n) {
		return n
	}
	begin := s.period.Next(n)
	if begin.IsZero() {
		return begin
	}
	end := s.period.Next(begin)
	if due := s.anyTime(begin.Add(-1), share); end.IsZero() || due.Before(end) {
		return due
	}
	return begin.Add(time.Duration(share * float64(end.Sub(begin))))
}

// periods makes those that are right, by their names; what is wrong with the others is under their index.
func (d *Defs) periods(now time.Time) (map[string]*calendar.Period, map[int]error) {
	return calendar.Compile(d.Periods, now)
}

// knowsPeriod says what is wrong with the name of a period; "" names no period, and is fine.
func (d *Defs) knowsPeriod(name string) error {
	for _, p := range d.Periods {
		if p.Name == name {
			return nil
		}
	}
	if name == "" {
		return nil
	}
	return fmt.Errorf("there is no period %s", name)
}

// checkTimes says whether a schedule is ever due in the period of a task. One that is over is no mistake: it was right
// once.
func checkTimes(s Schedule, period string, made map[string]*calendar.Period, now time.Time) error {
	p := made[period]
	if p == nil || s.Never() || p.Begin(now).IsZero() {
		return nil
	}
	within := s.In(p)
	if within.next(now, 0).IsZero() {
		return fmt.Errorf("its schedule %s is never due in its period %s", s, period)
	}
	for _, share := range []float64{0.25, 0.5, 0.75, 0.999} { // a few hosts stand for all
		if within.next(now, share).IsZero() {
			return fmt.Errorf("its schedule %s is never due in its period %s for a part of the hosts: the jitter of %s leads out of it; make it shorter", s, period, plain.Duration(s.jitter))
		}
	}
	return nil
}

// tellOver says which periods will not be again, and what is not done for that.
func (c *Catalog) tellOver(now time.Time) {
	over := func(period, format string, args ...any) {
		if p := c.periods[period]; p != nil && p.Begin(now).IsZero() {
			c.Unclear = append(c.Unclear, fmt.Sprintf("the period %s is over: ", period)+fmt.Sprintf(format, args...))
		}
	}
	for _, t := range c.Defs.Tasks {
		over(t.Period, "the task %s is not checked any more", t.Name)
	}
	for _, a := range c.Defs.Actions {
		over(a.Period, "the action %s does nothing any more", a.Name)
	}
	for _, x := range c.Defs.Contacts {
		over(x.Period, "the contact %s is told nothing any more", x.Name)
	}
}
