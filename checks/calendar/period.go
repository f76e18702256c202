package calendar

import (
	"crypto/sha256"
	"slices"
	"sync/atomic"
	"time"
)

// Period is a time of people.
type Period struct {
	sum    [sha256.Size]byte // of all that it was made of
	zone   *time.Location
	lines  []line
	last   time.Time // the last day that a line names, where all lines name days that end
	parts  []part    // it, and all that is taken away from it and from that: each once, and after its own exceptions
	always bool      // it neither begins nor ends
	known  atomic.Pointer[stretch]
	edges  atomic.Pointer[stretch] // of its lines alone
}

// part is a period with the places of its exceptions among the parts of one.
type part struct {
	*Period
	except []int
}

// stretch is a time in which nothing changes.
type stretch struct{ from, next, until time.Time }

const (
	// farthest is how many years are looked at: 29 February falls on a given weekday every 28 years, or 40 over 2100.
	farthest = 41
	day      = 24 * time.Hour
)

// Same reports whether two periods are the same times; nil is all time.
func (p *Period) Same(o *Period) bool {
	if p == nil || o == nil {
		return p == o
	}
	return p.sum == o.sum
}

// Within reports whether it is the period at a moment.
func (p *Period) Within(t time.Time) bool {
	if own := p.shows(p.shown(t)); !own || len(p.parts) == 1 {
		return own
	}
	in := make([]bool, len(p.parts))
	for i, x := range p.parts {
		in[i] = x.shows(x.shown(t))
	}
	return p.within(in)
}

// within says the same, of whether the lines of each part have a time on the wall.
func (p *Period) within(lines []bool) bool {
	in := make([]bool, len(lines))
	for i, x := range p.parts {
		in[i] = lines[i] && !slices.ContainsFunc(x.except, func(k int) bool { return in[k] })
	}
	return in[len(in)-1]
}

// shows reports whether the lines have a time on the wall.
func (p *Period) shows(shown time.Time) bool {
	today := shown.Truncate(day)
	in := func(d time.Time) bool {
		at := int(shown.Sub(d) / time.Minute)
		return slices.ContainsFunc(p.of(d), func(s span) bool { return s.from <= at && at < s.to })
	}
	return in(today) || in(today.Add(-day))
}

// Next gives the first moment after t at which the period begins or ends; zero: it does neither in the next decades.
func (p *Period) Next(t time.Time) time.Time {
	if p.always {
		return time.Time{}
	}
	if k := p.known.Load(); k != nil && !t.Before(k.from) && t.Before(k.until) {
		return k.next
	}
	k := &stretch{from: t, until: t.AddDate(1, 0, 0)}
	if n := p.walk(t, t.AddDate(farthest, 0, 0)); !n.IsZero() {
		k.next, k.until = n, n
	}
	p.known.Store(k)
	return k.next
}

// walk goes from edge to edge of the parts. Each is asked for its next one only when it has passed the last: to find
// that there is none all days up to the end are looked at.
func (p *Period) walk(t, end time.Time) time.Time {
	in, next := make([]bool, len(p.parts)), make([]time.Time, len(p.parts))
	for i, x := range p.parts {
		in[i], next[i] = x.shows(x.shown(t)), x.ahead(t)
	}
	was := p.within(in)
	for {
		var n time.Time
		for _, x := range next {
			if !x.IsZero() && (n.IsZero() || x.Before(n)) {
				n = x
			}
		}
		if n.IsZero() || n.After(end) {
			return time.Time{}
		}
		for i, x := range p.parts {
			if next[i].Equal(n) {
				in[i], next[i] = x.shows(x.shown(n)), x.edge(n, end)
			}
		}
		if p.within(in) != was {
			return n.In(p.zone)
		}
	}
}

// ahead is edge for the next decades. What was found is kept while it holds.
func (p *Period) ahead(t time.Time) time.Time {
	if k := p.edges.Load(); k != nil && !t.Before(k.from) && t.Before(k.until) {
		return k.next
	}
	k := &stretch{from: t, until: t.AddDate(1, 0, 0)}
	if n := p.edge(t, t.AddDate(farthest, 0, 0)); !n.IsZero() {
		k.next, k.until = n, n
	}
	p.edges.Store(k)
	return k.next
}

// Begin gives t when it is the period then, and the moment at which it next begins when not; zero: it does not come
// again.
func (p *Period) Begin(t time.Time) time.Time {
	if p.Within(t) {
		return t
	}
	return p.Next(t)
}

// of gives the times of a day, a midnight of UTC: those of the lines that name it most exactly; off wins.
func (p *Period) of(d time.Time) (out []span) {
	best, off := kind(-1), false
	for i := range p.lines {
		l := &p.lines[i]
		if l.days.kind < best || !l.days.match(d) {
			continue
		}
		if l.days.kind > best {
			best, out, off = l.days.kind, nil, false
		}
		out, off = append(out, l.at...), off || l.off
	}
	if off {
		return nil
	}
	return out
}

// isAlways reports whether its lines leave out no minute of a week, and nothing else changes that.
func (p *Period) isAlways() bool {
	if len(p.parts) > 1 || slices.ContainsFunc(p.lines, func(l line) bool { return l.days.kind != weekly }) {
		return false
	}
	for n := range 7 * fullDay {
		if !p.shows(time.Date(2026, 1, 1, 0, n, 0, 0, time.UTC)) {
			return false
		}
	}
	return true
}

// edge gives the first moment after t, and before end, at which the lines may begin or end; zero: there is none.
func (p *Period) edge(t, end time.Time) (first time.Time) {
	stop := end.Add(day)
	if over := p.last.Add(3 * day); !p.last.IsZero() && over.Before(stop) { // its times may end on the day after
		stop = over
	}
	for d := p.shown(t).Truncate(day); first.IsZero() && d.Before(stop); d = d.Add(day) {
		for back := range 2 { // a time of the day before may end on this one
			on := d.AddDate(0, 0, -back)
			for _, s := range p.of(on) {
				for _, at := range []int{s.from, s.to} {
					if at -= back * fullDay; at < 0 || at > fullDay {
						continue
					}
					if n := p.moment(d.Add(time.Duration(at) * time.Minute)); n.After(t) && (first.IsZero() || n.Before(first)) {
						first = n
					}
				}
			}
		}
	}
	if first.After(end) {
		return time.Time{}
	}
	return first
}

// shown gives the latest time that the clock on the wall has shown by a moment, as if it were UTC.
func (p *Period) shown(t time.Time) time.Time {
	t = t.In(p.zone)
	_, offset := t.Zone()
	out := Wall(t, offset)
	for at := t; ; { // what was shown before the clock was set back
		start, _ := Bounds(at)
		if start.IsZero() || t.Sub(start) > 2*day {
			return out
		}
		at = start.Add(-1)
		_, before := at.Zone()
		if been := Wall(at, before); been.After(out) {
			out = been
		}
	}
}

// moment gives the first at which the clock on the wall has shown a time, or a later one.
func (p *Period) moment(shows time.Time) time.Time {
	at := shows.Add(-2 * day).In(p.zone) // no zone is so far from UTC, with a jump
	for {
		_, end := Bounds(at)
		_, offset := at.Zone()
		if n := shows.Add(-time.Duration(offset) * time.Second); end.IsZero() || n.Before(end) {
			if n.Before(at) { // the clock left it out
				n = at
			}
			return n.In(p.zone)
		}
		at = end.In(p.zone)
	}
}
