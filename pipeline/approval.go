package pipeline

import (
	"context"
	"encoding/json"
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
//	                                     ──► planned          when it was asked for a time
//	         ── deny, or nobody in time  ──► cancelled
//	ready    ── undo asked ── approve ──► undoing             the run stays ready meanwhile
//	ready    ── retry asked ─ approve ──► running             so it does here
//	failed   ── to give up ── approve ──► cancelled           what an undo could not take back stays
type Approval struct {
	ID      int64     `json:"approval"`
	Run     int64     `json:"run"`
	Cluster int64     `json:"cluster,omitempty"`
	What    string    `json:"what"`           // ToStart, ToUndo, ToRepeat or ToGiveUp
	Step    string    `json:"step,omitempty"` // of ToRepeat: from which on
	Why     string    `json:"why"`            // why one is needed
	By      string    `json:"by"`             // who asks: not the one who approves
	Behind  []string  `json:"asked_with,omitempty"`
	Asked   time.Time `json:"asked"`
	Expires time.Time `json:"expires"`
}

// What an approval is for.
const (
	ToStart  = "start"
	ToUndo   = "undo"
	ToRepeat = "repeat"  // stages of a run that is ready
	ToGiveUp = "give_up" // a run that is taken back in part
)

// NeedApproval is part of a Request that waits for a second person before it starts.
type NeedApproval struct {
	Why string        // "loki is in production"
	For time.Duration // how long it may wait
}

// Until gives when the approval of what was asked for expires: at the latest when it is to begin, if that has a time.
func (n NeedApproval) Until(asked, at time.Time) time.Time {
	if end := asked.Add(n.For); at.IsZero() || end.Before(at) {
		return end
	}
	return at
}

// SelfError: who asked cannot approve.
type SelfError struct {
	Approval Approval
	By       string // who tried
}

// Error implements error.
func (e *SelfError) Error() string {
	if !e.Approval.asked(e.By) {
		return fmt.Sprintf("run %d was asked for by %s, and the token you use or theirs comes from one of you, or both from one person; somebody else has to approve it, or you with a token of your own making or in chat", e.Approval.Run, e.Approval.By)
	}
	return fmt.Sprintf("you asked for run %d yourself; somebody else has to approve it", e.Approval.Run)
}

const approvalColumns = "id, run, cluster, what, step, why, by_whom, behind, asked, expires"

func scanApproval(row store.Row) (Approval, error) {
	var a Approval
	var behind string
	var asked, expires int64
	err := row.Scan(&a.ID, &a.Run, &a.Cluster, &a.What, &a.Step, &a.Why, &a.By, &behind, &asked, &expires)
	a.Asked, a.Expires = at(asked), at(expires)
	if err == nil && behind != "" {
		err = json.Unmarshal([]byte(behind), &a.Behind)
	}
	return a, err
}

func insertApproval(ctx context.Context, tx store.Tx, a Approval) error {
	behind, err := list(a.Behind)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO approvals (run, cluster, what, step, why, by_whom, behind, asked, expires, decided, decided_by, outcome) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', '')",
		a.Run, a.Cluster, a.What, a.Step, plain.Line(a.Why), plain.Line(a.By), behind, ms(a.Asked), ms(a.Expires))
	return err
}

// decide closes a pending approval; exactly one caller does. errStale when somebody else did.
func decide(ctx context.Context, tx store.Tx, id int64, outcome, by, because string) error {
	n, err := tx.Exec(ctx, "UPDATE approvals SET outcome = ?, decided = ?, decided_by = ?, because = ? WHERE id = ? AND outcome = ''", outcome, time.Now().UnixMilli(), plain.Line(by), plain.Line(because), id)
	if err == nil && n != 1 {
		return errStale
	}
	return err
}

