package command

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// UserError is shown as written: what is wrong, then what to type. Kind tells an exit code or status.
type UserError struct {
	Msg, Hint string
	Kind      error         // one of the kinds below, or nil
	Wait      time.Duration // with ErrLimited: how long until the next command
}

// Error implements error.
func (e *UserError) Error() string {
	if e.Hint == "" {
		return e.Msg
	}
	return e.Msg + "; " + e.Hint
}

// Unwrap gives the cause, for errors.Is and errors.As.
func (e *UserError) Unwrap() error { return e.Kind }

// Kinds of UserError.
var (
	ErrUsage    = errors.New("usage")
	ErrDenied   = errors.New("not allowed")
	ErrNotFound = errors.New("not found")
	ErrUnknown  = fmt.Errorf("%w: no such command", ErrUsage)
	ErrLimited  = errors.New("too fast")
	// ErrLost is no verdict on what was asked: the link to the server is gone, or the server stops or cannot read its
	// database. What was asked for may be done all the same, and to ask again is right.
	ErrLost = errors.New("the answer is lost")
)

// explain turns any error into a *UserError. What is not known to be fit for people is logged under an id, and people
// are told only that id.
func (t *Table) explain(ctx context.Context, c Call, err error) *UserError {
	var user *UserError
	var bug *guard.Panic
	var syntax *clipboard.SyntaxError
	var key *clipboard.KeyError
	var unknown *pipeline.UnknownStepError
	var needs *pipeline.NeedsError
	var cluster *pipeline.ClusterError
	var busy *pipeline.BusyError
	var state *pipeline.StateError
	var many *pipeline.AmbiguousError
	var self *pipeline.SelfError
	var repeat *pipeline.RepeatError
	var sick *store.Trouble
	var gone *pipeline.GoneError
	var onHold *pipeline.HeldError
	var uerr *url.Error
	switch {
	case errors.As(err, &bug): // first of all: a panic may hold any error
		id := LogID()
		t.env().Log.Error("a bug: something panicked", "what", "run a command", "id", id, "line", c.line(), "err", bug.Error(), "stack", string(bug.Stack))
		return &UserError{Msg: "this is a bug of mine, and it is in my log under " + id, Hint: "nothing else is harmed"}
	case errors.As(err, &user):
		e := *user
		return &e
	case errors.As(err, &sick):
		// The rest is for who keeps the server, and names its files.
		t.env().Log.Error("the database", "line", c.line(), "err", err)
		return &UserError{Msg: sick.What, Hint: "try again in a moment; the server's log says more", Kind: ErrLost}
	case errors.As(err, &syntax):
		return &UserError{Msg: "the clipboard is not right: " + syntax.Error(), Kind: ErrUsage}
	case errors.As(err, &key):
		return &UserError{Msg: "the clipboard is not right: " + key.Error(), Kind: ErrUsage}
	case errors.As(err, &unknown):
		return &UserError{Msg: unknown.Error(), Hint: "`steps` lists what there is", Kind: ErrUsage}
	case errors.As(err, &needs):
		return &UserError{Msg: "this pipeline cannot work: " + needs.Error(), Kind: ErrUsage}
	case errors.As(err, &cluster):
		return &UserError{Msg: "this cluster cannot work: " + cluster.Error(), Kind: ErrUsage}
	case errors.As(err, &busy):
		return heldBy(busy.Run)
	case errors.As(err, &onHold):
		return &UserError{Msg: fmt.Sprintf("%s is %s", onHold.Host, holdLine(onHold.Hold)), Hint: fmt.Sprintf("`release %s` ends that", onHold.Host)}
	case errors.As(err, &self):
		return &UserError{Msg: self.Error(), Kind: ErrDenied}
	case errors.As(err, &repeat):
		return &UserError{Msg: repeat.Error(), Hint: "use another key", Kind: ErrUsage}
	case errors.As(err, &state):
		return &UserError{Msg: state.Error()}
	case errors.As(err, &many):
		return &UserError{Msg: many.Error(), Kind: ErrUsage}
	case errors.As(err, &gone):
		return &UserError{Msg: fmt.Sprintf("run %d is older than keep.runs: what ended before %s is no longer on record", gone.Run, plain.Time(gone.Before)), Hint: "`history HOST` lists what is", Kind: ErrNotFound}
	case errors.Is(err, pipeline.ErrNotFound):
		return &UserError{Msg: "I have no such run or host on record", Hint: "`hosts` lists them", Kind: ErrNotFound}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &uerr):
		return &UserError{Msg: "that took too long or was interrupted", Hint: "try again", Kind: ErrLost}
	}
	id := LogID()
	t.env().Log.Error("command failed", "id", id, "line", c.line(), "err", err)
	return &UserError{Msg: "something broke on my side", Hint: "it is in my log under " + id}
}

// heldBy says which run holds a host, and what ends that.
func heldBy(r pipeline.Run) *UserError {
	e := &UserError{Msg: fmt.Sprintf("%s is held by run %d: %s at %s, by %s", r.Host, r.ID, stateWord(r), r.Where(), r.By), Hint: fmt.Sprintf("`status %s` tells more, `cancel %s` stops it", r.Host, r.Host)}
	switch {
	case r.State == pipeline.Planned:
		e.Msg, e.Hint = fmt.Sprintf("%s is held by run %d, by %s, which %s", r.Host, r.ID, r.By, waitsToBegin(r)), fmt.Sprintf("`cancel %s` frees the host", r.Host)
	case r.State == pipeline.Proposed:
		e.Hint = fmt.Sprintf("`approve %d` starts it, `deny %d` frees the host", r.ID, r.ID)
	case r.Ending == pipeline.EndUndonePart:
		e.Hint = fmt.Sprintf("`undo %s` goes on taking it back, `cancel %s` gives that up and says what stays", r.Host, r.Host)
	case r.State == pipeline.Undoing:
		e.Hint = fmt.Sprintf("`status %s` tells more", r.Host)
	case r.State == pipeline.Failed && r.Stage == 0:
		e.Hint = fmt.Sprintf("`cancel %s` frees it for a mended clipboard, `retry %s` begins again with the one it had, `undo %s` removes what it made", r.Host, r.Host, r.Host)
	case !r.State.Moving():
		e.Hint = fmt.Sprintf("`retry %s` goes on, `undo %s` removes what it made, `cancel %s` leaves things as they are", r.Host, r.Host, r.Host)
	}
	return e
}

// LogID names a line of the log to somebody who cannot read it.
func LogID() string {
	b := make([]byte, 4)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
