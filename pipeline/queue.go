package pipeline

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/store"
)

// carryArgs is the whole of a job: which run, and at which turn it was made.
// Why not a job for each step: docs/adr/0001-one-job-carries-a-run.md
type carryArgs struct {
	Run  int64 `json:"run"`
	Turn int64 `json:"turn"`

	silo  string        // whose queue it is in
	after time.Duration // not to be taken before
}

func (carryArgs) Kind() string { return "jarvis_carry" }

// InsertOpts: the engine counts tries itself, so River must never give a job up.
func (carryArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 1 << 14} }

// queue is what the engine asks of River, for either database.
type queue interface {
	insert(ctx context.Context, tx store.Tx, jobs ...carryArgs) error
	start(ctx context.Context) error
	rest()                   // no job is fetched any more; those in hand go on
	serve(silo string) error // takes jobs of one more queue
	leave(ctx context.Context, silo string) error
	stop(ctx context.Context) error // ends those, too
}

type worker struct {
	river.WorkerDefaults[carryArgs]
	e *Engine
}

// Timeout: steps have their own.
func (c *worker) Timeout(*river.Job[carryArgs]) time.Duration { return -1 }

func (c *worker) Work(ctx context.Context, job *river.Job[carryArgs]) error {
	var v verdict
	job.Args.silo = siloOfQueue(job.Queue)
	err := guard.Call(func() (err error) {
		v, err = c.e.carry(ctx, job.Args)
		return err
	})
	var p *guard.Panic
	if errors.As(err, &p) {
		v, err = over, c.e.broken(context.WithoutCancel(ctx), job.Args, p)
	}
	if err != nil {
		// The database refused us: nothing is lost, the run stands where its last commit left it.
		c.e.log.Error("carry", "run", job.Args.Run, "err", err)
		v = again(2 * time.Second)
	}
	if v.after > 0 {
		c.e.waker.after(v.after)
		return river.JobSnooze(v.after)
	}
	return nil
}

// newQueue migrates River's tables and makes its client.
func newQueue(ctx context.Context, db *store.DB, e *Engine, workers int) (queue, error) {
	var err error
	if e.ears, err = newEars(ctx, db); err != nil {
		return nil, fmt.Errorf("start River: %w", err)
	}
	e.ears.take(queueOf(e.here), true)
	if pool := db.Postgres(); pool != nil {
		return makeQueue(ctx, withEars[pgx.Tx]{riverpgxv5.New(pool), e.ears}, e, workers, 500*time.Millisecond)
	}
	return makeQueue(ctx, withEars[*sql.Tx]{riversqlite.New(db.SQLite()), e.ears}, e, workers, 2*time.Second)
}

type riverQueue[T any] struct {
	client  *river.Client[T]
	e       *Engine
	workers int
}

// makeQueue makes a client that looks for jobs by itself once a poll: what was to wake up in an earlier life, or what
// another node's lost message was about. A lone process misses no messages of its own.
func makeQueue[T any](ctx context.Context, driver riverdriver.Driver[T], e *Engine, workers int, poll time.Duration) (queue, error) {
	quiet := slog.New(levelHandler{e.log.Handler(), slog.LevelWarn})
	m, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet})
	if err != nil {
		return nil, fmt.Errorf("prepare River's tables: %w", err)
	}
	err = e.db.OneByOne(ctx, func() error {
		_, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("prepare River's tables: %w", err)
	}
	ws := river.NewWorkers()
	river.AddWorker(ws, &worker{e: e})
	c, err := river.NewClient(driver, &river.Config{
		ID:                   e.db.Holder(), // a job in hand names the life of the node that has it
		Queues:               map[string]river.QueueConfig{queueOf(e.here): {MaxWorkers: workers}},
		Workers:              ws,
		Logger:               quiet,
		JobTimeout:           -1,
		FetchCooldown:        5 * time.Millisecond,
		FetchPollInterval:    poll,
		RescueStuckJobsAfter: 10 * 365 * 24 * time.Hour, // the engine does, by the lives of nodes
		// Kept short: the record is in our own tables.
		CompletedJobRetentionPeriod: 10 * time.Minute,
		ReindexerSchedule:           river.NeverSchedule(),
	})
	if err != nil {
		return nil, fmt.Errorf("start River: %w", err)
	}
	return &riverQueue[T]{c, e, workers}, nil
}

// insert adds jobs to the transaction that writes their runs: both are there, or neither.
func (q *riverQueue[T]) insert(ctx context.Context, tx store.Tx, jobs ...carryArgs) error {
	if len(jobs) == 0 {
		return nil
	}
	var raw T
	switch r := tx.Raw().(type) {
	case T:
		raw = r
	case error:
		return r
	default:
		return fmt.Errorf("the transaction is a %T", r)
	}
	params := make([]river.InsertManyParams, len(jobs))
	for i, j := range jobs {
		params[i] = river.InsertManyParams{Args: j, InsertOpts: &river.InsertOpts{Queue: queueOf(j.silo)}}
		if j.after > 0 {
			params[i].InsertOpts.ScheduledAt = time.Now().Add(j.after)
		}
	}
	_, err := q.client.InsertManyFastTx(ctx, raw, params)
	q.e.offered.Add(1)
	return err
}

func (q *riverQueue[T]) start(ctx context.Context) error { return q.client.Start(ctx) }

// rest begins a stop, and does not wait for its end: River lets one be begun again.
func (q *riverQueue[T]) rest() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = q.client.Stop(ctx) // says that we did not wait
}

func (q *riverQueue[T]) stop(ctx context.Context) error { return q.client.StopAndCancel(ctx) }

func (q *riverQueue[T]) serve(silo string) error {
	q.e.ears.take(queueOf(silo), true)
	return q.client.Queues().Add(queueOf(silo), river.QueueConfig{MaxWorkers: q.workers})
}

// leave waits for the jobs of that queue that are in hand.
func (q *riverQueue[T]) leave(ctx context.Context, silo string) error {
	q.e.ears.take(queueOf(silo), false)
	return q.client.Queues().Remove(ctx, queueOf(silo))
}

// A silo's queue is named for it; River's own default is that of the steps that are in no silo.
const siloQueue = "silo-"

// queueOf gives River's default queue for what is in no silo.
func queueOf(silo string) string {
	if silo == "" {
		return river.QueueDefault
	}
	return siloQueue + silo
}

func siloOfQueue(queue string) string {
	silo, ok := strings.CutPrefix(queue, siloQueue)
	if !ok {
		return ""
	}
	return silo
}

// levelHandler raises the level of a log handler: River's own chatter is not for our users.
type levelHandler struct {
	slog.Handler
	min slog.Level
}

func (h levelHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.min && h.Handler.Enabled(ctx, l)
}
func (h levelHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return levelHandler{h.Handler.WithAttrs(a), h.min}
}
func (h levelHandler) WithGroup(n string) slog.Handler {
	return levelHandler{h.Handler.WithGroup(n), h.min}
}
