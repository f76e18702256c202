package checks

import (
	"context"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/guard"
)

const (
	batchTime = 100 * time.Millisecond // results wait so long for others
	batchSize = 1000
	// sweepPeriod is how often it is looked whether something that was withheld is to be told.
	sweepPeriod = time.Second
	// alivePeriod is how often it is noted that this server works.
	alivePeriod = 5 * time.Second
	maxBackoff  = 10 * time.Second
)

// write commits results until ctx ends. While the database takes none, each pair waits for its own: no more than one of
// each is ever in memory.
func (m *Monitor) write(ctx context.Context) {
	tick := time.NewTicker(sweepPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-m.done.came:
			m.gather(ctx)
		}
		for more := true; more; {
			more = m.commitSome(ctx)
		}
		m.noteAlive(ctx)
	}
}

// writeRest commits what ended before everything stopped.
func (m *Monitor) writeRest() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for m.commitSome(ctx) {
	}
}

// gather waits for company.
func (m *Monitor) gather(ctx context.Context) {
	m.mu.Lock()
	n := m.done.len()
	m.mu.Unlock()
	if n >= batchSize {
		return
	}
	t := time.NewTimer(batchTime)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// noteAlive notes that this server works, when no result has done so for a while.
func (m *Monitor) noteAlive(ctx context.Context) {
	m.commit.Lock()
	defer m.commit.Unlock()
	if !m.declares() || !m.ledger.aliveDue() {
		return
	}
	if err := m.ledger.write(ctx, nil, nil); err != nil && ctx.Err() == nil {
		m.Log.Debug("note that checks run", "err", err)
	}
}

// settled is what a transaction writes of one pair, and what is taken over after it.
type settled struct {
	f      *finished // nil: nothing ran
	j      judged
	p      *pair
	stand  Standing
	quiet  bool
	again  bool // it was told before, and acknowledged for a time
	events []row
	asks   []int64 // rows of people who wait for a result
	// askedFor: what the problem since then may come from is asked.
	askedFor time.Time
}

// commitSome writes a batch; more reports whether there is another. When the database takes nothing, the batch stays,
// and this waits a while.
func (m *Monitor) commitSome(ctx context.Context) (more bool) {
	more, since, err := m.commitBatch(ctx)
	switch {
	case err == nil && !since.IsZero():
		m.Log.Info("results are committed again", "after", m.now().Sub(since).Round(time.Second))
		m.noteTook(nil)
	case err != nil && ctx.Err() == nil:
		if since.IsZero() {
			m.Log.Error("results cannot be committed; checks wait for the database", "err", err)
			since = m.now()
		}
		m.noteTook(err)
		wait := min(max(m.now().Sub(since)/4, batchTime), maxBackoff)
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
			return true
		}
	}
	return more
}

// commitBatch settles a batch, writes it and takes it over; since is from when on the database took nothing.
func (m *Monitor) commitBatch(ctx context.Context) (more bool, since time.Time, err error) {
	m.commit.Lock()
	defer m.commit.Unlock()
	batch := m.settle()
	if len(batch) == 0 {
		return false, time.Time{}, nil
	}
	err = m.ledger.write(ctx, batch, nil)
	if ids, stale := isStale(err); stale {
		if err = m.reread(ctx, ids); err == nil { // and judged again
			return true, time.Time{}, nil
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lostPairs {
		m.lostPairs = false
		poke(m.redo)
	}
	if err == nil {
		m.takeOver(batch)
		m.wereWritten(batch)
		more = m.done.len() > 0
	}
	since, _ = m.done.since()
	return more, since, err
}

// noteTook notes what the database said to a batch.
func (m *Monitor) noteTook(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done.took(err, m.now())
}

// settle computes what a batch of results comes to, and what was withheld and no longer is. commit is held.
func (m *Monitor) settle() []settled {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	m.dropHeard(now)
	list := m.done.first(batchSize)
	var out []settled
	for i := range list {
		s := settled{f: &list[i], p: list[i].p, stand: list[i].p.stand, j: judged{status: model.Unknown, line: bugText}}
		bug := guard.Do(func() { s = m.settleResult(&list[i], now) })
		if bug != nil { // else no result would ever be written again
			guard.Log(m.Log, "settle a result", "check", list[i].p.Key.String())(bug)
		}
		s.asks = slices.Clone(s.p.asks)
		out = append(out, s)
	}
	if now.Sub(m.swept).Abs() < sweepPeriod {
		return out
	}
	m.swept = now
	for p := range m.roster.watching() {
		if p.ended || !m.ours(p.where) {
			continue // what is to be told comes with its result
		}
		s := settled{p: p, stand: p.stand}
		if m.tell(&s, now, "") {
			out = append(out, s)
		}
	}
	return out
}

// takeOver makes memory what the record is. commit and mu are held.
func (m *Monitor) takeOver(batch []settled) {
	events, shadow := false, false
	for i := range batch {
		s := &batch[i]
		shadow = shadow || m.concerns(s)
		s.p.rev++
		events = events || len(s.events) > 0
		m.takeIn(s)
	}
	if shadow {
		m.town.tell(newsStates)
	}
	if events {
		m.heed(context.Background(), newsDo)
		m.town.tell(newsDo)
	}
}

// wereWritten takes the results of a batch, which are the first of done, off it. mu is held.
func (m *Monitor) wereWritten(batch []settled) {
	results := 0
	for i := range batch {
		if batch[i].f != nil {
			results++
		}
	}
	for _, p := range m.done.written(results) {
		m.reschedule(p)
	}
	m.stats.committed(time.Now(), results)
}

// takeIn makes memory what the record is of one pair. commit and mu are held.
func (m *Monitor) takeIn(s *settled) {
	p := s.p
	p.stand = s.stand
	if !s.askedFor.IsZero() {
		p.askedFor = s.askedFor
	}
	if s.f != nil {
		m.outbox.ended(slices.Concat(ids(s.f.owed), s.asks))
		if len(s.asks) > 0 {
			p.asks = p.asks[len(s.asks):]
			m.town.tell(newsDone)
		}
		for _, w := range p.waiters {
			close(w)
		}
		p.waiters = nil
		p.recent = append(p.recent, Brief{s.f.at, s.j.status, s.f.out.took, s.j.line})
		if extra := len(p.recent) - m.conf().Recent; extra > 0 {
			p.recent = append(p.recent[:0], p.recent[extra:]...)
		}
	}
	m.roster.watch(p, m.mayTell(p) && m.ours(p.where))
}
