package command

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/plain"
)

const (
	reportBack  = 30 * 24 * time.Hour // when the command names no time
	reportLines = 15
)

// reportChecks sums up all checks that are meant. The limit counts for Data alone: it is what a program reads.
func reportChecks(ctx context.Context, e *Env, _ *Call, args []string) (Answer, error) {
	args, limit, after, err := pageOf(args)
	if err != nil {
		return Answer{}, err
	}
	word, with, ok := clauses(args, "on", "group", "for", "since", "until", "within", "with")
	if !ok || after != "" || with["on"] != "" && with["group"] != "" || with["for"] != "" && with["since"] != "" || with["with"] != "" && with["with"] != "downtimes" {
		return Answer{}, checkUse("report")
	}
	f := checks.ReportFilter{Within: with["within"], Planned: with["with"] != "", Until: e.Now()}
	if with["until"] != "" {
		if f.Until, err = e.ago(with["until"]); err != nil {
			return Answer{}, err
		}
	}
	f.Since = f.Until.Add(-reportBack)
	if with["for"] != "" {
		back, err := period(with["for"])
		if err != nil {
			return Answer{}, err
		}
		f.Since = f.Until.Add(-back)
	} else if with["since"] != "" {
		if f.Since, err = e.ago(with["since"]); err != nil {
			return Answer{}, err
		}
	}
	if with["group"] != "" {
		with["on"] = "@" + strings.TrimPrefix(with["group"], "@")
	}
	list, err := reported(ctx, e, word, with["on"])
	var none *checks.NoCheckError
	if errors.As(err, &none) && word == "" && with["on"] == "" {
		return Answer{}, &UserError{Msg: "no checks are declared", Kind: ErrNotFound}
	}
	if err != nil {
		return Answer{}, err
	}
	f.Keys = keysOf(list)
	r, err := e.Checks.Report(ctx, f)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Lines: reportText(r)}
	if r.Left = max(len(r.Checks)-limit, 0); r.Left > 0 {
		r.Checks = r.Checks[:limit]
	}
	a.Data = r
	return a, nil
}

// reported gives the checks that a report is about. One word may be a task or a host.
func reported(ctx context.Context, e *Env, word, host string) ([]checks.View, error) {
	list, err := chosen(ctx, e, word, host)
	if word != "" && host == "" && err != nil {
		if of, herr := chosen(ctx, e, "", word); herr == nil {
			return of, nil
		}
	}
	return list, err
}

// reportText is a report for people: a sentence, then a line for each check that was not always well, those that were
// alike in one.
func reportText(r checks.Report) []string {
	n := len(r.Checks)
	when := fmt.Sprintf("from %s to %s", plain.Time(r.Since), plain.Time(r.Until))
	if r.Within != "" {
		when += ", within " + r.Within
	}
	if r.All.Uptime == nil {
		return []string{fmt.Sprintf("nothing is on record of %d %s %s", n, plural(n, "check"), when)}
	}
	well, outages := 0, 0
	for _, c := range r.Checks {
		outages += len(c.Outages)
		if c.Uptime != nil && len(c.Outages) == 0 {
			well++
		}
	}
	head := fmt.Sprintf("OK for %s of the time: %d %s %s; %d %s", percent(*r.All.Uptime), n, plural(n, "check"), when, outages, plural(outages, "outage"))
	if well > 0 && n > 1 {
		head += fmt.Sprintf("; %d always OK", well)
	}
	lines := []string{head}
	if r.Note != "" {
		lines = append(lines, r.Note)
	}
	rows := reportRows(r)
	lines = append(lines, rows[:min(len(rows), reportLines)]...)
	if more := len(rows) - reportLines; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more lines of what was better; name a check or a host, or take --json", more))
	}
	return lines
}

// reportRows tells of the checks that were not always OK, the worst first: those of one task that were so alike in one
// line.
func reportRows(r checks.Report) []string {
	type row struct {
		task, says string
		hosts      []string
	}
	var rows []*row
	for _, c := range r.Checks {
		says := figuresText(c.Figures, r.Until.Sub(r.Since))
		if says == "" {
			continue
		}
		i := slices.IndexFunc(rows, func(x *row) bool { return x.task == c.Task && x.says == says })
		if i < 0 {
			rows = append(rows, &row{task: c.Task, says: says})
			i = len(rows) - 1
		}
		rows[i].hosts = append(rows[i].hosts, c.Host)
	}
	var out []string
	for _, x := range rows {
		up, rest, _ := strings.Cut(x.says, "\n")
		out = append(out, fmt.Sprintf("%s %s on %s: %s", up, x.task, clip(fleet.Fold(x.hosts), 200), rest))
	}
	return out
}

// figuresText says how one check was, in two lines: its uptime, and its outages; "" when it was always OK.
func figuresText(f model.Figures, asked time.Duration) string {
	if f.Uptime == nil {
		return "?\nnothing is on record"
	}
	if len(f.Outages) == 0 {
		return ""
	}
	longest, all, goes := time.Duration(0), time.Duration(0), ""
	for _, o := range f.Outages {
		all += o.Took
		longest = max(longest, o.Took)
		if o.End.IsZero() {
			goes = ", the last goes on"
		}
	}
	s := fmt.Sprintf("%s\n%d %s, %s", percent(*f.Uptime), len(f.Outages), plural(len(f.Outages), "outage"), Short(all))
	if len(f.Outages) > 1 {
		s += ", the longest " + Short(longest)
	} else if goes != "" {
		goes = ", it goes on"
	}
	if f.Known < f.Asked*99/100 {
		s += fmt.Sprintf("; %s of %s on record", Short(f.Known), Short(min(f.Asked, asked)))
	}
	return s + goes
}

// percent never says 100 of what was not always so.
func percent(part float64) string {
	return fmt.Sprintf("%.3f %%", math.Floor(part*1e5+1e-9)/1e3)
}
