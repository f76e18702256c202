package store

import (
	"context"
	"errors"
	"sync"

	"github.com/jarvisops/jarvis/internal/guard"
)

// pulse says whether the database is ours and whether it answers, and ends what waits for it in vain: reads when it
// keeps silent, all when it is lost. Safe for concurrent use.
type pulse struct {
	lost chan struct{} // closed when the database is no longer ours

	mu      sync.Mutex
	why     *Trouble // set before lost is closed
	silent  bool
	all     context.Context // ends when lost
	endAll  context.CancelCauseFunc
	reads   context.Context // ends when silent or lost; another one when the database answers again
	endRead context.CancelCauseFunc
}

func newPulse() *pulse {
	p := &pulse{lost: make(chan struct{})}
	p.all, p.endAll = context.WithCancelCause(context.Background())
	p.reads, p.endRead = context.WithCancelCause(p.all)
	return p
}

// silence notes that the database begins or ceases to keep silent.
func (p *pulse) silence(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why != nil || p.silent == yes {
		return
	}
	p.silent = yes
	if yes {
		p.endRead(silentTrouble(""))
		return
	}
	p.reads, p.endRead = context.WithCancelCause(p.all)
}

// lose ends everything, once. It reports whether it was the first.
func (p *pulse) lose(t *Trouble) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why != nil {
		return false
	}
	p.why = t
	p.endAll(t)
	close(p.lost)
	return true
}

// end frees the contexts.
func (p *pulse) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endRead(nil)
	p.endAll(nil)
}

// err gives why the database is lost, or nil.
func (p *pulse) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why == nil {
		return nil
	}
	return p.why
}

// because gives an operation's error its true reason when we ended it, or when it was ended while the database said
// nothing: a canceled context explains nothing.
func (p *pulse) because(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var t *Trouble
	if errors.As(context.Cause(ctx), &t) {
		return t
	}
	if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.why != nil:
		return p.why
	case p.silent:
		return silentTrouble("")
	}
	return err
}

// forRead and forAll give a context that also ends with the pulse; call the function when the work is done.
func (p *pulse) forRead(ctx context.Context) (context.Context, func()) {
	p.mu.Lock()
	with := p.reads
	p.mu.Unlock()
	return join(ctx, with)
}

func (p *pulse) forAll(ctx context.Context) (context.Context, func()) { return join(ctx, p.all) }

// join gives a context that ends with either one.
func join(ctx, with context.Context) (context.Context, func()) {
	c, cancel := context.WithCancelCause(ctx)
	if with.Err() != nil { // at once, not by a goroutine that may come later
		cancel(context.Cause(with))
	}
	stop := context.AfterFunc(with, guard.Func(guard.Count, func() { cancel(context.Cause(with)) }))
	return c, func() { stop(); cancel(nil) }
}
