package checks

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
)

func setting(name string, v int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return v
}

// TestSimulation has 20 schedulers run their parts of very many hosts, in virtual time: who has which hosts is decided
// by the real code, each node is a real Monitor with a record of its own, and a host is a function. `make bench-nodes`
// runs it in full, for docs/design/performance.md.
func TestSimulation(t *testing.T) {
	const nodes, perHost = 20, 10
	hosts, minutes := setting("JARVIS_SIM_HOSTS", 1000), setting("JARVIS_SIM_MINUTES", 2)
	var peers []peer
	for i := range nodes {
		peers = append(peers, peer{fmt.Sprint("life ", i), fmt.Sprintf("node%02d", i+1), ",,"})
	}
	spread := func(peers []peer) map[string][]string {
		p, out := newPlot(peers), map[string][]string{}
		cat := &model.Catalog{}
		for i := range hosts {
			h := fmt.Sprint("web", i+1)
			x, _ := p.wants(shareOf(cat, h))
			out[x.name] = append(out[x.name], h)
		}
		return out
	}
	mine := spread(peers)
	after := spread(peers[:nodes-1]) // the last one is gone
	moved := map[string]int{}
	was := map[string]string{}
	for n, list := range mine {
		for _, h := range list {
			was[h] = n
		}
	}
	for n, list := range after {
		for _, h := range list {
			if was[h] != n {
				moved[n]++
			}
		}
	}
	dir := t.TempDir()
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		var ran, busy, most atomic.Int64
		cfg := model.Config{AtOnce: setting("JARVIS_SIM_AT_ONCE", 256)}
		for i := range perHost {
			cfg.Tasks = append(cfg.Tasks, model.Task{Name: fmt.Sprint("task", i), Command: "x"}) // @every 1m
		}
		ctx, cancel := context.WithCancel(context.Background())
		var all []*Monitor
		var wg sync.WaitGroup
		var dbs []*store.DB
		for _, p := range peers {
			db, err := store.Open(ctx, store.Options{Dir: dir + "/" + p.name})
			if err != nil {
				t.Fatal(err)
			}
			dbs = append(dbs, db)
			cfg.HostTasks = []model.HostTask{{Tasks: []string{"*"}, Hosts: mine[p.name]}}
			m, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			m.run = func(_ context.Context, j job) outcome {
				most.Store(max(most.Load(), busy.Add(1)))
				took := 50*time.Millisecond + time.Duration(model.Part(j.String())*float64(250*time.Millisecond))
				time.Sleep(took)
				busy.Add(-1)
				ran.Add(1)
				return outcome{stdout: "LOAD OK|load1=0.570;5;10;0;", took: took}
			}
			if err := m.Open(ctx, World{DB: db, Target: func(context.Context, string) (remote.Target, error) { return remote.Target{}, nil }}); err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
			wg.Go(func() { _ = m.Run(ctx) })
		}
		time.Sleep(time.Duration(minutes) * time.Minute)
		var started, written []int
		var lag, maxLag time.Duration
		for _, m := range all {
			s := m.Stats(ctx)
			started, written = append(started, s.Started), append(written, s.Written)
			lag, maxLag = max(lag, s.Lag), max(maxLag, s.MaxLag)
		}
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		slices.Sort(started)
		total := 0
		for _, n := range started {
			total += n
		}
		t.Logf("%d hosts, %d checks a minute on %d nodes: from %d to %d a node begin in a minute (%d in all); %d runs at once at most; lag %s on average at the slowest node, %s at most; results written by node %v",
			hosts, hosts*perHost, nodes, started[0], started[nodes-1], total, most.Load(), lag.Round(time.Microsecond), maxLag.Round(time.Microsecond), written)
		if total < hosts*perHost*95/100 || maxLag > 2*time.Second {
			t.Errorf("%d checks began in the last minute, %s late at most", total, maxLag)
		}
		t.Logf("heap %d MB for the parts alone: %d bytes a check", mem.HeapAlloc>>20, int(mem.HeapAlloc)/(hosts*perHost))
		cancel()
		wg.Wait()
		for _, db := range dbs {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	least, largest, take := hosts, 0, 0
	for _, list := range mine {
		least, largest = min(least, len(list)), max(largest, len(list))
	}
	gone := 0
	for _, n := range moved {
		take, gone = max(take, n), gone+n
	}
	t.Logf("hosts a node: %d to %d; when one dies %d hosts move, at most %d to one node", least, largest, gone, take)
	t.Logf("%d virtual minutes took %s", minutes, time.Since(began).Round(time.Second))
}