// pendingIn gives what waits for an approval for a run, or for the undo of its cluster. ErrNotFound when nothing does.
func pendingIn(ctx context.Context, q store.Querier, run int64) (Approval, error) {
	a, err := scanApproval(q.QueryRow(ctx, "SELECT "+approvalColumns+" FROM approvals WHERE run = ? AND outcome = ''", run))
	if errors.Is(err, store.ErrNoRows) {
		a, err = scanApproval(q.QueryRow(ctx, "SELECT "+approvalColumns+" FROM approvals WHERE outcome = '' AND what = 'undo' AND cluster > 0 AND cluster = (SELECT cluster FROM runs WHERE id = ?)", run))
	}
	if errors.Is(err, store.ErrNoRows) {
		return a, ErrNotFound
	}
	return a, err
}

// Pending gives what waits for an approval for a run. ErrNotFound when nothing does.
func (e *Engine) Pending(ctx context.Context, run int64) (Approval, error) {
	return pendingIn(ctx, e.db, run)
}

// Undos lists the undos that wait for an approval, and what else does about runs that are ready.
func (e *Engine) Undos(ctx context.Context) ([]Approval, error) {
	return store.Collect(ctx, e.db, func(row store.Row) (Approval, error) { return scanApproval(row) }, "SELECT "+approvalColumns+" FROM approvals WHERE outcome = '' AND what <> 'start' AND expires > 0 ORDER BY expires")
}

// Approvals lists all that waits for an approval, what expires first first.
func (e *Engine) Approvals(ctx context.Context) ([]Approval, error) {
	return store.Collect(ctx, e.db, scanApproval, "SELECT "+approvalColumns+" FROM approvals WHERE outcome = '' AND expires > 0 ORDER BY expires")
}

// Decided is an approval that waits no longer.
type Decided struct {
	Approval
	Outcome string    `json:"outcome"` // approved, or an Ending
	Decider string    `json:"decided_by"`
	Because string    `json:"because,omitempty"`
	At      time.Time `json:"decided"`
}

// Decided lists what was asked for last and is decided, newest first.
func (e *Engine) Decided(ctx context.Context, limit int) ([]Decided, error) {
	return store.Collect(ctx, e.db, scanDecided, "SELECT "+approvalColumns+", outcome, decided_by, because, decided FROM approvals WHERE outcome <> '' ORDER BY id DESC LIMIT ?", limit)
}

// Decision gives how an approval was decided. ErrNotFound while it waits, and when it is not on record any more.
func (e *Engine) Decision(ctx context.Context, approval int64) (Decided, error) {
	d, err := scanDecided(e.db.QueryRow(ctx, "SELECT "+approvalColumns+", outcome, decided_by, because, decided FROM approvals WHERE id = ? AND outcome <> ''", approval))
	if errors.Is(err, store.ErrNoRows) {
		err = ErrNotFound
	}
	return d, err
}

func scanDecided(row store.Row) (d Decided, err error) {
	var decided int64
	d.Approval, err = scanApproval(scanMore{row, []any{&d.Outcome, &d.Decider, &d.Because, &decided}})
	d.At = at(decided)
	return d, err
}

// AskedBy reports whether a person is who asked, or counts as who asked: such a person cannot approve it.
func (a Approval) AskedBy(w Who) bool { return (Who{a.By, a.Behind}).is(w) }

// asked reports whether it was asked for under that name.
func (a Approval) asked(name string) bool { return strings.EqualFold(a.By, name) }

// Of reports whether an approval is about a run, by itself or with its cluster.
func (a Approval) Of(r Run) bool { return a.Run == r.ID || a.Cluster > 0 && a.Cluster == r.Cluster }

// because adds a reason to a sentence.
func because(text, reason string) string {
	if reason == "" {
		return text
	}
	return text + ", because " + reason
}

