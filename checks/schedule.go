package checks

import (
	"container/heap"
	"time"
)

// schedule says which pair runs next, and where there is room for it. It owns the heap of what is due, the line of each
// host, and the places that all hosts share: it alone touches the ticket of a pair and the lane of a host. It needs
// nothing, and knows no clock, no record and no network. It has no lock of its own: who has it (Monitor.mu) lets one in
// at a time.
type schedule struct {
	heap    dueHeap
	waiting []*host // that have something to run, while all places are taken
	running int
	woken   chan struct{} // the heap has changed
}

func newSchedule() schedule { return schedule{woken: make(chan struct{}, 1)} }

// ticket is when a pair is due.
type ticket struct {
	when time.Time
	nth  int // in the heap, from 1 on; 0: not there
}

// due gives when a pair is due, or was when it began.
func (s *ticket) due() time.Time { return s.when }

// queued reports whether a pair waits for its time.
func (s *ticket) queued() bool { return s.nth > 0 }

// lane is what a host has to run.
type lane struct {
	line    []*pair // they wait for a place
	running int
	waits   bool // it is in schedule.waiting
}

// idle reports whether a host runs nothing, and has nothing to run.
func (l *lane) idle() bool { return l.running == 0 && len(l.line) == 0 }

// inLine is how many checks of a host wait for a place.
func (l *lane) inLine() int { return len(l.line) }

// at has a pair be due at a time, from whatever it was before. The zero time is never.
func (s *schedule) at(p *pair, due time.Time) {
	if due.IsZero() {
		s.remove(p)
		return
	}
	p.when = due
	if p.queued() {
		heap.Fix(&s.heap, p.nth-1)
	} else {
		heap.Push(&s.heap, p)
	}
}

// remove has a pair be due never.
func (s *schedule) remove(p *pair) {
	if p.queued() {
		heap.Remove(&s.heap, p.nth-1)
	}
}

// wake has who waits for what is due look again.
func (s *schedule) wake() { poke(s.woken) }

// wakeFor does so when a pair is the next of all.
func (s *schedule) wakeFor(p *pair) {
	if p.nth == 1 {
		s.wake()
	}
}

// next takes off the pair that is due the longest; nil: none is.
func (s *schedule) next(now time.Time) *pair {
	if len(s.heap) == 0 || s.heap[0].when.After(now) {
		return nil
	}
	return heap.Pop(&s.heap).(*pair)
}

// wait gives how long it is until a pair is due, and most at most.
func (s *schedule) wait(now time.Time, most time.Duration) time.Duration {
	if len(s.heap) == 0 {
		return most
	}
	return min(most, s.heap[0].when.Sub(now))
}

// bringForward has pairs be due at other times, where those are earlier.
func (s *schedule) bringForward(to func(*pair) time.Time) {
	for _, p := range append([]*pair(nil), s.heap...) {
		if due := to(p); due.Before(p.when) {
			s.at(p, due)
		}
	}
}

// lineUp has a pair wait for a place at a host.
func (s *schedule) lineUp(h *host, p *pair) { h.line = append(h.line, p) }

// leave takes all off the line of a host, and gives them.
func (s *schedule) leave(h *host) []*pair {
	out := h.line
	h.line = nil
	return out
}

// begin gives the first in the line of a host its place; nil: there is none, or no place: perHost and inAll are how
// many there are. A host for which none is left in all is given one by turn.
func (s *schedule) begin(h *host, perHost, inAll int) *pair {
	if len(h.line) == 0 || h.running >= perHost {
		return nil
	}
	if s.running >= inAll {
		if !h.waits {
			h.waits = true
			s.waiting = append(s.waiting, h)
		}
		return nil
	}
	p := h.line[0]
	h.line = h.line[1:]
	h.running++
	s.running++
	return p
}

// end frees a place of a host.
func (s *schedule) end(h *host) {
	h.running--
	s.running--
}

// taken is how many places are.
func (s *schedule) taken() int { return s.running }

// turn gives the host that has waited the longest while all places were taken; nil: none does, or they are still.
func (s *schedule) turn(inAll int) *host {
	if len(s.waiting) == 0 || s.running >= inAll {
		return nil
	}
	h := s.waiting[0]
	s.waiting = s.waiting[1:]
	h.waits = false
	return h
}

// dueHeap is a container/heap of pairs.
type dueHeap []*pair

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].when.Before(h[j].when) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].nth, h[j].nth = i+1, j+1
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	p := x.(*pair)
	*h = append(*h, p)
	p.nth = len(*h)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	old := *h
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	p.nth = 0
	return p
}
