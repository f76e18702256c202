package checks

import (
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
)

// passive reports whether the results of a pair are delivered.
func (p *pair) passive() bool { return p.Def != nil && p.Def.Passive }

// heardLast is when something was last known of a passive pair: its last result, or when it was declared.
func (p *pair) heardLast() time.Time {
	if p.stand.At.After(p.stand.Made) {
		return p.stand.At
	}
	return p.stand.Made
}

// staleAt is when a passive pair has had no result for too long; zero: never. A time ahead of now comes from a clock
// that was set back.
func (p *pair) staleAt(now time.Time) time.Time {
	if p.Def.Fresh <= 0 {
		return time.Time{}
	}
	heard := p.heardLast()
	if heard.IsZero() || heard.After(now) {
		heard = now
	}
	return heard.Add(p.Def.Fresh)
}

// firstStale is staleAt where nobody listened from one time until another: those who deliver are given that long again.
func (p *pair) firstStale(now, from, until time.Time) time.Time {
	at := p.staleAt(now)
	if at.IsZero() {
		return at
	}
	if heard := p.heardLast(); heard.After(from) {
		from = heard
	}
	if away := until.Sub(from); away > 0 && !from.IsZero() {
		at = at.Add(min(away, p.Def.Fresh))
	}
	if at.Before(now) {
		return now
	}
	return at
}

// stale reports whether a passive pair has had no result for too long.
func (p *pair) stale(now time.Time) bool {
	at := p.staleAt(now)
	return !at.IsZero() && !now.Before(at)
}

// staleText says so.
func (p *pair) staleText() string {
	text := "no result yet"
	if heard := p.stand.Heard; !heard.IsZero() {
		text = "no result since " + plain.Time(heard)
	} else if !p.stand.Made.IsZero() {
		text += ", since " + plain.Time(p.stand.Made)
	}
	return text + "; one is due each " + plain.Duration(p.Def.Fresh)
}