// Approve lets a run start, or be taken back. A *SelfError when who asked tries, by whatever name; a *StateError when
// nothing waits, or when what would be taken back is no longer what its host stands by.
func (e *Engine) Approve(ctx context.Context, id int64, by Who, reason string) (Run, Approval, error) {
	by.Name = plain.Line(by.Name) // as the record has names
	a, err := e.Pending(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return Run{}, a, e.notPending(ctx, id, "approve")
	case err != nil:
		return Run{}, a, err
	case (Who{a.By, a.Behind}).is(by):
		return Run{}, a, &SelfError{a, by.Name}
	case time.Now().After(a.Expires):
		return Run{}, a, errors.Join(e.expireOne(ctx, a), e.notPending(ctx, id, "approve"))
	}
	said := because("by "+by.Name, reason)
	if a.What == ToUndo && a.Cluster > 0 {
		r, err := e.approveClusterUndo(ctx, a, by, reason, said)
		return r, a, err
	}
	r, err := e.again(ctx, a.Run, func(tx store.Tx, r *Run, now time.Time) ([]Event, error) {
		if err := decide(ctx, tx, a.ID, "approved", by.Name, reason); err != nil {
			return nil, err
		}
		events := []Event{{At: now, Kind: EvApproved, Stage: r.shown(), Text: said, Diff: a.What}}
		if a.What == ToUndo {
			if err := undoable(ctx, tx, r, false); err != nil {
				return nil, err
			}
			return append(events, r.beginUndo("by "+a.By+", approved by "+by.Name, now)), nil
		}
		if a.What == ToGiveUp {
			more, err := e.giveUpUndo(ctx, tx, r, "by "+a.By+", approved by "+by.Name, now)
			return append(events, more...), err
		}
		if a.What == ToRepeat {
			stage, err := e.repeatable(ctx, tx, r, a.Step)
			if err != nil {
				return nil, err
			}
			return append(events, r.repeat(stage, "by "+a.By+", approved by "+by.Name, now)), nil
		}
		if r.State != Proposed {
			return nil, &StateError{Run: *r, Want: "approve"}
		}
		if err := notHeld(ctx, tx, r.FQDN); err != nil {
			return nil, err
		}
		if !r.At.IsZero() {
			r.State = Planned
			return events, nil
		}
		r.Began = now
		r.goOn(0, now)
		return events, nil
	})
	if errors.Is(err, errStale) {
		err = e.notPending(ctx, id, "approve") // somebody else decided in the same moment
	}
	return r, a, err
}

// approveClusterUndo decides for the whole cluster in one transaction. It stays marked as undoing, so that its runs are
// taken back also when we die before that.
func (e *Engine) approveClusterUndo(ctx context.Context, a Approval, by Who, reason, said string) (Run, error) {
	err := e.write(ctx, func(tx store.Tx) error {
		if err := noneHeld(ctx, tx, a.Cluster); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "UPDATE runs SET kept = 0 WHERE cluster = ? AND kept = 1", a.Cluster); err != nil {
			return err
		}
		if err := decide(ctx, tx, a.ID, "approved", by.Name, reason); err != nil {
			return err
		}
		if err := insertAll(ctx, tx, []Event{{Run: a.Run, Kind: EvApproved, Text: said}}); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE clusters SET undoing = 1 WHERE id = ?", a.Cluster)
		return err
	})
	if errors.Is(err, errStale) {
		return Run{}, e.notPending(ctx, a.Run, "approve")
	}
	if err == nil {
		_, err = e.undoMembers(ctx, a.Cluster)
	}
	r, gerr := e.Get(ctx, a.Run)
	return r, errors.Join(err, gerr)
}

// Deny refuses what waits: a run that was not to start is over, one that was to be taken back stays. A *StateError when
// nothing waits, or somebody decided otherwise in the same moment.
func (e *Engine) Deny(ctx context.Context, id int64, by Who, reason string) (Approval, error) {
	a, err := e.Pending(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return a, e.notPending(ctx, id, "deny")
	} else if err != nil {
		return a, err
	}
	err = e.write(ctx, func(tx store.Tx) error {
		r, err := lock(ctx, tx, a.Run)
		if err != nil {
			return err
		}
		return e.refuse(ctx, tx, a, &r, by, reason)
	})
	if errors.Is(err, errStale) {
		err = e.notPending(ctx, id, "deny")
	}
	return a, err
}

// notPending says what became of the run about which somebody decides too late.
func (e *Engine) notPending(ctx context.Context, id int64, want string) error {
	r, err := e.Get(ctx, id)
	if err != nil {
		return err
	}
	how := endingWords[r.Ending]
	if how == "" {
		how = "it is " + string(r.State)
	}
	return &StateError{Run: r, Want: want, Why: "nothing about it waits for an approval; " + how}
}

