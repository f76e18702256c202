package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
)

// Resume says what to do with a step that was under way when the process died.
type Resume int

const (
	Again Resume = iota // safe to repeat
	Probe               // Do looks for what the earlier try made, and adopts it
	Ask                 // nobody can look: a person decides
)

// String implements fmt.Stringer.
func (r Resume) String() string { return [...]string{"again", "probe", "ask"}[r] }

// Step is one blocking task of a worker, described as data. Help, docs and the check before a run read it.
type Step struct {
	Name    string        // "dns:update_host"
	Aliases []string      // older names that people's YAML still holds
	Doc     string        // one line
	Needs   []string      // clipboard keys under instance that it reads; "key?" when it can do without
	Gives   []string      // keys it writes
	Timeout time.Duration // for one Do or Check, and for all its waiting together; 0 means DefaultTimeout
	Silence time.Duration // hung when it reports nothing for so long; 0 means never
	Resume  Resume
	Silo    string // where it runs; "" outside of all silos. The registry fills it in
	away    bool   // it runs elsewhere, and what there is of it here is a description: its functions do nothing
	gone    bool   // it is away, and nobody is there for it now: its functions give ErrNotBegun
	guessed bool   // nobody has described it: all that is known is its name
	// Check says before the run's first stage begins what would stop Do later, when machines are deleted, made and paid
	// for. It is called again before a stage that deletes a machine, and after each `retry` and `skip`. It reads only,
	// and takes what earlier stages will give as unknown. A Wait means that it cannot be known yet: it is asked again,
	// and no stage begins before. nil: nothing can be said so early.
	Check func(ctx context.Context, c *clipboard.Clipboard) error
	// Plan says what Do would do; it reads only. nil: Doc is shown.
	Plan func(ctx context.Context, c *clipboard.Clipboard) (string, error)
	// Do does the work. It may be called again after a crash or an error, and looks first for what is there already.
	Do func(ctx context.Context, c *clipboard.Clipboard) error
	// Release gives back what the step holds for the length of the run, when every stage is done; safe to repeat, and
	// after an Undo there is nothing to release. nil: it holds nothing.
	Release func(ctx context.Context, c *clipboard.Clipboard) error
	// Undo takes back what Do did in this run; safe to repeat. nil: there is nothing to undo.
	Undo func(ctx context.Context, c *clipboard.Clipboard) error
	// Drift says how the world differs from what Do left. It only reads. An error means that it is not known, and is
	// said; a Wait of a provider's step, that the provider wants to be asked more slowly. nil: it left nothing that
	// could differ, or nobody can tell.
	Drift func(ctx context.Context, c *clipboard.Clipboard) ([]Difference, error)
}

// DefaultTimeout holds for a step that names none.
const DefaultTimeout = 30 * time.Minute

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent marks an error that no retry can cure: the run fails now. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// Permanentf is Permanent(fmt.Errorf(…)).
func Permanentf(format string, args ...any) error { return Permanent(fmt.Errorf(format, args...)) }

// IsPermanent reports whether err is marked so.
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

type askError struct{ err error }

func (e *askError) Error() string { return e.err.Error() }
func (e *askError) Unwrap() error { return e.err }

// AskPerson marks an outcome that the step could not find out ("may have half happened"): the run waits for
// `retry` or `skip`.
func AskPerson(err error) error { return &askError{err} }

// IsAskPerson reports whether err is marked so.
func IsAskPerson(err error) bool {
	var a *askError
	return errors.As(err, &a)
}

type goesOnError struct {
	err  error
	what string
}

func (e *goesOnError) Error() string { return e.err.Error() + "; " + e.what }
func (e *goesOnError) Unwrap() error { return e.err }

// GoesOn is for a step that was cancelled, or whose time is over, and that could not be stopped: it may go on
// somewhere, and the person who said so hears what. The run counts as cancelled all the same.
func GoesOn(err error, what string) error { return &goesOnError{err, what} }

// AsGoesOn gives what may go on when err came from GoesOn.
func AsGoesOn(err error) (what string, ok bool) {
	var g *goesOnError
	if errors.As(err, &g) {
		return g.what, true
	}
	return "", false
}

type staysError struct{ what string }

func (e *staysError) Error() string { return e.what }

// Stays is for Undo: it did what can be done, and says what cannot be taken back ("the machine 4711 is deleted for
// good"). The run counts as undone all the same.
func Stays(what string) error { return &staysError{what} }

// AsStays gives what stays when err came from Stays.
func AsStays(err error) (what string, ok bool) {
	var s *staysError
	if errors.As(err, &s) {
		return s.what, true
	}
	return "", false
}

type waitError struct {
	d   time.Duration
	why string
}

func (e *waitError) Error() string { return e.why }

// Wait says: not yet, ask again in d. The run gives up its goroutine meanwhile, and status shows why.
func Wait(d time.Duration, why string) error { return &waitError{d, why} }

// AsWait gives the pause and the reason when err came from Wait. For tests and `jarvis step`.
func AsWait(err error) (d time.Duration, why string, ok bool) {
	var w *waitError
	if errors.As(err, &w) {
		return w.d, w.why, true
	}
	return 0, "", false
}

type stepKey struct{}

// Host is what a step's context is bound to: the engine, or `jarvis step`, which has no engine.
type Host interface {
	// Progress sets the line that status shows, and feeds the watchdog.
	Progress(line string)
	// Log keeps a line in the record without showing it in status.
	Log(line string)
	// Keep stores the clipboard now, in the middle of the step.
	Keep(ctx context.Context, c *clipboard.Clipboard) error
	// Facts tells which run this is.
	Facts() Facts
}

// Facts of the run a step works for.
type Facts struct {
	Run    int64
	Stage  int           // from 0
	Token  string        // unique to this run in all the world: "jarvis-1f3a9c04-12"; tags what the run makes
	Owner  string        // the same for all runs of this host here: "jarvis-1f3a9c04:loki.example.org"; tags what is the host's
	By     string        // who asked
	Waited time.Duration // how long this stage has waited so far
	Undo   bool          // Undo is running, not Do
	// Resumed: this Do was under way when a process died, or stopped, and this process did not begin it.
	Resumed bool
	Try     int // how often a person said `retry`: work that runs once in one try may run again in the next
}

// WithHost binds a context to h; the engine does, and whoever runs a step by hand.
func WithHost(ctx context.Context, h Host) context.Context {
	return context.WithValue(ctx, stepKey{}, h)
}

// hostOf is nil outside of a step.
func hostOf(ctx context.Context) Host {
	h, _ := ctx.Value(stepKey{}).(Host)
	return h
}

// Progress sets the line that `status` shows. Secrets in it are masked.
func Progress(ctx context.Context, line string) {
	if h := hostOf(ctx); h != nil {
		h.Progress(line)
	}
}

// Log keeps a line in the run's record (`log loki`). Secrets in it are masked.
func Log(ctx context.Context, line string) {
	if h := hostOf(ctx); h != nil {
		h.Log(line)
	}
}

// Keep stores the clipboard now, before the step is over: for a step that is about to do what it could not
// recognise afterwards, such as replacing a host's keys.
func Keep(ctx context.Context, c *clipboard.Clipboard) error {
	if h := hostOf(ctx); h != nil {
		return h.Keep(ctx, c)
	}
	return nil
}

// FactsOf tells a step which run it works for; the zero Facts outside a run.
func FactsOf(ctx context.Context) Facts {
	if h := hostOf(ctx); h != nil {
		return h.Facts()
	}
	return Facts{}
}
