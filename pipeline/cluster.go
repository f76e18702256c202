package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// Cluster is several runs that go together.
type Cluster struct {
	ID        int64     `json:"cluster"`
	Name      string    `json:"name"`
	Barriers  []string  `json:"barriers,omitempty"` // steps that nobody begins before all have come to them
	OnFailure string    `json:"on_failure"`         // clipboard.Hold, UndoAll or Continue
	By        string    `json:"by"`
	Started   time.Time `json:"started"`
	Runs      []Run     `json:"runs"`

	undoing bool
}

// ClusterError says why a cluster cannot work, before it starts.
type ClusterError struct{ Msg string }

// Error implements error.
func (e *ClusterError) Error() string { return e.Msg }

// prepareCluster checks everything about a cluster that can be known before it starts.
func (e *Engine) prepareCluster(cl clipboard.Cluster, members []Request) ([]Run, []string, error) {
	var runs []Run
	var steps [][]Step
	for _, q := range members {
		in, list, err := e.prepare(q)
		if err != nil {
			return nil, nil, &ClusterError{fmt.Sprintf("%s: %v", in.Hostname, err)}
		}
		r, err := e.newRun(q, in, list)
		if err != nil {
			return nil, nil, err
		}
		runs, steps = append(runs, r), append(steps, list)
	}
	// A barrier may be written sp:deploy: it stands for the step of each member's own provider.
	var barriers []string
	for _, b := range cl.Barriers {
		found := false
		for i, r := range runs {
			if s, err := e.reg.Lookup(b, r.Provider); err == nil && slices.Contains(runs[i].Steps, s.Name) {
				found = true
				if !slices.Contains(barriers, s.Name) {
					barriers = append(barriers, s.Name)
				}
			}
		}
		if !found {
			return nil, nil, &ClusterError{fmt.Sprintf("the barrier %s is a stage of no host of %s", b, cl.Name)}
		}
	}
	for i := range runs {
		for _, ref := range members[i].Clipboard.Refs() {
			if err := checkRef(runs, steps, members, barriers, i, ref); err != nil {
				return nil, nil, err
			}
		}
	}
	return runs, barriers, nil
}

// checkRef makes sure that a value of another member will be there when it is needed.
func checkRef(runs []Run, steps [][]Step, members []Request, barriers []string, i int, ref clipboard.Ref) error {
	fail := func(format string, a ...any) error {
		return &ClusterError{fmt.Sprintf("%s uses ${%s.%s}, ", runs[i].Host, ref.Host, ref.Name) + fmt.Sprintf(format, a...)}
	}
	from := slices.IndexFunc(runs, func(r Run) bool { return r.Host == ref.Host })
	switch {
	case from < 0:
		return fail("and the cluster has no host %s", ref.Host)
	case from >= i:
		return fail("and %s does not come before it in `instances`", ref.Host)
	case members[from].Clipboard.Has(ref.Name):
		return nil
	}
	top, _, _ := strings.Cut(ref.Name, ".")
	gives := slices.IndexFunc(steps[from], func(s Step) bool { return slices.Contains(s.Gives, top) })
	if gives < 0 {
		return fail("which is neither in its clipboard nor given by a step of %s", ref.Host)
	}
	needs := slices.IndexFunc(steps[i], func(s Step) bool { return needsKey(s, ref.Key) })
	if needs < 0 {
		return nil
	}
	for _, b := range barriers {
		at, mine := slices.Index(runs[from].Steps, b), slices.Index(runs[i].Steps, b)
		if at >= 0 && mine >= 0 && gives >= at && needs < mine {
			return fail("which %s gives after the barrier %s, and needs it before: neither could go on", steps[from][gives].Name, b)
		}
	}
	return nil
}

// needsKey reports whether a step reads a key. A step that names none (a program of one's own) may read all.
func needsKey(s Step, key string) bool {
	return len(s.Needs) == 0 || slices.Contains(s.Needs, key) || slices.Contains(s.Needs, key+"?")
}

