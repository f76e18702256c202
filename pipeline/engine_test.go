package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

var postgres *real.Postgres

func TestMain(m *testing.M) {
	var err error
	if postgres, err = real.StartPostgres(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	postgres.Stop()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// world is one database that engines come and go on.
type world struct {
	t    *testing.T
	opts store.Options
	key  *clipboard.Key
	reg  *pipeline.Registry
	e    *pipeline.Engine
	stop func()

	drain, grace, every time.Duration
	silos               map[string]string
	mayBegin            func(context.Context, pipeline.Run) (pipeline.Objection, error)
}

// bothDatabases is the conformance suite's frame: every behaviour is proven on SQLite and on PostgreSQL.
func bothDatabases(t *testing.T, f func(t *testing.T, w *world)) {
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, err := clipboard.NewKey()
			if err != nil {
				t.Fatal(err)
			}
			w := &world{t: t, key: key, reg: pipeline.NewRegistry(), opts: store.Options{Dir: t.TempDir()}}
			if name == "postgres" {
				if w.opts.URL, err = postgres.Database(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			f(t, w)
			if w.stop != nil {
				w.stop()
			}
		})
	}
}

// start opens the database and runs an engine on it; w.stop ends it in order.
func (w *world) start() *pipeline.Engine {
	w.t.Helper()
	db, err := store.Open(w.t.Context(), w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	w.e, err = pipeline.New(w.t.Context(), pipeline.Config{DB: db, Registry: w.reg, Key: w.key, Workers: 20, Silos: w.silos, MayBegin: w.mayBegin, Drain: w.drain, Grace: w.grace, Drift: pipeline.DriftConfig{Every: w.every},
		Retry: []time.Duration{5 * time.Millisecond, 5 * time.Millisecond}})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.e.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run = %v", err)
		}
		if err := db.Close(); err != nil {
			w.t.Errorf("Close = %v", err)
		}
		w.stop = nil
	}
	return w.e
}

func (w *world) clip(extra string) *clipboard.Clipboard {
	w.t.Helper()
	c, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n  provider: ESX\n" + extra))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// kind reads "deploy/esx".
func kind(s string) pipeline.Kind {
	verb, provider, _ := strings.Cut(s, "/")
	return pipeline.Kind{Verb: verb, Provider: provider}
}

func (w *world) deploy(steps ...string) pipeline.Run {
	w.t.Helper()
	r, err := w.e.Start(w.t.Context(), pipeline.Request{Clipboard: w.clip(""), Kind: kind("deploy/esx"), Steps: steps, By: "alice"})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// wait follows the events until the run is in one of the states.
func (w *world) wait(id int64, states ...pipeline.State) pipeline.Run {
	w.t.Helper()
	ch, done := w.e.Changed()
	defer done()
	limit := time.After(20 * time.Second)
	for {
		r, err := w.e.Get(w.t.Context(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, s := range states {
			if r.State == s {
				return r
			}
		}
		select {
		case <-ch:
		case <-limit:
			w.t.Fatalf("run %d is %s (%s %s), want %v", id, r.State, r.Error, r.Why, states)
		}
	}
}

func (w *world) kinds(id int64) string {
	w.t.Helper()
	evs, err := w.e.Events(w.t.Context(), pipeline.EventFilter{Run: id})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, ev := range evs {
		out = append(out, string(ev.Kind))
	}
	return strings.Join(out, " ")
}

func set(key, value string) pipeline.Step {
	return pipeline.Step{Name: "test:set_" + key, Doc: "sets " + key, Gives: []string{key},
		Do: func(_ context.Context, c *clipboard.Clipboard) error { return c.Set(key, value) }}
}

func TestRunGoesFromStepToStep(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(set("a", "1x"), set("b", "2x"))
		w.start()
		r := w.wait(w.deploy("test:set_a", "test:set_b").ID, pipeline.Ready)
		text, err := w.e.Clipboard(t.Context(), r.ID)
		if err != nil || text != "instance:\n  hostname: loki\n  provider: ESX\n  a: 1x\n  b: 2x\n" {
			t.Errorf("clipboard = %q, %v", text, err)
		}
		if got := w.kinds(r.ID); got != "started step done step done ready" {
			t.Errorf("events = %s", got)
		}
		evs, _ := w.e.Events(t.Context(), pipeline.EventFilter{Run: r.ID, Kinds: []pipeline.EventKind{pipeline.EvDone}})
		if evs[1].Diff != "+   b: 2x\n" {
			t.Errorf("diff = %q", evs[1].Diff)
		}
		if u, err := w.e.Usual(t.Context(), "deploy/esx"); err != nil || len(u.Stages) != 2 {
			t.Errorf("Usual = %v, %v", u, err)
		}
		if r, err := w.e.Find(t.Context(), "LOKI"); err != nil || r.State != pipeline.Ready {
			t.Errorf("Find = %v, %v", r, err)
		}
	})
}

func TestErrorsAreTriedAgainThenFailAndRetryGoesOnThere(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var first, calls atomic.Int64
		var broken atomic.Bool
		broken.Store(true)
		w.reg.Add(pipeline.Step{Name: "test:first", Do: func(context.Context, *clipboard.Clipboard) error { first.Add(1); return nil }},
			pipeline.Step{Name: "test:flaky", Do: func(context.Context, *clipboard.Clipboard) error {
				calls.Add(1)
				if broken.Load() {
					return errors.New("ns1 refused\nthe update")
				}
				return nil
			}})
		w.start()
		r := w.wait(w.deploy("test:first", "test:flaky").ID, pipeline.Failed)
		if calls.Load() != 3 || r.Error != "ns1 refused the update" || r.Where() != "stage 2/2 test:flaky" {
			t.Errorf("after %d calls: %q at %s", calls.Load(), r.Error, r.Where())
		}
		if got := w.kinds(r.ID); got != "started step done step retrying retrying failed" {
			t.Errorf("events = %s", got)
		}
		var busy *pipeline.BusyError
		if _, err := w.e.Start(t.Context(), pipeline.Request{Clipboard: w.clip(""), Kind: kind("x"), Steps: []string{"test:first"}}); !errors.As(err, &busy) || busy.Run.ID != r.ID {
			t.Errorf("a second deploy = %v", err)
		}
		broken.Store(false)
		if _, err := w.e.Retry(t.Context(), r.ID, "", "bob"); err != nil {
			t.Fatal(err)
		}
		w.wait(r.ID, pipeline.Ready)
		if first.Load() != 1 || calls.Load() != 4 {
			t.Errorf("first ran %d times, flaky %d", first.Load(), calls.Load())
		}
		var state *pipeline.StateError
		if _, err := w.e.Retry(t.Context(), r.ID, "", "bob"); !errors.As(err, &state) {
			t.Errorf("retry of a ready run = %v", err)
		}
	})
}

