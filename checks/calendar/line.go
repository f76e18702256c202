package calendar

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// line is one line of a period: days, and the times of them.
type line struct {
	days days
	off  bool // no time of these days
	at   []span
}

// span is from a time of a day to another, in minutes since its midnight; one that goes over midnight ends after 24:00.
type span struct{ from, to int }

const fullDay = 24 * 60

// parseLine reads a line: DAYS [/ STEP] [TIMES], DAYS [/ STEP] off, or TIMES alone.
func parseLine(text string) (l line, err error) {
	words := strings.Fields(strings.ToLower(text))
	if len(words) == 0 {
		return l, errors.New(`it is empty; write days and times, as in "mon-fri 08:00-18:00"`)
	}
	l.at = []span{{0, fullDay}}
	k := len(words)
	for k > 0 && strings.Contains(words[k-1], ":") || k > 1 && words[k-1] == "-" && k < len(words) {
		k--
	}
	if words[len(words)-1] == "off" {
		k = len(words) - 1
		l.off, l.at = true, nil
	} else if k < len(words) {
		if l.at, err = parseTimes(strings.Join(words[k:], "")); err != nil {
			return l, fmt.Errorf("%q: %w", text, err)
		}
	}
	if l.days, err = parseDays(words[:k]); err != nil {
		return l, fmt.Errorf("%q: %w", text, err)
	}
	return l, nil
}

// parseTimes reads 08:00-12:00,13:00-18:00.
func parseTimes(text string) (out []span, err error) {
	for part := range strings.SplitSeq(text, ",") {
		from, to, _ := strings.Cut(part, "-")
		a, aok := clock(from)
		b, bok := clock(to)
		switch {
		case !aok || !bok || a == fullDay:
			return nil, fmt.Errorf("%q is no time of a day; write 08:00-18:00, or off for none", part)
		case a == b:
			return nil, fmt.Errorf("%q begins and ends at the same time; write 00:00-24:00 for the whole day, or off for none", part)
		case b < a: // it ends on the next day
			b += fullDay
		}
		out = append(out, span{a, b})
	}
	return out, nil
}

// clock reads 08:00, in minutes.
func clock(text string) (int, bool) {
	h, m, ok := strings.Cut(text, ":")
	hour, herr := number(h)
	minute, merr := number(m)
	n := hour*60 + minute
	return n, ok && herr == nil && merr == nil && len(h) <= 2 && len(m) == 2 && minute < 60 && n <= fullDay
}

// number reads one without a sign.
func number(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err
}

var months = []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}

var weekdays = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// named finds a name in a list, whole or by its first letters, three at least.
func named(list []string, word string) (int, bool) {
	for i, name := range list {
		if len(word) >= 3 && strings.HasPrefix(name, word) {
			return i, true
		}
	}
	return 0, false
}

func monthOf(word string) (time.Month, bool) {
	i, ok := named(months, word)
	return time.Month(i + 1), ok
}

// weekOf reads mon,wed-fri as a bit for each day.
func weekOf(word string) (days uint8, ok bool) {
	for part := range strings.SplitSeq(word, ",") {
		from, to, isRange := strings.Cut(part, "-")
		a, ok := named(weekdays, from)
		if !ok {
			return 0, false
		}
		b := a
		if isRange {
			if b, ok = named(weekdays, to); !ok {
				return 0, false
			}
		}
		for days |= 1 << a; a != b; days |= 1 << a {
			a = (a + 1) % 7
		}
	}
	return days, true
}
