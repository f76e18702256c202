package model

import (
	"slices"
	"time"
)

// Interval is a time from a moment on until before another.
type Interval struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

// long is never below 0: what lies outside of the time that is asked about is cut to nothing.
func (i Interval) long() time.Duration { return max(i.Until.Sub(i.From), 0) }

// Times is a period of people, as of package calendar.
type Times interface {
	Within(t time.Time) bool
	Next(t time.Time) time.Time // the next moment at which that changes; zero: never
}

// During gives the parts of an interval that are in a period; nil is all time.
func During(all Interval, p Times) []Interval {
	if p == nil {
		return []Interval{all}
	}
	var out []Interval
	for at := all.From; at.Before(all.Until); {
		next := p.Next(at)
		if next.IsZero() || next.After(all.Until) {
			next = all.Until
		}
		if p.Within(at) {
			out = append(out, Interval{at, next})
		}
		at = next
	}
	return out
}

// Without takes times away from others; both are in order, and those of each apart from one another.
func Without(list, away []Interval) []Interval {
	var out []Interval
	for _, i := range list {
		for _, a := range away {
			if !a.Until.After(i.From) || !a.From.Before(i.Until) {
				continue
			}
			if a.From.After(i.From) {
				out = append(out, Interval{i.From, a.From})
			}
			i.From = a.Until
			if !i.From.Before(i.Until) {
				break
			}
		}
		if i.From.Before(i.Until) {
			out = append(out, i)
		}
	}
	return out
}

// Joined puts times in order, and makes one of those that meet.
func Joined(list []Interval) []Interval {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Interval) int { return a.From.Compare(b.From) })
	var out []Interval
	for _, i := range list {
		if n := len(out); n > 0 && !i.From.After(out[n-1].Until) {
			if i.Until.After(out[n-1].Until) {
				out[n-1].Until = i.Until
			}
			continue
		}
		out = append(out, i)
	}
	return out
}

// Figures is how a check was over a time, by what was believed of it (the hard status).
type Figures struct {
	Asked    time.Duration `json:"asked" doc:"the time that counts: that which was asked about, in the period, without planned downtimes"`
	Known    time.Duration `json:"known" doc:"how much of it is on record; over the rest nobody looked, or it is not kept any more"`
	OK       time.Duration `json:"ok"`
	Warning  time.Duration `json:"warning"`
	Critical time.Duration `json:"critical"`
	Unknown  time.Duration `json:"unknown"`
	Planned  time.Duration `json:"planned" doc:"left out: in downtimes that people planned"`
	Uptime   *float64      `json:"uptime,omitempty" doc:"the part of the known time in which it was OK, 0 to 1; missing: nothing is known"`
	Outages  []Outage      `json:"outages" doc:"the oldest first"`
}

// Outage is a time in which a check was not OK.
type Outage struct {
	Begin  time.Time     `json:"begin"`
	End    time.Time     `json:"end,omitzero" doc:"missing: it goes on"`
	Took   time.Duration `json:"took" doc:"of it in the time that counts"`
	Status Status        `json:"status" doc:"the worst: 1 WARNING, 2 CRITICAL, 3 UNKNOWN"`
	Cut    bool          `json:"cut,omitempty" doc:"a part of it lies outside of the time that was asked about, or nobody knows when it began or ended"`
}

// FiguresOf sums spans up over the times that count, both in order. all is the time that was asked about, ongoing says
// that the last span goes on at its end.
func FiguresOf(spans []Span, counts []Interval, all Interval, ongoing bool) Figures {
	f := Figures{Outages: []Outage{}}
	for _, c := range counts {
		f.Asked += c.long()
	}
	var open *Outage
	var last time.Time // of the span before
	shut := func() {
		if open != nil && open.Took > 0 {
			f.Outages = append(f.Outages, *open)
		}
		open = nil
	}
	for i, s := range spans {
		if !s.To.After(all.From) || !s.From.Before(all.Until) {
			continue
		}
		if s.Status == OK || !s.From.Equal(last) {
			if open != nil && !s.From.Equal(last) {
				open.Cut = true
			}
			shut()
		}
		last = s.To
		part := f.add(s, counts)
		if s.Status == OK {
			continue
		}
		if open == nil {
			open = &Outage{Begin: s.From, Status: s.Status, Cut: s.From.Before(all.From) || i > 0 && !spans[i-1].To.Equal(s.From) || i == 0}
		}
		open.End, open.Took = s.To, open.Took+part
		if s.Status.Worse(open.Status) {
			open.Status = s.Status
		}
		if i == len(spans)-1 && ongoing {
			open.End = time.Time{}
		} else if s.To.After(all.Until) || i == len(spans)-1 {
			open.Cut = true
		}
	}
	shut()
	if f.Known > 0 {
		up := float64(f.OK) / float64(f.Known)
		f.Uptime = &up
	}
	return f
}

// add counts a span where it counts, and gives how much of it does.
func (f *Figures) add(s Span, counts []Interval) (part time.Duration) {
	for _, c := range counts {
		if from, until := later(s.From, c.From), Earlier(s.To, c.Until); until.After(from) {
			part += until.Sub(from)
		}
	}
	f.Known += part
	*[]*time.Duration{&f.OK, &f.Warning, &f.Critical, &f.Unknown}[s.Status] += part
	return part
}

// Sum adds up the figures of several checks: their times, and no outages.
func Sum(list []Figures) Figures {
	sum := Figures{Outages: []Outage{}}
	for _, f := range list {
		sum.Asked += f.Asked
		sum.Known += f.Known
		sum.OK += f.OK
		sum.Warning += f.Warning
		sum.Critical += f.Critical
		sum.Unknown += f.Unknown
		sum.Planned += f.Planned
	}
	if sum.Known > 0 {
		up := float64(sum.OK) / float64(sum.Known)
		sum.Uptime = &up
	}
	return sum
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Earlier gives the first of two times.
func Earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
