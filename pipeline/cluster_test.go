package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// do is a step's function.
type do = func(context.Context, *clipboard.Clipboard) error

// TestReleaseIsCalledOnceAllStagesAreDone: what a step holds is given back at the end, last first; an error there fails
// the run, retry goes on with the giving back alone, and a stop in the middle loses nothing.
func TestReleaseIsCalledOnceAllStagesAreDone(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var mu sync.Mutex
		var order []string
		note := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, s)
		}
		var broken atomic.Bool
		broken.Store(true)
		release := func(name string, f do) do {
			return func(ctx context.Context, c *clipboard.Clipboard) error {
				note("release " + name)
				if err := f(ctx, c); err != nil {
					return err
				}
				return c.Delete(name)
			}
		}
		step := func(name string, rel do) pipeline.Step {
			return pipeline.Step{Name: name, Do: func(_ context.Context, c *clipboard.Clipboard) error {
				note(name)
				return c.Set(strings.TrimPrefix(name, "t:"), "held")
			}, Release: rel}
		}
		fine := func(context.Context, *clipboard.Clipboard) error { return nil }
		w.reg.Add(step("t:a", release("a", func(context.Context, *clipboard.Clipboard) error {
			if broken.Load() {
				return pipeline.Permanentf("ns1 refused")
			}
			return nil
		})), step("t:b", release("b", fine)), step("t:c", nil))
		w.start()
		r := w.deploy("t:a", "t:b", "t:c")
		r = w.wait(r.ID, pipeline.Failed)
		if !strings.Contains(r.Error, "give back what t:a holds: ns1 refused") || r.Where() != "stage 3/3" {
			t.Errorf("it failed at %q: %s", r.Where(), r.Error)
		}
		var state *pipeline.StateError
		if _, err := w.e.Skip(t.Context(), r.ID, "alice"); !errors.As(err, &state) {
			t.Errorf("skip = %v", err)
		}
		w.stop()
		broken.Store(false)
		w.start()
		if _, err := w.e.Retry(t.Context(), r.ID, "", "alice"); err != nil {
			t.Fatal(err)
		}
		r = w.wait(r.ID, pipeline.Ready)
		if got := strings.Join(order, ", "); got != "t:a, t:b, t:c, release b, release a, release b, release a" {
			t.Errorf("order = %s", got)
		}
		if w.e.Value(r, "a")+w.e.Value(r, "b") != "" || w.e.Value(r, "c") != "held" {
			t.Error("what was given back is still in the clipboard")
		}
	})
}

// TestUndoSaysWhatStays: an Undo that cannot take all back does not keep the run alive.
func TestUndoSaysWhatStays(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		fine := func(context.Context, *clipboard.Clipboard) error { return nil }
		w.reg.Add(pipeline.Step{Name: "t:destroy", Do: fine, Undo: func(context.Context, *clipboard.Clipboard) error {
			return pipeline.Stays("the machine 4711 is deleted for good")
		}}, pipeline.Step{Name: "t:make", Do: fine, Undo: fine})
		w.start()
		r := w.wait(w.deploy("t:destroy", "t:make").ID, pipeline.Ready)
		if _, err := w.e.Undo(t.Context(), r.ID, "alice"); err != nil {
			t.Fatal(err)
		}
		r = w.wait(r.ID, pipeline.Undone)
		if r.Error != "took back t:make; what stays: the machine 4711 is deleted for good" {
			t.Errorf("it says %q", r.Error)
		}
	})
}

// members gives requests for hosts web1, web2, … with the same steps.
func members(t *testing.T, text string) (clipboard.Cluster, []pipeline.Request) {
	t.Helper()
	c, err := clipboard.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	cl, err := c.Cluster()
	if err != nil {
		t.Fatal(err)
	}
	var out []pipeline.Request
	for _, m := range cl.Members {
		in, err := m.Instance()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pipeline.Request{Clipboard: m, Kind: pipeline.Kind{Verb: "own", Provider: in.Provider}, Steps: in.Steps, By: "alice"})
	}
	return cl, out
}

