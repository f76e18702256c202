package bot

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
)

// Link is what a frontend holds while it is connected. The zero Link holds nothing; it is safe for concurrent use.
type Link[S any] struct {
	mu  sync.Mutex
	cur *S
	up  chan struct{} // closed at the next Set
}

// Get gives what is connected now, or nil.
func (l *Link[S]) Get() *S {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cur
}

// Set makes s the link and wakes whoever waits for one, unless ctx says that it is down already.
func (l *Link[S]) Set(ctx context.Context, s *S) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	l.cur = s
	if l.up != nil {
		close(l.up)
		l.up = nil
	}
}

// Drop says that s is down. Its context must have ended, so that no Set comes after it.
func (l *Link[S]) Drop(s *S) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cur == s {
		l.cur = nil
	}
}

// Wait waits for a link.
func (l *Link[S]) Wait(ctx context.Context) (*S, error) {
	for {
		l.mu.Lock()
		s := l.cur
		if l.up == nil {
			l.up = make(chan struct{})
		}
		up := l.up
		l.mu.Unlock()
		if s != nil {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-up:
		}
	}
}

// maxPause bounds the time between two attempts to connect.
const maxPause = 20 * time.Second

// Redial connects again and again until ctx ends, with a pause that doubles up to maxPause and is spread at random, so
// that a server that comes back does not meet all its clients at once. connect is one connection from dial to loss;
// down is told why it ended, a *guard.Panic too, and when the next attempt is.
// Why not the libraries' own return: docs/adr/0009-connections-come-back-by-our-own-hand.md
func Redial(ctx context.Context, connect func(context.Context) error, down func(err error, retry time.Duration)) {
	pause := time.Second
	for ctx.Err() == nil {
		began := time.Now()
		err := guard.Call(func() error { return connect(ctx) })
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > 2*time.Minute {
			pause = time.Second
		}
		wait := min(pause/2+rand.N(pause), maxPause)
		down(err, wait.Round(100*time.Millisecond))
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		pause = min(pause*2, maxPause)
	}
}
