package model

import "time"

// Span is a time over which a check was one thing, by what was believed (the hard status).
type Span struct {
	From, To time.Time
	Status   Status
}

// SpanGrace is how much later than its schedule says a result may come before nobody knows how a check was meanwhile.
const SpanGrace = 10 * time.Minute

// Holds gives until when a result that began at a time says how a check is: until its second next run, and a little
// longer. Where nothing is scheduled it does until the next result; then ever is returned.
func (s Schedule) Holds(at time.Time, key string, ever time.Time) time.Time {
	if s.Never() {
		return ever
	}
	next := s.Next(at, key)
	if next.IsZero() {
		return ever
	}
	if second := s.Next(next, key); !second.IsZero() {
		next = second
	}
	return next.Add(SpanGrace)
}

// Seen is what a result says of how a check is.
type Seen struct {
	At     time.Time
	Status Status
	Soft   bool // not believed yet: it is as it was before
}

// AddSeen takes a result in, the newest so far; an older one says nothing new. holds says until when the last span may
// go on. It gives the spans with those that are new or changed from index on: what stood before it is as it was.
func AddSeen(spans []Span, r Seen, holds func(time.Time) time.Time) (out []Span, from int) {
	n := len(spans)
	if n == 0 {
		if r.Soft { // what it was before, nobody knows
			return spans, 0
		}
		return append(spans, Span{r.At, r.At, r.Status}), 0
	}
	last := &spans[n-1]
	if !r.At.After(last.To) {
		return spans, n
	}
	status := r.Status
	if r.Soft {
		status = last.Status
	}
	gap := r.At.Sub(last.To) > SpanGrace && r.At.After(holds(last.To))
	switch {
	case gap:
		return append(spans, Span{r.At, r.At, status}), n
	case status == last.Status:
		last.To = r.At
		return spans, n - 1
	}
	last.To = r.At
	return append(spans, Span{r.At, r.At, status}), n - 1
}
