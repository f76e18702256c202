package plain

import "time"

// Time writes a moment in the one form that all text has, chat, command line and what is kept on record: the day, the clock of
// this machine, and the zone as its distance from UTC, because a name as CST is that of several.
func Time(t time.Time) string {
	if t = t.Local(); t.Format("-07:00") == "+00:00" {
		return t.Format("2006-01-02 15:04:05") + " UTC"
	}
	return t.Format("2006-01-02 15:04:05 -07:00")
}
