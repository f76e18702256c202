package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/store"
)

// load gives a *GoneError for a run that was removed.
func (e *Engine) load(ctx context.Context, id int64) (*Run, error) {
	r, err := scan(e.db.QueryRow(ctx, "SELECT "+runColumns+" FROM runs WHERE id = ?", id))
	if errors.Is(err, store.ErrNoRows) {
		return nil, e.missing(ctx, id)
	}
	return &r, err
}

func (e *Engine) runs(ctx context.Context, where string, args ...any) ([]Run, error) {
	return store.Collect(ctx, e.db, func(row store.Row) (Run, error) { return scan(row) }, "SELECT "+runColumns+" FROM runs WHERE "+where, args...)
}

// Get gives one run. ErrNotFound when there is none, which is a *GoneError when there was one that is older than what
// is kept.
func (e *Engine) Get(ctx context.Context, id int64) (Run, error) {
	r, err := e.load(ctx, id)
	if err != nil {
		return Run{}, err
	}
	return *r, nil
}

// Live lists the runs that hold their hosts, oldest first, at most limit.
func (e *Engine) Live(ctx context.Context, limit int) ([]Run, error) {
	return e.runs(ctx, "live = 1 ORDER BY id LIMIT ?", limit)
}

// History lists the runs of a host, newest first, at most limit. A short name means every host of it.
func (e *Engine) History(ctx context.Context, host string, limit int) ([]Run, error) {
	return e.Runs(ctx, RunFilter{Host: host, Limit: limit})
}

// States counts the runs that hold their hosts.
func (e *Engine) States(ctx context.Context) (map[State]int, error) {
	type row struct {
		state State
		n     int
	}
	rows, err := store.Collect(ctx, e.db, func(r store.Row) (o row, err error) { return o, r.Scan(&o.state, &o.n) }, "SELECT state, count(*) FROM runs WHERE live = 1 GROUP BY state")
	out := map[State]int{}
	for _, r := range rows {
		out[r.state] = r.n
	}
	return out, err
}

// RunFilter chooses runs.
type RunFilter struct {
	Host   string // short or full name; "": any
	State  State  // "": any
	Before int64  // only runs with a lower number; 0: from the newest on
	Limit  int
}

// Runs lists runs, newest first.
func (e *Engine) Runs(ctx context.Context, f RunFilter) ([]Run, error) {
	if f.Before <= 0 {
		f.Before = math.MaxInt64
	}
	// Each filter is a statement of its own, so that each finds its index.
	where, args := "id < ?", []any{f.Before}
	if host := strings.TrimSuffix(strings.ToLower(f.Host), "."); host != "" {
		where += " AND fqdn IN (SELECT fqdn FROM hosts WHERE fqdn = ? UNION SELECT fqdn FROM hosts WHERE host = ?)"
		args = append(args, host, host)
	}
	switch {
	case f.State == "":
	case f.Host != "": // a host has few runs, a state many: the index of states is kept out of it
		where += " AND state || '' = ?"
		args = append(args, f.State)
	default:
		where += " AND state = ?"
		args = append(args, f.State)
	}
	return e.runs(ctx, where+" ORDER BY id DESC LIMIT ?", append(args, f.Limit)...)
}

// Clipboard gives a run's clipboard as people may see it, secrets masked.
func (e *Engine) Clipboard(ctx context.Context, id int64) (string, error) {
	r, err := e.load(ctx, id)
	if err != nil {
		return "", err
	}
	c, err := clipboard.Parse([]byte(r.clipboard))
	if err != nil {
		return "", err
	}
	return c.Masked(), nil
}

// Masker gives what hides the secrets of a run's clipboard in whatever is said about its host.
func (e *Engine) Masker(r Run) *clipboard.Masker {
	c, err := clipboard.Parse([]byte(r.clipboard))
	if err != nil {
		return &clipboard.Masker{}
	}
	if all, err := c.OpenAll(e.key); err == nil {
		c = all
	}
	return c.Masker()
}

// Stored gives a run's clipboard as it is on record, secrets sealed: for a run that follows it.
func (e *Engine) Stored(ctx context.Context, id int64) (*clipboard.Clipboard, error) {
	r, err := e.load(ctx, id)
	if err != nil {
		return nil, err
	}
	return clipboard.Parse([]byte(r.clipboard))
}