func TestRetryFromAnEarlierStage(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var a atomic.Int64
		w.reg.Add(pipeline.Step{Name: "test:a", Do: func(context.Context, *clipboard.Clipboard) error { a.Add(1); return nil }},
			pipeline.Step{Name: "test:b", Do: func(context.Context, *clipboard.Clipboard) error {
				if a.Load() < 2 {
					return pipeline.Permanentf("a must run twice")
				}
				return nil
			}}, set("c", "x"))
		w.start()
		r := w.wait(w.deploy("test:a", "test:b", "test:set_c").ID, pipeline.Failed)
		if _, err := w.e.Retry(t.Context(), r.ID, "test:set_c", "bob"); err == nil || !strings.Contains(err.Error(), "comes after") {
			t.Errorf("retry from a later stage = %v", err)
		}
		if _, err := w.e.Retry(t.Context(), r.ID, "test:zzz", "bob"); err == nil || !strings.Contains(err.Error(), "its stages are test:a, test:b") {
			t.Errorf("retry from nowhere = %v", err)
		}
		if _, err := w.e.Retry(t.Context(), r.ID, "test:a", "bob"); err != nil {
			t.Fatal(err)
		}
		w.wait(r.ID, pipeline.Ready)
	})
}

func TestWaitHoldsNoWorkerAndShowsWhy(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var up atomic.Bool
		w.reg.Add(pipeline.Step{Name: "test:wait", Do: func(context.Context, *clipboard.Clipboard) error {
			if !up.Load() {
				return pipeline.Wait(20*time.Millisecond, "nothing on 203.0.113.5:22 yet")
			}
			return nil
		}})
		w.start()
		r := w.wait(w.deploy("test:wait").ID, pipeline.Waiting)
		if r.Why != "nothing on 203.0.113.5:22 yet" {
			t.Errorf("why = %q", r.Why)
		}
		up.Store(true)
		w.wait(r.ID, pipeline.Ready)
		if got := w.kinds(r.ID); got != "started step waiting done ready" {
			t.Errorf("events = %s; a wait that repeats itself is written once", got)
		}
	})
}

