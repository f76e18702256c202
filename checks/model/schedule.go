package model

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
	"time"

	cron "github.com/netresearch/go-cron"

	"github.com/jarvisops/jarvis/checks/calendar"
)

// Schedule says when a check is due: five or six cron fields (the first of six is seconds), with TZ=Europe/Berlin
// before them for another zone than the server's, @hourly and its kin, or @every 90s.
type Schedule struct {
	text   string
	cron   *crontab      // nil: every
	every  time.Duration // with neither it is never due: it runs when an action wants it
	jitter time.Duration
	// Of cron: some hours are named, so that each of its times comes once on a day when clocks are changed.
	fixed  bool
	period *calendar.Period // nil: all time
}

const shortestEvery = time.Second

var cronParser = cron.MustNewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// descriptors are the short names, written out: what holds for the fields holds for them.
var descriptors = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// ParseSchedule reads a schedule. jitter spreads checks that are due at the same time: each pair has its own part of
// it, always the same.
func ParseSchedule(text string, jitter time.Duration) (Schedule, error) {
	s := Schedule{text: text, jitter: jitter}
	if jitter < 0 {
		return s, fmt.Errorf("the jitter %s is negative", jitter)
	}
	fields := strings.Fields(text)
	zone := time.Local
	if len(fields) > 0 {
		for _, prefix := range []string{"TZ=", "CRON_TZ="} {
			if name, ok := strings.CutPrefix(fields[0], prefix); ok {
				var err error
				if zone, err = time.LoadLocation(name); err != nil || name == "" {
					return s, fmt.Errorf("%q: there is no zone %q", text, name)
				}
				fields = fields[1:]
				break
			}
		}
	}
	if len(fields) == 2 && fields[0] == "@every" {
		var err error
		if s.every, err = time.ParseDuration(fields[1]); err != nil || s.every < shortestEvery {
			return s, fmt.Errorf("%q is no time of at least %s, as in @every 90s", fields[1], shortestEvery)
		}
		return s, nil
	}
	if len(fields) == 1 && descriptors[fields[0]] != "" {
		fields = strings.Fields(descriptors[fields[0]])
	}
	// Asterisks and digits are all that most people write; the parser's extensions would be promises of ours.
	parsed, err := cronParser.Parse(strings.Join(fields, " "))
	if err != nil {
		return s, fmt.Errorf("%q is no schedule: %w", text, err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if n := len(fields); !ok || n < 5 {
		return s, fmt.Errorf("%q is no schedule", text)
	}
	day, weekday := fields[len(fields)-3], fields[len(fields)-1]
	s.cron = &crontab{zone: zone, second: spec.Second, minute: spec.Minute, hour: spec.Hour, day: spec.Dom, month: spec.Month, weekday: spec.Dow,
		either: !strings.ContainsAny(day[:1], "*?") && !strings.ContainsAny(weekday[:1], "*?")}
	s.fixed = bits.OnesCount64(spec.Hour&allHours) < 24
	s.cron.once = s.fixed
	if s.cron.next(time.Now()).IsZero() {
		return s, fmt.Errorf("%q never comes", text)
	}
	return s, nil
}

// String gives what was written.
func (s Schedule) String() string { return s.text }

// Next gives the first time after t at which a pair is due. The pair's key moves it within the jitter, and spreads what
// is due every so often evenly over that time, so that a restart does not make a thousand checks start at once.
func (s Schedule) Next(t time.Time, key string) time.Time {
	if s.Never() {
		return time.Time{}
	}
	return s.next(t, Part(key))
}

// next is Next for a pair's part of the jitter.
func (s Schedule) next(t time.Time, share float64) time.Time {
	n := s.anyTime(t, share)
	if s.period == nil {
		return n
	}
	if s.every > 0 {
		if late := s.moved(n.Add(-s.every), share); late.After(t) {
			return late
		}
		return s.moved(n, share)
	}
	return s.inside(n, share)
}

// anyTime is next, whatever the period.
func (s Schedule) anyTime(t time.Time, share float64) time.Time {
	if s.cron == nil {
		offset := time.Duration(share * float64(s.every))
		n := t.Add(-offset).Truncate(s.every).Add(s.every).Add(offset)
		for !n.After(t) {
			n = n.Add(s.every)
		}
		return n
	}
	shift := time.Duration(share * float64(s.jitter))
	n := s.cron.next(t.Add(-shift))
	if n.IsZero() {
		return n
	}
	return n.Add(shift)
}

// Same reports whether two schedules are due at the same times.
func (s Schedule) Same(o Schedule) bool {
	return s.text == o.text && s.jitter == o.jitter && s.period.Same(o.period)
}

// Never reports whether it is never due: nothing but an action or a person has the check run.
func (s Schedule) Never() bool { return s.cron == nil && s.every == 0 }

// Part gives a number from 0 to 1 that belongs to a key.
func Part(key string) float64 {
	sum := sha256.Sum256([]byte(key))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}

// ByClock reports whether it is of cron fields: the clock on the wall says when it is due.
func (s Schedule) ByClock() bool { return s.cron != nil }

// Fixed reports whether it names some hours, so that each of its times comes once on a day when clocks are changed.
func (s Schedule) Fixed() bool { return s.fixed }

// Every gives the time from one run to the next; 0: the clock says when it is due, or nothing does.
func (s Schedule) Every() time.Duration { return s.every }
