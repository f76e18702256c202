package checks

import (
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
)

// A passive task has no command: programs and people deliver its results. With fresh it is a problem when none has come for so long.

const passiveText = "passive"

// passiveSchedule is the schedule of a passive task: it is never due by itself, and says what it is.
func (t *Task) passiveSchedule() Schedule {
	if t.Fresh <= 0 {
		return Schedule{text: passiveText}
	}
	return Schedule{text: passiveText + ", fresh for " + plain.Duration(t.Fresh)}
}

// checkPassive says what a passive task, or one that is not, cannot have.
func (t *Task) checkPassive(wrong *sentence) {
	if !t.Passive {
		if t.Fresh != 0 {
			wrong.add("fresh is for a passive task: say passive: true, or how often it runs as schedule")
		}
		return
	}
	var never []string
	for _, x := range []struct {
		key string
		yes bool
	}{{"command", t.Command != ""}, {"plugin", t.Plugin != ""}, {"args", len(t.Args) > 0}, {"env", len(t.Env) > 0}, {"sudo", t.Sudo}, {"from", t.From != ""},
		{"timeout", t.Timeout != 0}, {"schedule", t.Schedule != ""}, {"jitter", t.Jitter != 0}, {"retry", t.Retry != 0}, {"catch_up", t.CatchUp != ""}} {
		if x.yes {
			never = append(never, x.key)
		}
	}
	if len(never) > 0 {
		wrong.add("it is passive: Jarvis runs nothing, so it has no %s", strings.Join(never, ", "))
	}
	if t.Fresh != 0 && t.Fresh < shortestFresh {
		wrong.add("fresh is %s; it is %s at least", t.Fresh, shortestFresh)
	}
}

const shortestFresh = 10 * time.Second

// passive reports whether the results of a pair are delivered.
func (p *pair) passive() bool { return p.task != nil && p.task.Passive }

// heardLast is when something was last known of a passive pair: its last result, or when it was declared.
func (p *pair) heardLast() time.Time {
	if p.stand.At.After(p.stand.Made) {
		return p.stand.At
	}
	return p.stand.Made
}

// staleAt is when a passive pair has had no result for too long; zero: never. A time ahead of now comes from a clock that was set
// back.
func (p *pair) staleAt(now time.Time) time.Time {
	if p.task.Fresh <= 0 {
		return time.Time{}
	}
	heard := p.heardLast()
	if heard.IsZero() || heard.After(now) {
		heard = now
	}
	return heard.Add(p.task.Fresh)
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
		at = at.Add(min(away, p.task.Fresh))
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
	return text + "; one is due each " + plain.Duration(p.task.Fresh)
}
