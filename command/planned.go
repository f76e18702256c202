package command

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

// planTime has what was ordered begin at the time that was named, if one was. What can be known now of how it will be
// judged then is judged now.
func (e *Env) planTime(c *Call, o *ordered) error {
	if o.at == "" {
		return nil
	}
	at, err := e.when(o.at)
	if err != nil {
		return err
	}
	for i := range o.requests {
		q := &o.requests[i]
		if q.At = at; c.Person.Operator {
			q.Needs = ""
			continue
		}
		q.Needs = strings.TrimSpace(access.Deploy + " " + q.Needs)
		if why := e.lacks(q.By, q.Needs); why != "" {
			return &UserError{Msg: "it would not begin then, for rights are looked at once more, by `people` in jarvis.yaml alone: " + why, Hint: "ask without `at`, or have your entry there name the role", Kind: ErrDenied}
		}
	}
	return nil
}

// lacks says which of some roles, with spaces between, somebody does not have by the configuration; "" when they have
// all of them.
func (e *Env) lacks(name, roles string) string {
	if roles == "" || e.Access == nil {
		return ""
	}
	p := e.Access.Person(name)
	if p.Name == "" {
		return fmt.Sprintf("%s is not one of `people`", name)
	}
	for _, role := range strings.Fields(roles) {
		if !p.Has(role) {
			return fmt.Sprintf("%s does not have the role %q", name, role)
		}
	}
	return ""
}

// MayBegin says what speaks against a planned run now that its time has come, as the configuration is now.
func (t *Table) MayBegin(_ context.Context, r pipeline.Run) (pipeline.Objection, error) {
	e := t.env()
	p := access.Person{Name: r.By, Roles: []string{access.Admin}} // who keeps the machine
	if r.Needs != "" && e.Access != nil {
		p = e.Access.Person(r.By)
	}
	if f, until, _ := e.Freeze.against(p, e.Now()); f != nil {
		if end := e.Freeze.clear(p, until); !end.IsZero() {
			until = end
		}
		return pipeline.Objection{Why: f.said("", until), Until: until}, nil
	}
	if why := e.lacks(r.By, r.Needs); why != "" {
		return pipeline.Objection{Why: why}, nil
	}
	return pipeline.Objection{Why: e.otherSteps(r)}, nil
}

// otherSteps says that the steps of a planned run are not those that its verb has now; "" when they are. Those of a
// clipboard's own have to be there.
func (e *Env) otherSteps(r pipeline.Run) string {
	reg := e.Engine.Registry()
	for _, name := range r.Steps {
		if _, err := reg.Lookup(name, r.Provider); err != nil {
			return fmt.Sprintf("its step %s is not there any more", name)
		}
	}
	if r.Verb == pipeline.VerbOwn {
		return ""
	}
	list := r.Provider
	if r.Variant != "" {
		list += "-" + r.Variant
	}
	var now []string
	for _, name := range e.Pipelines[r.Verb][list] {
		if s, err := reg.Lookup(name, r.Provider); err == nil {
			name = s.Name
		}
		now = append(now, name)
	}
	if slices.Equal(now, r.Steps) {
		return ""
	}
	return fmt.Sprintf("the steps of %s in the configuration are others now than when it was asked for", r.Pipeline)
}

// waitsLine is the second half of an answer about what does not begin at once; "" for what does.
func (e *Env) waitsLine(r pipeline.Run, name string, need *pipeline.NeedApproval) string {
	in := ""
	if !r.At.IsZero() {
		in = Short(r.At.Sub(e.Now()))
	}
	switch {
	case need != nil && r.At.IsZero():
		return waitsFor(need.Why, fmt.Sprint(r.ID), need.Until(e.Now(), r.At))
	case need != nil:
		return fmt.Sprintf("It is to begin on %s, in %s. %s", r.Why, in, waitsFor(need.Why, fmt.Sprint(r.ID), need.Until(e.Now(), r.At)))
	case r.State == pipeline.Planned:
		return fmt.Sprintf("It begins on %s, in %s; `cancel %s` before that, and it does not.", r.Why, in, name)
	}
	return ""
}

// waitsToBegin says until when a run waits that is planned, or will be when it is approved.
func waitsToBegin(r pipeline.Run) string {
	if r.Waits == pipeline.ForFreeze {
		return "waits to begin, for " + r.Why
	}
	return "waits until " + r.Why + " to begin"
}

// beginsOn says when a run is to begin, in the words of its asker's zone as long as they are on record.
func beginsOn(r pipeline.Run) string {
	if r.State.Ahead() && r.Waits == pipeline.ForTime {
		return r.Why
	}
	return plain.Time(r.At)
}

// plannedNotice says what becomes of a planned run at its time. Of the hosts of a cluster, which begin together, the
// line of the first is for all; is reports whether the event is one of those.
func plannedNotice(ctx context.Context, e *pipeline.Engine, r pipeline.Run, ev pipeline.Event) (line string, is bool) {
	what, begin, do, wait := fmt.Sprintf("%s: run %d", r.Host, r.ID), "begins", "does", "waits"
	if r.Cluster != 0 && slices.Contains([]pipeline.EventKind{pipeline.EvBegins, pipeline.EvPostponed, pipeline.EvLapsed}, ev.Kind) {
		cl, err := e.ClusterOf(ctx, r)
		if err == nil {
			list := slices.DeleteFunc(cl.Runs, func(r pipeline.Run) bool {
				return slices.Contains([]pipeline.Ending{pipeline.EndWithdrawn, pipeline.EndDenied, pipeline.EndExpired}, r.Ending)
			})
			if len(list) > 0 && list[0].ID != r.ID {
				return "", true
			}
			what, begin, do, wait = fmt.Sprintf("%s: its %d runs", cl.Name, len(list)), "begin", "do", "wait"
			if len(list) == 1 {
				what, begin, do, wait = fmt.Sprintf("%s: its run", cl.Name), "begins", "does", "waits"
			}
		}
	}
	switch ev.Kind {
	case pipeline.EvBegins:
		late := ""
		if d := ev.At.Sub(r.At); d > time.Minute {
			late = ", " + Short(d) + " after the time that was named"
		}
		return fmt.Sprintf("%s %s, as %s asked%s.", what, begin, r.By, late), true
	case pipeline.EvPostponed:
		return fmt.Sprintf("%s %s: %s", what, wait, sentence(ev.Text)), true
	case pipeline.EvLapsed:
		return fmt.Sprintf("%s %s not start: %s; nothing was done. Ask for it again.", what, do, strings.TrimSuffix(ev.Text, ".")), true
	}
	return "", false
}
