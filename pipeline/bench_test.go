package pipeline_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// clip4k is a clipboard of 4 KiB for a host.
func clip4k(b *testing.B, host string) *clipboard.Clipboard {
	b.Helper()
	return clipOf(b, host, "")
}

// clipOf is the same with more lines.
func clipOf(b *testing.B, host, more string) *clipboard.Clipboard {
	b.Helper()
	var s strings.Builder
	fmt.Fprintf(&s, "instance:\n  hostname: %s\n  provider: ESX\n  count: \"0\"\n%s", host, more)
	for i := 0; s.Len() < 4000; i++ {
		fmt.Fprintf(&s, "  key%d: some value that stands for what people write # and a comment\n", i)
	}
	c, err := clipboard.Parse([]byte(s.String()))
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// floor is the same two writes without an engine: update the run with its clipboard, insert an event, one
// transaction each, synchronous=FULL, prepared statements.
func floor(b *testing.B, d time.Duration) float64 {
	b.Helper()
	db, err := sql.Open("sqlite", "file:"+b.TempDir()+"/floor.db?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	for _, q := range []string{"CREATE TABLE runs (id INTEGER PRIMARY KEY, stage INTEGER, state TEXT, clipboard TEXT)", "CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER, at INTEGER, kind TEXT, stage INTEGER, step TEXT, text TEXT, diff TEXT)",
		"CREATE INDEX e ON events (run, id)"} {
		if _, err := db.Exec(q); err != nil {
			b.Fatal(err)
		}
	}
	text := clip4k(b, "floor").Text()
	for i := range 64 {
		if _, err := db.Exec("INSERT INTO runs VALUES (?, 0, 'running', ?)", i, text); err != nil {
			b.Fatal(err)
		}
	}
	up, err := db.Prepare("UPDATE runs SET clipboard = ?, stage = ?, state = 'running' WHERE id = ?")
	if err != nil {
		b.Fatal(err)
	}
	in, err := db.Prepare("INSERT INTO events (run, at, kind, stage, step, text, diff) VALUES (?, ?, 'done', ?, 'bench:step', '', ?)")
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	began := time.Now()
	for time.Since(began) < d {
		tx, err := db.Begin()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tx.Stmt(up).Exec(text, n, n%64); err != nil {
			b.Fatal(err)
		}
		if _, err := tx.Stmt(in).Exec(n%64, time.Now().UnixMilli(), n, "-   count: \"1\"\n+   count: \"2\"\n"); err != nil {
			b.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
		n++
	}
	return float64(n) / time.Since(began).Seconds()
}

// small gives the second size under -short: CI runs each benchmark so that none can rot.
func small(whole, short int) int {
	if testing.Short() {
		return short
	}
	return whole
}

// BenchmarkDurableSteps: steps a second that are on disk, with a 4 KiB clipboard that every step changes, as a ratio
// to the floor measured right before and after.
func BenchmarkDurableSteps(b *testing.B) {
	const runs = 64
	stages := small(100, 5)
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as `jarvis serve` sets it
	before := floor(b, 2*time.Second)
	var mu sync.Mutex
	last := map[string]time.Time{}
	var gaps []time.Duration
	reg := pipeline.NewRegistry()
	reg.Add(pipeline.Step{Name: "bench:step", Do: func(_ context.Context, c *clipboard.Clipboard) error {
		now := time.Now()
		host := c.Get("hostname")
		mu.Lock()
		if t, ok := last[host]; ok {
			gaps = append(gaps, now.Sub(t))
		}
		mu.Unlock()
		n, err := strconv.Atoi(c.Get("count"))
		if err != nil {
			return err
		}
		if err := c.Set("count", strconv.Itoa(n+1)); err != nil {
			return err
		}
		mu.Lock()
		last[host] = time.Now()
		mu.Unlock()
		return nil
	}})
	for _, workers := range []int{1, 16, 64} {
		gaps, last = nil, map[string]time.Time{}
		rate := carryAll(b, reg, workers, runs, stages, "")
		slices.Sort(gaps)
		after := floor(b, time.Second)
		fl := (before + after) / 2
		b.Logf("%2d workers: %5.0f steps/s; floor %5.0f/s; ratio %.2f; step to step p50 %s, p99 %s", workers, rate, fl, rate/fl, gaps[len(gaps)/2].Round(10*time.Microsecond), gaps[len(gaps)*99/100].Round(10*time.Microsecond))
		b.ReportMetric(rate/fl, fmt.Sprintf("of-floor/%dworkers", workers))
		b.ReportMetric(float64(gaps[len(gaps)/2].Microseconds())/1000, fmt.Sprintf("p50-ms/%dworkers", workers))
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSecretSteps: what three secrets in the clipboard, of which one is a key, make of the steps a second when
// each step says two lines, one of them quoted.
func BenchmarkSecretSteps(b *testing.B) {
	const runs, workers = 64, 16
	stages := small(50, 5)
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as `jarvis serve` sets it
	reg := pipeline.NewRegistry()
	reg.Add(pipeline.Step{Name: "bench:step", Do: func(ctx context.Context, c *clipboard.Clipboard) error {
		pipeline.Progress(ctx, "machine h at 203.0.113.5")
		pipeline.Progress(ctx, `{"msg": "it says \"hello\"", "path": "C:\\x"}`)
		n, err := strconv.Atoi(c.Get("count"))
		if err != nil {
			return err
		}
		return c.Set("count", strconv.Itoa(n+1))
	}})
	secrets := fmt.Sprintf("  root_password: !secret correct horse battery staple\n  token: !secret %s\n  key: !secret \"%s\"\n", strings.Repeat("t0k3n", 8), strings.Repeat(strings.Repeat("k3y/", 16)+`\n`, 25))
	plain := carryAll(b, reg, workers, runs, stages, "")
	rate := carryAll(b, reg, workers, runs, stages, secrets)
	b.Logf("%d workers: %5.0f steps/s with secrets, %5.0f without; ratio %.2f", workers, rate, plain, rate/plain)
	b.ReportMetric(rate/plain, "of-plain")
	b.ReportMetric(0, "ns/op")
}

// carryAll starts runs of equal steps, then the engine, and gives the steps a second until all are ready. The
// clipboards have the lines in more as well.
func carryAll(b *testing.B, reg *pipeline.Registry, workers, runs, stages int, more string) float64 {
	b.Helper()
	db, err := store.Open(b.Context(), store.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	key, err := clipboard.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	e, err := pipeline.New(b.Context(), pipeline.Config{DB: db, Registry: reg, Key: key, Workers: workers})
	if err != nil {
		b.Fatal(err)
	}
	return carryOn(b, []*pipeline.Engine{e}, runs, stages, more)
}

// carryOn has engines on one database carry the runs, which are asked of the first.
func carryOn(b *testing.B, engines []*pipeline.Engine, runs, stages int, more string) float64 {
	b.Helper()
	e := engines[0]
	steps := slices.Repeat([]string{"bench:step"}, stages)
	for i := range runs {
		if _, err := e.Start(b.Context(), pipeline.Request{Clipboard: clipOf(b, fmt.Sprintf("h%d", i), more), Kind: pipeline.Kind{Verb: "bench"}, Steps: steps, By: "bench"}); err != nil {
			b.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	done := make(chan error, len(engines))
	began := time.Now()
	for _, e := range engines {
		go func() { done <- e.Run(ctx) }()
	}
	ch, stop := e.Changed()
	defer stop()
	var after int64
	for ready := 0; ready < runs; {
		<-ch
		evs, err := e.Events(b.Context(), pipeline.EventFilter{After: after, Kinds: []pipeline.EventKind{pipeline.EvReady}})
		if err != nil {
			b.Fatal(err)
		}
		ready += len(evs)
		if len(evs) > 0 {
			after = evs[len(evs)-1].ID
		}
		if ready < runs {
			time.Sleep(5 * time.Millisecond)
		}
	}
	took := time.Since(began)
	cancel()
	for range engines {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	return float64(runs*stages) / took.Seconds()
}

// BenchmarkWaitingRuns: what ten thousand runs cost that wait for SSH.
func BenchmarkWaitingRuns(b *testing.B) {
	runs := small(10_000, 300)
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as `jarvis serve` sets it
	reg := pipeline.NewRegistry()
	var polled atomic.Int64
	reg.Add(pipeline.Step{Name: "bench:wait", Timeout: time.Hour, Do: func(context.Context, *clipboard.Clipboard) error {
		polled.Add(1)
		return pipeline.Wait(30*time.Second, "nothing on 203.0.113.5:22 yet (connection refused)")
	}})
	db, err := store.Open(b.Context(), store.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	key, err := clipboard.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	e, err := pipeline.New(b.Context(), pipeline.Config{DB: db, Registry: reg, Key: key})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	var wg sync.WaitGroup
	room := make(chan struct{}, 64)
	for i := range runs {
		wg.Add(1)
		room <- struct{}{}
		go func() {
			defer func() { <-room; wg.Done() }()
			if _, err := e.Start(ctx, pipeline.Request{Clipboard: clip4k(b, fmt.Sprintf("h%d", i)), Kind: pipeline.Kind{Verb: "bench"}, Steps: []string{"bench:wait"}, By: "bench"}); err != nil {
				b.Error(err)
			}
		}()
	}
	wg.Wait()
	for polled.Load() < int64(runs) {
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(35 * time.Second) // one whole round of asking again
	rounds := float64(polled.Load()) / float64(runs)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	rss := 0
	if f, err := os.ReadFile("/proc/self/status"); err == nil {
		for _, l := range strings.Split(string(f), "\n") {
			_, _ = fmt.Sscanf(l, "VmRSS: %d kB", &rss)
		}
	}
	b.Logf("%d runs wait: heap %d MB, resident %d MB (with the clipboards of this benchmark), %d goroutines, asked %.1f times each", runs, m.HeapInuse>>20, rss>>10, runtime.NumGoroutine(), rounds)
	b.ReportMetric(float64(rss>>10), "MB")
	b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
	b.ReportMetric(0, "ns/op")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