// refuse ends a pending approval without a yes. r is the run as it is locked, and then as it is saved.
func (e *Engine) refuse(ctx context.Context, tx store.Tx, a Approval, r *Run, by Who, reason string) error {
	how, text := EndDenied, because("denied by "+by.Name, reason)
	switch {
	case by.Name == "":
		how, text = EndExpired, "nobody approved it until "+plain.Time(a.Expires)
	case a.asked(by.Name): // who made the asker's token is somebody else, and the asker is to hear of it
		how, text = EndWithdrawn, because("withdrawn by "+by.Name, reason)
	}
	if err := decide(ctx, tx, a.ID, string(how), by.Name, reason); err != nil {
		return err
	}
	ev := Event{Run: a.Run, Kind: EvDenied, Text: text, Diff: a.What}
	if a.What != ToStart {
		return insertAll(ctx, tx, []Event{ev})
	}
	if r.State != Proposed {
		return errStale
	}
	next, now := *r, time.Now()
	next.rest(Cancelled, how, now)
	next.Error = text + "; nothing was done"
	next.epoch++
	events := []Event{ev}
	all, err := e.allReady(ctx, tx, &next, now)
	if err != nil {
		return err
	}
	if err := save(ctx, tx, r, &next, append(events, all...)...); err != nil {
		return err
	}
	*r = next
	return nil
}

// undoes says that what waits is no undo; nil when it is one.
func (a Approval) undoes(r Run) error {
	if a.What == ToUndo {
		return nil
	}
	return &StateError{Run: r, Want: "undo", Why: fmt.Sprintf("something else about it waits for a second person: `approve %d` or `deny %d` first", r.ID, r.ID)}
}

// AskUndo puts on record that somebody wants a run taken back which a second person has to approve. It is no error to
// ask twice.
func (e *Engine) AskUndo(ctx context.Context, r Run, cluster int64, by Who, need NeedApproval) (Approval, error) {
	if a, err := e.Pending(ctx, r.ID); err == nil {
		return a, a.undoes(r)
	}
	now := time.Now()
	a := Approval{Run: r.ID, Cluster: cluster, What: ToUndo, Why: need.Why, By: by.Name, Behind: by.Behind, Asked: now, Expires: now.Add(need.For)}
	err := e.write(ctx, func(tx store.Tx) error {
		held, err := lock(ctx, tx, r.ID)
		if err == nil && cluster == 0 {
			err = undoable(ctx, tx, &held, false)
		}
		if err == nil && !held.State.Live() { // what holds the host now would hold it when somebody approves
			err = free(ctx, tx, &held)
		}
		if err != nil {
			return err
		}
		if err := insertApproval(ctx, tx, a); err != nil {
			return err
		}
		return insertAll(ctx, tx, []Event{{Run: r.ID, At: now, Kind: EvProposed, Stage: r.shown(), Text: "undo by " + by.Name + ": " + need.Why}})
	})
	if err != nil {
		if first, perr := e.Pending(ctx, r.ID); perr == nil {
			return first, first.undoes(r) // somebody asked in the same moment
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

// expireOnce goes on after an error: one approval that cannot end keeps no other.
func (e *Engine) expireOnce(ctx context.Context) error {
	list, err := store.Collect(ctx, e.db, scanApproval, "SELECT "+approvalColumns+" FROM approvals WHERE outcome = '' AND expires < ? ORDER BY expires", time.Now().UnixMilli())
	errs := []error{err}
	for _, a := range list {
		errs = append(errs, e.expireOne(ctx, a))
	}
	return errors.Join(errs...)
}

// expireOne refuses in the name of nobody.
func (e *Engine) expireOne(ctx context.Context, a Approval) error {
	err := e.write(ctx, func(tx store.Tx) error {
		r, err := lock(ctx, tx, a.Run)
		if err != nil {
			return err
		}
		return e.refuse(ctx, tx, a, &r, Who{}, "")
	})
	if errors.Is(err, errStale) {
		return nil // somebody decided in the same moment
	}
	return err
}
