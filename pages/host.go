package pages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/tasklog"
)

// hostRuns is how many runs of a host are shown.
const hostRuns = 20

func hostPage() *page {
	return &page{path: "/hosts/{host}", file: "host.html", of: "Hosts", role: access.View, slow: true, every: checksEvery,
		read: func(s *Site, ctx context.Context, q query, _ view, _ []pipeline.Event) (view, error) {
			return s.readHost(ctx, q.host)
		},
		words: func(form url.Values) [][]string {
			verb, host := form.Get("verb"), plain.Line(form.Get("host"))
			why := plain.Line(form.Get("because"))
			switch {
			case host == "":
				return nil
			case verb == "hold" && why != "":
				return [][]string{{verb, host, "because", why}}
			case slices.Contains([]string{"drift", "destroy", "hold", "release"}, verb):
				return [][]string{{verb, host}}
			}
			return nil
		}}
}

// hostView is where a host stands.
type hostView struct {
	event  int64
	host   hostRow
	text   string
	drift  driftList
	checks []row
	runs   []runLine
	held   bool
}

// driftList is what the last look by the clock found.
type driftList struct {
	At   time.Time
	None string
	List []row
}

// runLine is a run in the table of a host.
type runLine struct {
	pipeline.Run
	Kind, Word, TookText string
}

// readHost also finds a host that is in checks alone, which has no run.
func (s *Site) readHost(ctx context.Context, name string) (*hostView, error) {
	v := &hostView{}
	var err error
	if v.event, err = s.Engine.LastEvent(ctx); err != nil {
		return nil, err
	}
	h, err := s.Engine.FindHost(ctx, name)
	var several *pipeline.AmbiguousError
	switch {
	case errors.As(err, &several):
		return nil, &command.UserError{Msg: several.Error(), Kind: command.ErrNotFound}
	case errors.Is(err, pipeline.ErrNotFound) && s.Checks != nil:
		return s.readChecked(ctx, v, name)
	case err != nil:
		return nil, err
	}
	v.host = rowOfHost(h)
	remarks, err := s.Table.StatusRemarks(ctx, h.Run)
	if err != nil {
		return nil, err
	}
	v.text = strings.TrimPrefix(s.Table.StatusLine(ctx, h.Run), h.Host+": ") + remarks
	if _, err := s.Engine.HoldOf(ctx, h.FQDN); err == nil {
		v.held = true
	} else if !errors.Is(err, pipeline.ErrNotFound) {
		return nil, err
	}
	if v.drift, err = s.driftOf(ctx, h.FQDN); err != nil {
		return nil, err
	}
	if s.Checks != nil {
		names := []string{h.FQDN}
		if h.Host != h.FQDN { // definitions may call it by its short name
			names = append(names, h.Host)
		}
		for _, name := range names {
			list, err := s.Checks.List(ctx, checks.Filter{Host: name})
			if err != nil {
				return nil, err
			}
			for _, c := range list {
				v.checks = append(v.checks, checkRow(c))
			}
		}
	}
	list, err := s.Engine.History(ctx, h.FQDN, hostRuns)
	for _, r := range list {
		l := runLine{Run: r}
		l.Kind, _, l.Word = look(r)
		if !r.Ended.IsZero() && r.HasBegun() {
			l.TookText = command.Short(r.Took(r.Ended))
		}
		v.runs = append(v.runs, l)
	}
	return v, err
}

// readChecked is readHost for one that is declared for checks, and was never deployed here.
func (s *Site) readChecked(ctx context.Context, v *hostView, name string) (*hostView, error) {
	list, err := s.Checks.List(ctx, checks.Filter{Host: name})
	if err != nil || len(list) == 0 || strings.ContainsAny(name, "*?[@") {
		return nil, cmp.Or(err, error(pipeline.ErrNotFound))
	}
	v.host = hostRow{Kind: "off", Name: name}
	v.host.Host = name
	v.text = "is not on record: it is declared for checks, and was not deployed here."
	v.drift.None = "There is nothing to compare it with."
	for _, c := range list {
		v.checks = append(v.checks, checkRow(c))
	}
	return v, nil
}

// driftOf says what the last look by the clock found on a host.
func (s *Site) driftOf(ctx context.Context, fqdn string) (driftList, error) {
	l, err := s.Engine.LookOf(ctx, fqdn)
	switch {
	case errors.Is(err, pipeline.ErrNotFound):
		return driftList{None: "No look by the clock has been there."}, nil
	case err != nil:
		return driftList{}, err
	}
	d := driftList{At: l.At, None: fmt.Sprintf("It is as run %d left it; %s.", l.Run, many(l.Asked, "step looked", "steps looked"))}
	for _, x := range l.Differs {
		d.List = append(d.List, row{Kind: "warn", Word: "differs", Name: x.Step, Text: x.Said()})
	}
	for _, x := range l.Unknown {
		d.List = append(d.List, row{Kind: "unk", Word: "not known", Name: x.Step, Text: x.Why})
	}
	return d, nil
}

// checkRow is a check in a list, by its host.
func checkRow(c checks.View) row {
	r := row{Kind: kindOf(c), Word: c.Word, Path: checkPath(c.Key), Name: c.Task, Rest: " on " + c.Host, Text: clip(c.Line, 200), At: c.Since}
	if c.Hidden != "" {
		r.Rest += ", quiet: " + plain.Line(c.Hidden)
	}
	return r
}

func (v *hostView) title() string {
	if v.host.ID == 0 {
		return v.host.Name
	}
	_, sign, word := look(v.host.Run)
	return sign + " " + v.host.Host + " " + word
}

func (v *hostView) at() int64 { return v.event }

// hostActs is what a reader can do about a host; what is under way is moved on the page of its run.
type hostActs struct {
	Host, FQDN     string
	Drift, Destroy bool
	Hold, Release  bool
}

func (v *hostView) own(p access.Person) []part {
	r := v.host.Run
	stands := r.ID != 0 && r.State.Resting() && r.HasBegun() && r.State != pipeline.Undone && r.Ending != pipeline.EndDestroyed && !tasklog.IsTask(r)
	may := r.ID != 0 && !tasklog.IsTask(r) && p.Has(access.Deploy)
	return []part{{"acts", "host-acts", hostActs{v.host.Host, v.host.FQDN, stands, may && stands && !v.held, may && !v.held, may && v.held}}}
}

func (v *hostView) parts() []part {
	return []part{{"sentence", "sentence", sentence{v.host.Kind, v.text}}, {"drift", "host-drift", v.drift}, {"checks", "host-checks", v.checks}, {"runs", "host-runs", v.runs}}
}

// Facts are what the head of the page says.
func (v *hostView) Facts() hostRow { return v.host }