// TestClusterSurvivesStops: a barrier holds over a restart, a value of another host arrives, and an undo that was
// decided when the process died goes on.
func TestClusterSurvivesStops(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		gate := make(chan struct{})
		var passed atomic.Int32
		var slowRuns, undone atomic.Int32
		w.reg.Add(
			pipeline.Step{Name: "t:address", Needs: []string{"hostname"}, Gives: []string{"ipaddress"}, Do: func(ctx context.Context, c *clipboard.Clipboard) error {
				if c.Get("hostname") == "web1" {
					slowRuns.Add(1)
					select {
					case <-gate:
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				return c.Set("ipaddress", "192.0.2."+strings.TrimPrefix(c.Get("hostname"), "web"))
			}, Undo: func(context.Context, *clipboard.Clipboard) error { undone.Add(1); return nil }},
			pipeline.Step{Name: "t:together", Needs: []string{"peer?"}, Do: func(_ context.Context, c *clipboard.Clipboard) error {
				passed.Add(1)
				if p := c.Get("peer"); strings.Contains(p, "$") {
					return fmt.Errorf("peer is %q", p)
				}
				return nil
			}},
			pipeline.Step{Name: "t:fail", Needs: []string{"bad?"}, Do: func(_ context.Context, c *clipboard.Clipboard) error {
				if c.Has("bad") {
					if passed.Load() < 3 {
						return pipeline.Wait(10*time.Millisecond, "the others")
					}
					return pipeline.Permanentf("it is bad")
				}
				return nil
			}},
		)
		w.start()
		cl, reqs := members(t, `on_failure: undo
barriers: [t:together]
steps: [t:address, t:together, t:fail]
instances:
- {hostname: web1, provider: ESX}
- {hostname: web2, provider: ESX, peer: "${web1.ipaddress}"}
- {hostname: web3, provider: ESX, bad: yes}
`)
		c, err := w.e.StartCluster(t.Context(), cl, reqs)
		if err != nil {
			t.Fatal(err)
		}
		w.wait(c.Runs[1].ID, pipeline.Waiting)
		w.wait(c.Runs[2].ID, pipeline.Waiting)
		w.stop()
		w.start()
		for w.wait(c.Runs[1].ID, pipeline.Waiting).Why != "at the barrier; waits for web1" {
			w.wait(c.Runs[2].ID, pipeline.Waiting) // it is on its way to the barrier
			time.Sleep(10 * time.Millisecond)
		}
		if passed.Load() != 0 {
			t.Errorf("%d have passed the barrier", passed.Load())
		}
		close(gate)
		for _, r := range c.Runs {
			w.wait(r.ID, pipeline.Undone)
		}
		if passed.Load() != 3 || undone.Load() != 3 || slowRuns.Load() != 2 {
			t.Errorf("%d passed the barrier, %d were undone, web1's first step ran %d times", passed.Load(), undone.Load(), slowRuns.Load())
		}
		if got, err := w.e.FindCluster(t.Context(), "WEB"); err != nil || got.ID != c.ID || len(got.Runs) != 3 {
			t.Errorf("FindCluster = %+v, %v", got, err)
		}
	})
}

// TestAKeyStartsOneCluster: the same key gets the same cluster, also from many at once; one of them was told that its
// own first run holds the host.
func TestAKeyStartsOneCluster(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(set("a", "x"))
		w.start()
		try := func(hash string) (pipeline.Cluster, error) {
			cl, reqs := members(t, "cluster: gods\nsteps: [test:set_a]\ninstances:\n- {hostname: odin, provider: ESX}\n- {hostname: loki, provider: ESX}\n")
			reqs[0].Key, reqs[0].Hash = "alice/k", hash
			return w.e.StartCluster(t.Context(), cl, reqs)
		}
		var wg sync.WaitGroup
		ids := make([]int64, 8)
		for i := range ids {
			wg.Go(func() {
				c, err := try("h")
				if err != nil || len(c.Runs) != 2 {
					t.Errorf("%d runs, %v", len(c.Runs), err)
				}
				ids[i] = c.ID
			})
		}
		wg.Wait()
		if slices.Max(ids) != slices.Min(ids) || ids[0] == 0 {
			t.Errorf("clusters %v", ids)
		}
		var repeat *pipeline.RepeatError
		if c, err := try("other"); !errors.As(err, &repeat) || c.ID != 0 {
			t.Errorf("for something else = %+v, %v", c, err)
		}
	})
}

// TestTwoClustersOfOneHost: of several that want it at once one gets it, and the others are told who has it.
func TestTwoClustersOfOneHost(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(pipeline.Step{Name: "t:wait", Do: func(ctx context.Context, _ *clipboard.Clipboard) error { return pipeline.Wait(time.Second, "it") }})
		w.start()
		var wg sync.WaitGroup
		var got atomic.Int32
		for i := range 8 {
			wg.Go(func() {
				cl, reqs := members(t, fmt.Sprintf("cluster: gods%d\nsteps: [t:wait]\ninstances:\n- {hostname: odin%d, provider: ESX}\n- {hostname: loki, provider: ESX}\n", i, i))
				var busy *pipeline.BusyError
				c, err := w.e.StartCluster(t.Context(), cl, reqs)
				switch {
				case err == nil:
					got.Add(1)
				case !errors.As(err, &busy) || busy.Run.Host != "loki" || c.ID != 0 || len(c.Runs) > 0:
					t.Errorf("StartCluster = %+v, %v", c, err)
				}
			})
		}
		wg.Wait()
		if got.Load() != 1 {
			t.Errorf("%d clusters have the host", got.Load())
		}
	})
}

// TestClusterIsRefusedWhole: one host that is held keeps all from starting.
func TestClusterIsRefusedWhole(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(pipeline.Step{Name: "t:fail", Do: func(context.Context, *clipboard.Clipboard) error { return pipeline.Permanentf("no") }})
		w.start()
		w.wait(w.deploy("t:fail").ID, pipeline.Failed) // holds loki
		cl, reqs := members(t, "cluster: gods\nsteps: [t:fail]\ninstances:\n- {hostname: odin, provider: ESX}\n- {hostname: loki, provider: ESX}\n")
		var busy *pipeline.BusyError
		if _, err := w.e.StartCluster(t.Context(), cl, reqs); !errors.As(err, &busy) {
			t.Errorf("StartCluster = %v", err)
		}
		if _, err := w.e.Find(t.Context(), "odin"); !errors.Is(err, pipeline.ErrNotFound) {
			t.Errorf("odin was begun: %v", err)
		}
		if _, err := w.e.FindCluster(t.Context(), "gods"); !errors.Is(err, pipeline.ErrNotFound) {
			t.Errorf("the cluster is on record: %v", err)
		}
	})
}
