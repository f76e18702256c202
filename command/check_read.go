package command

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/plain"
)

// listChecks leaves out what is OK when nothing was asked for: that is counted, and worth no line.
func listChecks(ctx context.Context, e *Env, _ *Call, args []string) (Answer, error) {
	args, limit, after, err := pageOf(args)
	if err != nil {
		return Answer{}, err
	}
	all, head, err := e.listedChecks(ctx, args)
	if err != nil {
		return Answer{}, err
	}
	l, err := checks.ListingOf(all, func(v checks.View) bool {
		return v.Status != model.OK || len(args) > 0 // what is well is worth no line, unless it was asked for
	}, limit, after)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Data: l, Lines: []string{head}}
	for _, v := range l.Checks {
		a.Lines = append(a.Lines, e.checkLine(v))
	}
	if l.Left > 0 {
		a.Lines = append(a.Lines, fmt.Sprintf("%d more; `%s` lists them", l.Left, strings.Join(append(append([]string{"check list"}, args...), "after", l.Next), " ")))
	}
	return withTrouble(a, e.Checks.Stats(ctx)), nil
}

// pageOf takes from the words of a list which part of it is meant: first NUMBER, after PLACE.
func pageOf(args []string) (rest []string, limit int, after string, err error) {
	limit = checks.ListLimit
	for i := 0; i < len(args); i++ {
		switch word := args[i]; {
		case word == "first" && i+1 < len(args):
			i++
			if limit, err = strconv.Atoi(args[i]); err != nil || limit < 1 || limit > checks.MaxListLimit {
				return nil, 0, "", &UserError{Msg: fmt.Sprintf("first %s: it is a number from 1 to %d", clip(args[i], 40), checks.MaxListLimit), Kind: ErrUsage}
			}
		case word == "after" && i+1 < len(args):
			i++
			after = args[i]
		default:
			rest = append(rest, word)
		}
	}
	return rest, limit, after, nil
}

// Checks gives the checks that `check list` lists for some words, and the sentence that it begins with.
func (t *Table) Checks(ctx context.Context, words []string) ([]checks.View, string, error) {
	return t.env().listedChecks(ctx, words)
}

// CheckLines are what `check show` says of a check: the first is its sentence.
func (t *Table) CheckLines(v checks.View) []string { return t.env().checkLines(v) }

// listedChecks gives the checks that are meant, and says how they are.
func (e *Env) listedChecks(ctx context.Context, args []string) (all []checks.View, head string, err error) {
	word, with, ok := clauses(args, "on", "is")
	if !ok {
		return nil, "", checkUse("list")
	}
	f := checks.Filter{Task: word, Host: with["on"], Status: with["is"]}
	if word != "" && with["on"] == "" {
		// One word may be a task or a host.
		if tasks, err := e.Checks.List(ctx, f); err != nil || len(tasks) == 0 {
			f.Task, f.Host = "", word
		}
	}
	if all, err = e.Checks.List(ctx, f); err != nil {
		return nil, "", err
	}
	s := e.Checks.Stats(ctx)
	if len(all) == 0 {
		switch {
		case s.Checks == 0:
			return all, "no checks are declared", nil
		case word != "" && f.Status == "":
			return nil, "", &UserError{Msg: fmt.Sprintf("there is no check or host %q", clip(strings.Join(args, " "), 80)), Hint: e.meantCheck(ctx, model.Key{Task: word, Host: with["on"]}) + "`checks` tells of all", Kind: ErrNotFound}
		}
		return all, fmt.Sprintf("none of %d %s on %s", s.Checks, plural(s.Checks, "check"), hostsWord(s.Hosts)), nil
	}
	bad, pending := 0, 0
	for _, v := range all {
		if v.Status != model.OK {
			bad++
		}
		if v.At.IsZero() {
			pending++
		}
	}
	head = fmt.Sprintf("all %d are OK", len(all))
	if len(all) == 1 {
		head = "1 check is OK"
	}
	if pending == len(all) {
		head = fmt.Sprintf("%d %s not run yet", pending, map[bool]string{true: "has", false: "have"}[pending == 1])
	} else if pending > 0 {
		head = fmt.Sprintf("%d %s OK, %d not run yet", len(all)-pending, isAre(len(all)-pending), pending)
	}
	on := ""
	if len(args) == 0 {
		on = " on " + hostsWord(s.Hosts)
	}
	if bad == 0 {
		return all, head + on, nil
	}
	head = fmt.Sprintf("%d of %d %s%s %s not OK", bad, len(all), plural(len(all), "check"), on, isAre(bad))
	if on != "" && s.Down > 0 {
		head += fmt.Sprintf("; %s cannot be reached", hostsWord(s.Down))
	}
	return all, head, nil
}

