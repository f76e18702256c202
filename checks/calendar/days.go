package calendar

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// kind is how exactly days are named, the least exact first.
type kind int

const (
	weekly         kind = iota // mon-fri
	monthlyWeekday             // monday 2: of each month
	yearlyWeekday              // monday -1 may
	monthlyDay                 // day 1
	yearlyDay                  // dec 25
	dated                      // 2026-12-24
)

// days are those that a line is for.
type days struct {
	kind     kind
	week     uint8 // of weekly: a bit for each day, Sunday is bit 0
	from, to point // of the others; both count
	open     bool  // of dated: it has no end
	wraps    bool  // of a range in a month or a year: it ends in the next one
	step     int   // each so many days from the first on
}

// point is one day, of each month, of each year, or of all time.
type point struct {
	year    int
	month   time.Month
	day     int // of a month, or which weekday of it; less than 0: from its end
	weekday time.Weekday
}

const whatDays = "write mon-fri, 2026-12-24, dec 25, day 1, monday 2 or monday -1 may, and ranges as in day 1 - 15"

// parseDays reads DAYS [- DAYS] [/ STEP]; none are all days.
func parseDays(words []string) (d days, err error) {
	d.step = 1
	if len(words) == 0 {
		d.week = 1<<7 - 1
		return d, nil
	}
	steps := false
	if n := len(words); n > 1 && words[n-2] == "/" {
		steps = true
		if d.step, err = number(words[n-1]); err != nil || d.step < 1 {
			return d, fmt.Errorf("%q is no step; write / 2 for every second day", words[n-1])
		}
		if words = words[:n-2]; len(words) == 0 {
			return d, errors.New("a step has no days before it, from which it counts; write a date, as in 2026-12-24 / 2")
		}
	}
	if week, ok := weekOf(strings.Join(words, "")); ok {
		if d.week = week; steps {
			return d, errors.New("days of the week have no step; write a date from which it counts, as in 2026-12-24 / 2")
		}
		return d, nil
	}
	if _, ok := weekOf(words[0]); ok && strings.ContainsAny(words[0], ",-") {
		return d, fmt.Errorf("%q is no time of a day; write 08:00-18:00", strings.Join(words[1:], " "))
	}
	first, second := words, []string(nil)
	for i, w := range words {
		if w == "-" {
			first, second = words[:i], words[i+1:]
			break
		}
		if a, b, ok := strings.Cut(w, "-"); ok && a != "" && isNumber(a) && isNumber(b) { // day 1-15
			first, second = append(append([]string{}, words[:i]...), a), append([]string{b}, words[i+1:]...)
			break
		}
	}
	if d.kind, d.from, err = parsePoint(first); err != nil {
		return d, err
	}
	if second == nil {
		d.to, d.open = d.from, steps
		if d.open && d.kind != dated {
			return d, errors.New("a step needs days from which and up to which it counts, as in day 1 - 15 / 2")
		}
		return d, nil
	}
	k := d.kind
	if d.to = d.from; len(second) == 1 && d.kind != dated && isNumber(second[0]) { // dec 24 - 26
		d.to.day, _ = strconv.Atoi(second[0])
		err = d.to.check(k)
	} else {
		k, d.to, err = parsePoint(second)
	}
	switch {
	case err != nil:
		return d, err
	case k != d.kind:
		return d, fmt.Errorf("%q and %q are not named in the same way", strings.Join(first, " "), strings.Join(second, " "))
	case k == dated && d.to.date().Before(d.from.date()):
		return d, errors.New("it ends before it begins")
	}
	d.wraps = d.to.order(k) < d.from.order(k)
	return d, nil
}

func isNumber(word string) bool {
	_, err := strconv.Atoi(word)
	return err == nil
}

// parsePoint reads one day: 2026-12-24, day -1, dec 25, monday 2, monday -1 may. Its kind says which.
func parsePoint(words []string) (k kind, p point, err error) {
	bad := fmt.Errorf("%q is no day; %s", strings.Join(words, " "), whatDays)
	if len(words) == 1 {
		date, err := time.Parse("2006-1-2", words[0])
		if err != nil {
			return k, p, bad
		}
		if p.year, p.month, p.day = date.Date(); p.year < 1970 || p.year > 2199 {
			return k, p, fmt.Errorf("%q is no date of these centuries", words[0])
		}
		return dated, p, nil
	}
	if len(words) < 2 || len(words) > 3 || !isNumber(words[1]) {
		return k, p, bad
	}
	p.day, _ = strconv.Atoi(words[1])
	month, isMonth := monthOf(words[0])
	weekday, isWeekday := named(weekdays, words[0])
	switch {
	case words[0] == "day" && len(words) == 2:
		k = monthlyDay
	case isMonth && len(words) == 2:
		k, p.month = yearlyDay, month
	case isWeekday && len(words) == 2:
		k, p.weekday = monthlyWeekday, time.Weekday(weekday)
	case isWeekday:
		k, p.weekday = yearlyWeekday, time.Weekday(weekday)
		if p.month, isMonth = monthOf(words[2]); !isMonth {
			return k, p, bad
		}
	default:
		return k, p, bad
	}
	return k, p, p.check(k)
}