func TestWaitingTooLongFails(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(pipeline.Step{Name: "test:wait", Timeout: 50 * time.Millisecond, Do: func(context.Context, *clipboard.Clipboard) error {
			return pipeline.Wait(10*time.Millisecond, "not yet")
		}})
		w.start()
		if r := w.wait(w.deploy("test:wait").ID, pipeline.Failed); r.Error != "gave up after 50ms: not yet" {
			t.Errorf("error = %q", r.Error)
		}
	})
}

func TestTimeoutSilenceAndPanicFailThatRunAlone(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		hang := func(ctx context.Context, _ *clipboard.Clipboard) error {
			pipeline.Progress(ctx, "halfway")
			<-ctx.Done()
			return ctx.Err()
		}
		w.reg.Add(pipeline.Step{Name: "test:slow", Timeout: 30 * time.Millisecond, Do: hang},
			pipeline.Step{Name: "test:silent", Silence: 30 * time.Millisecond, Do: hang},
			pipeline.Step{Name: "test:panic", Do: func(context.Context, *clipboard.Clipboard) error { panic("boo") }})
		w.start()
		for step, want := range map[string]string{
			"test:slow":   "gave up after 30ms; the last it said: halfway",
			"test:silent": "hung: it said nothing for 30ms; the last it said: halfway",
			"test:panic":  "the step has a bug and panicked; the stack is in the log",
		} {
			r := w.wait(w.deploy(step).ID, pipeline.Failed)
			if r.Error != want {
				t.Errorf("%s: %q, want %q", step, r.Error, want)
			}
			if _, err := w.e.Cancel(t.Context(), r.ID, pipeline.Who{Name: "alice"}); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestStoppedInTheMiddle ends the engine while a step is under way and starts another on the same database. What a
// kill -9 adds to this is tested on the real process (cmd/jarvis, crash).
func TestStoppedInTheMiddle(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var done atomic.Int64
		var blockProbe, blockAsk atomic.Bool
		blockProbe.Store(true)
		blockAsk.Store(true)
		began := make(chan struct{}, 10)
		step := func(name string, resume pipeline.Resume, block *atomic.Bool) pipeline.Step {
			return pipeline.Step{Name: name, Resume: resume, Do: func(ctx context.Context, _ *clipboard.Clipboard) error {
				if block.Load() {
					began <- struct{}{}
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}}
		}
		w.reg.Add(pipeline.Step{Name: "test:done", Do: func(context.Context, *clipboard.Clipboard) error { done.Add(1); return nil }},
			step("test:probe", pipeline.Probe, &blockProbe), step("test:ask", pipeline.Ask, &blockAsk))
		w.start()
		r := w.deploy("test:done", "test:probe", "test:ask")
		<-began
		w.stop()
		blockProbe.Store(false)
		w.start()
		<-began // test:ask
		w.stop()
		blockAsk.Store(false)
		w.start()
		got := w.wait(r.ID, pipeline.Asking, pipeline.Ready)
		if got.State == pipeline.Ready {
			t.Fatal("an Ask step was repeated by itself")
		}
		if !strings.Contains(got.Error, "may have half happened") {
			t.Errorf("error = %q", got.Error)
		}
		if done.Load() != 1 {
			t.Errorf("a finished step ran %d times", done.Load())
		}
		if _, err := w.e.Retry(t.Context(), r.ID, "", "alice"); err != nil {
			t.Fatal(err)
		}
		w.wait(r.ID, pipeline.Ready)
	})
}

func TestCancelStopsTheStepAndSaysWhatStands(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		began := make(chan struct{}, 1)
		nothing := func(context.Context, *clipboard.Clipboard) error { return nil }
		w.reg.Add(pipeline.Step{Name: "test:make", Do: nothing, Undo: nothing},
			pipeline.Step{Name: "test:hang", Do: func(ctx context.Context, _ *clipboard.Clipboard) error {
				began <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			}},
			pipeline.Step{Name: "test:wait", Do: func(context.Context, *clipboard.Clipboard) error {
				return pipeline.Wait(time.Hour, "for ever")
			}})
		w.start()
		r := w.deploy("test:make", "test:hang")
		<-began
		if _, err := w.e.Cancel(t.Context(), r.ID, pipeline.Who{Name: "bob"}); err != nil {
			t.Fatal(err)
		}
		if r = w.wait(r.ID, pipeline.Cancelled); r.Error != "cancelled by bob; left standing: whatever test:make made" {
			t.Errorf("error = %q", r.Error)
		}
		r = w.deploy("test:wait")
		w.wait(r.ID, pipeline.Waiting)
		if _, err := w.e.Cancel(t.Context(), r.ID, pipeline.Who{Name: "bob"}); err != nil {
			t.Fatal(err)
		}
		if r = w.wait(r.ID, pipeline.Cancelled); r.Error != "cancelled by bob; nothing is left standing that `undo` could remove" {
			t.Errorf("error = %q", r.Error)
		}
		if got := strings.Count(w.kinds(r.ID), "cancelled"); got != 1 {
			t.Errorf("%d notices", got)
		}
	})
}

