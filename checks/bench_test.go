package checks

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
)

// BenchmarkRecord asks a record of ten million results, while 10,000 checks a minute write, and then while retention
// takes the oldest million away: docs/design/performance.md has the figures.
func BenchmarkRecord(b *testing.B) {
	for range b.N {
		benchRecord(b)
	}
}

func benchRecord(b *testing.B) {
	rows, round := 10_000_000, 75*time.Second
	if testing.Short() { // CI runs each benchmark so that none can rot
		rows, round = 200_000, 5*time.Second
	}
	if n, err := strconv.Atoi(os.Getenv("JARVIS_BENCH_RESULTS")); err == nil {
		rows = n
	}
	const hosts, perHost = 1000, 10
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	db, err := store.Open(ctx, store.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	cfg := model.Config{}
	for i := range perHost {
		cfg.Tasks = append(cfg.Tasks, model.Task{Name: fmt.Sprint("task", i), Command: "x"})
	}
	cfg.HostTasks = []model.HostTask{{Tasks: []string{"*"}, Hosts: []string{fmt.Sprintf("web[1-%d]", hosts)}}}
	span := 29 * day
	m, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	m.run = func(_ context.Context, j job) outcome {
		out := outcome{stdout: "LOAD OK - total load average: 0.57, 0.63, 0.65|load1=0.570;5.000;10.000;0; load5=0.630;5.000;10.000;0; load15=0.650;5.000;10.000;0;", took: 20 * time.Millisecond}
		if strings.HasSuffix(j.Host, "00") {
			out.exit = 2
		}
		return out
	}
	if err := m.Open(ctx, World{DB: db, Target: func(context.Context, string) (remote.Target, error) { return remote.Target{}, nil }}); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	first := began.Add(-span).UnixMilli()
	pairs := hosts * (perHost + 1)
	const piece = 100_000
	for i := 0; i < rows; i += piece {
		err := db.Write(ctx, func(tx store.Tx) error {
			_, err := tx.Exec(ctx, `WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
				INSERT INTO check_results (pair, at, due, took, status, soft, quiet, exit, sig, line, long, perf)
				SELECT i % ? + 1, ? + i * ?, ? + i * ?, 21000, CASE WHEN i % 1000 = 0 THEN 2 ELSE 0 END, 0, 0, 0, '', 'LOAD OK - total load average: 0.57, 0.63, 0.65', '',
				'load1=0.570;5.000;10.000;0; load5=0.630;5.000;10.000;0; load15=0.650;5.000;10.000;0;' FROM n`,
				i, min(i+piece, rows), pairs, first, span.Milliseconds()/int64(rows), first, span.Milliseconds()/int64(rows))
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Write(ctx, func(tx store.Tx) error { return setMark(ctx, tx, markRollUp, int64(rows)) }); err != nil {
		b.Fatal(err)
	}
	fmt.Printf("%d results written in %s\n", rows, time.Since(began).Round(time.Second))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = m.Run(ctx)
	}()
	time.Sleep(round) // every check has run
	questions := []struct {
		name string
		ask  func(i int) error
	}{
		{"dashboard: what is wrong, of all checks", func(int) error { _, err := m.List(ctx, Filter{Status: Problems}); return err }},
		{"one check with its last 20", func(i int) error {
			_, err := m.Show(ctx, model.Key{Task: fmt.Sprint("task", i%perHost), Host: fmt.Sprint("web", i%hosts+1)})
			return err
		}},
		{"history: 100 results of a check", func(i int) error {
			_, err := m.Results(ctx, ResultFilter{Keys: []model.Key{{Task: fmt.Sprint("task", i%perHost), Host: fmt.Sprint("web", i%hosts+1)}}, Limit: 100})
			return err
		}},
		{"history: a page in the middle of it", func(i int) error {
			_, err := m.Results(ctx, ResultFilter{Keys: []model.Key{{Task: fmt.Sprint("task", i%perHost), Host: fmt.Sprint("web", i%hosts+1)}}, Limit: 100, Before: int64(rows / 2)})
			return err
		}},
		{"history: 100 results of a host", func(i int) error {
			list, err := m.List(ctx, Filter{Host: fmt.Sprint("web", i%hosts+1)})
			if err != nil {
				return err
			}
			var keys []model.Key
			for _, v := range list {
				keys = append(keys, v.Key)
			}
			_, err = m.Results(ctx, ResultFilter{Keys: keys, Limit: 100})
			return err
		}},
		{"the last 100 problems of all", func(int) error { _, err := m.Results(ctx, ResultFilter{Problems: true}); return err }},
		{"the last 100 of all", func(int) error { _, err := m.Results(ctx, ResultFilter{}); return err }},
	}
	ask := func(when string) {
		for _, q := range questions {
			var took []time.Duration
			for i := range 200 {
				t := time.Now()
				if err := q.ask(i * 37); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(t))
			}
			slices.Sort(took)
			fmt.Printf("%-10s %-42s median %6.2f ms, 99 of 100 within %6.2f ms\n", when, q.name, float64(took[100].Microseconds())/1000, float64(took[197].Microseconds())/1000)
		}
	}
	ask("writing")
	s := m.Stats(ctx)
	fmt.Printf("meanwhile %d results a minute, %.1f ms behind at most\n", s.Written, float64(s.MaxLag.Microseconds())/1000)
	m.conf().Keep.Results = span * 9 / 10
	began = time.Now()
	over := make(chan error, 1)
	go func() {
		next := 0
		over <- m.forgetAll(ctx, &next)
	}()
	var longest time.Duration
	for n := 0; ; n++ {
		select {
		case err := <-over:
			if err != nil {
				b.Fatal(err)
			}
			var left int
			_ = db.QueryRow(ctx, "SELECT count(*) FROM check_results").Scan(&left)
			fmt.Printf("retention took %d results away in %s; somebody else's write took %s at most; %d are left\n", rows-left, time.Since(began).Round(time.Second), longest.Round(time.Millisecond), left)
			cancel()
			<-done
			return
		case <-time.After(50 * time.Millisecond):
			if n == 20 {
				ask("retention")
			}
			t := time.Now()
			if err := db.Write(ctx, func(tx store.Tx) error { return setMark(ctx, tx, "bench", int64(n)) }); err != nil {
				b.Fatal(err)
			}
			longest = max(longest, time.Since(t))
		}
	}
}
