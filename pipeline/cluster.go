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

// ClusterError says why a cluster can not work, before it starts.
type ClusterError struct{ Msg string }

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
			if s, err := e.reg.Lookup(b, r.provider()); err == nil && slices.Contains(runs[i].Steps, s.Name) {
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
			return fail("which %s gives behind the barrier %s, and needs it before: neither could go on", steps[from][gives].Name, b)
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
	return out, err
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
	c.Runs, err = e.runs(ctx, "cluster = ? ORDER BY id", c.ID)
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

// ClusterOf gives the cluster of a run.
func (e *Engine) ClusterOf(ctx context.Context, r Run) (Cluster, error) {
	c, err := e.cluster(ctx, "id = ?", r.Cluster)
	if err != nil {
		return Cluster{}, err
	}
	return *c, nil
}

// gate is where a member of a cluster may have to wait, or to turn back, before it goes on. end means that carry is
// over for this job.
func (e *Engine) gate(ctx, stepCtx context.Context, r *Run, u *underway) (again time.Duration, end bool, err error) {
	c, err := e.cluster(ctx, "id = ?", r.Cluster)
	if err != nil {
		return 0, false, err
	}
	if c.undoing {
		if err := e.turnBack(ctx, r, c); err != nil {
			return 0, false, err
		}
		again, err = e.carryUndo(ctx, stepCtx, r, u)
		return again, true, err
	}
	if r.under == 0 && r.Stage < len(r.Steps) {
		if why := c.holdsUp(r); why != "" {
			return e.holdUp(ctx, r, why)
		}
		why, err := e.fillIn(ctx, r, c)
		if err != nil {
			return 0, true, e.fail(ctx, r, nil, err)
		}
		if why != "" {
			return e.holdUp(ctx, r, why)
		}
	}
	return 0, false, nil
}

// holdsUp says why a member may not begin its stage yet; "" when it may.
func (c *Cluster) holdsUp(r *Run) string {
	barrier := slices.Contains(c.Barriers, r.Step())
	var behind []string
	for _, m := range c.Runs {
		stuck := m.State == Failed || m.State == Asking
		switch {
		case m.ID == r.ID, m.State == Cancelled, m.State == Undone, m.State == Undoing:
		case stuck && c.OnFailure == clipboard.Hold:
			return fmt.Sprintf("%s holds: %s %s at %s; `retry %s`, `skip %s` or `cancel %s`", c.Name, m.Host, map[State]string{Failed: "failed", Asking: "waits for a person"}[m.State], m.Where(), m.Host, m.Host, m.Host)
		case stuck && c.OnFailure == clipboard.Continue:
		case barrier:
			if at := slices.Index(m.Steps, r.Step()); at >= 0 && m.Stage < at {
				behind = append(behind, m.Host)
			}
		}
	}
	if len(behind) > 0 {
		return "at the barrier; waits for " + strings.Join(behind, ", ")
	}
	return ""
}

// holdUp commits that a member waits before its stage. The stage does not count as begun.
func (e *Engine) holdUp(ctx context.Context, r *Run, why string) (time.Duration, bool, error) {
	why = plain.Line(why)
	d := min(max(time.Since(r.StageAt)/8, 200*time.Millisecond), 5*time.Second)
	if r.State == Waiting && r.Why == why {
		return d, false, nil
	}
	now := time.Now()
	err := e.write(ctx, func(tx store.Tx) error {
		if err := exactlyOne(tx.Exec(ctx, "UPDATE runs SET state = 'waiting', why = ?, wake = ? WHERE id = ? AND turn = ?", why, now.Add(d).UnixMilli(), r.ID, r.turn)); err != nil {
			return err
		}
		return insertEvent(ctx, tx, Event{Run: r.ID, At: now, Kind: EvWaiting, Stage: min(r.Stage, len(r.Steps)-1), Step: r.Step(), Text: why})
	})
	if err == nil {
		r.State, r.Why = Waiting, why
	}
	return d, false, err
}

// fillIn puts the values of earlier members in place of their references, as far as they are there. why says what the
// stage has to wait for.
func (e *Engine) fillIn(ctx context.Context, r *Run, c *Cluster) (why string, err error) {
	if !strings.Contains(r.clipboard, "${") {
		return "", nil
	}
	doc, err := clipboard.Parse([]byte(r.clipboard))
	if err != nil {
		return "", err
	}
	step, err := e.reg.Lookup(r.Step(), "")
	if err != nil {
		return "", err
	}
	before := doc.Clone()
	for _, ref := range doc.Refs() {
		i := slices.IndexFunc(c.Runs, func(m Run) bool { return m.Host == ref.Host })
		if i < 0 {
			continue // `${…}` that means something else to somebody else
		}
		m := c.Runs[i]
		theirs, err := clipboard.Parse([]byte(m.clipboard))
		if err != nil {
			return "", err
		}
		if !theirs.Has(ref.Name) {
			switch {
			case !needsKey(step, ref.Key):
			case m.State == Cancelled || m.State == Undone || c.OnFailure == clipboard.Continue && (m.State == Failed || m.State == Asking):
				return "", fmt.Errorf("it needs ${%s.%s}, and %s has not come so far: run %d is %s", ref.Host, ref.Name, ref.Host, m.ID, m.State)
			case why == "":
				why = fmt.Sprintf("waits for the %s of %s", ref.Name, ref.Host)
			}
			continue
		}
		value, err := theirs.String(ref.Name)
		if err != nil {
			list, lerr := theirs.Strings(ref.Name)
			if lerr != nil || len(list) == 0 {
				return "", fmt.Errorf("${%s.%s}: %w", ref.Host, ref.Name, err)
			}
			value = list[0]
		}
		if err := doc.Put(ref, value); err != nil {
			return "", err
		}
	}
	if doc.Text() == before.Text() {
		return why, nil
	}
	err = e.write(ctx, func(tx store.Tx) error {
		if err := exactlyOne(tx.Exec(ctx, "UPDATE runs SET clipboard = ? WHERE id = ? AND turn = ?", doc.Text(), r.ID, r.turn)); err != nil {
			return err
		}
		return insertEvent(ctx, tx, Event{Run: r.ID, Kind: EvKept, Stage: r.Stage, Step: r.Step(), Text: "values of " + c.Name, Diff: clipboard.Diff(before, doc)})
	})
	if err == nil {
		r.clipboard, r.parsed = doc.Text(), nil
	}
	return why, err
}

// turnBack commits that a member begins to undo itself, because its cluster does.
func (e *Engine) turnBack(ctx context.Context, r *Run, c *Cluster) error {
	at := r.lastBegun()
	err := e.write(ctx, func(tx store.Tx) error {
		if err := exactlyOne(tx.Exec(ctx, "UPDATE runs SET state = 'undoing', undoing = 1, undo_at = ?, attempts = 0, err = '', why = '', cancel_by = '', stage_at = ? WHERE id = ? AND turn = ?", at, time.Now().UnixMilli(), r.ID, r.turn)); err != nil {
			return err
		}
		return insertEvent(ctx, tx, Event{Run: r.ID, Kind: EvUndoStarted, Stage: min(r.Stage, len(r.Steps)-1), Step: r.Step(), Text: "because the cluster " + c.Name + " is undone"})
	})
	if err == nil {
		r.State, r.undoing, r.undoAt, r.attempts, r.StageAt = Undoing, true, at, 0, time.Now()
	}
	return err
}

// UndoCluster takes back every member.
func (e *Engine) UndoCluster(ctx context.Context, id int64) error {
	err := e.write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE clusters SET undoing = 1 WHERE id = ?", id)
		return err
	})
	if err != nil {
		return err
	}
	return e.undoMembers(ctx, id)
}

