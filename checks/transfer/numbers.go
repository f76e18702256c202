package transfer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/nagios"
)

// What is written must load: these are limits of checks/model, and of time.Duration.
const (
	shortestRepeat = time.Minute // of every in an action
	longestTimeout = 24 * time.Hour
	longestUnit    = 24 * time.Hour // interval_length
	mostAttempts   = 1000
	longest        = 10 * 365 * 24 * time.Hour // no interval of people is longer, and sums of some can be worked out
)

const (
	noNumber = "it is no number"
	tooLong  = "it is more than ten years"
)

// every gives a number of intervals as a time: 0 only of 0, and a second at least of any other. wrong says why it
// cannot.
func (c *carrier) every(text string) (d time.Duration, wrong string) {
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	switch {
	case err != nil && n == 0 || !(n >= 0): // not a number is not smaller either
		return 0, noNumber
	case n*c.unit.Seconds() > longest.Seconds():
		return 0, tooLong
	case n == 0:
		return 0, ""
	}
	return max(time.Duration(n*float64(c.unit)).Round(time.Second), time.Second), ""
}

// number gives a value as a number of intervals, or a default.
func (c *carrier) number(o *nagios.Object, name string, otherwise float64) time.Duration {
	v, ok := o.Get(name)
	if !ok {
		return time.Duration(otherwise * float64(c.unit))
	}
	d, wrong := c.every(v.Text)
	if wrong != "" {
		c.list(name, v, wrong, fmt.Sprintf("%g was taken", otherwise))
		return time.Duration(otherwise * float64(c.unit))
	}
	c.mark(carried, v)
	return d
}

// seconds reads a whole number of seconds that is more than 0. wrong says why it cannot.
func seconds(text string) (d time.Duration, wrong string) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange) || n <= 0:
		return 0, noNumber
	case n > int64(longest/time.Second):
		return 0, tooLong
	}
	return time.Duration(n) * time.Second, ""
}

// atMostADay gives a timeout that loads.
func (c *carrier) atMostADay(pos nagios.Pos, what string, d time.Duration) time.Duration {
	if d > longestTimeout {
		c.note(pos, what, "no check here may run for more than a day", "24h was taken")
		return longestTimeout
	}
	return d
}

// repeat is how often it is told again, or "": what the first of the objects says that says anything.
func (c *carrier) repeat(objects ...*nagios.Object) string {
	v, ok := inherited("notification_interval", objects...)
	d := 30 * c.unit
	if ok {
		var wrong string
		if d, wrong = c.every(v.Text); wrong != "" {
			c.list("notification_interval", v, wrong, "it is told once")
			return ""
		}
	}
	if d == 0 {
		c.mark(carried, v)
		return ""
	}
	if d < shortestRepeat {
		const why, do = "nobody is told again more often than once a minute here", "1m was taken"
		if ok {
			c.list("notification_interval", v, why, do)
		} else {
			o := objects[0]
			c.note(o.Pos, o.Type+" "+o.Name(), "without a notification_interval Nagios tells again after "+duration(d)+"; "+why, do)
		}
		d = shortestRepeat
	}
	c.mark(carried, v)
	return duration(d)
}

// firstTold works out after how long a problem comes to an escalation. ok is false where it never does, or that cannot
// be said: then the escalation is left out.
func (c *carrier) firstTold(first nagios.Value, s, h *nagios.Object) (wait time.Duration, ok bool) {
	interval := 30 * c.unit
	if v, ok := inherited("notification_interval", s, h); ok {
		if d, wrong := c.every(v.Text); wrong == "" { // else it is listed where it is told
			interval = d
		}
	}
	if v, ok := s.Get("first_notification_delay"); ok {
		wait, _ = c.every(v.Text) // as above
	}
	n, err := strconv.Atoi(strings.TrimSpace(first.Text))
	left := func(why string) (time.Duration, bool) {
		c.list("first_notification", first, why, "the escalation was left out")
		return 0, false
	}
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange) || n < 1:
		return left(noNumber)
	case n > 1 && interval == 0:
		return left("notification_interval is 0, so Nagios tells once and never comes to it")
	case n > 1 && time.Duration(n-1) > longest/interval:
		return left("Nagios comes to it after more than ten years")
	}
	return wait + time.Duration(n-1)*interval, true
}
