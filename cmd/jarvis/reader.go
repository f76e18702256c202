package main

import (
	"context"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/internal/guard"
)

// lookPeriod is how soon we notice that nobody reads any more.
const lookPeriod = 200 * time.Millisecond

// whileRead tells gone when the reader of a pipe has closed it. A write would tell that as well, but there may never be another one:
// `exec tail -f FILE | head -n 2` has written all there is. It is for who has written something: a reader that goes before the
// first line, as in `upload … | true`, wanted none, and stops nothing.
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
