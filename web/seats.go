package web

import (
	"strconv"
	"sync"
)

// How much may be under way. What is over is refused with a word, or (connections) makes room.
const (
	personRequests = 32 // requests of one person at a time, their streams among them
	personStreams  = 16 // streams of events of one person at a time
	hookRequests   = 32 // bodies of webhooks that are hashed at a time
	hookEach       = 4  // of them from one address
	pageRequests   = 8  // pages that are sent at a time
	pageEach       = 2  // of them to one address

	keptBytes = 8 << 20 // bodies in memory
	keptEach  = 2 << 20 // of them of one person
)

// seats count what is under way, in all and for each key. Safe for concurrent use; its memory is bounded by all.
type seats struct {
	all, each int

	mu sync.Mutex
	n  int
	by map[string]int
}

// newSeats makes them; all of 0 is without a bound in all.
func newSeats(all, each int) *seats { return &seats{all: all, each: each, by: map[string]int{}} }

// take gives a seat, and how to leave it; ok is false when there is none.
func (s *seats) take(key string) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by[key] >= s.each || s.all > 0 && s.n >= s.all {
		return nil, false
	}
	s.n++
	s.by[key]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.n--
		if s.by[key]--; s.by[key] == 0 {
			delete(s.by, key)
		}
	}, true
}

// budget is the memory for bodies, in parts that are used again: a body that never ends leaves nothing to collect. It
// counts them in all and for each key. Safe for concurrent use.
type budget struct {
	all, each int // parts

	mu   sync.Mutex
	n    int
	by   map[string]int
	free [][]byte
}

// partBytes is the size of a part, and what the least body takes.
const partBytes = 32 << 10

func newBudget(all, each int) *budget {
	return &budget{all: all / partBytes, each: each / partBytes, by: map[string]int{}}
}

// take gives an empty part; the key "" is not counted.
func (b *budget) take(key string) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if key != "" {
		if b.n >= b.all || b.by[key] >= b.each {
			return nil, false
		}
		b.n++
		b.by[key]++
	}
	if n := len(b.free); n > 0 {
		part := b.free[n-1]
		b.free = b.free[:n-1]
		return part, true
	}
	return make([]byte, 0, partBytes), true
}

// give takes parts back.
func (b *budget) give(key string, parts [][]byte) {
	if len(parts) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, part := range parts {
		if len(b.free) < b.all {
			b.free = append(b.free, part[:0])
		}
	}
	if key == "" {
		return
	}
	b.n -= len(parts)
	if b.by[key] -= len(parts); b.by[key] == 0 {
		delete(b.by, key)
	}
}

// bytesText gives "4 KiB" or "25 MiB".
func bytesText(n int64) string {
	if n >= 1<<20 {
		return strconv.FormatInt(n>>20, 10) + " MiB"
	}
	return strconv.FormatInt(n>>10, 10) + " KiB"
}
