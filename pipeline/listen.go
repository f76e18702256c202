package pipeline

import (
	"context"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// Nodes tell each other by NOTIFY that there is something to look at; what it is stands in the record. A message that
// is lost delays: each looks every two seconds as well.
const (
	chanEvents = "jarvis_events" // there are new events; the payload is who wrote them
	chanWord   = "jarvis_word"   // a person's word for a run that another node carries
)

const (
	lookEvery   = 2 * time.Second
	tellPeriod  = 20 * time.Millisecond // between two messages: many events are one
	offerPeriod = 2 * time.Millisecond  // the same for jobs: each holds other commits up for a moment
)

// listen does what other nodes ask for. On PostgreSQL it listens for River as well, so that a node has one connection
// for it.
func (e *Engine) listen(ctx context.Context) {
	if e.db.Postgres() == nil {
		<-ctx.Done()
		return
	}
	said := e.db.Listen(ctx, append(e.ears.channels(), chanEvents, chanWord)...)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	if !e.db.Shared() {
		look.Stop()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-said:
			switch {
			case e.ears.hear(n):
			case n.Channel == chanWord:
				e.heed(ctx)
			case n.Payload != e.db.Holder():
				e.wake()
			}
		case <-look.C:
			e.wake()
			e.heed(ctx)
		}
	}
}

// tell has the other nodes know what is new here: events many at a time, jobs at once, for somebody may wait for what
// they said.
func (e *Engine) tell(ctx context.Context) {
	e.tellOf(ctx, e.wrote, tellPeriod, func() { e.say(ctx, chanEvents, e.db.Holder()) })
}

// handOut has the other nodes know that there are jobs to fetch.
func (e *Engine) handOut(ctx context.Context) {
	e.tellOf(ctx, e.offer, offerPeriod, func() {
		for _, silo := range e.everySilo() {
			e.say(ctx, e.ears.channels()[0], riverNew(queueOf(silo)))
		}
	})
}

// tellOf says what is news, at once and then once a period at most.
func (e *Engine) tellOf(ctx context.Context, news <-chan struct{}, period time.Duration, say func()) {
	if !e.db.Shared() {
		<-ctx.Done()
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-news:
			say()
		}
		pause(ctx, period)
	}
}

func (e *Engine) say(ctx context.Context, channel, payload string) {
	if err := e.db.Notify(ctx, channel, payload); err != nil && ctx.Err() == nil {
		e.log.Debug("tell the other nodes", "err", err) // they look by themselves
	}
}

// everySilo gives those of the configuration, and "" for what is in none.
func (e *Engine) everySilo() []string {
	out := []string{""}
	for _, silo := range e.silos {
		if !slices.Contains(out, silo) {
			out = append(out, silo)
		}
	}
	return out
}

// tellWord has the other nodes look for a word.
func (e *Engine) tellWord(ctx context.Context) {
	if !e.db.Shared() {
		return
	}
	e.say(ctx, chanWord, "")
}

// heed looks whether somebody gave a word, at any node, for a run in our hands; and for one that was in some node's
// hands when it was given, and is in nobody's now.
func (e *Engine) heed(ctx context.Context) {
	for id, cause := range e.wordsFor(ctx) {
		e.mu.Lock()
		if u := e.active[id]; u != nil {
			u.cancel(cause)
		}
		e.mu.Unlock()
	}
	ids, err := store.Collect(ctx, e.db, func(row store.Row) (id int64, err error) { return id, row.Scan(&id) }, "SELECT id FROM runs WHERE live = 1 AND state = 'waiting' AND cancel_by <> ''")
	if err != nil && ctx.Err() == nil {
		e.log.Warn("look for waiting runs that are to be cancelled; it is looked for again", "err", err)
	}
	for _, id := range ids {
		if err := e.cancelWaiting(ctx, id); err != nil && ctx.Err() == nil {
			e.log.Error("cancel a run that waits", "run", id, "err", err)
		}
	}
}

// wordsFor gives the runs in our hands that are to stop, and why.
func (e *Engine) wordsFor(ctx context.Context) map[int64]error {
	e.mu.Lock()
	ids := make([]int64, 0, len(e.active))
	for id := range e.active {
		ids = append(ids, id)
	}
	e.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	out := map[int64]error{}
	_, err := store.Collect(ctx, e.db, func(row store.Row) (none struct{}, err error) {
		var id int64
		var by string
		if err := row.Scan(&id, &by); err != nil {
			return none, err
		}
		out[id] = errClusterUndo
		if by != "" {
			out[id] = errCancelled
		}
		return none, nil
	}, "SELECT runs.id, cancel_by FROM runs LEFT JOIN clusters ON clusters.id = runs.cluster WHERE runs.id = ANY(?) AND NOT runs.undoing = 1 AND (cancel_by <> '' OR clusters.undoing = 1)", ids)
	if err != nil && ctx.Err() == nil {
		e.log.Warn("look whether somebody gave a word for a run in hand; it is looked for again", "err", err)
	}
	return out
}

// elsewhere reports whether a worker of another node has the run in its hands.
func (e *Engine) elsewhere(ctx context.Context, q store.Querier, id int64) (bool, error) {
	if !e.db.Shared() {
		return false, nil
	}
	var n int
	w := e.jobWords()
	err := q.QueryRow(ctx, "SELECT count(*) FROM river_job WHERE kind = 'jarvis_carry' AND state = 'running' AND "+w.run+" = ? AND "+w.holder+" <> ?", id, e.db.Holder()).Scan(&n)
	return n > 0, err
}

// cancelWaiting ends a run for which somebody said cancel, and which waits in nobody's hands: nobody would see the word
// before the run wakes up.
func (e *Engine) cancelWaiting(ctx context.Context, id int64) error {
	return e.write(ctx, func(tx store.Tx) error {
		r, err := lock(ctx, tx, id)
		if err != nil || r.State != Waiting || r.cancelBy == "" || e.carries(id) {
			return err
		}
		if there, err := e.elsewhere(ctx, tx, id); err != nil || there {
			return err
		}
		next := r
		events, err := e.cancelled(tx, &next, plain.Line(r.cancelBy))
		if err != nil {
			return err
		}
		return save(ctx, tx, &r, &next, events...)
	})
}