// StartCluster begins a run for each member, or none. The errors are a *ClusterError and those of Start.
func (e *Engine) StartCluster(ctx context.Context, cl clipboard.Cluster, members []Request) (Cluster, error) {
	runs, barriers, err := e.prepareCluster(cl, members)
	if err != nil {
		return Cluster{}, err
	}
	list, err := json.Marshal(barriers)
	if err != nil {
		return Cluster{}, err
	}
	if first, err := e.repeated(ctx, members[0]); err != nil {
		return Cluster{}, err
	} else if first != nil {
		return e.ClusterOf(ctx, *first)
	}
	out := Cluster{Name: cl.Name, Barriers: barriers, OnFailure: cl.OnFailure, By: runs[0].By, Started: time.Now()}
	err = e.write(ctx, func(tx store.Tx) error {
		out.Runs = nil
		if err := tx.QueryRow(ctx, "INSERT INTO clusters (name, barriers, on_failure, undoing, by_whom, started) VALUES (?, ?, ?, 0, ?, ?) RETURNING id",
			out.Name, string(list), out.OnFailure, out.By, out.Started.UnixMilli()).Scan(&out.ID); err != nil {
			return err
		}
		for i, r := range runs {
			r.Cluster = out.ID
			if err := e.insertRun(ctx, tx, &r, members[i]); err != nil {
				return err
			}
			out.Runs = append(out.Runs, r)
		}
		return nil
	})
	if err == nil {
		return out, nil
	}
	first, err := e.other(ctx, err, members[0], runs...)
	if err != nil {
		return Cluster{}, err
	}
	return e.ClusterOf(ctx, *first)
}

// PlanCluster says what a cluster would do, member by member, without doing any of it.
func (e *Engine) PlanCluster(ctx context.Context, cl clipboard.Cluster, members []Request) ([][]PlanLine, error) {
	if _, _, err := e.prepareCluster(cl, members); err != nil {
		return nil, err
	}
	var out [][]PlanLine
	for _, q := range members {
		lines, err := e.Plan(ctx, q)
		if err != nil {
			return nil, err
		}
		out = append(out, lines)
	}
	return out, nil
}

const clusterColumns = "id, name, barriers, on_failure, undoing, by_whom, started"

// cluster reads one with its members, in the order of the clipboard.
func (e *Engine) cluster(ctx context.Context, where string, args ...any) (*Cluster, error) {
	var c Cluster
	var barriers string
	var undoing int
	var started int64
	err := e.db.QueryRow(ctx, "SELECT "+clusterColumns+" FROM clusters WHERE "+where, args...).Scan(&c.ID, &c.Name, &barriers, &c.OnFailure, &undoing, &c.By, &started)
	if errors.Is(err, store.ErrNoRows) {
		return nil, ErrNotFound
	} else if err != nil {
		return nil, err
	}
	c.undoing, c.Started = undoing == 1, time.UnixMilli(started)
	if err := json.Unmarshal([]byte(barriers), &c.Barriers); err != nil {
		return nil, err
	}
	c.Runs, err = e.runs(ctx, "cluster = ? AND cluster > 0 ORDER BY id", c.ID)
	return &c, err
}

// FindCluster gives the newest cluster of a name. ErrNotFound when there is none.
func (e *Engine) FindCluster(ctx context.Context, name string) (Cluster, error) {
	c, err := e.cluster(ctx, "name = ? ORDER BY id DESC LIMIT 1", strings.ToLower(name))
	if err != nil {
		return Cluster{}, err
	}
	return *c, nil
}

// Size is how large a cluster is, without what its runs say.
type Size struct {
	Name  string
	First int64 // of its runs
	Runs  int
	Ready int
}

