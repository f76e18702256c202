package command

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Freezes are times in which nothing begins.
type Freezes []Freeze

// Freeze is one of them: each week, or once. It refuses `deploy`, `redeploy`, `destroy`, and the approval of what they asked for;
// what is under way goes on, and may be retried, cancelled and undone.
type Freeze struct {
	When    string   `yaml:"when" doc:"each week, as in Fri 16:00–Mon 06:00, or once, as in 2026-12-20 00:00–2027-01-02 06:00"`
	Zone    string   `yaml:"zone" doc:"time zone of when, as in Europe/Berlin" default:"UTC"`
	Because string   `yaml:"because" doc:"why; whoever is refused reads it"`
	Except  []string `yaml:"except" doc:"roles that may all the same, as in [admin]"`
}

const (
	weekTime = "Mon 15:04"
	dayTime  = "2006-01-02 15:04"
)

var (
	weekly = regexp.MustCompile(`^([A-Za-z]{3} \d\d:\d\d)\s*[-–—]\s*([A-Za-z]{3} \d\d:\d\d)$`)
	once   = regexp.MustCompile(`^(\d{4}-\d\d-\d\d \d\d:\d\d)\s*[-–—]\s*(\d{4}-\d\d-\d\d \d\d:\d\d)$`)
)

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// Check says all that is wrong with them, below the key `freeze`.
func (list Freezes) Check() error {
	var wrong mistake.List
	for i, f := range list {
		key := fmt.Sprintf("freeze[%d]", i)
		if _, err := time.LoadLocation(f.Zone); err != nil {
			wrong.At(key+".zone", "is %q; it must be a time zone that this machine knows, as in Europe/Berlin", f.Zone)
			continue
		}
		if _, _, err := f.at(time.Now()); err != nil {
			wrong.At(key+".when", "is %q; %v", f.When, err)
		}
		for n, r := range f.Except {
			if !slices.Contains(access.Roles, r) {
				wrong.At(fmt.Sprintf("%s.except[%d]", key, n), "is %q; there are %s", r, strings.Join(access.Roles, ", "))
			}
		}
	}
	return wrong.Err()
}

// at gives the end of the freeze that there is at a time.
func (f Freeze) at(now time.Time) (until time.Time, frozen bool, err error) {
	zone, err := time.LoadLocation(f.Zone)
	if err != nil {
		return until, false, err
	}
	now = now.In(zone)
	if m := once.FindStringSubmatch(f.When); m != nil {
		from, err := time.ParseInLocation(dayTime, m[1], zone)
		if err != nil {
			return until, false, err
		}
		until, err := time.ParseInLocation(dayTime, m[2], zone)
		if err == nil && !until.After(from) {
			err = fmt.Errorf("it ends before it begins")
		}
		return until, err == nil && !now.Before(from) && now.Before(until), err
	}
	m := weekly.FindStringSubmatch(f.When)
	if m == nil {
		return until, false, fmt.Errorf("it must be as in Fri 16:00–Mon 06:00, or 2026-12-20 00:00–2027-01-02 06:00")
	}
	from, err := dayOf(m[1])
	if err != nil {
		return until, false, err
	}
	to, err := dayOf(m[2])
	if err != nil {
		return until, false, err
	}
	if from == to {
		return until, false, fmt.Errorf("it ends when it begins; for all of the time, take the roles away")
	}
	for back := range 8 { // the last beginning is at most a week ago
		began := from.on(now, -back)
		if began.Weekday() != from.day || began.After(now) {
			continue
		}
		for ahead := range 8 {
			if until := to.on(began, ahead); until.Weekday() == to.day && until.After(began) {
				return until, now.Before(until), nil
			}
		}
	}
	return until, false, nil
}

// clock is a time of each week.
type clock struct {
	day          time.Weekday
	hour, minute int
}

func dayOf(s string) (clock, error) {
	name, _, _ := strings.Cut(strings.ToLower(s), " ")
	day := slices.Index(weekdays, name)
	t, err := time.Parse("15:04", s[4:])
	if day < 0 || err != nil {
		return clock{}, fmt.Errorf("there is no time %q in a week; write it as in %s", s, weekTime)
	}
	return clock{time.Weekday(day), t.Hour(), t.Minute()}, nil
}

// on gives its hour some days after a time.
func (c clock) on(t time.Time, days int) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day()+days, c.hour, c.minute, 0, 0, t.Location())
}

// frozen refuses what would begin while there is a freeze that is not for who asks; else it says that there is one, or "".
func (e *Env) frozen(p access.Person) (remark string, err error) {
	for _, f := range e.Freeze {
		until, is, ferr := f.at(e.Now())
		if ferr != nil || !is {
			continue // the configuration was checked
		}
		why := ""
		if f.Because != "" {
			why = " (" + strings.TrimRight(plain.Line(f.Because), ".") + ")"
		}
		said := fmt.Sprintf("there is a freeze until %s%s", plain.Time(until), why)
		if !slices.ContainsFunc(f.Except, p.Has) {
			u := &UserError{Msg: said + ": nothing begins", Hint: "what is under way goes on, and may be retried, cancelled and undone", Kind: ErrDenied}
			if len(f.Except) > 0 {
				u.Hint = "who has the role " + strings.Join(f.Except, " or ") + " may all the same; " + u.Hint
			}
			return "", u
		}
		remark = strings.ToUpper(said[:1]) + said[1:] + ", which is not for you."
	}
	return remark, nil
}
