package pipeline

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/store"
)

// Config of an Engine. DB, Registry and Key must be set.
type Config struct {
	DB       *store.DB
	Registry *Registry
	Key      *clipboard.Key
	Log      *slog.Logger    // nil: discarded
	Workers  int             // runs carried at once; 0 means 200
	Retry    []time.Duration // pauses before the tries after the first; nil means 2 s, 10 s, 30 s
	// Drain is how long a stop lets steps end whose Resume is Ask; all others are told at once. 0: those too.
	Drain time.Duration
	// Dir is a folder for what steps have done while the database does not take it; "" keeps that in memory alone.
	Dir string
	// Grace is how long a step may take to end when it was told to; the stop waits so long and a little more.
	Grace time.Duration
	// Silos says in which silo the steps of a module run, by module; those of all others run outside of all silos.
	// Where this node stands is in DB.
	Silos map[string]string
	// GoesOn says what agents may still do of a run, read by q; nil: nobody keeps book of that.
	GoesOn func(ctx context.Context, q store.Querier, run int64) ([]string, error)
	// Offered is called when the steps that silos elsewhere have are not what they were; nil: nobody wants to know.
	Offered func()
	// MayBegin says what speaks against a planned run when its time has come; nil: nothing does.
	MayBegin func(ctx context.Context, r Run) (Objection, error)
	// Drift says how often hosts are looked at by the clock; the zero value: never.
	Drift DriftConfig
}

// Engine carries runs. Make it with New, then call Run; Start and the other verbs work before Run, too: what they
// begin is carried once Run is called. Safe for concurrent use.
type Engine struct {
	db      *store.DB
	reg     *Registry
	key     *clipboard.Key
	log     *slog.Logger
	retry   []time.Duration
	queue   queue
	install string // this database's own id, part of every token
	dir     string // of files of outcomes
	drain   time.Duration
	grace   time.Duration
	left    chan struct{} // holds a value when a run has left a worker's hands while the engine stops

	mu       sync.Mutex
	stopping bool                // no step begins any more
	active   map[int64]*underway // runs a worker carries now
	unbegun  map[int64]int64     // epoch of runs whose step did not start, whatever the record says
	usual    map[string]Usual    // cache of Usual by pipeline

	settled settled
	drift   *watch

	here       string            // the silo in which this node stands
	silos      map[string]string // by module
	serving    *serving
	onOffered  func()
	mayBegin   func(context.Context, Run) (Objection, error)
	goesOn     func(context.Context, store.Querier, int64) ([]string, error)
	offers     []offerRow // as read last, by the loop of silos alone once the engine runs
	offersRead bool
	siloNews   chan struct{} // holds a value when there is something to look at

	patience  context.Context // ends when what the database does not take is to be given up
	impatient context.CancelFunc

	ears    *ears // nil on SQLite
	waker   *waker
	offered atomic.Int64  // counts the transactions that made jobs
	offer   chan struct{} // holds a value when other nodes may have jobs to fetch

	wrote chan struct{} // holds a value when followers at other nodes have something to look at

	subMu sync.Mutex
	subs  map[chan struct{}]struct{}
}

// underway is a run in a worker's hands.
type underway struct {
	cancel context.CancelCauseFunc
	end    func() bool // stops listening to the job
	step   *stepRun    // nil between steps
}

// Causes of a cancelled step; ErrStopping is what a step finds in context.Cause when it will be taken up again.
var (
	errCancelled   = errors.New("cancelled by a person")
	errClusterUndo = errors.New("the cluster is being undone")
	ErrStopping    = errors.New("jarvis is stopping")
)

// New opens the record, making its tables when they are not there.
func New(ctx context.Context, c Config) (*Engine, error) {
	e := &Engine{db: c.DB, reg: c.Registry, key: c.Key, log: c.Log, retry: c.Retry, drain: c.Drain, grace: c.Grace, dir: c.Dir, left: make(chan struct{}, 1), wrote: make(chan struct{}, 1), offer: make(chan struct{}, 1), waker: newWaker(),
		active: map[int64]*underway{}, unbegun: map[int64]int64{}, usual: map[string]Usual{}, subs: map[chan struct{}]struct{}{}, drift: newWatch(c.Drift),
		here: c.DB.Node().Silo, silos: c.Silos, serving: newServing(), onOffered: c.Offered, mayBegin: c.MayBegin, goesOn: c.GoesOn, siloNews: make(chan struct{}, 1)}
	e.patience, e.impatient = context.WithCancel(context.Background())
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.retry == nil {
		e.retry = []time.Duration{2 * time.Second, 10 * time.Second, 30 * time.Second}
	}
	if c.Workers == 0 {
		c.Workers = 200
	}
	if err := e.db.Migrate(ctx, Migrations(e.db.Postgres() != nil)); err != nil {
		return nil, err
	}
	if e.siloed() {
		e.reg.Silos(e.here, e.silos)
		if _, err := e.readOffers(ctx); err != nil {
			return nil, fmt.Errorf("read which steps silos have: %w", err)
		}
	}
	if err := e.backfill(ctx); err != nil {
		return nil, fmt.Errorf("note how hosts are reached: %w", err)
	}
	if err := e.fillMachines(ctx); err != nil {
		return nil, fmt.Errorf("note whose machines are whose: %w", err)
	}
	var err error
	if e.queue, err = newQueue(ctx, e.db, e, c.Workers); err != nil {
		return nil, err
	}
	return e, e.db.Write(ctx, func(tx store.Tx) error {
		b := make([]byte, 4)
		_, _ = rand.Read(b) // never fails
		// Another server may begin this database now: whose row is there first stands for both.
		if _, err := tx.Exec(ctx, "INSERT INTO installation (id) VALUES (?) ON CONFLICT (one) DO NOTHING", hex.EncodeToString(b)); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT id FROM installation").Scan(&e.install)
	})
}