// SizeOf gives the size of the cluster of a run.
func (e *Engine) SizeOf(ctx context.Context, r Run) (s Size, err error) {
	return s, e.db.QueryRow(ctx, "SELECT clusters.name, min(runs.id), count(*), sum(CASE WHEN runs.state = 'ready' THEN 1 ELSE 0 END) FROM clusters JOIN runs ON runs.cluster = clusters.id WHERE clusters.id = ? AND runs.cluster > 0 GROUP BY clusters.name", r.Cluster).
		Scan(&s.Name, &s.First, &s.Runs, &s.Ready)
}

// ClustersMoving gives the clusters on which the engine works now, the oldest first.
func (e *Engine) ClustersMoving(ctx context.Context) (out []Cluster, err error) {
	ids, err := store.Collect(ctx, e.db, func(row store.Row) (id int64, err error) { return id, row.Scan(&id) },
		"SELECT DISTINCT cluster FROM runs WHERE live = 1 AND cluster > 0 AND state IN ('running', 'waiting', 'undoing') ORDER BY cluster")
	for _, id := range ids {
		c, cerr := e.ClusterOf(ctx, Run{Cluster: id})
		if cerr != nil {
			return out, cerr
		}
		out = append(out, c)
	}
	return out, err
}

// ClusterOf gives the cluster of a run.
func (e *Engine) ClusterOf(ctx context.Context, r Run) (Cluster, error) {
	c, err := e.cluster(ctx, "id = ?", r.Cluster)
	if err != nil {
		return Cluster{}, err
	}
	return *c, nil
}

// gate is where a member of a cluster may have to wait, or to turn back, before it goes on. For a host by itself it is
// open.
func (c *carrier) gate() (verdict, error) {
	r := c.r
	if r.Cluster == 0 {
		return goOn, nil
	}
	cl, err := c.cluster(c.ctx, "id = ?", r.Cluster)
	if err != nil {
		return over, err
	}
	if cl.undoing {
		return goOn, c.outcome(func(_ store.Tx, n *Run) ([]Event, error) {
			return []Event{n.beginUndo("because the cluster "+cl.Name+" is undone", time.Now())}, nil
		})
	}
	if r.mark != notBegun || r.Stage >= len(r.Steps) {
		return goOn, nil
	}
	if reason, why := cl.holdsUp(r); why != "" {
		return c.holdUp(reason, why)
	}
	why, err := c.fillIn(cl)
	switch {
	case errors.Is(err, errCancelAsked):
		return c.reread()
	case err != nil:
		return c.fail(nil, err)
	case why != "":
		return c.holdUp(ForMember, why)
	}
	return goOn, nil
}

// holdsUp says why a member may not begin its stage yet; "" when it may.
func (cl *Cluster) holdsUp(r *Run) (Reason, string) {
	barrier := slices.Contains(cl.Barriers, r.Step())
	var late []string
	for _, m := range cl.Runs {
		stuck := m.State == Failed || m.State == Asking
		switch {
		case m.ID == r.ID, m.State == Cancelled, m.State == Undone, m.State == Undoing:
		case stuck && cl.OnFailure == clipboard.Hold:
			return ForHold, fmt.Sprintf("%s holds: %s %s at %s; `retry %s`, `skip %s` or `cancel %s`", cl.Name, m.Host, map[State]string{Failed: "failed", Asking: "waits for a person"}[m.State], m.Where(), m.Host, m.Host, m.Host)
		case stuck && cl.OnFailure == clipboard.Continue:
		case barrier:
			if at := slices.Index(m.Steps, r.Step()); at >= 0 && m.Stage < at {
				late = append(late, m.Host)
			}
		}
	}
	if len(late) > 0 {
		return ForBarrier, "at the barrier; waits for " + strings.Join(late, ", ")
	}
	return "", ""
}

