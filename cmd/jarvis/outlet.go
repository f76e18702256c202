package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/contract"
)

// outlet is standard output. It keeps the first error, so that nothing that prints has to look: a full disk is told
// once, at the end, and by the exit code. Safe for concurrent use.
type outlet struct {
	w io.Writer

	mu  sync.Mutex
	err error
}

// Write is io.Writer. After an error that outOfOutput tells, all seems to be written: nobody else need tell it, and
// what is followed is followed to its end, for its exit code. That nobody reads is an error as ever.
func (o *outlet) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return len(b), nil
	}
	n, err := o.w.Write(b)
	if err == nil || errors.Is(err, syscall.EPIPE) {
		return n, err
	}
	o.err = err
	return len(b), nil
}

// lost gives why something was not written; nil when all was.
func (o *outlet) lost() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		return nil
	}
	return &outputError{o.err}
}

// below gives the writer under an outlet, for callers that deal with its errors themselves, or ask what it is.
func below(w any) any {
	if o, ok := w.(*outlet); ok {
		return o.w
	}
	return w
}

// fileOf gives the file that a stream is, as a terminal.
func fileOf(w any) (*os.File, bool) {
	f, ok := below(w).(*os.File)
	return f, ok
}

// envelope prints one line of JSON.
func (t *term) envelope(e command.Envelope) error { return contract.Write(t.out, e) }

// outOfOutput says that not all was printed; the code says it too.
func (t *term) outOfOutput(code int) int {
	o, ok := t.out.(*outlet)
	if !ok {
		return code
	}
	err := o.lost()
	if err == nil {
		return code
	}
	_, _ = fmt.Fprintln(t.err, "jarvis:", err)
	return max(code, exitFailed)
}
