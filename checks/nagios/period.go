package nagios

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// Kind says how a line of a timeperiod names its days. Of several that fit a day Nagios takes the first in this order.
type Kind int

// The kinds.
const (
	Date         Kind = iota // 2026-12-24 [- 2027-01-02] [/ 3]
	MonthDay                 // december 25 [- january 2] [/ 3]
	DayOfMonth               // day 1 [- 15] [/ 3]
	MonthWeekday             // monday 2 may [- friday 2 may] [/ 3]
	NthWeekday               // monday 2 [- friday 3] [/ 3]
	Weekday                  // monday
)

// Days is one line of a timeperiod.
type Days struct {
	Kind     Kind
	From, To string   // in one form: 2026-12-24, december 25, day -1, monday -1 may, monday 2, monday; To is "" where it is one day
	Step     int      // each so many days of them; 0: each
	Times    []string // 09:00-17:00; none: at no time of these days
	Attr     *Attr
}

// Words gives the days as a line does.
func (d Days) Words() string {
	s := d.From
	if d.To != "" {
		s += " - " + d.To
	}
	if d.Step > 0 {
		s += " / " + strconv.Itoa(d.Step)
	}
	return s
}

var weekdays = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

var months = []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}

var (
	periodWord = pattern.New(`[a-z]+|\d{4}-\d{1,2}-\d{1,2}|[-+]?\d+|-|/|\S`)
	timeRange  = pattern.New(`^(\d{1,2}):(\d{1,2})\s*-\s*(\d{1,2}):(\d{1,2})$`)
	firstTime  = pattern.New(`\d{1,2}:\d`)
)

// dayWords gives the part of a line that says which days.
func dayWords(text string) string {
	if at := firstTime.Regexp().FindStringIndex(text); at != nil {
		text = text[:at[0]]
	}
	return strings.Join(strings.Fields(text), " ")
}

// ParseDays reads a line of a timeperiod.
func ParseDays(a *Attr) (Days, error) {
	words := dayWords(a.Value)
	d := Days{Attr: a}
	times := strings.TrimSpace(a.Value)
	if at := firstTime.Regexp().FindStringIndex(times); at != nil {
		times = times[at[0]:]
	} else {
		return d, fmt.Errorf("%q has no times as 09:00-17:00", clip(a.Value))
	}
	if err := d.times(times); err != nil {
		return d, err
	}
	r := &periodReader{words: periodWord.FindAllString(strings.ToLower(words), -1)}
	if err := r.days(&d); err != nil {
		return d, fmt.Errorf("%q: %w", clip(words), err)
	}
	return d, nil
}

// times reads 09:00-17:00,19:00-20:00. A range from a time to the same one is no time at all, and dropped.
func (d *Days) times(text string) error {
	for _, w := range list(text) {
		m := timeRange.FindStringSubmatch(w)
		if m == nil {
			return fmt.Errorf("%q is no time as 09:00-17:00", clip(w))
		}
		var n [4]int
		for i := range n {
			n[i], _ = strconv.Atoi(m[i+1])
		}
		from, to := n[0]*60+n[1], n[2]*60+n[3]
		if n[1] > 59 || n[3] > 59 || from > 24*60 || to > 24*60 {
			return fmt.Errorf("%q is no time of a day", clip(w))
		}
		if from > to {
			return fmt.Errorf("%q runs past midnight, which Nagios does not know; write two", clip(w))
		}
		if from < to {
			d.Times = append(d.Times, fmt.Sprintf("%02d:%02d-%02d:%02d", n[0], n[1], n[2], n[3]))
		}
	}
	slices.Sort(d.Times)
	return nil
}

// periodReader reads the words of a line, one after the other.
type periodReader struct{ words []string }

func (r *periodReader) peek() string {
	if len(r.words) == 0 {
		return ""
	}
	return r.words[0]
}

func (r *periodReader) next() string {
	w := r.peek()
	if w != "" {
		r.words = r.words[1:]
	}
	return w
}

// days reads which days a line is for: one, or a range, and each how many of it.
func (r *periodReader) days(d *Days) error {
	var err error
	if d.Kind, d.From, err = r.day(); err != nil {
		return err
	}
	switch w := r.peek(); {
	case w == "-":
		r.next()
		err = r.end(d)
	case len(w) > 1 && w[0] == '-': // day 1-15
		r.words[0] = w[1:]
		err = r.end(d)
	}
	if err == nil && r.peek() == "/" {
		r.next()
		if d.Step, err = strconv.Atoi(r.next()); err != nil || d.Step < 1 || d.Step > 366 {
			err = fmt.Errorf("a step is a number of days, as in / 2")
		}
		if d.Step == 1 {
			d.Step = 0
		}
	}
	switch {
	case err != nil:
		return err
	case r.peek() != "":
		return fmt.Errorf("%q is not understood", r.peek())
	case d.Step > 0 && d.To == "":
		if d.Kind != Date {
			return fmt.Errorf("a step is for more days than one")
		}
	}
	return nil
}

// end reads the last day of several. Its first word may be left out: february 1 - 15.
func (r *periodReader) end(d *Days) error {
	if _, err := strconv.Atoi(r.peek()); err == nil && (d.Kind == MonthDay || d.Kind == DayOfMonth || d.Kind == NthWeekday) {
		first, _, _ := strings.Cut(d.From, " ")
		r.words = append([]string{first}, r.words...)
	}
	kind, to, err := r.day()
	if err != nil {
		return err
	}
	if kind != d.Kind || kind == Weekday {
		return fmt.Errorf("%s and %s are days of different kinds", d.From, to)
	}
	d.To = to
	return nil
}

// day reads one day, and gives it in one form, as in Days.From.
func (r *periodReader) day() (Kind, string, error) {
	w := r.next()
	switch {
	case strings.Count(w, "-") == 2:
		var y, m, day int
		if _, err := fmt.Sscanf(w, "%d-%d-%d", &y, &m, &day); err != nil || m < 1 || m > 12 || day < 1 || day > 31 {
			return 0, "", fmt.Errorf("%q is no date", w)
		}
		return Date, fmt.Sprintf("%04d-%02d-%02d", y, m, day), nil
	case w == "day":
		n, err := r.number(31)
		return DayOfMonth, "day " + n, err
	case slices.Contains(months, w):
		n, err := r.number(31)
		return MonthDay, w + " " + n, err
	case !slices.Contains(weekdays, w):
		return 0, "", fmt.Errorf("%q is no day", w)
	}
	if _, err := strconv.Atoi(r.peek()); err != nil {
		return Weekday, w, nil
	}
	n, err := r.number(5)
	if err != nil || !slices.Contains(months, r.peek()) {
		return NthWeekday, w + " " + n, err
	}
	return MonthWeekday, w + " " + n + " " + r.next(), nil
}

// number reads the number of a day, which is not 0 and may count from the end.
func (r *periodReader) number(most int) (string, error) {
	n, err := strconv.Atoi(r.next())
	if err != nil || n == 0 || n > most || n < -most {
		return "", fmt.Errorf("a number of a day is missing, or is too large")
	}
	return strconv.Itoa(n), nil
}
