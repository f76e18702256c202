package main

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/jarvisops/jarvis/internal/guard"
)

// withSignals runs the program until it has ended, or a signal asks it to. SIGHUP ends it as well, but for a server,
// which reads its configuration again (takeHangups), and under nohup(1).
func withSignals() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(ctx, guard.Func(guard.Count, func() {
		signal.Ignore(syscall.SIGHUP) // a terminal that goes sends it twice, by the shell and by the kernel
		stop()                        // asked a second time, we die at once
	}))
	h := &hangups{came: make(chan os.Signal, 1), asked: make(chan struct{}, 1)}
	if !signal.Ignored(syscall.SIGHUP) {
		h.terminal = hasTerminal()
		signal.Notify(h.came, syscall.SIGHUP)
	}
	guard.Go(guard.Count, func() { h.watch(ctx, cancel) })
	code := run(context.WithValue(ctx, hangupsKey{}, h), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	cancel()
	stop()
	return code
}

type hangupsKey struct{}

// hangups is what becomes of SIGHUP.
type hangups struct {
	came     chan os.Signal
	asked    chan struct{} // the server is to read its configuration again
	taken    atomic.Bool   // a server takes them
	terminal bool          // there was one when we began, whose going ends us: not so under nohup(1)
}

// watch ends the program at a SIGHUP, or asks the server to read its configuration again. When our terminal has gone
// with it, it was that which sent it, and a server in it ends as everything there does.
func (h *hangups) watch(ctx context.Context, end context.CancelFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.came:
		}
		if !h.taken.Load() || h.terminal && !hasTerminal() {
			end()
			return
		}
		select {
		case h.asked <- struct{}{}:
		default: // it is asked already
		}
	}
}

// takeHangups gives the channel by which a server is asked to read its configuration again; nil when nothing asks. A
// server hears SIGHUP under nohup(1) as well, and under any other parent that ignores it.
func takeHangups(ctx context.Context) <-chan struct{} {
	h, ok := ctx.Value(hangupsKey{}).(*hangups)
	if !ok {
		return nil
	}
	h.taken.Store(true)
	signal.Notify(h.came, syscall.SIGHUP)
	return h.asked
}

// hasTerminal reports whether the controlling terminal is still there: /dev/tty cannot be opened once it has gone.
func hasTerminal() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}
