package command

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Freezes are times in which nothing begins.
type Freezes []Freeze

// Freeze is one of them: each week, or once. It refuses `deploy`, `redeploy`, `destroy`, and the approval of what they
// asked for; what is under way goes on, and may be retried, cancelled and undone.
type Freeze struct {
	When    string   `yaml:"when" doc:"each week, as in Fri 16:00–Mon 06:00, or once, as in 2026-12-20 00:00–2027-01-02 06:00"`
	Zone    string   `yaml:"zone" doc:"time zone of when, as in Europe/Berlin; empty: that of zone at the top"`
	Because string   `yaml:"because" doc:"why; whoever is refused reads it"`
	Except  []string `yaml:"except" doc:"roles that may all the same, as in [admin]"`
}

const (
	weekTime = "Mon 15:04"
	dayTime  = "2006-01-02 15:04"
)

var (
	weekly = pattern.New(`^([A-Za-z]{3} \d\d:\d\d)\s*[-–—]\s*([A-Za-z]{3} \d\d:\d\d)$`)
	once   = pattern.New(`^(\d{4}-\d\d-\d\d \d\d:\d\d)\s*[-–—]\s*(\d{4}-\d\d-\d\d \d\d:\d\d)$`)
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

// dayOf reads "fri 18:00", whose form the caller has checked.
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

// against gives the freeze that stands against a person at a time, the one that ends last, with its end; nil when none
// does. remark says that there is one which is not for them, or "".
func (list Freezes) against(p access.Person, t time.Time) (f *Freeze, until time.Time, remark string) {
	for i := range list {
		end, is, err := list[i].at(t)
		switch {
		case err != nil || !is: // the configuration was checked
		case slices.ContainsFunc(list[i].Except, p.Has):
			said := list[i].said("", end)
			remark = strings.ToUpper(said[:1]) + said[1:] + ", which is not for you."
		case f == nil || end.After(until):
			f, until = &list[i], end
		}
	}
	return f, until, remark
}

// said says that there is the freeze; when is "", or a word for the time, as " then,".
func (f *Freeze) said(when string, until time.Time) string {
	why := ""
	if f.Because != "" {
		why = " (" + strings.TrimRight(plain.Line(f.Because), ".") + ")"
	}
	return fmt.Sprintf("there is a freeze%s until %s%s", when, plain.Time(until), why)
}

// clear gives the first time from t on at which no freeze stands against a person; the zero time when that is too far
// off to say. One may begin when another ends.
func (list Freezes) clear(p access.Person, t time.Time) time.Time {
	for range 100 {
		f, until, _ := list.against(p, t)
		if f == nil {
			return t
		}
		t = until
	}
	return time.Time{}
}

// frozen refuses what would begin while there is a freeze that is not for who asks; else it says that there is one, or
// "". at is when it would begin, zero for now; verb is for what there is another way, or "".
func (e *Env) frozen(p access.Person, at time.Time, verb string) (remark string, err error) {
	when, then := at, " then,"
	if at.IsZero() {
		when, then = e.Now(), ""
	}
	f, until, remark := e.Freeze.against(p, when)
	if f == nil {
		return remark, nil
	}
	u := &UserError{Msg: f.said(then, until) + ": nothing begins", Kind: ErrDenied}
	var hints []string
	if len(f.Except) > 0 {
		hints = append(hints, "who has the role "+strings.Join(f.Except, " or ")+" may all the same")
	}
	if at.IsZero() {
		hints = append(hints, "what is under way goes on, and may be retried, cancelled and undone")
	}
	if way := e.Freeze.clear(p, until); (verb == "deploy" || verb == "redeploy") && !way.IsZero() && way.Sub(e.Now()) < maxAhead {
		hints = append(hints, fmt.Sprintf("`%s … at %s` has it begin after that", verb, sayable(way, e.zone())))
	}
	u.Hint = strings.Join(hints, "; ")
	return "", u
}