// Value gives one plain value of a run's clipboard; "" when it is not there or sealed.
func (e *Engine) Value(r Run, key string) string {
	c, err := clipboard.Parse([]byte(r.clipboard))
	if err != nil {
		return ""
	}
	return c.Get(key)
}

// Values gives a list of a run's clipboard; nil when it is not there.
func (e *Engine) Values(r Run, key string) []string {
	c, err := clipboard.Parse([]byte(r.clipboard))
	if err != nil {
		return nil
	}
	v, _ := c.Strings(key)
	return v
}

// Line gives the last progress line of the step that a run is at, "" when there is none.
func (e *Engine) Line(ctx context.Context, r Run) string {
	e.mu.Lock()
	u := e.active[r.ID]
	var s *stepRun
	if u != nil {
		s = u.step
	}
	e.mu.Unlock()
	switch {
	case s != nil:
		return s.lastLine()
	case u != nil || !e.db.Shared() || r.State != Running && r.State != Undoing:
		return ""
	}
	// Another node may carry it, and writes down what it says a moment later.
	type said struct {
		kind EventKind
		line string
	}
	list, err := store.Collect(ctx, e.db, func(row store.Row) (s said, err error) { return s, row.Scan(&s.kind, &s.line) },
		"SELECT kind, text FROM events WHERE run = ? ORDER BY id DESC LIMIT 200", r.ID)
	if err != nil {
		e.log.Debug("look up the last line of a run", "run", r.ID, "err", err)
	}
	for _, l := range list {
		switch l.kind {
		case EvProgress:
			return l.line
		case EvStep, EvDone, EvStepUndone:
			return "" // the step before said what stands there
		}
	}
	return ""
}

// usualRuns is of how many runs Usual is made.
const usualRuns = 20

// Usual tells how long a pipeline usually takes: medians of its last 20 runs that became ready.
type Usual struct {
	Total  time.Duration            // 0 when it never ran
	Stages map[string]time.Duration // by "stage step"
}

// Stage gives the usual time of a stage, 0 when unknown.
func (u Usual) Stage(i int, step string) time.Duration {
	return u.Stages[fmt.Sprintf("%d %s", i, step)]
}

// Usual gives the usual times of a pipeline. Steps of a clipboard's own have none: they are other ones each time.
func (e *Engine) Usual(ctx context.Context, pipeline string) (Usual, error) {
	if verb, _, _ := strings.Cut(pipeline, "/"); verb == VerbOwn {
		return Usual{}, nil
	}
	e.mu.Lock()
	u, ok := e.usual[pipeline]
	e.mu.Unlock()
	if ok {
		return u, nil
	}
	type row struct {
		run, ms int64
		stage   int
		step    string
	}
	rows, err := store.Collect(ctx, e.db, func(r store.Row) (o row, err error) { return o, r.Scan(&o.run, &o.stage, &o.step, &o.ms) },
		"SELECT run, stage, step, took FROM timings WHERE pipeline = ? AND run IN (SELECT DISTINCT run FROM timings WHERE pipeline = ? ORDER BY run DESC LIMIT ?)", pipeline, pipeline, usualRuns)
	if err != nil {
		return Usual{}, err
	}
	stages, totals := map[string][]time.Duration{}, map[int64]time.Duration{}
	for _, r := range rows {
		d := time.Duration(r.ms) * time.Millisecond
		key := fmt.Sprintf("%d %s", r.stage, r.step)
		stages[key] = append(stages[key], d)
		totals[r.run] += d
	}
	u = Usual{Stages: map[string]time.Duration{}}
	for k, ds := range stages {
		u.Stages[k] = median(ds)
	}
	var all []time.Duration
	for _, d := range totals {
		all = append(all, d)
	}
	u.Total = median(all)
	e.mu.Lock()
	e.usual[pipeline] = u
	e.mu.Unlock()
	return u, nil
}

func (e *Engine) forgetUsual(pipeline string) {
	e.mu.Lock()
	delete(e.usual, pipeline)
	e.mu.Unlock()
}

// median sorts ds.
func median(ds []time.Duration) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	slices.Sort(ds)
	return ds[len(ds)/2]
}
