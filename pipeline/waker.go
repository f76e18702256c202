package pipeline

import (
	"container/heap"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/riverqueue/river/riverdriver"

	"github.com/jarvisops/jarvis/store"
)

// A run that waits is a row of River's with a time, so that it goes on whoever dies. But River looks for such rows
// twice a second, so the node that put a run to sleep has River look at the right moment. It is told as by a NOTIFY, of
// which no other node and no other commit notices anything: thousands of runs may wake up in a minute.
//
//	a worker's wait ──► waker ──(it is time)──► ears ──► River fetches
//	db.Listen ──► Engine.listen ──(river_…)──────┘

// River's channels.
const (
	riverInsert     = "river_insert"
	riverControl    = "river_control"
	riverLeadership = "river_leadership"
)

// riverNew is what River is told on the first of them when there are jobs in a queue.
func riverNew(queue string) string { return `{"queue":"` + queue + `"}` }

// grid is what the times of a waker are rounded up to: those of many runs are one.
const grid = 5 * time.Millisecond

const (
	clockApart = 3 * grid              // a database whose clock is a little after ours gives the run out that much later
	writtenBy  = 60 * time.Millisecond // River may write down that late that a run waits
)

// waker knows when runs are to go on that this node put to sleep. Safe for concurrent use.
type waker struct {
	mu     sync.Mutex
	times  times
	known  map[int64]bool // of times, which are each there once
	sooner chan struct{}  // holds a value when the first time is another
}

type times []int64

func (t times) Len() int           { return len(t) }
func (t times) Less(i, j int) bool { return t[i] < t[j] }
func (t times) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *times) Push(x any)        { *t = append(*t, x.(int64)) }
func (t *times) Pop() any {
	old := *t
	last := old[len(old)-1]
	*t = old[:len(old)-1]
	return last
}

func newWaker() *waker { return &waker{known: map[int64]bool{}, sooner: make(chan struct{}, 1)} }

// after has the run looked for when it is to go on, which is d from now.
func (w *waker) after(d time.Duration) {
	t := time.Now().Add(d)
	w.at(t)
	w.at(t.Add(clockApart))
	if d < writtenBy {
		w.at(t.Add(writtenBy))
	}
}

// at rounds up to the grid, so that many runs are woken at once.
func (w *waker) at(t time.Time) {
	slot := t.UnixMilli()/grid.Milliseconds() + 1
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known[slot] {
		return
	}
	w.known[slot] = true
	heap.Push(&w.times, slot)
	if w.times[0] == slot {
		select {
		case w.sooner <- struct{}{}:
		default:
		}
	}
}

// due takes the times away that are over, and gives how long it is until the next; an hour when there is none.
func (w *waker) due(now time.Time) (some bool, next time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.times) > 0 {
		t := time.UnixMilli(w.times[0] * grid.Milliseconds())
		if t.After(now) {
			return some, t.Sub(now)
		}
		delete(w.known, heap.Pop(&w.times).(int64))
		some = true
	}
	return some, time.Hour
}

// rouseEvery and rouseAhead are less than River's own period for this, 5 s.
const (
	rouseEvery = 2 * time.Second
	rouseAhead = 4500 * time.Millisecond
)

// rouse has the runs that sleep for long be given out when it is time. River leaves that to its leader alone: when that
// node dies, all of them slept on until another was elected, and all that were due in the next five seconds were a
// moment late together. Here each node sees to it, a few at a time, and none waits for another.
func (e *Engine) rouse(ctx context.Context) {
	if e.db.Postgres() == nil {
		<-ctx.Done()
		return
	}
	for ctx.Err() == nil {
		err := e.db.Write(ctx, func(tx store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE river_job SET state = 'available' WHERE id IN (SELECT id FROM river_job
				WHERE state = 'scheduled' AND queue = ANY(?) AND priority = 1 AND kind = 'jarvis_carry' AND scheduled_at <= now() + make_interval(secs => ?)
				ORDER BY scheduled_at LIMIT 2000 FOR UPDATE SKIP LOCKED)`, e.ears.takes(), rouseAhead.Seconds())
			return err
		})
		if err != nil && ctx.Err() == nil {
			e.log.Debug("wake what sleeps for long; River does so, too", "err", err)
		}
		pause(ctx, rouseEvery)
	}
}

// run calls wake whenever it is time.
func (w *waker) run(ctx context.Context, wake func()) {
	for {
		some, next := w.due(time.Now())
		if some {
			wake()
		}
		t := time.NewTimer(next)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-w.sooner:
		case <-t.C:
		}
		t.Stop()
	}
}

// ears is River's listener. It hears what this process says to itself and, on PostgreSQL, what comes by the one
// connection on which a node listens. (River's own for SQLite asks the database 20 times a second.) What is lost
// delays: River looks as well.
type ears struct {
	heard  chan *riverdriver.Notification
	prefix string // of River's channels

	mu     sync.Mutex
	queues map[string]bool // from which this node takes runs
}

// newEars asks for the schema, with which River's channels begin; SQLite has no channels.
func newEars(ctx context.Context, db *store.DB) (*ears, error) {
	e := &ears{heard: make(chan *riverdriver.Notification, 64), queues: map[string]bool{}}
	if db.Postgres() == nil {
		return e, nil
	}
	if err := db.QueryRow(ctx, "SELECT coalesce(current_schema() || '.', '')").Scan(&e.prefix); err != nil {
		return nil, err
	}
	return e, nil
}

// channels are those to listen on for River.
func (e *ears) channels() []string {
	return []string{e.prefix + riverInsert, e.prefix + riverControl, e.prefix + riverLeadership}
}

// hear passes on what came for River, and reports whether it was that.
func (e *ears) hear(n store.Notice) bool {
	for i, c := range e.channels() {
		if n.Channel == c {
			e.say([]string{riverInsert, riverControl, riverLeadership}[i], n.Payload)
			return true
		}
	}
	return false
}

// look has River look for jobs now.
func (e *ears) look() {
	for _, q := range e.takes() {
		e.say(riverInsert, riverNew(q))
	}
}

// take has look be about one more queue, or no longer about it.
func (e *ears) take(queue string, yes bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.queues[queue] = true; !yes {
		delete(e.queues, queue)
	}
}

func (e *ears) takes() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.queues))
}

func (e *ears) say(topic, payload string) {
	select {
	case e.heard <- &riverdriver.Notification{Topic: topic, Payload: payload}:
	default: // it has enough to look for
	}
}

var _ riverdriver.Listener = (*ears)(nil)

func (e *ears) Close(context.Context) error            { return nil }
func (e *ears) Connect(context.Context) error          { return nil }
func (e *ears) Listen(context.Context, string) error   { return nil }
func (e *ears) Ping(context.Context) error             { return nil }
func (e *ears) Schema() string                         { return "" }
func (e *ears) SetAfterConnectExec(string)             {}
func (e *ears) Unlisten(context.Context, string) error { return nil }

func (e *ears) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	select {
	case n := <-e.heard:
		return n, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// withEars is a driver of River's with our listener.
type withEars[T any] struct {
	riverdriver.Driver[T]
	ears *ears
}

func (d withEars[T]) GetListener(*riverdriver.GetListenenerParams) riverdriver.Listener {
	return d.ears
}