// undoMembers sees to it that every member of a cluster that is being undone turns back: those under way at their gate,
// the others at once. It may be called again.
func (e *Engine) undoMembers(ctx context.Context, id int64) error {
	c, err := e.cluster(ctx, "id = ?", id)
	if err != nil || !c.undoing {
		return err
	}
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
			if u != nil || m.State == Running {
				continue // it turns back at its gate
			}
		}
		_, err := e.undo(ctx, m.ID, "because the cluster "+c.Name+" is undone", true)
		var state *StateError
		if err != nil && !errors.As(err, &state) {
			errs = append(errs, fmt.Errorf("undo %s: %w", m.Host, err))
		}
	}
	return errors.Join(errs...)
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
	rows, err := e.db.Query(ctx, "SELECT DISTINCT cluster FROM runs WHERE cluster IN (SELECT id FROM clusters WHERE undoing = 1) AND (state IN ('asking', 'ready') OR state = 'failed' AND NOT EXISTS (SELECT 1 FROM events WHERE run = runs.id AND kind = 'undo_failed'))")
	if err != nil {
		return err
	}
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return errors.Join(err, rows.Close())
		}
		ids = append(ids, id)
	}
	errs := []error{rows.Err(), rows.Close()}
	for _, id := range ids {
		errs = append(errs, e.undoMembers(ctx, id))
	}
	return errors.Join(errs...)
}

// recordAllReady writes the cluster's notice when its last member is ready. Members that were given up do not count.
func (e *Engine) recordAllReady(ctx context.Context, tx store.Tx, r *Run, now time.Time) error {
	var waiting, ready int
	err := tx.QueryRow(ctx, "SELECT coalesce(sum(CASE WHEN state NOT IN ('ready', 'cancelled', 'undone') THEN 1 ELSE 0 END), 0), coalesce(sum(CASE WHEN state = 'ready' THEN 1 ELSE 0 END), 0) FROM runs WHERE cluster = ?", r.Cluster).Scan(&waiting, &ready)
	if err != nil || waiting > 0 {
		return err
	}
	var name string
	if err := tx.QueryRow(ctx, "SELECT name FROM clusters WHERE id = ?", r.Cluster).Scan(&name); err != nil {
		return err
	}
	return insertEvent(ctx, tx, Event{Run: r.ID, At: now, Kind: EvAllReady, Stage: len(r.Steps) - 1, Text: fmt.Sprintf("%s is ready: %d of its hosts", name, ready), Took: now.Sub(r.Started)})
}
