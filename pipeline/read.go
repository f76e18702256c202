package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/store"
)

const runColumns = "id, host, fqdn, pipeline, steps, stage, state, under, attempts, turn, undo_at, undoing, clipboard, err, why, by_whom, origin, cancel_by, tries, started, stage_at, wake, ended, cluster"

func scanRun(row interface{ Scan(...any) error }) (Run, error) {
	var r Run
	var steps, state string
	var undoing int
	var started, stageAt, wake, ended int64
	err := row.Scan(&r.ID, &r.Host, &r.FQDN, &r.Pipeline, &steps, &r.Stage, &state, &r.under, &r.attempts, &r.turn, &r.undoAt, &undoing,
		&r.clipboard, &r.Error, &r.Why, &r.By, &r.Origin, &r.cancelBy, &r.tries, &started, &stageAt, &wake, &ended, &r.Cluster)
	if err != nil {
		return r, err
	}
	r.State, r.undoing = State(state), undoing == 1
	at := func(ms int64) time.Time {
		if ms == 0 {
			return time.Time{}
		}
		return time.UnixMilli(ms)
	}
	r.Started, r.StageAt, r.Wake, r.Ended = at(started), at(stageAt), at(wake), at(ended)
	return r, json.Unmarshal([]byte(steps), &r.Steps)
}

func (e *Engine) load(ctx context.Context, id int64) (*Run, error) {
	r, err := scanRun(e.db.QueryRow(ctx, "SELECT "+runColumns+" FROM runs WHERE id = ?", id))
	if errors.Is(err, store.ErrNoRows) {
		return nil, ErrNotFound
	}
	return &r, err
}

