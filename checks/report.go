package checks

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Report is how checks were over a time.
type Report struct {
	Since  time.Time     `json:"since"`
	Until  time.Time     `json:"until"`
	Within string        `json:"within,omitempty" doc:"only this period counts"`
	All    model.Figures `json:"all" doc:"the times of all these checks together; its outages are those of the checks"`
	Checks []Reported    `json:"checks" doc:"the worst first"`
	Left   int           `json:"left,omitempty" doc:"how many more checks there are, which were better"`
	Note   string        `json:"note,omitempty" doc:"how much of the time is not on record"`
}

// Reported is how one check was.
type Reported struct {
	model.Key
	Word  string    `json:"word" doc:"how it is now, by what is believed"`
	Now   time.Time `json:"now_since,omitzero" doc:"since when it is that"`
	First time.Time `json:"first,omitzero" doc:"from when on the record tells of it"`
	model.Figures
}

// ReportFilter says what a report is about.
type ReportFilter struct {
	Keys    []model.Key
	Since   time.Time
	Until   time.Time
	Within  string // a period; "": all time
	Planned bool   // downtimes that people planned count like any other time
}

// maxUnspanned is how many results that are in no span yet a report reads.
const maxUnspanned = 500_000

// Report tells how checks were, from the record. What is not on record is no part of any figure.
func (m *Monitor) Report(ctx context.Context, f ReportFilter) (Report, error) {
	now := m.now()
	if f.Until.IsZero() || f.Until.After(now) {
		f.Until = now
	}
	r := Report{Since: f.Since, Until: f.Until, Within: f.Within, Checks: []Reported{}}
	if !f.Since.Before(f.Until) {
		return r, fmt.Errorf("%w: the time of a report begins before it ends, and before now", model.ErrInvalid)
	}
	all := model.Interval{From: f.Since, Until: f.Until}
	counts, err := m.during(all, f.Within)
	if err != nil {
		return r, err
	}
	if err := m.sync(ctx); err != nil {
		return r, err
	}
	spans, err := m.spansOf(ctx, f.Keys, all, now)
	if err != nil {
		return r, err
	}
	var left []planned
	if !f.Planned {
		if left, err = m.plannedIn(ctx, all); err != nil {
			return r, err
		}
	}
	var each []model.Figures
	for _, k := range f.Keys {
		x := m.reported(k, spans[k], counts, all, left, now)
		r.Checks, each = append(r.Checks, x), append(each, x.Figures)
	}
	slices.SortStableFunc(r.Checks, func(a, b Reported) int {
		return cmp.Or(cmp.Compare(a.badness(), b.badness()), strings.Compare(a.Host, b.Host), strings.Compare(a.Task, b.Task))
	})
	r.All = model.Sum(each)
	if missing := r.All.Asked - r.All.Known; r.All.Asked > 0 && missing > r.All.Asked/100 {
		part := fmt.Sprintf("only %.0f %%", math.Floor(100*r.All.Known.Seconds()/r.All.Asked.Seconds()))
		if r.All.Known*100 < r.All.Asked {
			part = "less than 1 %"
		}
		r.Note = part + " of that time is on record; the figures are of that part"
	}
	return r, nil
}

// badness puts the lowest uptime first, and what nothing is known of last.
func (r *Reported) badness() float64 {
	if r.Uptime == nil {
		return 2
	}
	return *r.Uptime
}

// reported gives the figures of one check.
func (m *Monitor) reported(k model.Key, spans []model.Span, counts []model.Interval, all model.Interval, left []planned, now time.Time) Reported {
	x := Reported{Key: k}
	m.mu.Lock()
	if p := m.roster.pair(k); p != nil && !p.stand.At.IsZero() {
		x.Word, x.Now = p.stand.Hard.String(), p.stand.Since
	} else {
		x.Word = "PENDING"
	}
	m.mu.Unlock()
	var away []model.Interval
	for _, d := range left {
		if d.concerns(k) {
			away = append(away, d.times...)
		}
	}
	mine := model.Without(counts, model.Joined(away))
	ongoing := len(spans) > 0 && spans[len(spans)-1].To.Equal(now) && all.Until.Equal(now)
	x.Figures = model.FiguresOf(spans, mine, all, ongoing)
	for _, c := range counts {
		x.Planned += c.Until.Sub(c.From)
	}
	x.Planned -= x.Asked
	if len(spans) > 0 {
		x.First = spans[0].From
	}
	return x
}

// during gives the times of an interval that count.
func (m *Monitor) during(all model.Interval, period string) ([]model.Interval, error) {
	if period == "" {
		return model.During(all, nil), nil
	}
	m.mu.Lock()
	p := m.cat.Period(period)
	var names []string
	for _, x := range m.cat.Defs.Periods {
		names = append(names, x.Name)
	}
	m.mu.Unlock()
	if p == nil {
		return nil, fmt.Errorf("%w: there is no period %q%s", model.ErrInvalid, period, plain.Meant(period, names))
	}
	return model.During(all, p), nil
}

// spansOf gives how checks were, from the spans on record and the results that are in none yet.
func (m *Monitor) spansOf(ctx context.Context, keys []model.Key, all model.Interval, now time.Time) (map[model.Key][]model.Span, error) {
	ids, ran := map[int64]model.Key{}, map[int64]time.Time{}
	m.mu.Lock()
	for _, k := range keys {
		if p := m.roster.pair(k); p != nil {
			ids[p.id], ran[p.id] = k, p.stand.At.Truncate(time.Millisecond)
		}
	}
	m.mu.Unlock()
	after, err := m.ledger.mark(ctx, markSpans) // before the spans: what is added meanwhile says nothing new
	if err != nil {
		return nil, err
	}
	tail, _, err := m.ledger.readSeen(ctx, after, math.MaxInt64, maxUnspanned+1)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, list := range tail {
		n += len(list)
	}
	if n > maxUnspanned {
		return nil, errBehind
	}
	where, args := "WHERE until >= ? AND since < ?", []any{all.From.UnixMilli(), all.Until.UnixMilli()}
	if len(ids) == 1 {
		for id := range ids {
			where, args = where+" AND pair = ?", append(args, id)
		}
	}
	rows, err := m.ledger.readSpans(ctx, where, args...)
	if err != nil {
		return nil, err
	}
	byID := map[int64][]model.Span{}
	for _, r := range rows {
		byID[r.pair] = append(byID[r.pair], r.Span)
	}
	out := map[model.Key][]model.Span{}
	for id, k := range ids {
		spans, holds := byID[id], m.holds(id)
		for _, r := range tail[id] {
			spans, _ = model.AddSeen(spans, r, holds)
		}
		if n := len(spans); n > 0 { // it counts as it was until the next result is overdue
			if until := model.Earlier(holds(spans[n-1].To), now); until.After(spans[n-1].To) && !spans[n-1].To.Before(ran[id]) {
				spans[n-1].To = until
			}
		}
		out[k] = spans
	}
	return out, nil
}

// planned is a downtime that is no part of a report, and when it is.
type planned struct {
	concerns func(model.Key) bool
	times    []model.Interval
}

// plannedIn gives the downtimes of a time, also those that are over: of people, and those that come again.
func (m *Monitor) plannedIn(ctx context.Context, all model.Interval) ([]planned, error) {
	out, err := m.downtimes.planned(ctx, all)
	for _, q := range m.catalog().Quiets {
		out = append(out, planned{q.Concerns, model.During(all, q.When)})
	}
	return out, err
}
