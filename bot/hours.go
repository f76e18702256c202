package bot

import (
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// clock is a time of each day.
type clock struct{ hour, minute int }

func parseClock(s string) (clock, error) {
	t, err := time.Parse("15:04", s)
	if err != nil {
		return clock{}, fmt.Errorf("%q is no time of the day; write it as in 08:00", s)
	}
	return clock{t.Hour(), t.Minute()}, nil
}

// on gives its moment on the day of t, or some days after it. A time that the clock leaves out on that day is an hour
// beside it.
func (c clock) on(t time.Time, days int) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day()+days, c.hour, c.minute, 0, 0, t.Location())
}

// last gives its last moment that is not after now, in a zone.
func (c clock) last(now time.Time, zone *time.Location) time.Time {
	now = now.In(zone)
	if at := c.on(now, 0); !at.After(now) {
		return at
	}
	return c.on(now, -1)
}

// hours are quiet hours of each day: from one moment to another, not a comparison of wall clocks, so that a night in
// which the clock is changed has them once.
type hours struct {
	from, to clock
	zone     *time.Location
}

var hoursForm = pattern.New(`^(\d\d:\d\d)\s*[-–—]\s*(\d\d:\d\d)$`)

// parseHours reads quiet hours as in 22:00–07:00, which may go over midnight. Its error goes on after the name of the
// key.
func parseHours(s string, zone *time.Location) (*hours, error) {
	m := hoursForm.FindStringSubmatch(s)
	if m == nil {
		return nil, fmt.Errorf("it must be as in 22:00–07:00")
	}
	from, err := parseClock(m[1])
	if err != nil {
		return nil, err
	}
	to, err := parseClock(m[2])
	if err != nil {
		return nil, err
	}
	if from == to {
		return nil, fmt.Errorf("it ends when it begins; to hear nothing at all, take the route out")
	}
	return &hours{from, to, zone}, nil
}

// at gives the end of the quiet hours that there are at a time.
func (h *hours) at(now time.Time) (until time.Time, quiet bool) {
	if h == nil {
		return until, false
	}
	now = now.In(h.zone)
	for back := range 2 {
		began := h.from.on(now, -back)
		// Which day it ends on, the clocks say: the moment of a beginning that is left out may lie after an end of the
		// same day, and then that day has none.
		days := -back
		if h.to.hour*60+h.to.minute <= h.from.hour*60+h.from.minute {
			days++
		}
		until := h.to.on(now, days)
		if !now.Before(began) && now.Before(until) {
			return until, true
		}
	}
	return until, false
}