// Run takes up what an earlier process left and carries runs until ctx ends; then no step begins any more, those whose
// Resume is Ask may end within the drain time, all others are stopped, and their runs are left for the next start. It
// returns nil after an orderly stop. It is called once.
func (e *Engine) Run(ctx context.Context) error {
	if err := e.takeUp(context.WithoutCancel(ctx), true); err != nil {
		return fmt.Errorf("take up the runs of before: %w", err)
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if err := e.queue.start(work); err != nil {
		return fmt.Errorf("start the queue: %w", err)
	}
	lines := make(chan struct{})
	e.goLoop(work, "write the lines of steps", lines, e.writeLines)
	expired := make(chan struct{})
	e.goLoop(work, "deny what nobody approved in time", expired, e.inRole("approvals", e.expire))
	looked := make(chan struct{})
	e.goLoop(ctx, "look for drift", looked, e.inRole("drift", e.lookByClock))
	planned := make(chan struct{})
	e.goLoop(ctx, "begin what was planned", planned, e.inRole("plans", e.beginByClock))
	tended := make(chan struct{})
	e.silosFailed(ctx, e.noteSilos(ctx))
	if e.siloed() {
		e.goLoop(work, "see to silos", tended, e.tendSilos)
	} else {
		close(tended)
		e.seeToUnserved(ctx) // what an earlier configuration had sent to one
	}
	named := make(chan struct{})
	e.goLoop(work, "look for a server of the same name", named, e.namesake)
	heard, told, woken, roused, taken, drained, handed := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
	e.goLoop(work, "listen to the other nodes", heard, e.listen)
	e.goLoop(work, "tell the other nodes", told, e.tell)
	e.goLoop(work, "tell the other nodes of jobs", handed, e.handOut)
	e.goLoop(work, "wake the runs that wait", woken, func(ctx context.Context) { e.waker.run(ctx, e.ears.look) })
	e.goLoop(work, "wake the runs that sleep for long", roused, e.rouse)
	e.goLoop(ctx, "take up the runs of dead nodes", taken, e.inherit)
	e.goLoop(ctx, "drain", drained, e.drained)
	if err := e.undoBroken(ctx); err != nil && ctx.Err() == nil {
		e.log.Error("undo the clusters of before", "err", err)
	}
	<-ctx.Done()
	e.queue.rest()
	e.wind()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.grace+20*time.Second)
	defer cancel()
	defer e.impatient()
	defer e.giveUp(e.grace + 10*time.Second)()
	err := e.queue.stop(end)
	if e.db.Shared() { // what we had in hand is anybody's now
		for _, q := range e.ears.takes() {
			e.say(end, e.ears.channels()[0], riverNew(q))
		}
	}
	stop()
	<-lines
	<-expired
	<-looked
	<-planned
	<-heard
	<-told
	<-handed
	<-woken
	<-roused
	<-named
	<-tended
	<-taken
	<-drained
	return err
}

// wind lets the steps end that nobody could repeat without asking a person, and stops the others.
func (e *Engine) wind() {
	e.mu.Lock()
	e.stopping = true
	e.mu.Unlock()
	over := time.NewTimer(e.drain)
	defer over.Stop()
	drain := e.drain > 0
	wait := e.stopSteps(drain)
	if wait > 0 {
		e.log.Info("stopping; steps that cannot be repeated may end first", "steps", wait, "limit", e.drain.String())
	}
	for ; wait > 0; wait = e.stopSteps(drain) {
		select {
		case <-e.left:
		case <-over.C:
			drain = false
		}
	}
}

// stopSteps tells the steps under way that we stop, but for those that may drain, and counts these.
func (e *Engine) stopSteps(drain bool) (wait int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, u := range e.active {
		if s := u.step; drain && s != nil && s.step.Resume == Ask && !s.facts.Undo {
			wait++
			continue
		}
		u.cancel(ErrStopping)
	}
	return wait
}

// halting reports whether no step may begin any more.
func (e *Engine) halting() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stopping
}

// goLoop runs a loop until ctx ends, also when it panics meanwhile, and closes done.
func (e *Engine) goLoop(ctx context.Context, what string, done chan<- struct{}, f func(context.Context)) {
	caught := guard.Log(e.log, what)
	guard.Go(caught, func() {
		defer close(done)
		_ = guard.Loop(ctx, caught, func(ctx context.Context) error { f(ctx); return nil })
	})
}

// inRole has a loop run on one node at a time.
func (e *Engine) inRole(name string, f func(context.Context)) func(context.Context) {
	return func(ctx context.Context) {
		_ = e.db.InRole(ctx, name, func(ctx context.Context) error { f(ctx); return nil })
	}
}

// Changed gives a channel that holds a value whenever there may be new events, and a function that ends it. It never
// blocks the engine: several changes may come as one.
func (e *Engine) Changed() (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	e.subMu.Lock()
	e.subs[ch] = struct{}{}
	e.subMu.Unlock()
	return ch, func() {
		e.subMu.Lock()
		delete(e.subs, ch)
		e.subMu.Unlock()
	}
}

// poke tells this process that something is new on record. It never blocks.
func (e *Engine) poke() {
	select {
	case e.wrote <- struct{}{}:
	default:
	}
	e.wake()
}

// wake has the followers here look.
func (e *Engine) wake() {
	e.subMu.Lock()
	defer e.subMu.Unlock()
	for ch := range e.subs {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// Registry gives the steps that exist here.
func (e *Engine) Registry() *Registry { return e.reg }
