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

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// yard is steps whose drift a test sets.
type yard struct {
	mu    sync.Mutex
	says  map[string]func(context.Context, *clipboard.Clipboard) ([]pipeline.Difference, error)
	asked atomic.Int64
}

func (y *yard) set(step string, f func(context.Context, *clipboard.Clipboard) ([]pipeline.Difference, error)) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.says[step] = f
}

// differs has a step say that something differs; what "" ends that.
func (y *yard) differs(step, what, fix string) {
	y.set(step, func(context.Context, *clipboard.Clipboard) ([]pipeline.Difference, error) {
		if what == "" {
			return nil, nil
		}
		return []pipeline.Difference{{What: what, Want: "left", Have: "found", Fix: fix}}, nil
	})
}

func (y *yard) fails(step string, err error) {
	y.set(step, func(context.Context, *clipboard.Clipboard) ([]pipeline.Difference, error) { return nil, err })
}

func (y *yard) step(name string, more ...func(*pipeline.Step)) pipeline.Step {
	s := pipeline.Step{Name: name, Do: func(context.Context, *clipboard.Clipboard) error { return nil },
		Drift: func(ctx context.Context, c *clipboard.Clipboard) ([]pipeline.Difference, error) {
			y.asked.Add(1)
			y.mu.Lock()
			f := y.says[name]
			y.mu.Unlock()
			if f == nil {
				return nil, nil
			}
			return f(ctx, c)
		}}
	for _, f := range more {
		f(&s)
	}
	return s
}

func newYard(w *world) *yard {
	y := &yard{says: map[string]func(context.Context, *clipboard.Clipboard) ([]pipeline.Difference, error){}}
	w.reg.Add(y.step("esx:deploy"), y.step("dns:update_host"), y.step("ssh:wait", func(s *pipeline.Step) { s.Needs = []string{"token"} }),
		pipeline.Step{Name: "ssh:run", Do: func(context.Context, *clipboard.Clipboard) error { return nil }},
		pipeline.Step{Name: "ssh:fail", Do: func(context.Context, *clipboard.Clipboard) error { return pipeline.Permanent(errors.New("no")) }})
	return y
}

