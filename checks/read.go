package checks

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

// View is a check on a host, as people see it.
type View struct {
	model.Key
	Standing
	Word     string       `json:"word"` // the status as a word
	Hidden   string       `json:"quiet,omitempty"`
	Schedule string       `json:"schedule,omitempty"`
	Next     time.Time    `json:"next,omitzero"`
	Attempts int          `json:"attempts"`
	Node     string       `json:"node,omitempty"` // the server that runs it, where there are several
	Running  bool         `json:"running,omitempty"`
	Waits    []model.Wait `json:"waits,omitempty"`   // what waits for a period: the check itself, or who is told of it
	Passive  bool         `json:"passive,omitempty"` // its results are delivered; Next is when one is missed
	Recent   []Brief      `json:"recent,omitempty"`  // the last results, the newest last
	// Perf is Perfdata, value by value; Spelled fills it.
	Perf     []model.PerfValue `json:"perf,omitempty"`
	Perfdata string            `json:"perfdata,omitempty" doc:"performance data, as the plugin wrote it"`
}

// Spelled gives a View with its performance data value by value, as programs are told it.
func (v View) Spelled() View {
	v.Perf = model.Values(v.Perfdata)
	return v
}

// Filter chooses checks. Empty fields choose all.
type Filter struct {
	Task   string // a name or pattern
	Host   string // a name or pattern, @group or @cluster
	Status string // "problem", or a status as a word, in any case
}

// Problems is the Filter.Status of whatever is not OK.
const Problems = "problem"

// List gives checks, those in trouble first, then by host and task.
func (m *Monitor) List(ctx context.Context, f Filter) ([]View, error) {
	status := strings.ToUpper(f.Status)
	if f.Status != "" && f.Status != Problems && !slices.Contains([]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}, status) {
		return nil, fmt.Errorf("%w: %q is no status; there are problem, ok, warning, critical and unknown", model.ErrInvalid, f.Status)
	}
	for _, g := range []string{cmp.Or(f.Task, "*"), strings.TrimPrefix(cmp.Or(f.Host, "*"), "@")} {
		if err := model.Glob(g); err != nil {
			return nil, fmt.Errorf("%w: %w", model.ErrInvalid, err)
		}
	}
	if err := m.sync(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	var of map[string]bool
	if strings.HasPrefix(f.Host, "@") {
		of = m.group(f.Host[1:])
	}
	out := []View{}
	for p := range m.roster.each() {
		switch {
		case !p.live, p.Task == model.HostAnswers && p.Schedule.Never() && p.stand.Status == model.OK && p.stand.Hard == model.OK && f.Task != model.HostAnswers:
			continue // that a host answers goes without saying
		case p.onDemand() && f.Task != p.Task:
			continue
		case f.Task != "" && !model.Match(f.Task, p.Task):
			continue
		case of != nil && !of[p.Host], of == nil && f.Host != "" && !model.Match(f.Host, p.Host):
			continue
		case f.Status == Problems && p.stand.Status == model.OK, f.Status != "" && f.Status != Problems && p.stand.Status.String() != status:
			continue
		}
		out = append(out, m.view(p, now))
	}
	slices.SortFunc(out, compareViews)
	return out, nil
}

// group gives the hosts of a group or cluster. mu is held.
func (m *Monitor) group(name string) map[string]bool {
	out := map[string]bool{}
	own := false
	for _, h := range m.cat.Defs.Hosts {
		if slices.Contains(h.Groups, name) {
			out[h.Name], own = true, true
		}
	}
	if !own {
		for _, h := range m.rec.Clusters[name] {
			out[h] = true
		}
	}
	return out
}

