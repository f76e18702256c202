package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

func drift() Verb {
	return Verb{
		Name: "drift", Usage: "[HOST]", Role: access.View, Max: 1,
		Doc:     "compares a host with what its deployment left, now; without a name, says what the looks by the clock found",
		Example: "drift loki",
		API: []API{
			{Method: "GET", Path: "/v1/drift", Gives: pipeline.Drifted{}},
			{Method: "GET", Path: "/v1/drift/{host}", Params: []Param{{Name: "host", In: InPath, Doc: "name of a host", Required: true}}, Gives: pipeline.Look{}},
		},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			if len(c.Args) == 0 {
				return e.drifted(ctx)
			}
			h, err := findHost(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			if h.IsImport() {
				a := say("%s was imported, and never deployed here: there is nothing to compare it with.", h.Host)
				a.Data = pipeline.Look{Host: h.Host, FQDN: h.FQDN, Run: h.ID, At: e.Now(), Differs: []pipeline.Difference{}, Unknown: []pipeline.NotKnown{}}
				return a, nil
			}
			l, err := e.Engine.Look(ctx, h)
			var not *pipeline.NotReadyError
			switch {
			case errors.As(err, &not):
				return Answer{}, &UserError{Msg: fmt.Sprintf("%s is %s (run %d), and only what is ready is compared", h.Host, stateWord(h.Run), h.ID), Hint: fmt.Sprintf("`status %s` tells more", h.Host)}
			case errors.Is(err, pipeline.ErrMoved):
				return Answer{}, &UserError{Msg: fmt.Sprintf("a run of %s began meanwhile, so what I saw says nothing", h.Host), Hint: fmt.Sprintf("`status %s` tells more", h.Host)}
			case err != nil:
				return Answer{}, err
			}
			return Answer{Lines: lookLines(l), Data: l, Bad: len(l.Differs)+len(l.Unknown) > 0}, nil
		},
	}
}

// lookLines says what came of a look: how many, each difference, and what is not known, by its reason.
func lookLines(l pipeline.Look) []string {
	if l.Asked == 0 {
		return []string{fmt.Sprintf("%s: none of the steps of run %d can tell whether what it left is still so", l.Host, l.Run)}
	}
	head := fmt.Sprintf("%s is as run %d left it", l.Host, l.Run)
	n := len(l.Differs)
	switch {
	case n > 0:
		head = fmt.Sprintf("%s differs in %d %s from what run %d left", l.Host, n, plural(n, "thing"), l.Run)
	case len(l.Unknown) == l.Asked:
		head = fmt.Sprintf("%s: nothing is known of it now", l.Host)
	case len(l.Unknown) > 0:
		head = fmt.Sprintf("%s: what could be read is as run %d left it", l.Host, l.Run)
	}
	could := ""
	if len(l.Unknown) > 0 {
		could = fmt.Sprintf(", %d of them in vain", len(l.Unknown))
	}
	// Why a look was in vain comes first: it is a line or two, and chat shows four.
	out := append([]string{fmt.Sprintf("%s; %d %s looked%s.", head, l.Asked, plural(l.Asked, "step"), could)}, unknownLines(l)...)
	for _, d := range l.Differs {
		out = append(out, fmt.Sprintf("%s: %s", d.Step, sentence(d.Said())))
	}
	return out
}

// unknownLines says each reason once: a host that is down is the reason of several steps.
func unknownLines(l pipeline.Look) []string {
	var why, out []string
	steps := map[string][]string{}
	for _, u := range l.Unknown {
		if !slices.Contains(why, u.Why) {
			why = append(why, u.Why)
		}
		steps[u.Why] = append(steps[u.Why], u.Step)
	}
	for _, w := range why {
		out = append(out, fmt.Sprintf("not known (%s): %s", strings.Join(steps[w], ", "), sentence(w)))
	}
	return out
}

// drifted tells of the last looks by the clock.
func (e *Env) drifted(ctx context.Context) (Answer, error) {
	d, err := e.Engine.Drifted(ctx, maxListed)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Data: d, Bad: len(d.Looks) > 0}
	a.Lines = append(a.Lines, e.driftHead(d))
	for _, l := range d.Looks {
		a.Lines = append(a.Lines, fmt.Sprintf("%s, %s ago: %s", l.FQDN, Short(e.Now().Sub(l.At)), e.foundLine(l)))
	}
	if d.More {
		a.Lines = append(a.Lines, fmt.Sprintf("these are the first %d by name; there are more", maxListed))
	}
	return a, nil
}

// foundLine says what a look by the clock found, or else what the last one had found that could see it.
func (e *Env) foundLine(l pipeline.Look) string {
	n := len(l.Differs) + len(l.Before)
	more := ""
	if n > 1 {
		more = fmt.Sprintf(" `drift %s` tells of %d more.", l.FQDN, n-1)
	}
	switch {
	case n == 0:
		return unknownLines(l)[0]
	case len(l.Differs) > 0:
		return l.Differs[0].Said() + "." + more
	}
	d := l.Before[0]
	when := "before"
	if !d.Seen.IsZero() {
		when = Short(e.Now().Sub(d.Seen)) + " ago"
	}
	return fmt.Sprintf("%s When it could be read last, %s: %s.%s", unknownLines(l)[0], when, d.Said(), more)
}

// driftHead sums up all looks. A host that could not be looked at counts as not known, whatever was found there before.
func (e *Env) driftHead(d pipeline.Drifted) string {
	if d.Looked == 0 {
		if d.Every == 0 {
			return "I look at hosts only when asked: `drift HOST`; `drift: {every: 24h}` in jarvis.yaml has me look by the clock"
		}
		return fmt.Sprintf("none of %d %s has been looked at yet; each is, every %s. `drift HOST` looks now", d.Hosts, plural(d.Hosts, "host"), Short(d.Every))
	}
	differ, unknown, before := 0, 0, 0
	for _, l := range d.Looks {
		switch {
		case len(l.Differs) > 0:
			differ++
		case len(l.Before) > 0:
			before++
			fallthrough
		default:
			unknown++
		}
	}
	found := fmt.Sprintf("%d differ, %d not known", differ, unknown)
	if before > 0 {
		found += fmt.Sprintf(" (%d differed before)", before)
	}
	if d.More {
		found = fmt.Sprintf("more than %d differ or are not known", maxListed)
	}
	when, oldest := Short(e.Now().Sub(d.Newest)), Short(e.Now().Sub(d.Oldest))
	if when != oldest {
		when += " to " + oldest
	}
	head := fmt.Sprintf("%d of %d %s looked at, %s ago: %s", d.Looked, d.Hosts, plural(d.Hosts, "host"), when, found)
	if d.Every == 0 {
		head += "; by the clock I look no more (`drift` in jarvis.yaml)"
	}
	return head
}