func (w *world) standing(name string) pipeline.Standing {
	w.t.Helper()
	h, err := w.e.FindHost(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

func (w *world) look() pipeline.Look {
	w.t.Helper()
	l, err := w.e.Look(w.t.Context(), w.standing("loki"))
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

var lookTimes = cmp.Options{cmpopts.IgnoreFields(pipeline.Look{}, "At", "Took"), cmpopts.IgnoreFields(pipeline.Difference{}, "Seen")}

func TestLook(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		y := newYard(w)
		w.start()
		r, err := w.e.Start(t.Context(), pipeline.Request{Clipboard: w.clip("  token: !secret hunter22\n"), Kind: kind("deploy/esx"), Steps: []string{"esx:deploy", "dns:update_host", "ssh:run", "ssh:wait"}, By: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		w.wait(r.ID, pipeline.Ready)
		clean := pipeline.Look{Host: "loki", FQDN: "loki", Run: r.ID, Asked: 3, Differs: []pipeline.Difference{}, Unknown: []pipeline.NotKnown{}}
		if d := cmp.Diff(clean, w.look(), lookTimes, cmpopts.IgnoreUnexported(pipeline.Look{})); d != "" {
			t.Errorf("an untouched host: %s", d)
		}

		y.differs("esx:deploy", "the machine", pipeline.FixRedeploy)
		y.set("dns:update_host", func(_ context.Context, c *clipboard.Clipboard) ([]pipeline.Difference, error) {
			if v := c.Get("token"); v != "" {
				t.Errorf("a step sees %q, which it does not name", v)
			}
			return []pipeline.Difference{{What: "the machine", Want: "left", Have: "found"}, // said already
				{What: "the A record\x1b[2J", Want: "10.0.0.5", Have: "hunter22"}}, nil
		})
		y.set("ssh:wait", func(ctx context.Context, c *clipboard.Clipboard) ([]pipeline.Difference, error) {
			s, err := c.Secret("token")
			if err != nil || pipeline.FactsOf(ctx).Token != w.e.Token(r.ID) {
				t.Errorf("token = %v, facts = %v", err, pipeline.FactsOf(ctx))
			}
			if err := pipeline.Keep(ctx, c); err == nil {
				t.Error("a look may keep a clipboard")
			}
			return nil, fmt.Errorf("nothing on 10.0.0.5:22: %s", string(s))
		})
		want := clean
		want.Differs = []pipeline.Difference{{Step: "esx:deploy", What: "the machine", Want: "left", Have: "found", Fix: "redeploy loki"},
			{Step: "dns:update_host", What: "the A record", Want: "10.0.0.5", Have: "•••", Fix: "retry loki from dns:update_host"}}
		want.Unknown = []pipeline.NotKnown{{Step: "ssh:wait", Why: "nothing on 10.0.0.5:22: •••"}}
		if d := cmp.Diff(want, w.look(), lookTimes, cmpopts.IgnoreUnexported(pipeline.Look{})); d != "" {
			t.Error(d)
		}
		y.set("dns:update_host", func(context.Context, *clipboard.Clipboard) ([]pipeline.Difference, error) { panic("boom") })
		if l := w.look(); len(l.Unknown) != 2 || !strings.Contains(l.Unknown[0].Why, "bug") || len(l.Differs) != 1 {
			t.Errorf("after a panic: %+v", l)
		}
	})
}

// TestLookInTime: whoever asks hears what is known in time, and of what nobody knows by then.
func TestLookInTime(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		y := newYard(w)
		w.start()
		r := w.deploy("esx:deploy", "dns:update_host")
		w.wait(r.ID, pipeline.Ready)
		y.differs("esx:deploy", "the machine", "")
		y.set("dns:update_host", func(ctx context.Context, _ *clipboard.Clipboard) ([]pipeline.Difference, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5300*time.Millisecond)
		defer cancel()
		l, err := w.e.Look(ctx, w.standing("loki"))
		if err != nil || len(l.Differs) != 1 || len(l.Unknown) != 1 || l.Unknown[0].Why != "no time was left to look" {
			t.Errorf("Look = %+v, %v", l, err)
		}
	})
}

// TestLookWhere: only what a run that is over left is compared, and what was skipped was not left.
func TestLookWhere(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		y := newYard(w)
		w.start()
		r := w.deploy("dns:update_host", "ssh:fail")
		w.wait(r.ID, pipeline.Failed)
		var not *pipeline.NotReadyError
		if _, err := w.e.Look(t.Context(), w.standing("loki")); !errors.As(err, &not) {
			t.Errorf("a failed run: %v", err)
		}
		if _, err := w.e.Skip(t.Context(), r.ID, "alice"); err != nil {
			t.Fatal(err)
		}
		w.wait(r.ID, pipeline.Ready)
		if l := w.look(); l.Asked != 1 {
			t.Errorf("asked %d steps", l.Asked)
		}
		// A run that begins in the middle of a look.
		old := w.standing("loki")
		y.set("dns:update_host", func(context.Context, *clipboard.Clipboard) ([]pipeline.Difference, error) {
			next := w.deploy("dns:update_host")
			w.wait(next.ID, pipeline.Ready)
			return nil, nil
		})
		if _, err := w.e.Look(t.Context(), old); !errors.Is(err, pipeline.ErrMoved) {
			t.Errorf("a look past which a run began: %v", err)
		}
		y.differs("dns:update_host", "", "")
		// A proposal is a remark.
		if _, err := w.e.Start(t.Context(), pipeline.Request{Clipboard: w.clip(""), Kind: kind("deploy/esx"), Steps: []string{"ssh:run"}, By: "alice", Approval: &pipeline.NeedApproval{Why: "so", For: time.Hour}}); err != nil {
			t.Fatal(err)
		}
		if l := w.look(); l.Asked != 1 {
			t.Errorf("beside a proposal %d steps were asked", l.Asked)
		}
	})
}

// drifts gives what was said of drift so far.
func (w *world) drifts() []string {
	w.t.Helper()
	evs, err := w.e.Events(w.t.Context(), pipeline.EventFilter{Kinds: []pipeline.EventKind{pipeline.EvDrift, pipeline.EvDriftOver}})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, ev := range evs {
		out = append(out, string(ev.Kind)+": "+ev.Text)
	}
	return out
}

// looked waits until the clock has asked so many steps more.
func (w *world) looked(y *yard, rounds int) {
	w.t.Helper()
	from := y.asked.Load()
	for limit := time.Now().Add(20 * time.Second); y.asked.Load() < from+int64(rounds); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			w.t.Fatalf("the clock has looked %d times since", y.asked.Load()-from)
		}
	}
}