// view tells how a pair stands; Monitor.mu is held.
func (m *Monitor) view(p *pair, now time.Time) View {
	v := View{Key: p.Key, Standing: p.stand, Word: p.stand.Status.String(), Schedule: p.Schedule.String(), Attempts: p.Attempts, Running: p.busy && !p.passive(), Passive: p.passive(), Perfdata: p.stand.Perf}
	if p.stand.At.IsZero() {
		v.Word = "PENDING"
	}
	if p.queued() {
		v.Next = p.due()
	} else if !m.ours(p.where) && p.Task != model.HostAnswers {
		v.Next = p.next(now)
	}
	v.Hidden, _ = m.quiet(p, &p.stand, now)
	v.Waits = m.cat.Waits(p.Key, model.Stand{State: p.stand.State, Known: p.stand.known(), Acked: p.stand.Ack != nil}, p.stand.Listeners, now)
	if !m.alone {
		var err error
		if v.Node, err = m.runner(p); err != nil {
			v.Next, v.Hidden = time.Time{}, err.Error()
		}
	}
	return v
}

// Show gives one check with its last results.
func (m *Monitor) Show(ctx context.Context, k model.Key) (View, error) {
	if err := m.sync(ctx); err != nil {
		return View{}, err
	}
	m.mu.Lock()
	p := m.roster.pair(k)
	if p == nil || !p.live {
		m.mu.Unlock()
		return View{}, &NoCheckError{Key: k}
	}
	loaded := p.loaded && m.ours(p.where)
	m.mu.Unlock()
	if !loaded {
		if err := m.loadRecent(ctx, p); err != nil {
			return View{}, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.view(p, m.now())
	v.Recent = slices.Clone(p.recent)
	return v.Spelled(), nil
}

// loadRecent reads what ran before this process did.
func (m *Monitor) loadRecent(ctx context.Context, p *pair) error {
	m.commit.Lock()
	defer m.commit.Unlock()
	list, err := m.readLast(ctx, ResultFilter{Keys: []model.Key{p.Key}, Limit: m.conf().Recent})
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p.recent, p.loaded = p.recent[:0], true
	for _, r := range slices.Backward(list) {
		p.recent = append(p.recent, Brief{r.At, r.Status, r.Took, r.Line})
	}
	return nil
}

// Result is what came of one run, as it is on record.
type Result struct {
	ID int64 `json:"id"`
	model.Key
	At     time.Time     `json:"at"`
	Due    time.Time     `json:"due"`
	Took   time.Duration `json:"took"`
	Status model.Status  `json:"status"`
	Word   string        `json:"word"`
	Soft   bool          `json:"soft,omitempty"`  // not believed yet
	Quiet  bool          `json:"quiet,omitempty"` // in a downtime, in a deployment, or its host was down
	Exit   int           `json:"exit"`            // -1: it did not end by itself, or did not run
	Signal string        `json:"signal,omitempty"`
	Line   string        `json:"line"`
	Long   string        `json:"long,omitempty"`
	// Perf is Perfdata, value by value.
	Perf     []model.PerfValue `json:"perf,omitempty"`
	Perfdata string            `json:"perfdata,omitempty" doc:"performance data, as the plugin wrote it"`
}

// ResultFilter chooses results, the newest first.
type ResultFilter struct {
	Keys     []model.Key // of these checks; nil: of all
	Problems bool        // only those that are not OK
	Before   int64       // only with a lower id; 0: from the newest on
	Since    time.Time   // only of runs that began then or later; zero: of all that is on record
	Until    time.Time   // and before then; zero: to now
	Limit    int         // 0: 100
}

const maxResults = 10_000

// Results reads the record.
func (m *Monitor) Results(ctx context.Context, f ResultFilter) ([]Result, error) {
	if err := m.sync(ctx); err != nil {
		return nil, err
	}
	return m.readLast(ctx, f)
}

// readLast is Results, with what memory knows of pairs. It is for who holds commit, too.
func (m *Monitor) readLast(ctx context.Context, f ResultFilter) ([]Result, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	f.Limit = min(f.Limit, maxResults)
	where, args := []string{"1 = 1"}, []any{}
	if f.Before > 0 {
		where, args = append(where, "id < ?"), append(args, f.Before)
	}
	if f.Problems {
		where = append(where, "status > 0")
	}
	if !f.Since.IsZero() {
		first, err := m.ledger.firstResult(ctx, f.Since.Add(-lateResults))
		if err != nil {
			return nil, err
		}
		where, args = append(where, "id >= ?", "at >= ?"), append(args, first, f.Since.UnixMilli())
	}
	if !f.Until.IsZero() {
		first, err := m.ledger.firstResult(ctx, f.Until.Add(lateResults))
		if err != nil {
			return nil, err
		}
		where, args = append(where, "id <= ?", "at < ?"), append(args, first, f.Until.UnixMilli())
	}
	ids := map[int64]model.Key{}
	if f.Keys != nil {
		m.mu.Lock()
		for _, k := range f.Keys {
			if p := m.roster.pair(k); p != nil {
				ids[p.id] = k
			}
		}
		m.mu.Unlock()
		if len(ids) == 0 {
			return []Result{}, nil
		}
	}
	cond := strings.Join(where, " AND ")
	switch len(ids) {
	case 0:
		return m.ledger.readResults(ctx, m.keyOf, cond, args, f.Limit)
	case 1:
		for id := range ids {
			return m.ledger.readResults(ctx, m.keyOf, cond+" AND pair = ?", append(args, id), f.Limit)
		}
	}
	// Each check's newest are one range of an index, and merged here: no query reads all there is, and the rows are
	// read of those alone that are given.
	var newest []int64
	for id := range ids {
		list, err := m.ledger.readIDs(ctx, cond+" AND pair = ?", append(slices.Clone(args), id), f.Limit)
		if err != nil {
			return nil, err
		}
		newest = append(newest, list...)
	}
	slices.Sort(newest)
	newest = newest[max(0, len(newest)-f.Limit):]
	list := []Result{}
	for part := range slices.Chunk(newest, 500) {
		args := make([]any, len(part))
		for i, id := range part {
			args[i] = id
		}
		got, err := m.ledger.readResults(ctx, m.keyOf, "id IN (?"+strings.Repeat(", ?", len(part)-1)+")", args, len(part))
		if err != nil {
			return nil, err
		}
		list = append(got, list...)
	}
	return list, nil
}

// lateResults is how much later than others of its time a result may be written: a check runs a day at most, so that is
// rare, and what is later than an hour is not looked for.
const lateResults = time.Hour

// keyOf gives the check of a pair on record; the zero Key: it is not known.
func (m *Monitor) keyOf(id int64) (k model.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.roster.byID(id); p != nil {
		k = p.Key
	}
	return k
}

// Point is performance data over a time.
type Point struct {
	At   time.Time `json:"at"`
	Mean float64   `json:"mean"`
	Min  float64   `json:"min"`
	Max  float64   `json:"max"`
	N    int64     `json:"n"`
}

// Series is the points of one value of a check.
type Series struct {
	Label  string  `json:"label"`
	Unit   string  `json:"unit,omitempty"`
	Points []Point `json:"points"`
}

const day = 24 * time.Hour

// Steps of the roll-ups.
var rollSteps = []time.Duration{5 * time.Minute, time.Hour, day}

// Metrics gives the roll-ups of a check from a time on, by the step; step 0 takes the finest that is kept for so long.
func (m *Monitor) Metrics(ctx context.Context, k model.Key, step time.Duration, from time.Time) ([]Series, error) {
	m.mu.Lock()
	p := m.roster.pair(k)
	m.mu.Unlock()
	if p == nil {
		return nil, &NoCheckError{Key: k}
	}
	if step == 0 {
		switch age := m.now().Sub(from); {
		case age <= 2*day:
			step = rollSteps[0]
		case age <= 60*day:
			step = rollSteps[1]
		default:
			step = rollSteps[2]
		}
	}
	if !slices.Contains(rollSteps, step) {
		return nil, fmt.Errorf("%w: the steps are 5m, 1h and 24h", model.ErrInvalid)
	}
	return m.ledger.metrics(ctx, p.id, step, from)
}
