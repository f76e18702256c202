package command

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/internal/plain"
)

// silenceChecks makes a downtime for each host that is named, all of them or none. One word alone is a host.
func silenceChecks(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
	first, with, ok := longClauses(args, "on", "from", "for", "until", "because")
	d := checks.Downtime{Task: first, Host: with["on"], By: c.Person.Name, Why: c.secrets.Mask(with["because"])}
	if d.Host == "" {
		d.Task, d.Host = "", first
	}
	if !ok || d.Host == "" || (with["for"] == "") == (with["until"] == "") || slices.Contains(args, "") { // an empty word would mean every task
		return Answer{}, checkUse("silence")
	}
	if err := e.planned(&d, with); err != nil {
		return Answer{}, err
	}
	if _, err := chosen(ctx, e, d.Task, d.Host); err != nil {
		return Answer{}, err
	}
	hosts, err := hostsOf(d.Host)
	if err != nil {
		return Answer{}, err
	}
	list := make([]checks.Downtime, len(hosts))
	for i, host := range hosts {
		list[i] = d
		list[i].Host = host
	}
	made, err := e.Checks.Silence(ctx, list...)
	if err != nil {
		return Answer{}, err
	}
	what := d.Host
	if d = made[0]; d.Task != "*" {
		what = d.Task + " on " + what
	}
	var ends []string
	for _, one := range made {
		ends = append(ends, fmt.Sprintf("`check unsilence %d`", one.ID))
	}
	from, ended := "", "ends"
	if d.From.After(e.Now()) {
		from, ended = "from "+plain.Time(d.From)+" ", "cancels"
	}
	a := say("I say nothing of %s %suntil %s; %s %s that.", clip(what, 200), from, plain.Time(d.Until), strings.Join(ends[:min(len(ends), 5)], ", "), ended)
	if len(ends) > 5 {
		a.Lines = append(a.Lines, fmt.Sprintf("and %d more like these: `check downtimes` lists them", len(ends)-5))
	}
	a.Data = d
	if len(made) > 1 {
		a.Data = made
	}
	return a, nil
}

// unsilenceChecks ends a downtime by its number. One that comes with a period has no number here: its definition has to
// go.
func unsilenceChecks(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
	if len(args) != 1 {
		return Answer{}, checkUse("unsilence")
	}
	n, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		for _, d := range e.Checks.Downtimes() {
			if d.Name == args[0] {
				return Answer{}, &UserError{Msg: fmt.Sprintf("the downtime %s comes with the period %s", d.Name, d.Every), Hint: fmt.Sprintf("take it away where it is declared: `check undefine downtime %s`, or in the files", d.Name), Kind: ErrUsage}
			}
		}
		return Answer{}, checkUse("unsilence")
	}
	d, err := e.Checks.EndSilence(ctx, n)
	if err != nil {
		return Answer{}, err
	}
	a := say("downtime %d is over; what is wrong now is said.", d.ID)
	if d.From.After(e.Now()) {
		a = say("downtime %d is cancelled; it would have begun at %s.", d.ID, plain.Time(d.From))
	}
	a.Data = d
	return a, nil
}

// longClauses is clauses where a value goes on to the next of the words, as a day and a time do; "because" takes the
// rest of the line.
func longClauses(args []string, words ...string) (first string, with map[string]string, ok bool) {
	with = map[string]string{}
	if len(args) == 0 || slices.Contains(words, args[0]) {
		return "", with, false
	}
	first, args = args[0], args[1:]
	for len(args) > 0 {
		word := args[0]
		if !slices.Contains(words, word) || with[word] != "" || len(args) < 2 {
			return first, with, false
		}
		n := 2
		for n < len(args) && (word == "because" || !slices.Contains(words, args[n])) {
			n++
		}
		if with[word] = strings.Join(args[1:n], " "); word == "because" {
			with[word] = why(args[1:n])
		}
		args = args[n:]
	}
	return first, with, true
}

// longestDowntime bounds how far off a downtime may be.
const longestDowntime = 10 * 365 * 24 * time.Hour

// planned reads when a downtime is: from a time, or now, for so long or until a time.
func (e *Env) planned(d *checks.Downtime, with map[string]string) error {
	now, zone := e.Now(), e.zone()
	from := now
	if with["from"] != "" {
		var err error
		if from, err = readTime(with["from"], now, zone); err != nil {
			return err
		}
		if !from.After(now) {
			return &UserError{Msg: fmt.Sprintf("%s is in the past: it is %s", plain.Zoned(from), plain.Zoned(now.In(zone))), Hint: "without `from` it begins now", Kind: ErrUsage}
		}
		d.From = from
	}
	if with["for"] != "" {
		long, err := period(with["for"])
		if err != nil {
			return err
		}
		d.Until = from.Add(long)
	} else {
		var err error
		if d.Until, err = readTime(with["until"], from, zone); err != nil {
			return err
		}
	}
	switch {
	case !d.Until.After(from):
		return &UserError{Msg: fmt.Sprintf("it would end at %s, and begin at %s", plain.Zoned(d.Until), plain.Zoned(from.In(zone))), Hint: "as in `check silence loki from 22:00 until 02:00`", Kind: ErrUsage}
	case d.Until.Sub(now) > longestDowntime:
		return &UserError{Msg: fmt.Sprintf("%s is more than ten years from now", plain.Zoned(d.Until)), Hint: "what is never to be said needs no check", Kind: ErrUsage}
	}
	return nil
}
