package checks

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
)

// BenchmarkNodesRecord asks what one PostgreSQL takes of many nodes' results, and what a node pays for knowing all
// checks: the figures are in docs/design/performance.md.
func BenchmarkNodesRecord(b *testing.B) {
	for range b.N {
		benchNodesRecord(b)
	}
}

func benchNodesRecord(b *testing.B) {
	const nodes, perHost = 20, 10
	hosts, round := setting("JARVIS_SIM_HOSTS", 100_000)/10, 20*time.Second
	if testing.Short() {
		hosts, round = 200, 2*time.Second
	}
	ctx := b.Context()
	pg, err := real.StartPostgres(ctx)
	if err != nil {
		b.Fatal(err)
	}
	defer pg.Stop()
	u, err := pg.Database(ctx)
	if err != nil {
		b.Fatal(err)
	}
	var cfg model.Config
	cfg.HostTasks = []model.HostTask{{Tasks: []string{"*"}, Hosts: []string{fmt.Sprintf("web[1-%d]", hosts)}}}
	for i := range perHost {
		cfg.Tasks = append(cfg.Tasks, model.Task{Name: fmt.Sprint("task", i), Command: "x"})
	}
	open := func(name string) (*Monitor, *store.DB) {
		db, err := store.Open(ctx, store.Options{URL: u, Shared: true, Node: store.Node{Name: name}})
		if err != nil {
			b.Fatal(err)
		}
		m, err := New(cfg)
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Open(ctx, World{DB: db, Target: func(context.Context, string) (remote.Target, error) { return remote.Target{}, nil }}); err != nil {
			b.Fatal(err)
		}
		return m, db
	}
	timed := func(what string, f func()) {
		t := time.Now()
		f()
		fmt.Printf("%-60s %8.1f ms\n", what, float64(time.Since(t).Microseconds())/1000)
	}
	var m *Monitor
	var db *store.DB
	timed(fmt.Sprintf("a first node begins, with %d checks", hosts*perHost), func() { m, db = open("node0") })
	defer func() { _ = db.Close() }()
	timed("what is declared is read again", func() {
		if err := m.refresh(ctx); err != nil {
			b.Fatal(err)
		}
	})
	timed("nothing has changed: what an answer reads", func() {
		if err := m.sync(ctx); err != nil {
			b.Fatal(err)
		}
	})
	timed("what an answer reads, and lists of problems", func() {
		if _, err := m.List(ctx, Filter{Status: Problems}); err != nil {
			b.Fatal(err)
		}
	})
	peers := make([]peer, nodes)
	for i := range peers {
		peers[i] = peer{fmt.Sprint("life", i), fmt.Sprint("node", i), ",,"}
	}
	timed("who should have which of 256 parts, with 20 nodes", func() { assign("", peers) })

	// Each writer has a part of the pairs, as a node has, and writes batches as a node does.
	var pairs []*pair
	for p := range m.roster.each() {
		pairs = append(pairs, p)
	}
	slices.SortFunc(pairs, func(a, b *pair) int { return int(a.id - b.id) })
	for _, size := range []int{1, 10, 100} {
		var results, batches atomic.Int64
		var longest atomic.Int64
		until := time.Now().Add(round)
		var wg sync.WaitGroup
		for w := range nodes {
			own := pairs[w*len(pairs)/nodes : (w+1)*len(pairs)/nodes]
			wg.Go(func() {
				for i := 0; time.Now().Before(until); i++ {
					batch, states := make([]settled, size), make([]string, size)
					for k := range batch {
						p := own[(i*size+k)%len(own)]
						f := finished{p: p, at: time.Now(), due: time.Now(), out: outcome{took: 20 * time.Millisecond}}
						batch[k] = settled{f: &f, p: p, stand: p.stand, j: judged{line: "LOAD OK - total load average: 0.57, 0.63, 0.65", perf: "load1=0.570;5.000;10.000;0; load5=0.630;5.000;10.000;0;"}}
						states[k] = fmt.Sprintf(`{"status":0,"hard":0,"told":0,"attempt":0,"since":"2026-11-27T16:00:00Z","count":%d,"flapping":false,"changed":0,"seen":21,"took":21000000,"exit":0,"line":"LOAD OK - total load average: 0.57, 0.63, 0.65"}`, i)
					}
					t := time.Now()
					if err := db.Write(ctx, func(tx store.Tx) error { return m.ledger.storeTogether(ctx, tx, batch, states) }); err != nil {
						b.Error(err)
						return
					}
					for k := range batch {
						batch[k].p.rev++
					}
					results.Add(int64(size))
					batches.Add(1)
					longest.Store(max(longest.Load(), int64(time.Since(t))))
				}
			})
		}
		wg.Wait()
		fmt.Printf("20 writers, %3d results a batch: %7.0f results a second in %5.0f transactions; the longest took %s\n",
			size, float64(results.Load())/round.Seconds(), float64(batches.Load())/round.Seconds(), time.Duration(longest.Load()).Round(time.Millisecond))
	}
	timed("a node reads what others changed", func() {
		if err := m.sync(ctx); err != nil {
			b.Fatal(err)
		}
	})
}
