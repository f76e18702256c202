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
	Proposed  State = "proposed"  // waits for a second person's approval, and has done nothing
	Planned   State = "planned"   // waits for the time that was asked for, and has done nothing
	Running   State = "running"   // steps do their work, or are about to
	Waiting   State = "waiting"   // for a time, a host, a silo or a person outside; see Reason
	Failed    State = "failed"    // a step cannot go on, until a person decides
	Asking    State = "asking"    // whether a step had its effect is not known, and a person is to say
	Undoing   State = "undoing"   // what was made is taken back
	Ready     State = "ready"     // it did all that it was to do
	Cancelled State = "cancelled" // a person ended it, or it never began
	Undone    State = "undone"    // what it made was taken back
)

// Live reports whether the run holds its host: no second one may start.
func (s State) Live() bool { return s != Ready && s != Cancelled && s != Undone }

// Moving reports whether the engine works on it, so that nobody has to act.
func (s State) Moving() bool { return s == Running || s == Waiting || s == Undoing }

// Resting reports whether nothing will come of the run until a person retries, undoes or starts again. A proposed run
// does not rest: somebody was asked. Nor does a planned one: its time comes.
func (s State) Resting() bool { return !s.Moving() && !s.Ahead() }

// Ahead reports whether the run has not begun, and may yet.
func (s State) Ahead() bool { return s == Proposed || s == Planned }

// Ending says how a run came to rest; "" while it has not.
type Ending string

const (
	EndReady      Ending = "ready"          // it did all that it was to do
	EndDestroyed  Ending = "destroyed"      // it is ready, and what it did was to take the host down
	EndFailed     Ending = "failed"         // also while it asks
	EndCancelled  Ending = "cancelled"      // by a person, after it had begun
	EndDenied     Ending = "denied"         // it never began: a person refused it
	EndWithdrawn  Ending = "withdrawn"      // it never began: who asked took it back
	EndExpired    Ending = "expired"        // it never began: nobody approved it in time
	EndLapsed     Ending = "lapsed"         // it never began: when its time came something spoke against it
	EndUndone     Ending = "undone"         // all that it made was taken back
	EndUndonePart Ending = "undone_in_part" // something could not be taken back: the run goes on to hold its host
	EndGivenUp    Ending = "given_up"       // something could not be taken back, and a person let it stay
)

// Reason says what a waiting run waits for.
type Reason string

const (
	ForHost    Reason = "host"    // what its step said
	ForRetry   Reason = "retry"   // the next try of a step that failed
	ForBarrier Reason = "barrier" // the other members of its cluster
	ForHold    Reason = "hold"    // a person, about another member of its cluster
	ForSilo    Reason = "silo"    // somebody who serves the silo that it has to go to
	ForMember  Reason = "member"  // a value of another member
	ForTime    Reason = "time"    // the time at which it was asked to begin
	ForFreeze  Reason = "freeze"  // the end of a freeze: its own time came in it
	ForCheck   Reason = "check"   // what the Check of a step to come says; until it is content, the stage does not begin
)

// mark says whether the step of the stage under way may have done something.
type mark int

const (
	notBegun     mark = iota
	underWay          // found so by a process that did not begin it: somebody died in its middle
	betweenTries      // it returned, and is not done
)

// What a run is asked for: a verb of the pipelines in the configuration, or the clipboard's own steps.
const (
	VerbOwn     = "own"
	VerbDestroy = "destroy"
)

// Kind says what a run does: by which verb, at which provider, in which variant of its pipeline. Runs of one kind take
// about the same time.
type Kind struct {
	Verb     string `json:"verb"`              // deploy, redeploy, destroy; own for the clipboard's own steps; task
	Provider string `json:"provider"`          // linode, ec2, esx, in small letters; "" where no step needs one
	Variant  string `json:"variant,omitempty"` // "network": how the machine boots
}

// String gives "deploy/esx-network", the name under which times are compared.
func (k Kind) String() string {
	s := k.Verb
	if k.Provider != "" {
		s += "/" + k.Provider
	}
	if k.Variant != "" {
		s += "-" + k.Variant
	}
	return s
}

