package main

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/internal/guard"
)

// lookPeriod is how soon we notice that nobody reads any more.
const lookPeriod = 200 * time.Millisecond

// whileRead tells gone when the reader of a pipe has closed it. A write would tell that as well, but there may never be
// another one: `exec tail -f FILE | head -n 2` has written all there is. It is for who has written something: a reader
// that goes before the first line, as in `upload … | true`, wanted none, and stops nothing.
func whileRead(ctx context.Context, w io.Writer, gone func(error)) {
	f, ok := w.(*os.File)
	if !ok {
		return
	}
	if st, err := f.Stat(); err != nil || st.Mode()&os.ModeNamedPipe == 0 {
		return
	}
	guard.Go(guard.Count, func() {
		for ctx.Err() == nil {
			poll := []unix.PollFd{{Fd: int32(f.Fd())}} // no event is asked for: that an end is closed is told anyway (poll(2))
			n, err := unix.Poll(poll, int(lookPeriod/time.Millisecond))
			if err == nil && n > 0 && poll[0].Revents&unix.POLLERR != 0 {
				gone(&outputError{syscall.EPIPE})
				return
			}
		}
	})
}

// taken ends everything when what is written is not taken.
type taken struct {
	w     io.Writer
	stop  context.CancelCauseFunc
	begun func() // called with each write, before it; may be nil
}

func (o *taken) Write(b []byte) (int, error) {
	if o.begun != nil {
		o.begun()
	}
	n, err := o.w.Write(b)
	if err != nil {
		o.stop(&outputError{err})
	}
	return n, err
}

// outputError: what we print is not taken.
type outputError struct{ err error }

func (e *outputError) Error() string {
	if e.unread() {
		return "nobody reads the output any more"
	}
	return "the output cannot be written: " + e.err.Error()
}

// unread: whoever read has gone, as `head -1` does; else something is wrong, as a full disk.
func (e *outputError) unread() bool { return errors.Is(e.err, syscall.EPIPE) }

// broken says what an output that is not taken did to what ran.
func broken(err error) error {
	var e *outputError
	if errors.As(err, &e) {
		return &exitError{exitFailed, "everything was stopped: " + e.Error()}
	}
	return err
}
