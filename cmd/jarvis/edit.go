package main

import (
	"io"
	"os"
	"os/signal"
	"syscall"

	xterm "golang.org/x/term"

	"github.com/jarvisops/jarvis/internal/guard"
)

// editor lets a person edit the lines that they type, with arrows and a history, while what is written to out comes
// above them. The terminal is as it was after restore, which may be called again.
type editor struct {
	in, screen *os.File
	out        *lockedWriter
	before     *xterm.State
	sizes      chan os.Signal
}

// start takes the terminal over, and gives what reads a line: io.EOF at Ctrl-C and Ctrl-D.
func (e *editor) start(prompt string) (read func() (string, error), err error) {
	if e.before, err = xterm.MakeRaw(int(e.in.Fd())); err != nil {
		return nil, err
	}
	t := xterm.NewTerminal(struct {
		io.Reader
		io.Writer
	}{e.in, e.screen}, prompt)
	fit := func() {
		if w, h, err := xterm.GetSize(int(e.screen.Fd())); err == nil && w > 0 && h > 0 {
			_ = t.SetSize(w, h)
		}
	}
	fit()
	e.sizes = make(chan os.Signal, 1)
	signal.Notify(e.sizes, syscall.SIGWINCH)
	guard.Go(guard.Count, func() {
		for range e.sizes {
			fit()
		}
	})
	e.out.set(t)
	return t.ReadLine, nil
}

// restore gives the terminal back.
func (e *editor) restore() {
	if e.before == nil {
		return
	}
	signal.Stop(e.sizes)
	close(e.sizes)
	e.out.set(e.screen)
	_ = xterm.Restore(int(e.in.Fd()), e.before)
	e.before = nil
	_, _ = io.WriteString(e.screen, "\n")
}
