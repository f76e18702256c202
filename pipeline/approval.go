package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// Approval asks a second person before a run starts, or before one is taken back. It is a row beside the run:
//
//	proposed ── approve (another person) ──► running          asked, and the run's first job, in one transaction
//	         ── deny, or nobody in time  ──► cancelled
//	ready    ── undo asked ── approve ──► undoing             the run stays ready meanwhile
type Approval struct {
	ID      int64     `json:"approval"`
	Run     int64     `json:"run"`
	Cluster int64     `json:"cluster,omitempty"`
	What    string    `json:"what"` // ToStart or ToUndo
	Why     string    `json:"why"`  // why one is needed
	By      string    `json:"by"`   // who asks: not the one who approves
	Asked   time.Time `json:"asked"`
	Expires time.Time `json:"expires"`
}

// What an approval is for.
const (
	ToStart = "start"
	ToUndo  = "undo"
)

// NeedApproval is part of a Request that waits for a second person before it starts.
type NeedApproval struct {
	Why string        // "loki is in production"
	For time.Duration // how long it may wait
}

// SelfError: who asked can not approve.
type SelfError struct{ Approval Approval }

func (e *SelfError) Error() string {
	return fmt.Sprintf("you asked for run %d yourself; somebody else has to approve it", e.Approval.Run)
}

const approvalColumns = "id, run, cluster, what, why, by_whom, asked, expires"

func scanApproval(row interface{ Scan(...any) error }) (Approval, error) {
	var a Approval
	var asked, expires int64
	err := row.Scan(&a.ID, &a.Run, &a.Cluster, &a.What, &a.Why, &a.By, &asked, &expires)
	a.Asked, a.Expires = time.UnixMilli(asked), time.UnixMilli(expires)
	return a, err
}

func insertApproval(ctx context.Context, tx store.Tx, a Approval) error {
	_, err := tx.Exec(ctx, "INSERT INTO approvals (run, cluster, what, why, by_whom, asked, expires, decided, decided_by, outcome) VALUES (?, ?, ?, ?, ?, ?, ?, 0, '', '')",
		a.Run, a.Cluster, a.What, plain.Line(a.Why), plain.Line(a.By), a.Asked.UnixMilli(), a.Expires.UnixMilli())
	return err
}

// decide closes a pending approval in a transaction; exactly one caller does.
func decide(ctx context.Context, tx store.Tx, id int64, outcome, by string) error {
	return exactlyOne(tx.Exec(ctx, "UPDATE approvals SET outcome = ?, decided = ?, decided_by = ? WHERE id = ? AND outcome = ''", outcome, time.Now().UnixMilli(), plain.Line(by), id))
}

// Pending gives what waits for an approval for a run. ErrNotFound when nothing does.
func (e *Engine) Pending(ctx context.Context, run int64) (Approval, error) {
	a, err := scanApproval(e.db.QueryRow(ctx, "SELECT "+approvalColumns+" FROM approvals WHERE outcome = '' AND (run = ? OR cluster > 0 AND what = 'undo' AND cluster = (SELECT cluster FROM runs WHERE id = ?)) ORDER BY id LIMIT 1", run, run))
	if errors.Is(err, store.ErrNoRows) {
		return a, ErrNotFound
	}
	return a, err
}

// Approve lets a run start, or be taken back. A *SelfError when the one who asked tries; a *StateError when nothing
// waits, or when what would be taken back is no longer the host's newest run.
func (e *Engine) Approve(ctx context.Context, id int64, by string) (Run, Approval, error) {
	a, err := e.Pending(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return Run{}, a, e.notPending(ctx, id, "approve")
	} else if err != nil {
		return Run{}, a, err
	}
	by = plain.Line(by) // as the record has names
	if strings.EqualFold(a.By, by) {
		return Run{}, a, &SelfError{a}
	}
	if time.Now().After(a.Expires) {
		return Run{}, a, errors.Join(e.close(ctx, a, "expired", ""), e.notPending(ctx, id, "approve"))
	}
	if a.What == ToUndo && a.Cluster > 0 {
		err := e.write(ctx, func(tx store.Tx) error {
			if err := decide(ctx, tx, a.ID, "approved", by); err != nil {
				return err
			}
			if err := insertEvent(ctx, tx, Event{Run: a.Run, Kind: EvApproved, Text: "by " + by}); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "UPDATE clusters SET undoing = 1 WHERE id = ?", a.Cluster)
			return err
		})
		if err == nil {
			err = e.undoMembers(ctx, a.Cluster)
		}
		r, gerr := e.Get(ctx, a.Run)
		return r, a, errors.Join(err, gerr)
	}
	r, err := e.again(ctx, a.Run, func(r *Run, tx store.Tx) (Event, error) {
		if err := decide(ctx, tx, a.ID, "approved", by); err != nil {
			return Event{}, err
		}
		if a.What == ToUndo {
			if err := insertEvent(ctx, tx, Event{Run: r.ID, Kind: EvApproved, Stage: r.Stage, Text: "by " + by}); err != nil {
				return Event{}, err
			}
			return e.beginUndo(ctx, tx, r, "by "+a.By+", approved by "+by, false)
		}
		if r.State != Proposed {
			return Event{}, &StateError{Run: *r, Want: "approve"}
		}
		r.State = Running
		return Event{Kind: EvApproved, Text: "by " + by}, nil
	})
	return r, a, err
}

