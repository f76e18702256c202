package pages

import (
	"context"
	"errors"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
)

// checkResults is how many results of a check are shown.
const checkResults = 30

func checkPage() *page {
	return &page{path: "/checks/{host}/{task}", file: "check.html", of: "Checks", role: access.View, slow: true, checks: true, every: checksEvery,
		about: func(query, pipeline.Event) bool { return false },
		words: checkWords,
		read: func(s *Site, ctx context.Context, q query, _ view, _ []pipeline.Event) (view, error) {
			return s.readCheck(ctx, q)
		}}
}

// span is how far back a graph goes.
type span struct {
	Key, Name string
	Here      bool

	back, step time.Duration
}

var spans = []span{
	{Key: "day", Name: "1 day", back: 24 * time.Hour, step: 5 * time.Minute},
	{Key: "week", Name: "7 days", back: 7 * 24 * time.Hour, step: time.Hour},
	{Key: "quarter", Name: "90 days", back: 90 * 24 * time.Hour, step: 24 * time.Hour},
	{Key: "years", Name: "2 years", back: 730 * 24 * time.Hour, step: 24 * time.Hour},
}

// checkView is one check.
type checkView struct {
	event   int64
	check   checks.View
	head    checkHead
	last    sky
	plots   plotList
	results []resultRow
}

type checkHead struct {
	Kind, Text string
	More       []string
}

type resultRow struct {
	checks.Result
	Kind, TookText string
}

// readCheck takes the sentence and the line after it from what `check show` says, so that both say the same.
func (s *Site) readCheck(ctx context.Context, q query) (*checkView, error) {
	k := model.Key{Task: q.task, Host: q.host}
	v := &checkView{}
	var err error
	if v.event, err = s.Engine.LastEvent(ctx); err != nil {
		return nil, err
	}
	v.check, err = s.Checks.Show(ctx, k)
	var none *checks.NoCheckError
	switch {
	case errors.As(err, &none):
		return nil, &command.UserError{Msg: none.Error(), Hint: "the page of all checks lists what there is", Kind: command.ErrNotFound}
	case err != nil:
		return nil, err
	}
	lines := s.Table.CheckLines(v.check)
	v.head = checkHead{Kind: kindOf(v.check), Text: lines[0]}
	if !v.check.At.IsZero() && len(lines) > 1 {
		v.head.More = lines[1:2]
	}
	v.last = lastSky(v.check.Recent)
	if v.plots, err = s.plotsOf(ctx, v.check, q.span); err != nil {
		return nil, err
	}
	list, err := s.Checks.Results(ctx, checks.ResultFilter{Keys: []model.Key{k}, Limit: checkResults})
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		row := resultRow{Result: r, Kind: kindOfStatus(r.Status), TookText: command.Short(r.Took)}
		row.Line = clip(row.Line, 300)
		v.results = append(v.results, row)
	}
	return v, nil
}

func (v *checkView) title() string {
	sign := map[string]string{"good": "✓", "bad": "✕", "warn": "!", "unk": "?"}[v.head.Kind]
	if sign == "" {
		sign = "–"
	}
	return sign + " " + v.check.Task + " on " + v.check.Host
}

// Check is what the head of the page is about.
func (v *checkView) Check() model.Key { return v.check.Key }

func (v *checkView) at() int64 { return v.event }
func (v *checkView) parts() []part {
	return []part{{"sentence", "check-head", v.head}, {"last", "check-last", v.last}, {"plots", "check-plots", v.plots}, {"results", "check-results", v.results}}
}

// checkActs is what a reader can do about a check.
type checkActs struct {
	May, Wrong bool
	Pair, Was  string
}

func (v *checkView) own(p access.Person) []part {
	return []part{{"acts", "check-acts", checkActs{p.Has(access.Deploy), v.check.Status != model.OK && v.check.Ack == nil, v.check.Key.String(), v.check.Status.String()}}}
}
