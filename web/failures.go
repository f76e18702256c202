package web

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/access"
)

// failureEvery is how often the failed tokens of a place are put on record.
const failureEvery = time.Minute

// maxFailures bounds how many places are told apart.
const maxFailures = 4096

// failures are tokens that stood for nobody. They slow down the place that sends them, and nobody else: a good token
// is never looked for here. The first of a place is on record at once, those after it in one row for each minute.
// Safe for concurrent use.
type failures struct {
	limit  *access.Limiter
	record func(access.Record)
	now    func() time.Time

	mu sync.Mutex
	by map[failure]*tally
}

// failure is what is counted as one.
type failure struct{ place, why string }

type tally struct {
	first access.Record
	since time.Time
	more  int
}

func newFailures(record func(access.Record)) *failures {
	return &failures{limit: access.NewLimiter(access.LimitConfig{}), record: record, now: time.Now, by: map[failure]*tally{}}
}

// note counts one, and says how long the place must wait for its next to be answered.
func (f *failures) note(addr netip.Addr, r access.Record) (wait time.Duration) {
	at := place(addr)
	f.mu.Lock()
	key := failure{at, r.Outcome}
	t := f.by[key]
	if t == nil && len(f.by) >= maxFailures {
		// So many places at once are one attack. It is on record as one.
		key = failure{why: r.Outcome}
		r.Who, r.Via = "strangers from more than 4,000 addresses", "api"
		t = f.by[key]
	}
	first := t == nil
	if first {
		f.by[key] = &tally{first: r, since: f.now()}
	} else {
		t.more++
	}
	f.mu.Unlock()
	if first {
		f.record(r)
	}
	return f.limit.Take("token from " + at)
}

// settle puts the sums on record whose minute is over, or all.
func (f *failures) settle(all bool) {
	now := f.now()
	var rows []access.Record
	f.mu.Lock()
	for key, t := range f.by {
		if !all && now.Sub(t.since) < failureEvery {
			continue
		}
		if t.more == 0 {
			delete(f.by, key)
			continue
		}
		r := t.first
		r.Outcome = fmt.Sprintf("%s, %d times more within %s", r.Outcome, t.more, now.Sub(t.since).Round(time.Second))
		rows = append(rows, r)
		t.more, t.since = 0, now
	}
	f.mu.Unlock()
	for _, r := range rows {
		f.record(r)
	}
}

// run settles until ctx ends, and then what is left.
func (f *failures) run(ctx context.Context) {
	t := time.NewTicker(failureEvery / 6)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			f.settle(true)
			return
		case <-t.C:
			f.settle(false)
		}
	}
}
