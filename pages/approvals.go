package pages

import (
	"context"
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

func approvalsPage() *page {
	return &page{path: "/approvals", file: "approvals.html", name: "Approvals", key: "a", role: access.View, slow: true,
		read: func(s *Site, ctx context.Context, _ query, _ view, _ []pipeline.Event) (view, error) {
			return s.readApprovals(ctx)
		}}
}

// maxDecided is how many answers are shown.
const maxDecided = 20

// approvalsView is what waits for a second person, and what was answered last.
type approvalsView struct {
	site    *Site
	event   int64
	asked   []asked
	decided []row
}

// asked is something that waits, with its run.
type asked struct {
	approval pipeline.Approval
	run      pipeline.Run
	takes    []string
}

// readApprovals leaves out what has no run any more: it was decided, or is older than what is kept.
func (s *Site) readApprovals(ctx context.Context) (*approvalsView, error) {
	v := &approvalsView{site: s}
	var err error
	if v.event, err = s.Engine.LastEvent(ctx); err != nil {
		return nil, err
	}
	for _, a := range s.approvals(ctx) {
		r, err := s.Engine.Get(ctx, a.Run)
		if err != nil {
			continue // it was decided in this moment
		}
		takes, _ := s.Engine.Left(r)
		v.asked = append(v.asked, asked{a, r, takes})
	}
	list, err := s.Engine.Decided(ctx, maxDecided)
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		r, err := s.Engine.Get(ctx, d.Run)
		if err != nil {
			continue // it is older than what is kept
		}
		row := row{ID: fmt.Sprintf("answered-%d", d.ID), Kind: "off", Word: d.Outcome, Path: fmt.Sprintf("/runs/%d", r.ID), Name: fmt.Sprintf("run %d", r.ID), Rest: " " + r.Verb + " " + r.Host, Text: "asked for by " + d.By, At: d.At}
		if d.Outcome == "approved" {
			row.Kind = "good"
		}
		if d.Decider != "" {
			row.Text = "by " + d.Decider + ", " + row.Text
		}
		if d.Because != "" {
			row.Text += ", because " + d.Because
		}
		v.decided = append(v.decided, row)
	}
	return v, nil
}

func (v *approvalsView) title() string {
	if len(v.asked) == 0 {
		return "nothing waits"
	}
	return fmt.Sprintf("‖ %d wait", len(v.asked))
}

func (v *approvalsView) at() int64 { return v.event }

func (v *approvalsView) parts() []part {
	return []part{{"ended", "ended", rows{"Answered", "Nothing was answered yet.", v.decided, 0}}}
}

// askedData is an approval with its buttons.
type askedData struct {
	ID, Run    int64
	Host, Rest string
	Text       string
	Takes      []string // of an undo
	Until      time.Time
	May, Self  bool
	Whose      string
	Refused    string
	Only       string // why they may deny it, and not approve
}

// onlyDeny says why somebody who did not ask for it may not approve it either, as `approve` would; "" when they may.
func (s *Site) onlyDeny(p access.Person, a pipeline.Approval) string {
	if u := command.NotSecond(s.Access, p, a); u != nil {
		return u.Error()
	}
	return ""
}

// own gives those that wait for the person, then those that are their own.
func (v *approvalsView) own(p access.Person) []part {
	var mine, others []askedData
	for _, x := range v.asked {
		d := askedData{ID: x.approval.ID, Run: x.run.ID, Text: asksFor(x.run, x.approval), Until: x.approval.Expires, May: p.Has(access.Deploy), Whose: whoseIs(p, x.approval), Self: x.approval.AskedBy(pipeline.Who{Name: p.Name, Behind: p.Behind})}
		d.Host, d.Rest = named(x.run)
		if x.approval.What == pipeline.ToUndo {
			d.Takes = x.takes
		}
		if !d.May {
			d.Refused = fmt.Sprintf("To answer needs the role %q, which %s does not have.", access.Deploy, p.Name)
		}
		if d.May && !d.Self {
			d.Only = v.site.onlyDeny(p, x.approval)
		}
		if d.Self {
			mine = append(mine, d)
		} else {
			others = append(others, d)
		}
	}
	return []part{{"asked", "asked", append(others, mine...)}}
}

// whoseIs says why a person is no second one for what waits.
func whoseIs(p access.Person, a pipeline.Approval) string {
	if a.By == p.Name {
		return "You asked for it yourself"
	}
	return fmt.Sprintf("%s asked for it, and one of you gave the other the token, or one person gave it to both: you count as one", plain.Line(a.By))
}