// Run is one execution of a pipeline for one host, as it is on record.
type Run struct {
	ID   int64  `json:"run"`
	Host string `json:"host"`
	FQDN string `json:"fqdn"`
	Kind
	Pipeline string    `json:"pipeline"` // Kind as one word: "deploy/esx"
	Steps    []string  `json:"steps"`
	Stage    int       `json:"stage"` // index of the stage under way, from 0; len(Steps) when ready
	State    State     `json:"state"`
	Ending   Ending    `json:"ending,omitempty"`
	Error    string    `json:"error,omitempty"`      // why it failed or asks, masked
	Waits    Reason    `json:"waits_for,omitempty"`  // while it waits
	Why      string    `json:"why,omitempty"`        // what it waits for, masked, for people
	By       string    `json:"by"`                   // who asked
	Behind   []string  `json:"asked_with,omitempty"` // who else counts as having asked: who made the asker's token
	Origin   string    `json:"-"`                    // where the asker is to be told, in the form that chat has for itself
	Cluster  int64     `json:"cluster,omitempty"`    // 0: a host by itself
	Started  time.Time `json:"started"`              // when it was asked for
	At       time.Time `json:"at,omitzero"`          // when it was asked to begin; zero: at once
	Began    time.Time `json:"began,omitzero"`       // when it was allowed to start; zero for what never was
	StageAt  time.Time `json:"stage_started"`
	Ended    time.Time `json:"ended,omitzero"`
	Wake     time.Time `json:"wake,omitzero"` // when a waiting run goes on, or a planned one is to begin
	Needs    string    `json:"-"`             // the roles, with spaces between, that By must have when a planned run begins; "": nobody looks

	epoch     int64 // of who may write it: raised by each person's word and each take-up
	mark      mark
	attempts  int
	cancelBy  string
	undoing   bool
	undoAt    int    // the next stage to take back; -1 when none is
	tries     int    // how often a person said retry
	checked   string // which silos have been asked by their Checks since the last stage; see visits
	released  int    // how many of the stages, from the last, have given back what they held
	clipboard string
	parsed    *clipboard.Clipboard // clipboard, when it is parsed already
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

// HasBegun reports whether the run was ever allowed to start. What was not is a proposal: a remark, and no state of the
// host.
func (r *Run) HasBegun() bool { return !r.Began.IsZero() }

// Took gives how long the run took, or takes so far: its wait for an approval does not count.
func (r *Run) Took(now time.Time) time.Duration {
	since := r.Began
	if since.IsZero() {
		since = r.Started
	}
	if !r.Ended.IsZero() {
		now = r.Ended
	}
	return max(0, now.Sub(since))
}

// shown is the stage that an event is about.
func (r *Run) shown() int { return max(0, min(r.Stage, len(r.Steps)-1)) }

// lastBegun gives the last stage that may have done something, -1 for none.
func (r *Run) lastBegun() int {
	if r.Stage < len(r.Steps) && r.mark == notBegun {
		return r.Stage - 1
	}
	return min(r.Stage, len(r.Steps)-1)
}

// doc parses the clipboard as it is on record; once for each text.
func (r *Run) doc() (*clipboard.Clipboard, error) {
	if r.parsed == nil || r.parsed.Text() != r.clipboard {
		c, err := clipboard.Parse([]byte(r.clipboard))
		if err != nil {
			return nil, fmt.Errorf("read the clipboard: %w", err)
		}
		r.parsed = c
	}
	return r.parsed, nil
}

// EventKind says what happened.
type EventKind string

const (
	EvStarted     EventKind = "started"      // the run
	EvPlanned     EventKind = "planned"      // the run waits for its time
	EvBegins      EventKind = "begins"       // notice: its time has come
	EvPostponed   EventKind = "postponed"    // notice: its time has come in a freeze, and it waits for the end of that
	EvLapsed      EventKind = "lapsed"       // notice: its time has come, and it does not begin
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
	EvDrift       EventKind = "drift"        // notice: the world differs from what the run left, in a new way
	EvImported    EventKind = "imported"     // the host was put on record, as it was before Jarvis
	EvDriftOver   EventKind = "drift_over"   // notice: it no longer does, or in fewer ways
	EvSiloAway    EventKind = "silo_away"    // notice: runs wait for a silo that nobody serves; of one of them, for all
	EvSiloBack    EventKind = "silo_back"    // notice: of the same run, that somebody serves it again
)

// Notices are the kinds that people are told of unasked.
var Notices = []EventKind{EvBegins, EvPostponed, EvLapsed, EvProposed, EvApproved, EvDenied, EvFailed, EvAsking, EvReady, EvAllReady, EvCancelled, EvUndone, EvUndoFailed, EvDrift, EvDriftOver, EvSiloAway, EvSiloBack}

// ForAll reports whether a notice is of nobody's asking, and for everybody.
func (k EventKind) ForAll() bool {
	return slices.Contains([]EventKind{EvDrift, EvDriftOver, EvSiloAway, EvSiloBack}, k)
}

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

// Error implements error.
func (e *BusyError) Error() string {
	return fmt.Sprintf("%s is held by run %d (%s, %s, by %s)", e.Run.Host, e.Run.ID, e.Run.State, e.Run.Where(), e.Run.By)
}

// StateError says that the run's state does not allow what was asked.
type StateError struct {
	Run  Run
	Want string // what was asked: "retry"
	Why  string // may be empty
}

// Error implements error.
func (e *StateError) Error() string {
	if e.Why != "" {
		return fmt.Sprintf("cannot %s run %d: %s", e.Want, e.Run.ID, e.Why)
	}
	return fmt.Sprintf("cannot %s run %d: it is %s", e.Want, e.Run.ID, e.Run.State)
}
