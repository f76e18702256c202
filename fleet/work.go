package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// WorkOptions say how hosts are reached and locked for a piece of work.
type WorkOptions struct {
	Options
	Lock    *LockOptions // nil: none is taken
	MayLock bool         // when the lock is not to be had, that is a note, and the work is done
	Note    func(string) // is told, in a sentence, what went wrong and ends nothing; must not be nil when there is a Lock
}

// NothingDoneError: the hosts were not reached, or not locked, so that nothing was done on any.
type NothingDoneError struct {
	Err     error
	Reached bool // it is the lock that was not to be had
}

// Error implements error.
func (e *NothingDoneError) Error() string { return "nothing was done: " + Flat(e.Err) }

// Unwrap gives the cause, for errors.Is and errors.As.
func (e *NothingDoneError) Unwrap() error { return e.Err }

// StoppedError: the lock was lost, so that all that ran was ended. It wraps ErrLockLost.
type StoppedError struct{ Err error }

// Error implements error.
func (e *StoppedError) Error() string { return "everything was stopped: " + Flat(e.Err) }

// Unwrap gives the cause, for errors.Is and errors.As.
func (e *StoppedError) Unwrap() error { return e.Err }

// Work reaches hosts, locks them, has do work on them, and lets go. What ran on the hosts has ended when do returns, so
// nobody gets the lock while it still runs. The context of do ends when the lock is lost. The error is one of these:
// NothingDoneError, StoppedError, or, when ctx ended before do began, its cause. What do itself met is its own affair.
func Work(ctx context.Context, hosts []Host, o WorkOptions, do func(context.Context, *Fleet)) error {
	f, err := Open(ctx, hosts, o.Options)
	if err != nil {
		return undone(ctx, err, false)
	}
	defer f.Close()
	if o.Lock != nil {
		lock, err := f.Lock(ctx, *o.Lock)
		switch {
		case err != nil && o.MayLock && ctx.Err() == nil:
			o.Note("going on without the lock: " + Flat(err))
		case err != nil:
			return undone(ctx, err, true)
		default:
			var stop context.CancelFunc
			ctx, stop = lock.Context(ctx)
			defer stop()
			defer func() {
				if err := lock.Release(); err != nil {
					o.Note(Flat(err))
				}
			}()
		}
	}
	do(ctx, f)
	if cause := context.Cause(ctx); errors.Is(cause, ErrLockLost) {
		return &StoppedError{cause}
	}
	return nil
}

// undone wraps why nothing was done, unless somebody stopped it: then that is why.
func undone(ctx context.Context, err error, reached bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &NothingDoneError{err, reached}
}

// Flat writes joined errors as one sentence; of many, the first few.
func Flat(err error) string {
	list := strings.Split(err.Error(), "\n")
	const most = 5
	if n := len(list); n > most {
		list = append(list[:most], fmt.Sprintf("and %d more", n-most))
	}
	return strings.Join(list, "; ")
}