// TestDriftClock: one line when the set changes, none otherwise; a restart repeats nothing.
func TestDriftClock(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		y := newYard(w)
		w.every = time.Second
		w.start()
		r := w.deploy("dns:update_host")
		w.wait(r.ID, pipeline.Ready)
		w.looked(y, 2)
		step := func(want ...string) {
			t.Helper()
			w.looked(y, 3)
			if got := w.drifts(); !slices.Equal(got, want) {
				t.Fatalf("said\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		step()
		y.differs("dns:update_host", "the A record", "")
		first := "drift: the A record: found instead of left; `retry loki from dns:update_host` puts it right"
		step(first)
		if d, err := w.e.Drifted(t.Context(), 10); err != nil || d.Hosts != 1 || d.Looked != 1 || len(d.Looks) != 1 || d.Looks[0].Host != "loki" || d.Looks[0].Differs[0].What != "the A record" {
			t.Errorf("Drifted = %+v, %v", d, err)
		}
		y.fails("dns:update_host", errors.New("the server is away"))
		step(first) // not known: neither gone nor new
		y.differs("dns:update_host", "the A record", "")
		step(first)
		w.stop()
		w.start()
		step(first)
		y.differs("dns:update_host", "", "")
		step(first, "drift_over: as it was deployed again")
	})
}

// TestDriftRestart: what was looked at within the period is not looked at again because the process is another.
func TestDriftRestart(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		y := newYard(w)
		w.every = time.Second
		w.start()
		r := w.deploy("dns:update_host")
		w.wait(r.ID, pipeline.Ready)
		w.looked(y, 2) // the first is on record by now
		w.stop()
		w.every = time.Hour
		before := y.asked.Load()
		w.start()
		time.Sleep(300 * time.Millisecond)
		if n := y.asked.Load() - before; n != 0 {
			t.Errorf("%d looks after a restart", n)
		}
		d, err := w.e.Drifted(t.Context(), 10)
		if err != nil || d.Looked != 1 || d.Oldest.IsZero() {
			t.Errorf("Drifted = %+v, %v", d, err)
		}
	})
}

// TestDriftSlowDown: a provider that asks us to slow down is asked by nobody meanwhile, and its host is looked at after
// it.
func TestDriftSlowDown(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		y := newYard(w)
		w.every = time.Second
		w.start()
		var mu sync.Mutex
		var asked []time.Time
		y.set("esx:deploy", func(context.Context, *clipboard.Clipboard) ([]pipeline.Difference, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, time.Now())
			if len(asked) == 1 {
				return nil, pipeline.Wait(2*time.Second, "slow down")
			}
			return []pipeline.Difference{{What: "the machine", Want: "on", Have: "off"}}, nil
		})
		r := w.deploy("esx:deploy")
		w.wait(r.ID, pipeline.Ready)
		for limit := time.Now().Add(20 * time.Second); len(w.drifts()) == 0; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatal("the host was never looked at again")
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if gap := asked[1].Sub(asked[0]); gap < 2*time.Second {
			t.Errorf("asked again after %s", gap)
		}
	})
}

// TestDriftTogether: no more hosts and questions at the same moment than allowed.
func TestDriftTogether(t *testing.T) {
	w := &world{t: t, reg: pipeline.NewRegistry(), opts: store.Options{Dir: t.TempDir()}, every: time.Second}
	var err error
	if w.key, err = clipboard.NewKey(); err != nil {
		t.Fatal(err)
	}
	y := newYard(w)
	w.start()
	defer w.stop()
	var now, most atomic.Int64
	y.set("esx:deploy", func(context.Context, *clipboard.Clipboard) ([]pipeline.Difference, error) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		time.Sleep(5 * time.Millisecond)
		return nil, nil
	})
	const hosts = 60
	for i := range hosts {
		c, err := clipboard.Parse(fmt.Appendf(nil, "instance:\n  hostname: h%d\n  provider: ESX\n", i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.e.Start(t.Context(), pipeline.Request{Clipboard: c, Kind: kind("deploy/esx"), Steps: []string{"esx:deploy"}, By: "alice"}); err != nil {
			t.Fatal(err)
		}
	}
	w.looked(y, 2*hosts)
	if most.Load() > 4 {
		t.Errorf("%d questions to one provider at the same moment", most.Load())
	}
}