// holdUp commits that a member waits before its stage. The stage does not count as begun.
func (c *carrier) holdUp(reason Reason, why string) (verdict, error) {
	why = plain.Line(why)
	d := min(max(time.Since(c.r.StageAt)/8, 200*time.Millisecond), 5*time.Second)
	if c.r.State == Waiting && c.r.Why == why {
		return again(d), nil
	}
	now := time.Now()
	err := c.change(c.ctx, c.r, func(_ store.Tx, n *Run) ([]Event, error) {
		n.State, n.Waits, n.Why, n.Wake = Waiting, reason, why, now.Add(d)
		return []Event{{At: now, Kind: EvWaiting, Stage: n.shown(), Step: n.Step(), Text: why}}, nil
	})
	if errors.Is(err, errCancelAsked) {
		return c.reread()
	}
	return again(d), err
}

// fillIn puts the values of earlier members in place of their references, as far as they are there. why says what the
// stage has to wait for.
func (c *carrier) fillIn(cl *Cluster) (why string, err error) {
	r := c.r
	if !strings.Contains(r.clipboard, "${") {
		return "", nil
	}
	before, err := r.doc()
	if err != nil {
		return "", err
	}
	step, err := c.reg.Lookup(r.Step(), "")
	if err != nil {
		return "", err
	}
	doc := before.Clone()
	for _, ref := range before.Refs() {
		i := slices.IndexFunc(cl.Runs, func(m Run) bool { return m.Host == ref.Host })
		if i < 0 {
			continue // `${…}` that means something else to somebody else
		}
		m := &cl.Runs[i]
		value, there, err := m.value(ref)
		if err != nil {
			return "", err
		}
		switch {
		case there:
			if err := doc.Put(ref, value); err != nil {
				return "", err
			}
		case !needsKey(step, ref.Key):
		case m.State == Cancelled || m.State == Undone || cl.OnFailure == clipboard.Continue && (m.State == Failed || m.State == Asking):
			return "", fmt.Errorf("it needs ${%s.%s}, and %s has not come so far: run %d is %s", ref.Host, ref.Name, ref.Host, m.ID, m.State)
		case why == "":
			why = fmt.Sprintf("waits for the %s of %s", ref.Name, ref.Host)
		}
	}
	if doc.Text() == before.Text() {
		return why, nil
	}
	return why, c.change(c.ctx, r, func(_ store.Tx, n *Run) ([]Event, error) {
		n.clipboard, n.parsed = doc.Text(), doc
		return []Event{{Kind: EvKept, Stage: n.Stage, Step: n.Step(), Text: "values of " + cl.Name, Diff: clipboard.Diff(before, doc)}}, nil
	})
}

// value gives what a reference to this member stands for. It is not there while it refers to another member itself.
func (r *Run) value(ref clipboard.Ref) (value string, there bool, err error) {
	doc, err := r.doc()
	if err != nil || !doc.Has(ref.Name) {
		return "", false, err
	}
	if value, err = doc.String(ref.Name); err != nil {
		list, lerr := doc.Strings(ref.Name)
		if lerr != nil || len(list) == 0 {
			return "", false, fmt.Errorf("${%s.%s}: %w", ref.Host, ref.Name, err)
		}
		value = list[0]
	}
	return value, !strings.Contains(value, "${"), nil
}

// Left is a member that an undo of its cluster leaves as it is, and why.
type Left struct {
	Host string
	Why  string
}