// withTrouble adds what holds for all checks: what keeps the monitor from its work, and definitions that mean no host.
func withTrouble(a Answer, s checks.Stats) Answer {
	if s.Trouble != "" {
		a.Lines = append(a.Lines, "trouble: "+s.Trouble)
	}
	for _, i := range s.Idle {
		a.Lines = append(a.Lines, i+" names no host")
	}
	return a
}

func checksWord(n int) string { return fmt.Sprintf("%d %s", n, plural(n, "check")) }

func hostsWord(n int) string { return fmt.Sprintf("%d %s", n, plural(n, "host")) }

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// checkLine tells of one check in a line: CRITICAL disk on loki, for 12m: DISK CRITICAL - …
func (e *Env) checkLine(v checks.View) string {
	l := fmt.Sprintf("%s %s", v.Word, v.Key)
	if v.At.IsZero() {
		if v.Passive {
			return l + ": no result was delivered yet"
		}
		if w := ownWait(v); w != "" {
			return l + ": " + w
		}
		if !v.Next.IsZero() {
			return l + ": runs in " + Short(max(v.Next.Sub(e.Now()), 0))
		}
		return l
	}
	if v.Hard == v.Status && !v.Since.IsZero() {
		l += ", for " + Short(e.Now().Sub(v.Since))
	}
	var marks []string
	if v.Soft() {
		marks = append(marks, fmt.Sprintf("soft, %d of %d", v.Attempt, v.Attempts))
	}
	if v.Flapping {
		marks = append(marks, "flapping")
	}
	if v.Ack != nil {
		m := "acknowledged by " + v.Ack.By
		if v.Ack.Why != "" {
			m += ": " + v.Ack.Why
		}
		marks = append(marks, m)
	}
	if v.Hidden != "" && !v.Down { // its line says that
		marks = append(marks, v.Hidden)
	}
	if w := ownWait(v); w != "" {
		marks = append(marks, w)
	}
	if len(marks) > 0 {
		l += " (" + strings.Join(marks, "; ") + ")"
	}
	return l + ": " + clip(v.Line, 200)
}

// ownRuns is what waits where the check itself does.
const ownRuns = "check"

// ownWait says that a check waits for its period; "" when it does not.
func ownWait(v checks.View) string {
	for _, w := range v.Waits {
		if w.What == ownRuns {
			return waitText(w)
		}
	}
	return ""
}

// waitText says until when a period keeps something waiting; a zero Until is for ever.
func waitText(w model.Wait) string {
	if w.Until.IsZero() {
		return "waits for " + w.Period + ", which does not come again"
	}
	return "waits for " + w.Period + " until " + plain.Time(w.Until)
}

func showCheck(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
	task, with, ok := clauses(args, "on")
	if !ok || task == "" || with["on"] == "" {
		return Answer{}, checkUse("show")
	}
	v, err := e.Checks.Show(ctx, model.Key{Task: task, Host: with["on"]})
	if err != nil {
		return Answer{}, err
	}
	return Answer{Data: v, Lines: e.checkLines(v)}, nil
}

// checkLines gives the line of `check list` first: the page of a check shows that and the next apart from the others.
func (e *Env) checkLines(v checks.View) []string {
	a := Answer{Lines: []string{e.checkLine(v)}}
	if !v.At.IsZero() {
		l := fmt.Sprintf("ran %s ago, took %s", Short(e.Now().Sub(v.At)), Short(v.Took))
		if v.Passive {
			l = "nothing was delivered yet"
			if !v.Heard.IsZero() {
				l = fmt.Sprintf("delivered %s ago", Short(e.Now().Sub(v.Heard)))
			}
			if !v.Next.IsZero() {
				l += ", missed in " + Short(max(v.Next.Sub(e.Now()), 0))
			}
		} else if !v.Next.IsZero() {
			l += ", again in " + Short(max(v.Next.Sub(e.Now()), 0))
		}
		if v.Schedule != "" {
			l += " (" + v.Schedule + ")"
		}
		a.Lines = append(a.Lines, l)
	}
	for _, w := range v.Waits {
		if w.What != ownRuns {
			a.Lines = append(a.Lines, "the "+w.What+" "+waitText(w))
		}
	}
	if v.Perfdata != "" {
		a.Lines = append(a.Lines, "values: "+clip(v.Perfdata, 400))
	}
	if len(v.Recent) > 1 {
		var b strings.Builder
		for _, r := range v.Recent {
			b.WriteByte("owCU"[r.Status])
		}
		a.Lines = append(a.Lines, fmt.Sprintf("last %d, oldest first: %s (o OK, w WARNING, C CRITICAL, U UNKNOWN)", len(v.Recent), b.String()))
	}
	return a.Lines
}

