package calendar

import "time"

// Bounds gives the stretch of a zone's time around t whose clock does not jump, as t.ZoneBounds does; zero: it has no
// such end. The end is always after t: that of the library is not on the last day of leap years from 2040 on, and a
// walk would stand still there.
func Bounds(t time.Time) (start, end time.Time) {
	start, end = t.ZoneBounds()
	if !end.IsZero() && !end.After(t) {
		end = t.Add(time.Hour)
	}
	return start, end
}

// Wall gives what a clock that is offset seconds before UTC shows at a moment, as if it were UTC.
func Wall(t time.Time, offset int) time.Time {
	return t.UTC().Add(time.Duration(offset) * time.Second)
}