// Deny refuses what waits: a run that was not to start is cancelled, one that was to be taken back stays.
func (e *Engine) Deny(ctx context.Context, id int64, by string) (Approval, error) {
	a, err := e.Pending(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return a, e.notPending(ctx, id, "deny")
	} else if err != nil {
		return a, err
	}
	return a, e.close(ctx, a, "denied", by)
}

func (e *Engine) notPending(ctx context.Context, id int64, want string) error {
	r, err := e.Get(ctx, id)
	if err != nil {
		return err
	}
	return &StateError{Run: r, Want: want, Why: "nothing about it waits for an approval; it is " + string(r.State)}
}

// close ends a pending approval without a yes.
func (e *Engine) close(ctx context.Context, a Approval, outcome, by string) error {
	text := map[string]string{
		"denied":  "denied by " + by,
		"expired": "nobody approved it until " + a.Expires.Format("15:04 on 2 January"),
	}[outcome]
	err := e.write(ctx, func(tx store.Tx) error {
		if err := decide(ctx, tx, a.ID, outcome, by); err != nil {
			return err
		}
		if a.What == ToStart {
			if err := exactlyOne(tx.Exec(ctx, "UPDATE runs SET state = 'cancelled', live = 0, turn = turn + 1, err = ?, ended = ? WHERE id = ? AND state = 'proposed'", text+"; nothing was done", time.Now().UnixMilli(), a.Run)); err != nil {
				return err
			}
		}
		return insertEvent(ctx, tx, Event{Run: a.Run, Kind: EvDenied, Text: text, Diff: a.What})
	})
	if errors.Is(err, errStale) {
		return nil // somebody else decided in the same moment
	}
	return err
}

// AskUndo puts on record that somebody wants a run taken back which a second person has to approve. It is no error to
// ask twice.
func (e *Engine) AskUndo(ctx context.Context, r Run, cluster int64, by string, need NeedApproval) (Approval, error) {
	if a, err := e.Pending(ctx, r.ID); err == nil {
		return a, nil
	}
	now := time.Now()
	a := Approval{Run: r.ID, Cluster: cluster, What: ToUndo, Why: need.Why, By: by, Asked: now, Expires: now.Add(need.For)}
	err := e.write(ctx, func(tx store.Tx) error {
		if err := insertApproval(ctx, tx, a); err != nil {
			return err
		}
		return insertEvent(ctx, tx, Event{Run: r.ID, At: now, Kind: EvProposed, Stage: r.Stage, Text: "undo by " + by + ": " + need.Why})
	})
	if err != nil {
		if first, perr := e.Pending(ctx, r.ID); perr == nil {
			return first, nil // somebody asked in the same moment
		}
	}
	return a, err
}

// expire ends what waited too long, until ctx ends.
func (e *Engine) expire(ctx context.Context) {
	t := time.NewTicker(5 * time.Second)
	defer t.Stop()
	for {
		if err := e.expireOnce(ctx); err != nil && ctx.Err() == nil {
			e.log.Error("end approvals that nobody gave", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (e *Engine) expireOnce(ctx context.Context) error {
	rows, err := e.db.Query(ctx, "SELECT "+approvalColumns+" FROM approvals WHERE outcome = '' AND expires < ? ORDER BY id", time.Now().UnixMilli())
	if err != nil {
		return err
	}
	var list []Approval
	for rows.Next() {
		a, err := scanApproval(rows)
		if err != nil {
			return errors.Join(err, rows.Close())
		}
		list = append(list, a)
	}
	errs := []error{rows.Err(), rows.Close()}
	for _, a := range list {
		errs = append(errs, e.close(ctx, a, "expired", ""))
	}
	return errors.Join(errs...)
}

// InProduction gives the run that made a host what it is: its newest that became ready, when that did not destroy it.
// ErrNotFound when there is none.
func (e *Engine) InProduction(ctx context.Context, fqdn string) (Run, error) {
	list, err := e.runs(ctx, "fqdn = ? AND state = 'ready' ORDER BY id DESC LIMIT 1", fqdn)
	if err != nil {
		return Run{}, err
	}
	if len(list) == 0 || strings.HasPrefix(list[0].Pipeline, "destroy/") {
		return Run{}, ErrNotFound
	}
	return list[0], nil
}
