package model

import (
	"math/bits"
	"time"

	"github.com/jarvisops/jarvis/checks/calendar"
)

// crontab finds the times of cron fields. It walks over the clock on the wall, which knows neither zones nor jumps, and
// over the stretches of the zone between two jumps. A library that walks over instants and looks what the wall says
// went wrong where a jump is at midnight: it skipped the day.
type crontab struct {
	zone                                      *time.Location
	second, minute, hour, day, month, weekday uint64 // a bit for each value
	// either: a day of the month or a weekday is enough. As crontab(5) says, both must fit when one of them begins with
	// *.
	either bool
	// once: where the clock goes back, a time of the day that has been does not come again; where it goes forward, what
	// is missing comes as much later as the clock jumps. Else it is due whenever the wall says so.
	once bool
}

const (
	allHours = 1<<24 - 1
	// farthest is how many years are looked at: 29 February falls on a given weekday every 28 years, or 40 over 2100.
	farthest = 41
)

// next gives the first time after t, to the second; zero: never.
func (c *crontab) next(t time.Time) time.Time {
	from := t.Truncate(time.Second).Add(time.Second).In(c.zone)
	for until := from.AddDate(farthest, 0, 0); from.Before(until); {
		start, end := calendar.Bounds(from)
		if end.IsZero() || end.After(until) {
			end = until
		}
		if n := c.between(from, start, end); !n.IsZero() {
			return n
		}
		from = end
	}
	return time.Time{}
}

// between gives the first time that is not before from, in a stretch of the zone whose clock does not jump.
func (c *crontab) between(from, start, end time.Time) time.Time {
	_, offset := from.Zone()
	first, jumped := calendar.Wall(from, offset), 0
	if c.once && !start.IsZero() {
		_, before := start.Add(-time.Second).Zone()
		jumped = offset - before
		if been := calendar.Wall(start, before); jumped < 0 && first.Before(been) {
			first = been
		}
	}
	n := instant(c.onWall(first, calendar.Wall(end, offset)), offset, c.zone)
	if jumped > 0 {
		before := offset - jumped
		missing := instant(c.onWall(calendar.Wall(from, before), calendar.Wall(start, offset)), before, c.zone)
		if n.IsZero() || !missing.IsZero() && missing.Before(n) {
			n = missing
		}
	}
	return n
}

// instant is the reverse of calendar.Wall; zero stays zero.
func instant(onWall time.Time, offset int, zone *time.Location) time.Time {
	if onWall.IsZero() {
		return onWall
	}
	return onWall.Add(-time.Duration(offset) * time.Second).In(zone)
}

// onWall gives the first time that fits, not before from and before to; zero: there is none.
func (c *crontab) onWall(from, to time.Time) time.Time {
	year, month, day := from.Date()
	for date := time.Date(year, month, day, 0, 0, 0, 0, time.UTC); date.Before(to); {
		switch {
		case c.month&(1<<date.Month()) == 0:
			date = time.Date(date.Year(), date.Month()+1, 1, 0, 0, 0, 0, time.UTC)
			continue
		case c.onDay(date):
			var after time.Duration
			if from.After(date) {
				after = from.Sub(date)
			}
			if of, ok := c.ofDay(after); ok {
				if t := date.Add(of); t.Before(to) {
					return t
				}
				return time.Time{}
			}
		}
		date = date.AddDate(0, 0, 1)
	}
	return time.Time{}
}

func (c *crontab) onDay(date time.Time) bool {
	day, weekday := c.day&(1<<date.Day()) != 0, c.weekday&(1<<date.Weekday()) != 0
	if c.either {
		return day || weekday
	}
	return day && weekday
}

// ofDay gives the first time of a day that fits and is not before from.
func (c *crontab) ofDay(from time.Duration) (time.Duration, bool) {
	hour, minute, second := int(from/time.Hour), int(from/time.Minute)%60, int(from/time.Second)%60
	h, ok := bit(c.hour, hour)
	for ; ok; h, ok = bit(c.hour, h+1) {
		if h > hour {
			minute, second = 0, 0
		}
		m, ok := bit(c.minute, minute)
		for ; ok; m, ok = bit(c.minute, m+1) {
			if m > minute {
				second = 0
			}
			if s, ok := bit(c.second, second); ok {
				return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second, true
			}
		}
		minute, second = 0, 0
	}
	return 0, false
}

// bit gives the lowest bit of a field that is set, from one on.
func bit(field uint64, from int) (int, bool) {
	n := bits.TrailingZeros64(field &^ starBit >> from << from)
	return n, n < 64
}

// starBit is what the parser marks a field of * with.
const starBit = 1 << 63