// A step that does not listen to its context ends when it ends; the next one must not begin.
func TestCancelIsNotOvertakenByTheNextStep(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		began, goOn := make(chan struct{}), make(chan struct{})
		var second atomic.Bool
		w.reg.Add(pipeline.Step{Name: "test:deaf", Do: func(context.Context, *clipboard.Clipboard) error {
			close(began)
			<-goOn
			return nil
		}}, pipeline.Step{Name: "test:second", Do: func(context.Context, *clipboard.Clipboard) error { second.Store(true); return nil }})
		w.start()
		r := w.deploy("test:deaf", "test:second")
		<-began
		if _, err := w.e.Cancel(t.Context(), r.ID, pipeline.Who{Name: "bob"}); err != nil {
			t.Fatal(err)
		}
		close(goOn)
		if r = w.wait(r.ID, pipeline.Cancelled, pipeline.Ready); r.State != pipeline.Cancelled || second.Load() {
			t.Errorf("the run is %s; the second step ran: %v", r.State, second.Load())
		}
	})
}

func TestUndoGoesBackwardsAndSaysWhatStays(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var order []string
		var stuck atomic.Bool
		stuck.Store(true)
		undo := func(name string) func(context.Context, *clipboard.Clipboard) error {
			return func(context.Context, *clipboard.Clipboard) error {
				if name == "b" && stuck.Load() {
					return pipeline.Permanentf("the zone is locked")
				}
				order = append(order, name)
				return nil
			}
		}
		nothing := func(context.Context, *clipboard.Clipboard) error { return nil }
		w.reg.Add(pipeline.Step{Name: "test:a", Do: nothing, Undo: undo("a")}, pipeline.Step{Name: "test:b", Do: nothing, Undo: undo("b")},
			pipeline.Step{Name: "test:c", Do: nothing}, pipeline.Step{Name: "test:d", Do: nothing, Undo: undo("d")})
		w.start()
		r := w.wait(w.deploy("test:a", "test:b", "test:c", "test:d").ID, pipeline.Ready)
		if _, err := w.e.Undo(t.Context(), r.ID, "bob"); err != nil {
			t.Fatal(err)
		}
		if r = w.wait(r.ID, pipeline.Failed); r.Error != "could not undo test:b (the zone is locked); took back test:d, test:a" {
			t.Errorf("error = %q", r.Error)
		}
		stuck.Store(false)
		if _, err := w.e.Undo(t.Context(), r.ID, "bob"); err != nil {
			t.Fatal(err)
		}
		r = w.wait(r.ID, pipeline.Undone)
		if got := strings.Join(order, " "); got != "d a b" || r.Error != "took back test:d, test:b, test:a" {
			t.Errorf("order = %s; what was taken back is not taken back twice; %q", got, r.Error)
		}
	})
}

func TestSkipGoesOnUnlessSomethingIsMissing(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(pipeline.Step{Name: "test:addr", Gives: []string{"ipaddress"}, Do: func(context.Context, *clipboard.Clipboard) error { return pipeline.Permanentf("no") }},
			pipeline.Step{Name: "test:bad", Do: func(context.Context, *clipboard.Clipboard) error { return pipeline.Permanentf("no") }},
			pipeline.Step{Name: "test:needs", Needs: []string{"ipaddress"}, Do: func(context.Context, *clipboard.Clipboard) error { return nil }}, set("z", "1z"))
		w.start()
		r := w.wait(w.deploy("test:addr", "test:needs").ID, pipeline.Failed)
		var needs *pipeline.NeedsError
		if _, err := w.e.Skip(t.Context(), r.ID, "bob"); !errors.As(err, &needs) {
			t.Errorf("skip = %v", err)
		}
		if _, err := w.e.Cancel(t.Context(), r.ID, pipeline.Who{Name: "bob"}); err != nil {
			t.Fatal(err)
		}
		r = w.wait(w.deploy("test:bad", "test:set_z").ID, pipeline.Failed)
		if _, err := w.e.Skip(t.Context(), r.ID, "bob"); err != nil {
			t.Fatal(err)
		}
		w.wait(r.ID, pipeline.Ready)
		// The last stage, too: then the run is ready.
		r = w.wait(w.deploy("test:bad").ID, pipeline.Failed)
		if _, err := w.e.Skip(t.Context(), r.ID, "bob"); err != nil {
			t.Fatal(err)
		}
		w.wait(r.ID, pipeline.Ready)
		if got := w.kinds(r.ID); got != "started step failed skipped ready" {
			t.Errorf("events = %s", got)
		}
	})
}