func checkHistory(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
	task, with, ok := clauses(args, "on", "is", "last", "before", "since", "until")
	if !ok || with["is"] != "" && with["is"] != checks.Problems {
		return Answer{}, checkUse("history")
	}
	f := checks.ResultFilter{Limit: 20, Problems: with["is"] != ""}
	for word, into := range map[string]func(int64){"last": func(n int64) { f.Limit = int(n) }, "before": func(n int64) { f.Before = n }} {
		if with[word] == "" {
			continue
		}
		n, err := strconv.ParseInt(with[word], 10, 64)
		if err != nil || n < 1 {
			return Answer{}, checkUse("history")
		}
		into(n)
	}
	for word, into := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		if with[word] == "" {
			continue
		}
		var err error
		if *into, err = e.ago(with[word]); err != nil {
			return Answer{}, err
		}
	}
	if task != "" || with["on"] != "" {
		list, err := reported(ctx, e, task, with["on"])
		if err != nil {
			return Answer{}, err
		}
		if len(list) > maxChosen {
			return Answer{}, &UserError{Msg: fmt.Sprintf("that is %d checks", len(list)), Hint: "name a task and a host", Kind: ErrUsage}
		}
		f.Keys = keysOf(list)
	}
	list, err := e.Checks.Results(ctx, f)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Data: list}
	if len(list) == 0 {
		a.Lines = []string{"nothing is on record for that"}
	}
	for _, r := range list {
		l := fmt.Sprintf("%s %s %s, took %s: %s", plain.Time(r.At), r.Word, r.Key, Short(r.Took), clip(r.Line, 200))
		if r.Quiet {
			l += " (quiet)"
		}
		a.Lines = append(a.Lines, l)
	}
	return a, nil
}

// ago reads a time that has been: so long ago, as in 24h, or as in RFC 3339.
func (e *Env) ago(text string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	d, err := period(text)
	if err != nil {
		return time.Time{}, &UserError{Msg: fmt.Sprintf("%q is no time", clip(text, 40)), Hint: "write how long ago, as in 24h or 3d, or when, as in " + e.Now().Add(-24*time.Hour).Format(time.RFC3339), Kind: ErrUsage}
	}
	return e.Now().Add(-d), nil
}

// maxChosen bounds how many checks one question is about.
const maxChosen = 1000

func checkMetrics(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
	task, with, ok := clauses(args, "on", "for", "by")
	if !ok || task == "" || with["on"] == "" {
		return Answer{}, checkUse("metrics")
	}
	back, step := 24*time.Hour, time.Duration(0)
	var err error
	if with["for"] != "" {
		if back, err = period(with["for"]); err != nil {
			return Answer{}, err
		}
	}
	if with["by"] != "" {
		if step, err = period(with["by"]); err != nil {
			return Answer{}, err
		}
	}
	list, err := e.Checks.Metrics(ctx, model.Key{Task: task, Host: with["on"]}, step, e.Now().Add(-back))
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Data: list}
	if len(list) == 0 {
		a.Lines = []string{"there are no values of that in this time: the check gives no performance data, or none is summed up yet (each five minutes)"}
	}
	for _, s := range list {
		low, high, sum, n := s.Points[0].Min, s.Points[0].Max, 0.0, int64(0)
		for _, p := range s.Points {
			low, high, sum, n = min(low, p.Min), max(high, p.Max), sum+p.Mean*float64(p.N), n+p.N
		}
		a.Lines = append(a.Lines, fmt.Sprintf("%s: mean %.4g%s, lowest %.4g%s, highest %.4g%s in %s (%d values)", clip(s.Label, 80), sum/float64(n), s.Unit, low, s.Unit, high, s.Unit, Short(back), n))
	}
	return a, nil
}