// UndoCluster takes back every member that can be, and says which cannot.
func (e *Engine) UndoCluster(ctx context.Context, id int64) ([]Left, error) {
	err := e.write(ctx, func(tx store.Tx) error {
		if err := noneHeld(ctx, tx, id); err != nil {
			return err
		}
		if err := noneAhead(ctx, tx, id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "UPDATE runs SET kept = 0 WHERE cluster = ? AND kept = 1", id); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE clusters SET undoing = 1 WHERE id = ?", id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e.undoMembers(ctx, id)
}

// undoMembers sees to it that every member of a cluster that is being undone turns back: those under way at their gate,
// the others at once. It may be called again.
func (e *Engine) undoMembers(ctx context.Context, id int64) ([]Left, error) {
	c, err := e.cluster(ctx, "id = ?", id)
	if err != nil || !c.undoing {
		return nil, err
	}
	var left []Left
	var errs []error
	for _, m := range c.Runs {
		switch m.State {
		case Undoing, Undone:
			continue
		case Running, Waiting:
			e.mu.Lock()
			u := e.active[m.ID]
			if u != nil {
				u.cancel(errClusterUndo)
			}
			e.mu.Unlock()
			there, err := e.elsewhere(ctx, e.db, m.ID)
			if err != nil {
				return left, err
			}
			if u != nil || there || m.State == Running {
				e.tellWord(ctx)
				continue // it turns back at its gate
			}
		}
		if is, err := isKept(ctx, e.db, m.ID); err != nil {
			return left, err
		} else if is {
			left = append(left, Left{m.Host, "it was held"})
			continue
		}
		_, err := e.undo(ctx, m.ID, "because the cluster "+c.Name+" is undone", true)
		var state *StateError
		var held *HeldError
		switch {
		case errors.As(err, &held): // for good: nobody expects it to go when the hold ends
			errs = append(errs, e.keep(ctx, m.ID, held))
			left = append(left, Left{m.Host, held.Error()})
		case errors.As(err, &state):
			left = append(left, Left{m.Host, state.Why})
		case err != nil:
			errs = append(errs, fmt.Errorf("undo %s: %w", m.Host, err))
		}
	}
	return left, errors.Join(errs...)
}

// isUndoing reads whether a cluster is being undone, in a transaction that ends a run: the row is held, so that whoever
// begins the undo at this moment either is seen here, or sees what this transaction commits.
func isUndoing(ctx context.Context, tx store.Tx, id int64) (bool, error) {
	if _, err := tx.Exec(ctx, "UPDATE clusters SET undoing = undoing WHERE id = ?", id); err != nil {
		return false, err
	}
	var undoing int
	err := tx.QueryRow(ctx, "SELECT undoing FROM clusters WHERE id = ?", id).Scan(&undoing)
	return undoing == 1, err
}

// undoBroken goes on with clusters that were being undone when the process died.
func (e *Engine) undoBroken(ctx context.Context) error {
	ids, err := store.Collect(ctx, e.db, func(row store.Row) (id int64, err error) { return id, row.Scan(&id) },
		"SELECT id FROM clusters WHERE undoing = 1 AND EXISTS (SELECT 1 FROM runs WHERE runs.cluster = clusters.id AND runs.cluster > 0 AND (state IN ('asking', 'ready') OR state = 'failed' AND ending <> 'undone_in_part'))")
	errs := []error{err}
	for _, id := range ids {
		_, err := e.undoMembers(ctx, id)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// allReady gives the cluster's notice when n was the last of its members to come to an end, and at least one is ready.
// Members that were given up do not count.
func (e *Engine) allReady(ctx context.Context, tx store.Tx, n *Run, now time.Time) ([]Event, error) {
	if n.Cluster == 0 {
		return nil, nil
	}
	// The last two may end in the same moment: one of them sees the other.
	if _, err := isUndoing(ctx, tx, n.Cluster); err != nil {
		return nil, err
	}
	var waiting, ready int
	err := tx.QueryRow(ctx, "SELECT coalesce(sum(CASE WHEN state NOT IN ('ready', 'cancelled', 'undone') THEN 1 ELSE 0 END), 0), coalesce(sum(CASE WHEN state = 'ready' THEN 1 ELSE 0 END), 0) FROM runs WHERE cluster = ? AND cluster > 0 AND id <> ?", n.Cluster, n.ID).Scan(&waiting, &ready)
	if n.State == Ready {
		ready++
	}
	if err != nil || waiting > 0 || ready == 0 {
		return nil, err
	}
	var name string
	if err := tx.QueryRow(ctx, "SELECT name FROM clusters WHERE id = ?", n.Cluster).Scan(&name); err != nil {
		return nil, err
	}
	return []Event{{At: now, Kind: EvAllReady, Stage: n.shown(), Text: fmt.Sprintf("%s is ready: %d of its hosts", name, ready), Took: n.Took(now)}}, nil
}