func TestSecretsAreSealedOnDiskAndMaskedEverywhere(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		seen := make(chan string, 1)
		w.reg.Add(pipeline.Step{Name: "test:make", Gives: []string{"pw"}, Do: func(_ context.Context, c *clipboard.Clipboard) error { return c.SetSecret("pw", "hunter22x") }},
			pipeline.Step{Name: "test:blind", Do: func(ctx context.Context, c *clipboard.Clipboard) error {
				seen <- c.Text()
				pipeline.Progress(ctx, "the other's secret is hunter22x")
				return nil
			}},
			pipeline.Step{Name: "test:uses", Needs: []string{"pw"}, Do: func(ctx context.Context, c *clipboard.Clipboard) error {
				s, err := c.Secret("pw")
				if err != nil {
					return err
				}
				return pipeline.Permanentf("login with %s refused", string(s))
			}})
		w.start()
		r := w.wait(w.deploy("test:make", "test:blind", "test:uses").ID, pipeline.Failed)
		if r.Error != "login with ••• refused" {
			t.Errorf("error = %q", r.Error)
		}
		if s := <-seen; strings.Contains(s, "hunter") {
			t.Errorf("a step that does not name the secret saw it:\n%s", s)
		}
		evs, err := w.e.Events(t.Context(), pipeline.EventFilter{Run: r.ID})
		if err != nil || strings.Contains(fmt.Sprint(evs), "hunter") {
			t.Errorf("the record shows the secret: %v, %v", evs, err)
		}
		if text, err := w.e.Clipboard(t.Context(), r.ID); err != nil || !strings.Contains(text, "pw: !secret •••") {
			t.Errorf("clipboard = %q, %v", text, err)
		}
	})
}

func TestBadPipelinesAreRefusedBeforeTheyStart(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(pipeline.Step{Name: "dns:update_host", Needs: []string{"ipaddress", "ip6address?"}, Aliases: []string{"dns:update"}}, set("ipaddress", "192.0.2.1"))
		w.reg.Alias("dnswizard", "dns")
		w.start()
		for _, c := range []struct{ steps, want string }{
			{"dns:update_hots", `no worker here offers the step "dns:update_hots"; did you mean "dns:update_host"?`},
			{"nonsense", "a step is written module:task"},
			{"dnswizard:update_host", `dns:update_host needs "ipaddress", which is neither in the clipboard nor given by a step before it`},
			{"dns:update test:set_ipaddress", `test:set_ipaddress gives it, but comes later`},
			{"", "has no steps"},
		} {
			_, err := w.e.Start(t.Context(), pipeline.Request{Clipboard: w.clip(""), Kind: kind("deploy/esx"), Steps: strings.Fields(c.steps)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Start(%s) = %v, want %q", c.steps, err, c.want)
			}
		}
		if live, err := w.e.Live(t.Context(), 10); err != nil || len(live) != 0 {
			t.Errorf("something started: %v, %v", live, err)
		}
	})
}

func TestKeepStoresInTheMiddleOfAStep(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		var tries atomic.Int64
		w.reg.Add(pipeline.Step{Name: "test:keep", Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			if tries.Add(1) > 1 {
				if c.Get("kept") != "yes!" {
					return pipeline.Permanentf("what was kept is lost")
				}
				return nil
			}
			if err := c.Set("kept", "yes!"); err != nil {
				return err
			}
			if err := pipeline.Keep(ctx, c); err != nil {
				return err
			}
			return errors.New("and then it failed")
		}})
		w.start()
		w.wait(w.deploy("test:keep").ID, pipeline.Ready)
	})
}

func TestManyRunsAtOnce(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.reg.Add(set("a", "1a"), set("b", "2b"), set("c", "3c"))
		w.start()
		var ids []int64
		for i := range 100 {
			c, err := clipboard.Parse(fmt.Appendf(nil, "instance: {hostname: h%d, provider: esx}", i))
			if err != nil {
				t.Fatal(err)
			}
			r, err := w.e.Start(t.Context(), pipeline.Request{Clipboard: c, Kind: kind("p"), Steps: []string{"test:set_a", "test:set_b", "test:set_c"}, By: "x"})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, r.ID)
		}
		for _, id := range ids {
			w.wait(id, pipeline.Ready)
			if got := w.kinds(id); got != "started step done step done step done ready" {
				t.Errorf("run %d: %s", id, got)
			}
		}
	})
}