func checkStats(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
	if len(args) > 0 {
		return Answer{}, checkUse("stats")
	}
	s := e.Checks.Stats(ctx)
	a := say("%s on %s, %d not OK, %s down; %d began in the last minute, %s behind on average and %s at most, and took %s; %d run, %d wait for a place, %d for the database",
		checksWord(s.Checks), hostsWord(s.Hosts), s.Problems, hostsWord(s.Down), s.Started, Short(s.Lag), Short(s.MaxLag), Short(s.Took), s.Running, s.Queued, s.Unwritten)
	a.Data = s
	a = withTrouble(a, s)
	for _, w := range s.Warnings[:min(len(s.Warnings), warningsShown)] {
		if w != s.Trouble {
			a.Lines = append(a.Lines, "warning: "+w)
		}
	}
	if more := len(s.Warnings) - warningsShown; more > 0 {
		a.Lines = append(a.Lines, fmt.Sprintf("and %d more warnings", more))
	}
	return a, nil
}

// warningsShown is how many warnings `check stats` tells.
const warningsShown = 20

func listDowntimes(_ context.Context, e *Env, c *Call, args []string) (Answer, error) {
	list := e.Checks.Downtimes()
	a := Answer{Data: list}
	if len(list) == 0 {
		a.Lines = []string{"nothing is silenced"}
	}
	for _, d := range list {
		from := ""
		if d.From.After(e.Now()) {
			from = "from " + plain.Time(d.From) + " "
		}
		l := fmt.Sprintf("%d: %s on %s %suntil %s, by %s", d.ID, d.Task, d.Host, from, plain.Time(d.Until), d.By)
		if d.Name != "" {
			l = fmt.Sprintf("%s: %s on %s %suntil %s, with the period %s", d.Name, d.Task, d.Host, from, plain.Time(d.Until), d.Every)
			if d.Until.IsZero() {
				l = fmt.Sprintf("%s: %s on %s always, for %s has no end", d.Name, d.Task, d.Host, d.Every)
			}
		}
		if d.Why != "" {
			l += ": " + d.Why
		}
		a.Lines = append(a.Lines, l)
	}
	return a, nil
}

// listActions shows what the monitor did, with what it will try again and what it has given up.
func listActions(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
	n := 20
	if len(args) > 0 {
		var err error
		if n, err = strconv.Atoi(args[0]); err != nil || n < 1 || n > 1000 || len(args) > 1 {
			return Answer{}, checkUse("actions")
		}
	}
	list, err := e.Checks.Acted(ctx, n)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Data: list}
	if len(list) == 0 {
		a.Lines = []string{"no action was needed yet"}
	}
	for _, d := range list {
		name := d.Action
		if name == "" {
			name = "notice"
		}
		if d.Contact != "" {
			name += " to " + d.Contact
		}
		state := "done"
		switch {
		case d.Done.IsZero() && d.Error != "":
			state = fmt.Sprintf("failed %d times, is tried again: %s", d.Tries, d.Error)
		case d.Done.IsZero():
			state = "under way"
		case d.Error != "":
			state = "given up: " + d.Error
		}
		more := ""
		if d.Events > 1 {
			more = fmt.Sprintf(" and %d more", d.Events-1)
		}
		a.Lines = append(a.Lines, fmt.Sprintf("%s %s, %s of %s%s: %s", plain.Time(d.At), name, d.On, d.Key, more, state))
	}
	return a, nil
}

func listDefinitions(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
	if len(args) > 1 {
		return Answer{}, checkUse("defined")
	}
	if len(args) == 1 && !slices.Contains(model.Kinds, args[0]) {
		hint := "there are " + strings.Join(model.Kinds, ", ")
		if near := plain.Nearest(args[0], model.Kinds); near != "" {
			hint = "did you mean " + near + "?"
		}
		return Answer{}, &UserError{Msg: fmt.Sprintf("there is no kind %q", clip(args[0], 40)), Hint: hint, Kind: ErrNotFound}
	}
	list, err := e.Checks.Definitions(ctx, strings.Join(args, ""))
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Data: list}
	if len(list) == 0 {
		a.Lines = []string{"nothing of that kind is declared"}
	}
	for _, d := range list {
		from := "in a file"
		if d.By != "" {
			from = fmt.Sprintf("by %s, %s", d.By, plain.Time(d.At))
		}
		line := fmt.Sprintf("%s %s (%s)", d.Kind, d.Name, from)
		if d.Trouble != "" {
			line += ", left out: " + clip(d.Trouble, 200)
		}
		a.Lines = append(a.Lines, line)
	}
	return a, nil
}
