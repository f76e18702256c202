package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// late collects how long after their time runs were taken up.
type late struct {
	mu   sync.Mutex
	due  map[string]time.Time
	took []time.Duration
}

// now notes that a run is taken up, when it was to be; and that it is to be again after d.
func (l *late) now(host string, d time.Duration) (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := time.Now()
	due, ok := l.due[host]
	if ok {
		l.took = append(l.took, t.Sub(due))
	}
	l.due[host] = t.Add(d)
	return !ok
}

// at gives the wait that so many of a hundred did not pass.
func (l *late) at(percent int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.took) == 0 {
		return 0
	}
	slices.Sort(l.took)
	return l.took[(len(l.took)-1)*percent/100].Round(100 * time.Microsecond)
}

func (l *late) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.took)
}

// BenchmarkPickUp: how long after its time a run goes on, on three nodes: after a wait, and after a person's retry that
// is said to a node at random.
func BenchmarkPickUp(b *testing.B) {
	runs := small(200, 20)
	waits := &late{due: map[string]time.Time{}}
	words := &late{due: map[string]time.Time{}}
	reg := pipeline.NewRegistry()
	const wait = 4 * time.Second // so that no run is begun any more when the first goes on, for which each node would look
	reg.Add(pipeline.Step{Name: "bench:wait", Do: func(_ context.Context, c *clipboard.Clipboard) error {
		if waits.now(c.Get("hostname"), wait) {
			return pipeline.Wait(wait, "not there yet")
		}
		return nil
	}}, pipeline.Step{Name: "bench:fail", Do: func(_ context.Context, c *clipboard.Clipboard) error {
		if words.now(c.Get("hostname"), 0) {
			return pipeline.Permanent(errors.New("a person is to look at it"))
		}
		return nil
	}})
	engines, end := openNodes(b, 3, 50, reg)
	defer end()
	stop := runAll(b, engines)
	defer stop()
	var ids []int64
	for i := range runs {
		time.Sleep(10 * time.Millisecond) // they are not all due at once
		r, err := engines[i%3].Start(b.Context(), pipeline.Request{Clipboard: clip4k(b, fmt.Sprintf("h%d", i)), Kind: pipeline.Kind{Verb: "bench"}, Steps: []string{"bench:wait", "bench:fail"}, By: "bench"})
		if err != nil {
			b.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	for i, id := range ids {
		for {
			r, err := engines[0].Get(b.Context(), id)
			if err != nil {
				b.Fatal(err)
			}
			if r.State == pipeline.Failed {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		words.mu.Lock()
		words.due[fmt.Sprintf("h%d", i)] = time.Now()
		words.mu.Unlock()
		if _, err := engines[(i+1)%3].Retry(b.Context(), id, "", "bench"); err != nil {
			b.Fatal(err)
		}
	}
	for words.count() < runs {
		time.Sleep(5 * time.Millisecond)
	}
	for what, l := range map[string]*late{"wait": waits, "retry": words} {
		b.ReportMetric(float64(l.at(50).Microseconds())/1000, "p50-ms-"+what)
		b.ReportMetric(float64(l.at(95).Microseconds())/1000, "p95-ms-"+what)
	}
	b.ReportMetric(0, "ns/op")
}

// runAll runs engines until the function is called.
func runAll(b *testing.B, engines []*pipeline.Engine) (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, len(engines))
	for _, e := range engines {
		go func() { done <- e.Run(ctx) }()
	}
	return func() {
		cancel()
		for range engines {
			if err := <-done; err != nil {
				b.Error(err)
			}
		}
	}
}

// BenchmarkWaitingOnThreeNodes: what ten thousand runs cost that wait on three nodes, each asked again every half
// minute.
func BenchmarkWaitingOnThreeNodes(b *testing.B) {
	runs, wait := small(10_000, 300), time.Duration(small(30, 2))*time.Second
	waits := &late{due: map[string]time.Time{}}
	var asked atomic.Int64
	reg := pipeline.NewRegistry()
	reg.Add(pipeline.Step{Name: "bench:wait", Timeout: time.Hour, Do: func(_ context.Context, c *clipboard.Clipboard) error {
		asked.Add(1)
		waits.now(c.Get("hostname"), wait)
		return pipeline.Wait(wait, "nothing on 203.0.113.5:22 yet (connection refused)")
	}})
	engines, end := openNodes(b, 3, 50, reg)
	defer end()
	stop := runAll(b, engines)
	defer stop()
	var wg sync.WaitGroup
	room := make(chan struct{}, 32)
	for i := range runs {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			if _, err := engines[i%3].Start(b.Context(), pipeline.Request{Clipboard: clip4k(b, fmt.Sprintf("h%d", i)), Kind: pipeline.Kind{Verb: "bench"}, Steps: []string{"bench:wait"}, By: "bench"}); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	for asked.Load() < int64(runs) {
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(wait) // while they were begun the machine was busy with that, and what came too late is made up for
	waits.mu.Lock()
	waits.took = nil
	waits.mu.Unlock()
	before, cpu, began := asked.Load(), processTime(b), time.Now()
	time.Sleep(wait + wait/6) // one whole round of asking again
	took := time.Since(began).Seconds()
	b.ReportMetric(float64(asked.Load()-before)/took, "asked/s")
	b.ReportMetric((processTime(b)-cpu).Seconds()/took, "cores-of-nodes")
	b.ReportMetric(float64(waits.at(50).Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(waits.at(95).Microseconds())/1000, "p95-ms")
	b.ReportMetric(0, "ns/op")
}

// processTime is what this process has used of processors; PostgreSQL's is its own.
func processTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
