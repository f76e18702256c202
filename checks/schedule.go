package checks

import (
	"fmt"
	"strings"
	"time"

	cron "github.com/netresearch/go-cron"
)

// Schedule says when a check is due: five or six cron fields (the first of six is seconds), with TZ=Europe/Berlin before them
// for another zone than the server's, @hourly and its kin, or @every 90s.
type Schedule struct {
	text   string
	cron   cron.Schedule // nil: every
	every  time.Duration // with neither it is never due: it runs when an action wants it
	jitter time.Duration
	// Of cron: the zone, and whether the hour is a fixed one, that must not come twice when clocks go back.
	zone  *time.Location
	fixed bool
}

const shortestEvery = time.Second

var cronParser = cron.MustNewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// ParseSchedule reads a schedule. jitter spreads checks that are due at the same time: each pair has its own part of it,
// always the same.
func ParseSchedule(text string, jitter time.Duration) (Schedule, error) {
	s := Schedule{text: text, jitter: jitter}
	text = strings.TrimSpace(text)
	if jitter < 0 {
		return s, fmt.Errorf("the jitter %s is negative", jitter)
	}
	if d, ok := strings.CutPrefix(text, "@every "); ok {
		var err error
		if s.every, err = time.ParseDuration(strings.TrimSpace(d)); err != nil || s.every < shortestEvery {
			return s, fmt.Errorf("%q is no time of at least %s, as in @every 90s", d, shortestEvery)
		}
		return s, nil
	}
	// Asterisks and digits are all that most people write; the parser's extensions would be promises of ours.
	c, err := cronParser.Parse(text)
	if err != nil {
		return s, fmt.Errorf("%q is no schedule: %w", text, err)
	}
	s.cron = c
	fields := strings.Fields(text)
	s.zone = time.Local
	for _, prefix := range []string{"TZ=", "CRON_TZ="} {
		if name, ok := strings.CutPrefix(fields[0], prefix); ok {
			if s.zone, err = time.LoadLocation(name); err != nil {
				return s, fmt.Errorf("%q: %w", text, err)
			}
			fields = fields[1:]
			break
		}
	}
	if n := len(fields); n >= 5 {
		s.fixed = !strings.HasPrefix(fields[n-4], "*")
	}
	if s.cron.Next(time.Now()).IsZero() {
		return s, fmt.Errorf("%q never comes", text)
	}
	return s, nil
}

// String gives what was written.
func (s Schedule) String() string { return s.text }

// Next gives the first time behind t at which a pair is due. The pair's key moves it within the jitter, and spreads what is
// due every so often evenly over that time, so that a restart does not make a thousand checks start at once.
func (s Schedule) Next(t time.Time, key string) time.Time {
	if s.never() {
		return time.Time{}
	}
	share := part(key)
	if s.cron == nil {
		offset := time.Duration(share * float64(s.every))
		n := t.Add(-offset).Truncate(s.every).Add(s.every).Add(offset)
		for !n.After(t) {
			n = n.Add(s.every)
		}
		return n
	}
	shift := time.Duration(share * float64(s.jitter))
	n := s.cron.Next(t.Add(-shift))
	for !n.IsZero() && s.fixed && second(n.In(s.zone)) {
		n = s.cron.Next(n)
	}
	if n.IsZero() {
		return n
	}
	return n.Add(shift)
}

// second reports whether clocks went back and this time of the day comes for the second time.
func second(t time.Time) bool {
	_, now := t.Zone()
	_, before := t.Add(-3 * time.Hour).Zone()
	if before <= now {
		return false
	}
	_, then := t.Add(-time.Duration(before-now) * time.Second).Zone()
	return then == before
}

// same reports whether two schedules are due at the same times.
func (s Schedule) same(o Schedule) bool { return s.text == o.text && s.jitter == o.jitter }

func (s Schedule) never() bool { return s.cron == nil && s.every == 0 }