func (e *Engine) runs(ctx context.Context, where string, args ...any) ([]Run, error) {
	rows, err := e.db.Query(ctx, "SELECT "+runColumns+" FROM runs WHERE "+where, args...)
	if err != nil {
		return nil, err
	}
	var out []Run
	for rows.Next() {
		r, err := scanRun(rows)
		if err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		out = append(out, r)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}

// Get gives one run. ErrNotFound when there is none.
func (e *Engine) Get(ctx context.Context, id int64) (Run, error) {
	r, err := e.load(ctx, id)
	if err != nil {
		return Run{}, err
	}
	return *r, nil
}

// AmbiguousError: two hosts share the short name.
type AmbiguousError struct{ Names []string }

func (e *AmbiguousError) Error() string {
	return "that could be " + strings.Join(e.Names, " or ") + "; say which"
}

// Find gives the newest run of a host, by short or full name, or the run with that number. ErrNotFound when there
// is none; an *AmbiguousError when the short name has several hosts.
func (e *Engine) Find(ctx context.Context, name string) (Run, error) {
	if id, err := strconv.ParseInt(name, 10, 64); err == nil {
		return e.Get(ctx, id)
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	list, err := e.runs(ctx, "id IN (SELECT max(id) FROM runs WHERE host = ? OR fqdn = ? GROUP BY fqdn) ORDER BY live DESC, id DESC", name, name)
	if err != nil {
		return Run{}, err
	}
	if len(list) == 0 {
		return Run{}, ErrNotFound
	}
	if len(list) > 1 && list[0].FQDN != name && list[1].FQDN != name {
		names := make([]string, len(list))
		for i, r := range list {
			names[i] = r.FQDN
		}
		slices.Sort(names)
		return Run{}, &AmbiguousError{names}
	}
	for _, r := range list {
		if r.FQDN == name {
			return r, nil
		}
	}
	return list[0], nil
}

// Live lists the runs that hold their hosts, oldest first, at most limit.
func (e *Engine) Live(ctx context.Context, limit int) ([]Run, error) {
	return e.runs(ctx, "live = 1 ORDER BY id LIMIT ?", limit)
}

// Hosts lists the newest run of every host, by name, at most limit.
func (e *Engine) Hosts(ctx context.Context, limit int) ([]Run, error) {
	return e.runs(ctx, "id IN (SELECT max(id) FROM runs GROUP BY fqdn) ORDER BY fqdn LIMIT ?", limit)
}

// History lists the runs of a host, newest first, at most limit.
func (e *Engine) History(ctx context.Context, host string, limit int) ([]Run, error) {
	host = strings.ToLower(host)
	return e.runs(ctx, "host = ? OR fqdn = ? ORDER BY id DESC LIMIT ?", host, host, limit)
}

// States counts the runs that hold their hosts.
func (e *Engine) States(ctx context.Context) (map[State]int, error) {
	rows, err := e.db.Query(ctx, "SELECT state, count(*) FROM runs WHERE live = 1 GROUP BY state")
	if err != nil {
		return nil, err
	}
	out := map[State]int{}
	for rows.Next() {
		var state string
		var n int
		if err := rows.Scan(&state, &n); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		out[State(state)] = n
	}
	return out, errors.Join(rows.Err(), rows.Close())
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
	f.Host = strings.ToLower(f.Host)
	return e.runs(ctx, "id < ? AND (? = '' OR host = ? OR fqdn = ?) AND (? = '' OR state = ?) ORDER BY id DESC LIMIT ?",
		f.Before, f.Host, f.Host, f.Host, string(f.State), string(f.State), f.Limit)
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

// EventFilter chooses events.
type EventFilter struct {
	After int64 // only those with a higher id
	Run   int64 // 0: of every run
	Kinds []EventKind
	Limit int // 0 means 1000
}

// Events gives events in the order of their commits. A follower that asks for what comes after the last id it saw
// misses none.
func (e *Engine) Events(ctx context.Context, f EventFilter) ([]Event, error) {
	q := "SELECT id, run, at, kind, stage, step, text, diff, took FROM events WHERE id > ?"
	args := []any{f.After}
	if e.db.Postgres() != nil {
		q += " AND tx < pg_snapshot_xmin(pg_current_snapshot())"
	}
	if f.Run != 0 {
		q += " AND run = ?"
		args = append(args, f.Run)
	}
	if len(f.Kinds) > 0 {
		q += " AND kind IN (?" + strings.Repeat(", ?", len(f.Kinds)-1) + ")"
		for _, k := range f.Kinds {
			args = append(args, string(k))
		}
	}
	if f.Limit == 0 {
		f.Limit = 1000
	}
	rows, err := e.db.Query(ctx, q+" ORDER BY id LIMIT ?", append(args, f.Limit)...)
	if err != nil {
		return nil, err
	}
	var out []Event
	for rows.Next() {
		var ev Event
		var kind string
		var at, took int64
		if err := rows.Scan(&ev.ID, &ev.Run, &at, &kind, &ev.Stage, &ev.Step, &ev.Text, &ev.Diff, &took); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		ev.Kind, ev.At, ev.Took = EventKind(kind), time.UnixMilli(at), time.Duration(took)*time.Millisecond
		out = append(out, ev)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}

// LastEvent gives the id of the newest event, 0 when there is none.
func (e *Engine) LastEvent(ctx context.Context) (id int64, err error) {
	err = e.db.QueryRow(ctx, "SELECT coalesce(max(id), 0) FROM events").Scan(&id)
	return id, err
}

// Line gives the last progress line of a run under way, "" when there is none.
func (e *Engine) Line(run int64) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if u := e.active[run]; u != nil && u.step != nil {
		return u.step.lastLine()
	}
	return ""
}

// Usual tells how long a pipeline usually takes: medians of its last 20 runs that became ready.
type Usual struct {
	Total  time.Duration            // 0 when it never ran
	Stages map[string]time.Duration // by "stage step"
}

// Stage gives the usual time of a stage, 0 when unknown.
func (u Usual) Stage(i int, step string) time.Duration {
	return u.Stages[fmt.Sprintf("%d %s", i, step)]
}

// Usual gives the usual times of a pipeline.
func (e *Engine) Usual(ctx context.Context, pipeline string) (Usual, error) {
	e.mu.Lock()
	u, ok := e.usual[pipeline]
	e.mu.Unlock()
	if ok {
		return u, nil
	}
	rows, err := e.db.Query(ctx, "SELECT run, stage, step, took FROM timings WHERE pipeline = ? AND run IN (SELECT DISTINCT run FROM timings WHERE pipeline = ? ORDER BY run DESC LIMIT 20)", pipeline, pipeline)
	if err != nil {
		return Usual{}, err
	}
	stages, totals := map[string][]time.Duration{}, map[int64]time.Duration{}
	for rows.Next() {
		var run, ms int64
		var stage int
		var step string
		if err := rows.Scan(&run, &stage, &step, &ms); err != nil {
			return Usual{}, errors.Join(err, rows.Close())
		}
		d := time.Duration(ms) * time.Millisecond
		key := fmt.Sprintf("%d %s", stage, step)
		stages[key] = append(stages[key], d)
		totals[run] += d
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return Usual{}, err
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

func median(ds []time.Duration) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	slices.Sort(ds)
	return ds[len(ds)/2]
}
