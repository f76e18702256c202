package plain

import (
	"sync/atomic"
	"time"
)

// zone is where the clock of Time is; nil: this machine's.
var zone atomic.Pointer[time.Location]

// SetZone has Time write in a zone from now on; nil: in this machine's. A server does so, whose configuration names
// one.
func SetZone(l *time.Location) { zone.Store(l) }

// Time writes a moment in the one form that all text has, chat, command line and what is kept on record: the day, the
// clock of this machine or of SetZone, and the zone as its distance from UTC, because a name as CST is that of several.
func Time(t time.Time) string {
	at := time.Local
	if l := zone.Load(); l != nil {
		at = l
	}
	if t = t.In(at); t.Format("-07:00") == "+00:00" {
		return t.Format("2006-01-02 15:04:05") + " UTC"
	}
	return t.Format("2006-01-02 15:04:05 -07:00")
}

// Zoned writes a time that somebody named, in the zone of t: Tue 2026-12-01 03:00 +01:00 (Europe/Berlin).
func Zoned(t time.Time) string {
	clock := "15:04"
	if t.Second() != 0 {
		clock = "15:04:05"
	}
	if t.Location() == time.UTC {
		return t.Format("Mon 2006-01-02 " + clock + " UTC")
	}
	return t.Format("Mon 2006-01-02 "+clock+" -07:00") + " (" + t.Location().String() + ")"
}

// Stamp is the short form in which a page shows a time, in UTC, beside the exact one that its markup holds: 15:04, with
// the date when that is 20 hours away or more.
func Stamp(t time.Time) string {
	t = t.UTC()
	if away := time.Since(t); away > 20*time.Hour || away < -20*time.Hour {
		return t.Format("2 Jan 15:04")
	}
	return t.Format("15:04")
}

// Clock is the time of day to the second, in UTC, of a moment that is just past.
func Clock(t time.Time) string { return t.UTC().Format("15:04:05") }
