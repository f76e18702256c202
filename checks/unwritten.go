package checks

import (
	"slices"
	"time"
)

// finished is a result that is not committed.
type finished struct {
	p    *pair
	due  time.Time
	at   time.Time
	out  outcome
	owed []outboxRow // what asked for it: one at most
	// given: it was delivered; missed: it was not, and should have been.
	given  *Given
	missed bool
}

// unwritten is the results that are not committed, in the order in which they came: no more than one of each pair, for
// a pair waits for its own. It owns them, whether one of a pair is there (pair.ended), and since when the database
// takes none. It needs nothing, and has no lock of its own: who has it (Monitor.mu) lets one in at a time.
type unwritten struct {
	list    []finished
	came    chan struct{} // there are some
	stuck   error         // why they are not committed
	stuckAt time.Time     // since when
}

func newUnwritten() unwritten { return unwritten{came: make(chan struct{}, 1)} }

// add puts one after the others.
func (u *unwritten) add(f finished) {
	f.p.ended = true
	u.list = append(u.list, f)
	poke(u.came)
}

func (u *unwritten) len() int { return len(u.list) }

// first gives the first n, or all there are. They stay until written is called, and what comes after them does not
// change them.
func (u *unwritten) first(n int) []finished { return u.list[:min(len(u.list), n)] }

// written takes the first n off, and gives their pairs.
func (u *unwritten) written(n int) []*pair {
	return u.drop(func(i int, _ *finished) bool { return i < n })
}

// of gives the result of a pair; nil: there is none.
func (u *unwritten) of(p *pair) *finished {
	if i := slices.IndexFunc(u.list, func(f finished) bool { return f.p == p }); i >= 0 {
		f := u.list[i]
		return &f
	}
	return nil
}

// forget takes the result of a pair off, if there is one.
func (u *unwritten) forget(p *pair) {
	u.drop(func(_ int, f *finished) bool { return f.p == p })
	p.ended = false
}

// drop takes some off, and gives their pairs. The others go into a new list: a batch may have the old one.
func (u *unwritten) drop(off func(i int, f *finished) bool) (pairs []*pair) {
	var kept []finished
	for i := range u.list {
		switch f := &u.list[i]; {
		case off(i, f):
			if pairs == nil {
				kept = slices.Clone(u.list[:i])
			}
			f.p.ended = false
			pairs = append(pairs, f.p)
		case pairs != nil:
			kept = append(kept, *f)
		}
	}
	if pairs != nil {
		u.list = kept
	}
	return pairs
}

// took notes what the database said to a batch: nil: it took it.
func (u *unwritten) took(err error, now time.Time) {
	u.stuck = err
	if err == nil {
		u.stuckAt = time.Time{}
	} else if u.stuckAt.IsZero() {
		u.stuckAt = now
	}
}

// since gives from when on the database took nothing, and why; the zero time: it takes what comes.
func (u *unwritten) since() (time.Time, error) { return u.stuckAt, u.stuck }
