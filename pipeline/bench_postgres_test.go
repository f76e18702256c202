package pipeline_test

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// pgFloor is the same two writes on PostgreSQL without an engine: update the run with its clipboard, insert an event,
// one transaction each with prepared statements, from as many connections as there are runs at once. inOne sends the
// whole transaction at once; else each statement waits for the answer to the one before, as database programs commonly
// do.
func pgFloor(b *testing.B, at int, d time.Duration, inOne bool) float64 {
	b.Helper()
	u, err := postgres.Database(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	cfg, err := pgxpool.ParseConfig(u)
	if err != nil {
		b.Fatal(err)
	}
	cfg.MaxConns = int32(at)
	pool, err := pgxpool.NewWithConfig(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	for _, q := range []string{"CREATE TABLE runs (id BIGINT PRIMARY KEY, stage BIGINT, state TEXT, clipboard TEXT)",
		"CREATE TABLE events (id BIGSERIAL PRIMARY KEY, run BIGINT, at BIGINT, kind TEXT, stage BIGINT, step TEXT, text TEXT, diff TEXT)", "CREATE INDEX e ON events (run, id)"} {
		if _, err := pool.Exec(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
	text := clip4k(b, "floor").Text()
	for i := range at {
		if _, err := pool.Exec(b.Context(), "INSERT INTO runs VALUES ($1, 0, 'running', $2)", i, text); err != nil {
			b.Fatal(err)
		}
	}
	const up, in = "UPDATE runs SET clipboard = $1, stage = $2, state = 'running' WHERE id = $3", "INSERT INTO events (run, at, kind, stage, step, text, diff) VALUES ($1, $2, 'done', $3, 'bench:step', '', $4)"
	const diff = "-   count: \"1\"\n+   count: \"2\"\n"
	one := func(ctx context.Context, c *pgx.Conn, run, n int) error {
		if inOne {
			var all pgx.Batch
			all.Queue(up, text, n, run)
			all.Queue(in, run, time.Now().UnixMilli(), n, diff)
			return c.SendBatch(ctx, &all).Close()
		}
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, up, text, n, run); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, in, run, time.Now().UnixMilli(), n, diff)
			return err
		})
	}
	var total atomic.Int64
	ready, begin, done := make(chan error, at), make(chan struct{}), make(chan error, at)
	var until time.Time
	for i := range at {
		go func() {
			done <- pool.AcquireFunc(b.Context(), func(c *pgxpool.Conn) error {
				ready <- one(b.Context(), c.Conn(), i, 0) // the statements are prepared
				<-begin
				for n := 1; time.Now().Before(until); n++ {
					if err := one(b.Context(), c.Conn(), i, n); err != nil {
						return err
					}
					total.Add(1)
				}
				return nil
			})
		}()
	}
	for range at {
		if err := <-ready; err != nil {
			b.Fatal(err)
		}
	}
	began := time.Now()
	until = began.Add(d)
	close(begin)
	for range at {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	return float64(total.Load()) / time.Since(began).Seconds()
}

// median of a few measurements.
func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// counts is a registry with a step that changes one line of the clipboard.
func counts() *pipeline.Registry {
	reg := pipeline.NewRegistry()
	reg.Add(pipeline.Step{Name: "bench:step", Do: func(_ context.Context, c *clipboard.Clipboard) error {
		n, err := strconv.Atoi(c.Get("count"))
		if err != nil {
			return err
		}
		return c.Set("count", strconv.Itoa(n+1))
	}})
	return reg
}

// openNodes gives engines that share one new PostgreSQL database.
func openNodes(b testing.TB, n, workers int, reg *pipeline.Registry) (out []*pipeline.Engine, end func()) {
	b.Helper()
	u, err := postgres.Database(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	key, err := clipboard.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	var all []*store.DB
	for i := range n {
		db, err := store.Open(b.Context(), store.Options{URL: u, Shared: true, Node: store.Node{Name: fmt.Sprint("node", i)}})
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, db)
		e, err := pipeline.New(b.Context(), pipeline.Config{DB: db, Registry: reg, Key: key, Workers: workers})
		if err != nil {
			b.Fatal(err)
		}
		out = append(out, e)
	}
	return out, func() {
		for _, db := range all {
			_ = db.Close()
		}
	}
}

// BenchmarkPostgresSteps: steps a second that are on PostgreSQL's disk, as a ratio to the floors, which are measured in
// turn with the engine: three times each.
func BenchmarkPostgresSteps(b *testing.B) {
	stages, turns, second := small(100, 5), small(3, 1), time.Duration(small(1000, 100))*time.Millisecond
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as `jarvis serve` sets it
	for _, at := range []int{16, 64} {
		for n := 1; n <= 3; n++ {
			b.Run(fmt.Sprintf("runs=%d/nodes=%d", at, n), func(b *testing.B) {
				var rates, floors, ofFloor, ofOne []float64
				for range turns {
					plain, inOne := pgFloor(b, at, second, false), pgFloor(b, at, second, true)
					engines, end := openNodes(b, n, at, counts())
					rate := carryOn(b, engines, at, stages, "")
					end()
					plain = (plain + pgFloor(b, at, second, false)) / 2
					rates, floors, ofFloor, ofOne = append(rates, rate), append(floors, plain), append(ofFloor, rate/plain), append(ofOne, rate/inOne)
				}
				b.ReportMetric(median(rates), "steps/s")
				b.ReportMetric(median(floors), "floor/s")
				b.ReportMetric(median(ofFloor), "of-floor")
				b.ReportMetric(median(ofOne), "of-floor-in-one-journey")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
