package pages

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

func homePage() *page {
	return &page{path: "/{$}", file: "home.html", name: "Overview", key: "o", role: access.View, slow: true,
		read: func(s *Site, ctx context.Context, _ query, _ view, _ []pipeline.Event) (view, error) {
			return s.readHome(ctx)
		}}
}

// How much of each the overview shows.
const (
	maxLive  = 200
	maxEnded = 8
)

// homeView is what is under way, what waits for whom, and what is wrong.
type homeView struct {
	event                     int64
	sentence                  sentence
	waits, live, wrong, ended []row
	more, bad                 int
}

// sentence is the first thing on a page.
type sentence struct{ Kind, Text string }

// row is a line of a list: a run, or checks that are wrong in the same way.
type row struct {
	ID         string // "" or made of numbers
	Kind, Word string
	Path       string
	Name, Rest string // of a host, or of what is wrong
	Text       string // a sentence of chat
	Mono       bool
	Line       *timeline // of a run that moves
	At         time.Time
	Until      bool // At is when it ends
}

// rows is the data of a list with its heading.
type rows struct {
	Title, None string
	List        []row
	More        int
}

// readHome shows a run that waits for a second person among what waits, with the question, and not as a run.
func (s *Site) readHome(ctx context.Context) (*homeView, error) {
	v := &homeView{}
	var err error
	if v.event, err = s.Engine.LastEvent(ctx); err != nil {
		return nil, err
	}
	live, err := s.Engine.Live(ctx, maxLive+1)
	if err != nil {
		return nil, err
	}
	if len(live) > maxLive {
		live, v.more = live[:maxLive], 1
	}
	failed, asks := 0, 0
	for _, r := range live {
		switch r.State {
		case pipeline.Proposed: // below, with why
		case pipeline.Failed, pipeline.Asking:
			if failed++; r.State == pipeline.Asking {
				failed--
				asks++
			}
			v.waits = append(v.waits, s.runRow(ctx, r))
		default:
			row := s.runRow(ctx, r)
			row.Line = s.timelineOf(ctx, r)
			v.live = append(v.live, row)
		}
	}
	for _, a := range s.approvals(ctx) {
		r, err := s.Engine.Get(ctx, a.Run)
		if err != nil {
			continue // it was decided in this moment
		}
		asks++
		v.waits = append(v.waits, s.approvalRow(r, a))
	}
	recent, err := s.Engine.Runs(ctx, pipeline.RunFilter{Limit: 50})
	if err != nil {
		return nil, err
	}
	for _, r := range recent {
		if !r.State.Live() && len(v.ended) < maxEnded {
			row := s.runRow(ctx, r)
			row.At = r.Ended
			v.ended = append(v.ended, row)
		}
	}
	problems := s.problems(ctx)
	v.bad = len(problems)
	v.wrong = wrongRows(problems)
	v.sentence = sumUp(asks, failed, len(v.live), v.bad)
	return v, nil
}

// sumUp says how everything stands.
func sumUp(asks, failed, live, bad int) sentence {
	var parts []string
	add := func(n int, one, more string) {
		if n > 0 {
			parts = append(parts, many(n, one, more))
		}
	}
	add(asks, "thing waits for a person", "things wait for a person")
	add(failed, "run has failed", "runs have failed")
	add(live, "run is under way", "runs are under way")
	add(bad, "check is not OK", "checks are not OK")
	switch {
	case len(parts) == 0:
		return sentence{"good", "All is well: nothing is under way, and nothing waits for a person."}
	case failed > 0 || bad > 0:
		return sentence{"bad", strings.Join(parts, ", ") + "."}
	case asks > 0:
		return sentence{"wait", strings.Join(parts, ", ") + "."}
	}
	return sentence{"live", strings.Join(parts, ", ") + "."}
}

