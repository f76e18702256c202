package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
)

// State of a run; see the package's picture.
type State string

const (
	Proposed  State = "proposed" // waits for a second person's approval, and has done nothing
	Running   State = "running"
	Waiting   State = "waiting"
	Failed    State = "failed"
	Asking    State = "asking"
	Undoing   State = "undoing"
	Ready     State = "ready"
	Cancelled State = "cancelled"
	Undone    State = "undone"
)

// Live reports whether the run holds its host: no second one may start.
func (s State) Live() bool { return s != Ready && s != Cancelled && s != Undone }

// Moving reports whether the engine works on it, so that nobody has to act.
func (s State) Moving() bool { return s == Running || s == Waiting || s == Undoing }

// Resting reports whether nothing will come of the run until a person retries, undoes or starts anew. A proposed run
// does not rest: somebody was asked.
func (s State) Resting() bool { return !s.Moving() && s != Proposed }

// Run is one execution of a pipeline for one host, as the record has it.
type Run struct {
	ID       int64     `json:"run"`
	Host     string    `json:"host"`
	FQDN     string    `json:"fqdn"`
	Pipeline string    `json:"pipeline"` // "deploy/esx"
	Steps    []string  `json:"steps"`
	Stage    int       `json:"stage"` // index of the stage under way, from 0; len(Steps) when ready
	State    State     `json:"state"`
	Error    string    `json:"error,omitempty"` // why it failed or asks, masked
	Why      string    `json:"why,omitempty"`   // what it waits for, masked
	By       string    `json:"by"`
	Origin   string    `json:"origin,omitempty"`  // where the asker is to be told: "irc/libera/#ops/alice"
	Cluster  int64     `json:"cluster,omitempty"` // 0: a host by itself
	Started  time.Time `json:"started"`
	StageAt  time.Time `json:"stage_started"`
	Ended    time.Time `json:"ended,omitzero"`
	Wake     time.Time `json:"wake,omitzero"` // when a waiting run goes on

	turn      int64
	under     int // 0: the stage has not begun; 1: its step is under way; 2: between two tries
	attempts  int
	cancelBy  string
	undoAt    int // the next stage to undo
	clipboard string
	parsed    *clipboard.Clipboard // clipboard, when it is parsed already
	undoing   bool
	tries     int // how often a person said retry
}

// Step gives the name of the stage under way, or "" when there is none.
func (r *Run) Step() string {
	if r.Stage >= 0 && r.Stage < len(r.Steps) {
		return r.Steps[r.Stage]
	}
	return ""
}

// Where gives "stage 4/14 ssh:wait", the words that people and their tests look for.
func (r *Run) Where() string {
	return strings.TrimSpace(fmt.Sprintf("stage %d/%d %s", min(r.Stage+1, len(r.Steps)), len(r.Steps), r.Step()))
}

// EventKind says what happened.
type EventKind string

const (
	EvStarted     EventKind = "started"      // the run
	EvProposed    EventKind = "proposed"     // notice: the run, or its undo, waits for an approval
	EvApproved    EventKind = "approved"     // notice: by a second person
	EvDenied      EventKind = "denied"       // notice: or nobody approved it in time
	EvStep        EventKind = "step"         // a step began
	EvDone        EventKind = "done"         // a step finished; Diff, Took
	EvKept        EventKind = "kept"         // the clipboard was stored in the middle of a step; Diff
	EvProgress    EventKind = "progress"     // Progress
	EvLog         EventKind = "log"          // Log
	EvWaiting     EventKind = "waiting"      // Wait
	EvRetrying    EventKind = "retrying"     // an error, and another try to come
	EvResumed     EventKind = "resumed"      // taken up after a crash or restart
	EvFailed      EventKind = "failed"       // notice
	EvAsking      EventKind = "asking"       // notice
	EvReleased    EventKind = "released"     // a step gave back what it held; Diff
	EvReady       EventKind = "ready"        // notice
	EvAllReady    EventKind = "all_ready"    // notice: every member of the run's cluster
	EvCancelled   EventKind = "cancelled"    // notice
	EvRetried     EventKind = "retried"      // by a person
	EvSkipped     EventKind = "skipped"      // by a person
	EvUndoStarted EventKind = "undo"         // by a person
	EvStepUndone  EventKind = "step_undone"  // one step taken back
	EvStays       EventKind = "stays"        // what one step did and nobody can take back
	EvUndoStuck   EventKind = "undo_stuck"   // one step that could not be taken back, and may be tried again
	EvUndone      EventKind = "undone"       // notice: the whole run
	EvUndoFailed  EventKind = "undo_failed"  // notice: something stays
	EvCancelAsked EventKind = "cancel_asked" // by a person, while a step was under way
)

// Notices are the kinds that people are told of unasked.
var Notices = []EventKind{EvProposed, EvApproved, EvDenied, EvFailed, EvAsking, EvReady, EvAllReady, EvCancelled, EvUndone, EvUndoFailed}

// IsNotice reports whether the bot says this unasked.
func (k EventKind) IsNotice() bool { return slices.Contains(Notices, k) }

// Event is a row of the record: it is written in the transaction of what it tells, and never changed.
type Event struct {
	ID    int64         `json:"id"`
	Run   int64         `json:"run"`
	At    time.Time     `json:"at"`
	Kind  EventKind     `json:"kind"`
	Stage int           `json:"stage"` // from 0
	Step  string        `json:"step,omitempty"`
	Text  string        `json:"text,omitempty"`
	Diff  string        `json:"diff,omitempty"`
	Took  time.Duration `json:"took,omitempty"`
}

// ErrNotFound: no such run, or no run for that host.
var ErrNotFound = errors.New("no such run")

// BusyError says that the host has a live run already.
type BusyError struct{ Run Run }

func (e *BusyError) Error() string {
	return fmt.Sprintf("%s is held by run %d (%s, %s, by %s)", e.Run.Host, e.Run.ID, e.Run.State, e.Run.Where(), e.Run.By)
}

// StateError says that the run's state does not allow what was asked.
type StateError struct {
	Run  Run
	Want string // what was asked: "retry"
	Why  string // may be empty
}

func (e *StateError) Error() string {
	if e.Why != "" {
		return fmt.Sprintf("can not %s run %d: %s", e.Want, e.Run.ID, e.Why)
	}
	return fmt.Sprintf("can not %s run %d: it is %s", e.Want, e.Run.ID, e.Run.State)
}