// check refuses what no month has.
func (p point) check(k kind) error {
	longest, what := 31, "day"
	switch k {
	case monthlyWeekday, yearlyWeekday:
		longest, what = 5, "such weekday"
	case yearlyDay:
		longest = time.Date(2024, p.month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	}
	if p.day == 0 || p.day > longest || p.day < -longest {
		return fmt.Errorf("no month of these has a %s %d", what, p.day)
	}
	return nil
}

// order tells which of two points of a month or a year comes first, by their names alone.
func (p point) order(k kind) int {
	n := p.day
	if n < 0 {
		n += 32
		if k == monthlyWeekday || k == yearlyWeekday {
			n -= 26
		}
	}
	return int(p.month)*32 + n
}

// date of a dated point.
func (p point) date() time.Time { return time.Date(p.year, p.month, p.day, 0, 0, 0, 0, time.UTC) }

// in gives the day in a month; false: that month has no such day.
func (p point) in(k kind, year int, month time.Month) (time.Time, bool) {
	first := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
	last := first.AddDate(0, 1, -1)
	var d time.Time
	switch weekday := k == monthlyWeekday || k == yearlyWeekday; {
	case weekday && p.day > 0:
		d = first.AddDate(0, 0, int(p.weekday-first.Weekday()+7)%7+7*(p.day-1))
	case weekday:
		d = last.AddDate(0, 0, -int(last.Weekday()-p.weekday+7)%7+7*(p.day+1))
	case p.day > 0:
		d = first.AddDate(0, 0, p.day-1)
	default:
		d = last.AddDate(0, 0, p.day+1)
	}
	return d, !d.Before(first) && !d.After(last)
}

// match reports whether a day, a midnight of UTC, is one of them.
func (d *days) match(day time.Time) bool {
	switch d.kind {
	case weekly:
		return d.week&(1<<day.Weekday()) != 0
	case dated:
		return d.between(day, d.from.date(), d.to.date())
	case yearlyDay, yearlyWeekday:
		return d.inYear(day, day.Year()) || d.inYear(day, day.Year()-1)
	default:
		first := time.Date(day.Year(), day.Month(), 1, 0, 0, 0, 0, time.UTC)
		return d.inMonth(day, first) || d.inMonth(day, first.AddDate(0, -1, 0))
	}
}

// inYear: the range that begins in a year.
func (d *days) inYear(day time.Time, year int) bool {
	return d.ranges(day, time.Date(year, d.from.month, 1, 0, 0, 0, 0, time.UTC), time.Date(year, d.to.month, 1, 0, 0, 0, 0, time.UTC), 12)
}

// inMonth: the range that begins in a month.
func (d *days) inMonth(day, first time.Time) bool { return d.ranges(day, first, first, 1) }

// ranges reports whether a day is in the range from a day of one month to one of another, or to the one so many months
// later when it wraps. A last day that its month does not have is the last it has.
func (d *days) ranges(day, first, second time.Time, later int) bool {
	from, ok := d.from.in(d.kind, first.Year(), first.Month())
	if !ok {
		return false
	}
	if d.wraps {
		second = second.AddDate(0, later, 0)
	}
	return d.between(day, from, d.end(second))
}

// end gives the last day of a range in a month; where that month is too short, as for day 31, its own last day.
func (d *days) end(month time.Time) time.Time {
	if to, ok := d.to.in(d.kind, month.Year(), month.Month()); ok || d.to.day < 0 {
		return to
	}
	return month.AddDate(0, 1, -1)
}

// between counts both ends, and of the days between them each step-th.
func (d *days) between(day, from, to time.Time) bool {
	return !day.Before(from) && (d.open || !day.After(to)) && int(day.Sub(from)/(24*time.Hour))%d.step == 0
}