// runRow is a run in a list, with the sentence that `status` has for it.
func (s *Site) runRow(ctx context.Context, r pipeline.Run) row {
	kind, _, word := look(r)
	text := strings.TrimPrefix(s.Table.StatusLine(ctx, r), r.Host+": ")
	if kind == "live" && r.State != pipeline.Undoing {
		word = fmt.Sprintf("%d/%d", min(r.Stage+1, len(r.Steps)), len(r.Steps))
	}
	out := row{ID: fmt.Sprintf("run-%d", r.ID), Kind: kind, Word: word, Path: fmt.Sprintf("/runs/%d", r.ID), Text: text, At: r.StageAt}
	out.Name, out.Rest = named(r)
	return out
}

// named cuts a host's name after its short one.
func named(r pipeline.Run) (host, rest string) {
	if tail, ok := strings.CutPrefix(r.FQDN, r.Host); ok {
		return r.Host, tail
	}
	return r.Host, ""
}

// approvalRow is something that waits for a second person.
func (s *Site) approvalRow(r pipeline.Run, a pipeline.Approval) row {
	out := row{ID: fmt.Sprintf("ask-%d", a.ID), Kind: "wait", Word: "approve?", Path: fmt.Sprintf("/runs/%d", r.ID), Text: asksFor(r, a), At: a.Expires, Until: true}
	out.Name, out.Rest = named(r)
	return out
}

// asksFor says what somebody wants, and why that waits.
func asksFor(r pipeline.Run, a pipeline.Approval) string {
	what := map[string]string{pipeline.ToStart: r.Verb, pipeline.ToUndo: fmt.Sprintf("undo of run %d", r.ID), pipeline.ToRepeat: fmt.Sprintf("run %d again from %s on", r.ID, a.Step), pipeline.ToGiveUp: fmt.Sprintf("to give up run %d", r.ID)}[a.What]
	return fmt.Sprintf("%s, asked for by %s: it waits for a second person, because %s.", what, a.By, strings.TrimSuffix(a.Why, "."))
}

// wrongRows folds checks that are wrong in the same way.
func wrongRows(list []checks.View) (out []row) {
	type like struct {
		status model.Status
		task   string
	}
	var order []like
	hosts, since := map[like][]string{}, map[like]time.Time{}
	for _, v := range list {
		k := like{v.Hard, v.Task}
		if hosts[k] == nil {
			order = append(order, k)
			since[k] = v.Since
		}
		hosts[k] = append(hosts[k], v.Host)
		if v.Since.Before(since[k]) {
			since[k] = v.Since
		}
	}
	for _, k := range order[:min(len(order), 20)] {
		names := hosts[k]
		slices.Sort(names)
		out = append(out, row{Kind: kindOfStatus(k.status), Word: k.status.String(), Path: "/checks?q=" + url.QueryEscape(k.task), Name: plain.Line(k.task), Rest: " on " + many(len(names), "host", "hosts"), Text: plain.Some(names, 12), Mono: true, At: since[k]})
	}
	return out
}

func (v *homeView) title() string {
	n := len(v.waits)
	switch {
	case n > 0:
		return fmt.Sprintf("‖ %d wait", n)
	case len(v.live) > 0:
		return fmt.Sprintf("▶ %d under way", len(v.live))
	case v.bad > 0:
		return fmt.Sprintf("✕ %d wrong", v.bad)
	}
	return "all is well"
}

func (v *homeView) at() int64 { return v.event }

func (v *homeView) parts() []part {
	return []part{{"sentence", "sentence", v.sentence},
		{"waits", "waits", rows{"Waits for a person", "Nothing.", v.waits, 0}},
		{"live-runs", "live-runs", rows{"Under way", "Nothing is under way.", v.live, v.more}},
		{"wrong", "wrong", rows{"Wrong", "Nothing.", v.wrong, 0}},
		{"ended", "ended", rows{"Ended", "Nothing has ended yet.", v.ended, 0}}}
}

func (v *homeView) own(access.Person) []part { return nil }
