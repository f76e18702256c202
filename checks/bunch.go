package checks

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/fleet"
)

// bunch is events that are said in one line.
type bunch struct {
	on     string
	task   string
	status model.Status
	// unheeded: it is told because it is not acknowledged.
	unheeded bool
	rows     []outboxRow
}

// maxNamed is how many hosts a line names.
const maxNamed = 8

// hosts names the hosts, each once, for a line that stays readable: beyond 120 characters only the first maxNamed.
func (b *bunch) hosts() (names string, n int) {
	var list []string
	for _, r := range b.rows {
		if !slices.Contains(list, r.Host) {
			list = append(list, r.Host)
		}
	}
	slices.Sort(list)
	n = len(list)
	if n == 1 {
		return list[0], 1
	}
	text := fleet.Fold(list)
	if len(text) > 120 {
		text = strings.Join(list[:min(maxNamed, n)], ", ")
		if n > maxNamed {
			text += ", …"
		}
	}
	return fmt.Sprintf("%d hosts: %s", n, text), n
}

// line is one sentence, that says what to do next.
func (b *bunch) line() string {
	head, rest := b.sentence()
	return head + rest
}

// sentence gives what happened where, and then what the check said and what to do next.
func (b *bunch) sentence() (head, rest string) {
	names, n := b.hosts()
	e := b.rows[len(b.rows)-1].Event
	said := ""
	if n == 1 && e.Line != "" {
		said = ": " + clip(e.Line, 200)
	}
	more := fmt.Sprintf(" `checks %s`", b.task)
	if n == 1 {
		more = fmt.Sprintf(" `check show %s on %s`", b.task, e.Host)
	}
	was := ""
	if n == 1 && e.Was > 0 {
		was = " after " + short(e.Was)
	}
	stood := "" // of a problem that is told late, or again
	if n == 1 && e.Stood > 0 {
		stood = " after " + short(e.Stood)
		was = stood
	}
	if b.unheeded {
		stood, was = stood+nobody, was+nobody
		if n == 1 {
			more = fmt.Sprintf(" `ack %s on %s`", b.task, e.Host)
		}
	}
	again := e.Again || e.Stood > 0 || b.unheeded
	if b.task == model.HostAnswers {
		switch {
		case b.on == string(model.Recovery) && n == 1:
			return fmt.Sprintf("%s answers again%s", names, was), ""
		case b.on == string(model.Recovery):
			return fmt.Sprintf("answer again: %s", names), ""
		case b.on == string(model.Problem) && n == 1:
			return fmt.Sprintf("%s %scannot be reached", names, still(again)) + stood, said
		case b.on == string(model.Problem):
			return "cannot be reached: " + names + stood, fmt.Sprintf(". `checks %s`", model.HostAnswers)
		}
	}
	switch b.on {
	case string(model.Recovery):
		return fmt.Sprintf("%s is OK again on %s%s", b.task, names, was), ""
	case string(model.Flaps):
		return fmt.Sprintf("%s keeps changing (flapping) on %s", b.task, names), "; I am quiet about it until it settles." + more
	case string(model.Steady):
		return fmt.Sprintf("%s has settled (%s) on %s", b.task, b.status, names), ""
	case model.OnStays:
		return fmt.Sprintf("%s is still %s on %s%s", b.task, b.status, names, was), said + "." + more
	}
	return fmt.Sprintf("%s is %s%s on %s", b.task, still(again), b.status, names) + stood, strings.TrimRight(said, ".") + "." + more
}

const nobody = ", not acknowledged"

func still(again bool) string {
	if again {
		return "still "
	}
	return ""
}

// summary is one line for very many.
func summary(list []*bunch) string {
	return tally(list) + ". `checks` lists what is wrong now"
}

// tally counts what happened.
func tally(list []*bunch) string {
	problems, recoveries, hosts := map[string]bool{}, map[string]bool{}, map[string]bool{}
	bad, well := 0, 0
	for _, b := range list {
		for _, r := range b.rows {
			hosts[r.Host] = true
			if b.on == string(model.Recovery) || b.on == string(model.Steady) {
				recoveries[b.task] = true
				well++
			} else {
				problems[b.task] = true
				bad++
			}
		}
	}
	var parts []string
	if bad > 0 {
		parts = append(parts, fmt.Sprintf("%s (%s)", counted(bad, "problem", "problems"), some(problems)))
	}
	if well > 0 {
		parts = append(parts, fmt.Sprintf("%s OK again (%s)", counted(well, "check is", "checks are"), some(recoveries)))
	}
	return fmt.Sprintf("on %s: %s", counted(len(hosts), "host", "hosts"), strings.Join(parts, ", "))
}

// counted writes a number with the words for one or for many.
func counted(n int, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// some names five at most.
func some(set map[string]bool) string {
	var list []string
	for k := range set {
		list = append(list, k)
	}
	slices.Sort(list)
	if len(list) > 5 {
		list = append(list[:5], "…")
	}
	return strings.Join(list, ", ")
}

// short writes a time as people say it: 45s, 12m, 3h20m, 2d4h.
func short(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return d.String()
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < day && d%time.Hour < time.Minute:
		return fmt.Sprintf("%dh", int(d.Hours()))
	case d < day:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d/day), int(d%day/time.Hour))
}
