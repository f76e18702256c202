// Package guard is the one place that recovers from a panic, so that a bug in one verb, step, check or connection ends
// that alone and not the server. Everything that starts a goroutine in the server starts it here.
//
//	Call ──► f panics ──► *Panic, an error like others: the one who asked hears of it
//	Go   ──► f panics ──► told to caught, for nobody waits for an error; Group: the same, and somebody waits
//	Loop ──► f panics ──► told to caught, begun again after a pause: 1 s, growing to 1 min
//
// A panic is counted where it is caught and logged once, by who owns a logger (Log). Deferred calls of f have run by
// then, so locks that are unlocked by defer are free and WaitGroups are done. What the runtime itself ends the process
// for (concurrent map writes, out of memory, a deadlock) cannot be caught.
package guard

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Panic is a panic as an error.
type Panic struct {
	Value any
	Stack []byte // of the goroutine that panicked
}

// Error does not show the stack: errors are read by people.
func (p *Panic) Error() string { return fmt.Sprintf("a bug in Jarvis: panic: %v", p.Value) }

// Unwrap gives the error that was panicked with, if it was one.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// panics is counted over the whole process: a panic is one wherever it happens.
var panics atomic.Int64

// Panics counts what was caught since the start of this process.
func Panics() int64 { return panics.Load() }

// Call calls f and gives its error, or a *Panic.
func Call(f func() error) error { return CallBut(nil, f) }

// CallBut is Call that lets a panic with the very value pass: with net/http's ErrAbortHandler, which is no bug.
func CallBut(pass error, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			if e, ok := v.(error); ok && e == pass { //nolint:errorlint // the very value
				panic(v)
			}
			panics.Add(1)
			err = &Panic{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}

// Do is Call for what gives no error; nil when f did not panic.
func Do(f func()) *Panic {
	err := Call(func() error { f(); return nil })
	if err == nil {
		return nil
	}
	return err.(*Panic) //nolint:errorlint // f itself gives none
}

// Go calls f in a goroutine of its own. caught is told of a panic, in that goroutine, after the deferred calls of f;
// it must not panic itself.
func Go(caught func(*Panic), f func()) {
	go run(caught, f)
}

// Group is goroutines that somebody waits for. The zero Group is ready; it must not be copied.
type Group struct{ wg sync.WaitGroup }

// Go is the Go of this package for the group. The group waits for caught as well, so what it writes is there after
// Wait.
func (g *Group) Go(caught func(*Panic), f func()) {
	g.wg.Go(func() { run(caught, f) })
}

// Wait waits for all. No Go may come from elsewhere while it waits for none.
func (g *Group) Wait() { g.wg.Wait() }

// To gives a caught that puts the panic where an error is expected.
func To(err *error) func(*Panic) { return func(p *Panic) { *err = p } }

// Func gives f guarded, for others to call in goroutines of theirs: libraries, timers, contexts.
func Func(caught func(*Panic), f func()) func() {
	return func() { run(caught, f) }
}

func run(caught func(*Panic), f func()) {
	if p := Do(f); p != nil {
		caught(p)
	}
}

// Send calls f in a goroutine of its own and sends its error, or a *Panic, to done, which must have room for it or
// somebody who waits: whoever waits for an answer gets one.
func Send(done chan<- error, f func() error) {
	go func() { done <- Call(f) }()
}

// Log gives a function that logs a panic, for Go, Func and Loop. what names what panicked, with verb and thing: "answer
// a person". attrs are added to the line.
func Log(log *slog.Logger, what string, attrs ...any) func(*Panic) {
	return func(p *Panic) {
		log.Error("a bug: something panicked", append([]any{"what", what, "err", p.Error(), "stack", string(p.Stack)}, attrs...)...)
	}
}

// Count is a caught for who owns no logger and has nobody to tell: the panic is in Panics, and nothing waits for what
// was under way.
func Count(*Panic) {}

// The pauses of a Loop.
const (
	FirstPause = time.Second
	MaxPause   = time.Minute
)

// Loop calls f until it returns without a panic, and gives its error. After a panic f is called again: after
// FirstPause, twice as long each time up to MaxPause, and FirstPause again once it has run for longer than MaxPause.
// When ctx ends in a pause, it gives nil. f must take up its work where the one before left it.
func Loop(ctx context.Context, caught func(*Panic), f func(context.Context) error) error {
	pause := FirstPause
	for {
		began := time.Now()
		var err error
		p := Do(func() { err = f(ctx) })
		if p == nil {
			return err
		}
		caught(p)
		if time.Since(began) > MaxPause {
			pause = FirstPause
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
		pause = min(2*pause, MaxPause)
	}
}
