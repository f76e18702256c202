package command

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/plain"
)

// AtUsage is how a verb takes the time at which it is to begin.
const AtUsage = " [at TIME]"

// maxAhead is how far off a time may be: what was agreed on longer ago is asked for again.
const maxAhead = 30 * 24 * time.Hour

// ForTime takes the words after `at` off the arguments of a verb; "" when none are there.
func ForTime(args []string) (rest []string, at string) {
	if len(args) < 2 || !strings.EqualFold(args[1], "at") {
		return args, ""
	}
	return args[:1], strings.Join(args[2:], " ")
}

// takeTime does so for a call, and says how the words are used when they are others.
func takeTime(v Verb, c *Call) (at string, err error) {
	rest, at := ForTime(c.Args)
	if len(rest) > 1 || len(c.Args) > 1 && at == "" {
		return "", &UserError{Msg: fmt.Sprintf("`%s` is used as: %s %s", v.Name, v.Name, v.Usage), Hint: "as in `" + v.Example + " at 03:00`", Kind: ErrUsage}
	}
	c.Args = rest
	return at, nil
}

// Zone is the time zone of the times that people name; "" is UTC.
type Zone string

// Check says what is wrong with it, at the key `zone`.
func (z Zone) Check() error {
	if _, err := time.LoadLocation(string(z)); err != nil {
		return mistake.At("zone", "is %q; it must be a time zone that this machine knows, as in Europe/Berlin", string(z))
	}
	return nil
}

// Apply has the times of all answers be in the zone; "": in this machine's.
func (z Zone) Apply() {
	if l, err := time.LoadLocation(string(z)); err == nil && z != "" {
		plain.SetZone(l)
		return
	}
	plain.SetZone(nil)
}

// zone is where people's times are; the configuration was checked.
func (e *Env) zone() *time.Location {
	if zone, err := time.LoadLocation(string(e.Zone)); err == nil {
		return zone
	}
	return time.UTC
}

// when reads the time at which something is to begin: the next such time of day, or a day with one, in the zone of the
// configuration; or as in RFC 3339, with its offset.
func (e *Env) when(text string) (time.Time, error) {
	now, zone := e.Now(), e.zone()
	t, err := readTime(text, now, zone)
	switch {
	case err != nil:
		return t, err
	case !t.After(now):
		return t, &UserError{Msg: fmt.Sprintf("%s is in the past: it is %s", plain.Zoned(t), plain.Zoned(now.In(zone))), Kind: ErrUsage}
	case t.Sub(now) > maxAhead:
		return t, &UserError{Msg: fmt.Sprintf("%s is more than %d days from now", plain.Zoned(t), int(maxAhead.Hours()/24)), Hint: "ask again when it is nearer", Kind: ErrUsage}
	}
	return t, nil
}

// readTime is when without its bounds: the time may be in the past. A time of day is the next one; what the clock's
// change makes twice, or leaves out, is an error.
func readTime(text string, now time.Time, zone *time.Location) (time.Time, error) {
	now = now.In(zone)
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		if _, away := t.Zone(); away > 14*3600 || away < -12*3600 {
			return t, &UserError{Msg: fmt.Sprintf("no zone is as far from UTC as that of %q", clip(text, 40)), Hint: "zones go from -12:00 to +14:00", Kind: ErrUsage}
		}
		return t.In(zone), nil
	}
	if day, err := time.Parse(dayTime, strings.Replace(text, "T", " ", 1)); err == nil {
		list, err := moments(day, zone)
		if err == nil && len(list) > 1 {
			err = twice(list)
		}
		if err != nil {
			return day, err
		}
		return list[0], nil
	}
	clock, err := time.Parse("15:04", text)
	if err != nil {
		return now, &UserError{Msg: fmt.Sprintf("%q is no time that I know", clip(text, 40)), Hint: "write it as in `at 03:00` or `at " + time.Date(now.Year(), now.Month(), now.Day()+1, 3, 0, 0, 0, now.Location()).Format(dayTime) + "`", Kind: ErrUsage}
	}
	for ahead := 0; ; ahead++ { // today's is over: then tomorrow's
		day := time.Date(now.Year(), now.Month(), now.Day()+ahead, clock.Hour(), clock.Minute(), 0, 0, time.UTC)
		list, err := moments(day, zone)
		over := time.Date(day.Year(), day.Month(), day.Day(), day.Hour(), day.Minute(), 0, 0, zone)
		switch {
		case err != nil && (ahead > 0 || over.After(now)):
			return day, err
		case err != nil:
			continue
		}
		list = slices.DeleteFunc(list, func(t time.Time) bool { return !t.After(now) })
		switch len(list) {
		case 0:
		case 1:
			return list[0], nil
		default:
			return day, twice(list)
		}
	}
}

// moments gives when the clocks of a zone show what day says in UTC: mostly once, and twice when they are set back over
// it. It is an error when they are set forward over it.
func moments(day time.Time, zone *time.Location) (list []time.Time, err error) {
	for _, around := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		_, offset := day.Add(around).In(zone).Zone()
		t := day.Add(-time.Duration(offset) * time.Second).In(zone)
		if t.Format(dayTime) == day.Format(dayTime) && !slices.ContainsFunc(list, t.Equal) {
			list = append(list, t)
		}
	}
	if list == nil {
		return nil, &UserError{Msg: fmt.Sprintf("there is no %s in %s: the clocks are set forward over it", day.Format(dayTime), zone), Hint: "name a time before or after that", Kind: ErrUsage}
	}
	slices.SortFunc(list, time.Time.Compare)
	return list, nil
}

// twice says that the clocks show a time two times.
func twice(list []time.Time) error {
	return &UserError{Msg: fmt.Sprintf("%s comes twice in %s: the clocks are set back over it", list[0].Format(dayTime), list[0].Location()),
		Hint: fmt.Sprintf("say which: `at %s` or `at %s`", list[0].Format(time.RFC3339), list[1].Format(time.RFC3339)), Kind: ErrUsage}
}

// sayable writes a time so that when reads it as that one.
func sayable(t time.Time, zone *time.Location) string {
	t = t.In(zone)
	if list, err := moments(time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), 0, 0, time.UTC), zone); err != nil || len(list) > 1 || t.Second() != 0 {
		return t.Format(time.RFC3339)
	}
	return t.Format(dayTime)
}
