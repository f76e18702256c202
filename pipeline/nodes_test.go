package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// nodes share one PostgreSQL database; each has a registry of its own, so that a step knows where it runs.
type nodes struct {
	goesOn func(context.Context, store.Querier, int64) ([]string, error)
	t      *testing.T
	url    string
	key    *clipboard.Key

	silos map[string]string
}

// siloed has the nodes that start from now on know the silos.
func (n *nodes) siloed(of map[string]string) *nodes {
	n.silos = of
	return n
}

// node is one of them, behind a wire that can be cut.
type node struct {
	*world
	db   *store.DB
	wire *wire
	done chan struct{} // closed when its engine has ended
}

func newNodes(t *testing.T) *nodes {
	key, err := clipboard.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	u, err := postgres.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &nodes{t: t, url: u, key: key}
}

// start has a node live until the test ends, or until it must not go on.
func (n *nodes) start(name string, steps ...pipeline.Step) *node {
	n.t.Helper()
	return n.startIn("", name, steps...)
}

// startIn is start in a silo.
func (n *nodes) startIn(silo, name string, steps ...pipeline.Step) *node {
	t := n.t
	t.Helper()
	u, err := url.Parse(n.url)
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(t, u.Host)
	u.Host = w.addr
	db, err := store.Open(t.Context(), store.Options{URL: u.String(), Log: quietAfter(t), Shared: true, Node: store.Node{Name: name, Silo: silo}})
	if err != nil {
		t.Fatal(err)
	}
	out := &node{world: &world{t: t, key: n.key, reg: pipeline.NewRegistry()}, db: db, wire: w, done: make(chan struct{})}
	out.reg.Add(steps...)
	out.e, err = pipeline.New(t.Context(), pipeline.Config{DB: db, Registry: out.reg, Key: n.key, Log: quietAfter(t), Workers: 20, Silos: n.silos, GoesOn: n.goesOn, Retry: []time.Duration{5 * time.Millisecond, 5 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // as the server does: who cannot prove that it lives ends
		select {
		case <-db.Lost():
			cancel()
		case <-ctx.Done():
		}
	}()
	go func() {
		defer close(out.done)
		if err := out.e.Run(ctx); err != nil && db.Why() == nil {
			t.Errorf("Run = %v", err)
		}
	}()
	out.stop = func() {
		cancel()
		<-out.done
		_ = db.Close()
		w.Close()
	}
	t.Cleanup(out.stop)
	return out
}

// ask begins a run of a host.
func (n *node) ask(host string, steps ...string) pipeline.Run {
	n.t.Helper()
	c, err := clipboard.Parse([]byte("instance: {hostname: " + host + ", provider: esx}\n"))
	if err != nil {
		n.t.Fatal(err)
	}
	r, err := n.e.Start(n.t.Context(), pipeline.Request{Clipboard: c, Kind: kind("deploy/esx"), Steps: steps, By: "alice"})
	if err != nil {
		n.t.Fatal(err)
	}
	return r
}

// wire passes bytes on until it is cut; then it keeps all connections, and silent.
type wire struct {
	addr string
	l    net.Listener
	cut  atomic.Bool
	mu   sync.Mutex
	all  []net.Conn
}

func newWire(t testing.TB, to string) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String(), l: l}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			w.mu.Lock()
			w.all = append(w.all, in, out)
			w.mu.Unlock()
			go w.pass(in, out)
			go w.pass(out, in)
		}
	}()
	return w
}

func (w *wire) pass(from, to net.Conn) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if n > 0 && !w.cut.Load() {
			if _, err := to.Write(b[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_, _ = from.Close(), to.Close()
}

func (w *wire) Close() {
	w.cut.Store(false)
	_ = w.l.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.all {
		_ = c.Close()
	}
}

// TestNodesShareTheWork: what is asked of one is done by all, and each step once.
func TestNodesShareTheWork(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	var did [2]atomic.Int64
	step := func(i int) pipeline.Step {
		return pipeline.Step{Name: "test:work", Resume: pipeline.Ask, Do: func(context.Context, *clipboard.Clipboard) error {
			did[i].Add(1)
			time.Sleep(20 * time.Millisecond)
			return nil
		}}
	}
	a, b := n.start("a", step(0)), n.start("b", step(1))
	var runs []pipeline.Run
	for i := range 60 {
		runs = append(runs, a.ask(fmt.Sprintf("host%d", i), "test:work", "test:work", "test:work"))
	}
	for _, r := range runs {
		b.wait(r.ID, pipeline.Ready)
	}
	if x, y := did[0].Load(), did[1].Load(); x+y != 180 || x == 0 || y == 0 {
		t.Errorf("a ran %d steps and b %d", x, y)
	}
}

// Nodes that begin a new database at one time are one installation: each made an id of its own, and what one had marked
// as ours was somebody else's machine for the next.
func TestNodesThatStartAtOnceAreOneInstallation(t *testing.T) {
	n := newNodes(t)
	first, began := n.start("first"), make(chan struct{})
	if err := first.db.Write(t.Context(), func(tx store.Tx) error {
		_, err := tx.Exec(t.Context(), "DELETE FROM installation")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() {
		wrote <- first.db.Write(t.Context(), func(tx store.Tx) error {
			_, err := tx.Exec(t.Context(), "INSERT INTO installation (id) VALUES ('0badcafe')")
			close(began)
			time.Sleep(time.Second) // the other looks meanwhile, and sees nothing yet
			return err
		})
	}()
	<-began
	second := n.start("second")
	if err := <-wrote; err != nil || second.e.Installation() != "0badcafe" {
		t.Errorf("the second is of the installation %s: %v", second.e.Installation(), err)
	}
}

// TestACutOffNodesRunsGoOnElsewhere: its line goes silent while it carries runs. It stops its steps before another
// begins them; those that cannot be repeated ask; and what it says afterwards changes nothing.
func TestACutOffNodesRunsGoOnElsewhere(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	var under, most, begun [2]atomic.Int64 // by step
	step := func(i int, resume pipeline.Resume, stuck bool) pipeline.Step {
		return pipeline.Step{Name: []string{"test:safe", "test:once"}[i], Resume: resume, Do: func(ctx context.Context, _ *clipboard.Clipboard) error {
			begun[i].Add(1)
			most[i].Store(max(most[i].Load(), under[i].Add(1)))
			defer under[i].Add(-1)
			if stuck {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return nil
		}}
	}
	a := n.start("a", step(0, pipeline.Again, true), step(1, pipeline.Ask, true))
	safe, once := a.ask("safe", "test:safe"), a.ask("once", "test:once")
	eventually(t, func() bool { return begun[0].Load() == 1 && begun[1].Load() == 1 })
	b := n.start("b", step(0, pipeline.Again, false), step(1, pipeline.Ask, false))
	cut := time.Now()
	a.wire.cut.Store(true)
	b.waitFor(30*time.Second, safe.ID, pipeline.Ready)
	t.Logf("taken up after %s", time.Since(cut).Round(100*time.Millisecond))
	b.waitFor(5*time.Second, once.ID, pipeline.Asking)
	if most[0].Load() != 1 || begun[0].Load() != 2 || begun[1].Load() != 1 {
		t.Errorf("at once %d; begun %d and %d", most[0].Load(), begun[0].Load(), begun[1].Load())
	}
	select {
	case <-a.done:
	case <-time.After(20 * time.Second):
		t.Error("who was cut off goes on")
	}
	if !errors.Is(a.db.Why(), store.ErrLost) {
		t.Errorf("a = %v", a.db.Why())
	}
}

// TestANodeThatLeavesHandsItsRunsOver: an orderly stop leaves nothing to wait for.
func TestANodeThatLeavesHandsItsRunsOver(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	began := make(chan struct{}, 1)
	a := n.start("a", pipeline.Step{Name: "test:long", Resume: pipeline.Again, Do: func(ctx context.Context, _ *clipboard.Clipboard) error {
		began <- struct{}{}
		<-ctx.Done()
		return context.Cause(ctx)
	}})
	r := a.ask("loki", "test:long")
	<-began
	b := n.start("b", pipeline.Step{Name: "test:long", Resume: pipeline.Again, Do: func(context.Context, *clipboard.Clipboard) error { return nil }})
	stopped := time.Now()
	a.stop()
	b.waitFor(9*time.Second, r.ID, pipeline.Ready)
	t.Logf("handed over after %s", time.Since(stopped).Round(10*time.Millisecond))
}

// TestAWordReachesTheNodeThatCarries: cancel is said to another node than the one whose step runs, or whose run waits.
func TestAWordReachesTheNodeThatCarries(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	began := make(chan struct{}, 1)
	steps := []pipeline.Step{
		{Name: "test:long", Do: func(ctx context.Context, _ *clipboard.Clipboard) error {
			began <- struct{}{}
			<-ctx.Done()
			return context.Cause(ctx)
		}},
		{Name: "test:wait", Do: func(context.Context, *clipboard.Clipboard) error {
			return pipeline.Wait(time.Hour, "the host is not there")
		}},
	}
	a := n.start("a", steps...)
	long, waits := a.ask("long", "test:long"), a.ask("waits", "test:wait")
	<-began
	a.wait(waits.ID, pipeline.Waiting)
	b := n.start("b", steps...)
	for _, id := range []int64{long.ID, waits.ID} {
		said := time.Now()
		if _, err := b.e.Cancel(t.Context(), id, pipeline.Who{Name: "bob"}); err != nil {
			t.Fatal(err)
		}
		b.waitFor(20*time.Second, id, pipeline.Cancelled) // looks: a node that has just begun may not listen yet
		t.Logf("cancelled after %s", time.Since(said).Round(time.Millisecond))
	}
}

// TestFollowersHearOfOtherNodes: events of one wake who follows at another.
func TestFollowersHearOfOtherNodes(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	go1 := make(chan struct{})
	step := pipeline.Step{Name: "test:go", Do: func(context.Context, *clipboard.Clipboard) error { <-go1; return nil }}
	a := n.start("a", step)
	r := a.ask("loki", "test:go")
	a.wait(r.ID, pipeline.Running)
	b := n.start("b", step)
	close(go1)
	soon := 0 // by a look alone, each would take a second on average, and two of ten at most be this soon
	for i := range 10 {
		r := a.ask(fmt.Sprint("host", i), "test:go")
		began := time.Now()
		b.waitFor(10*time.Second, r.ID, pipeline.Ready)
		if time.Since(began) < 400*time.Millisecond {
			soon++
		}
	}
	if t.Logf("%d of 10 were heard of at once", soon); soon < 4 {
		t.Error("the messages do not come")
	}
}

func eventually(t *testing.T, f func() bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("it did not come")
		}
	}
}

// waitFor follows a run at this node.
func (n *node) waitFor(limit time.Duration, id int64, want pipeline.State) {
	n.t.Helper()
	ch, done := n.e.Changed()
	defer done()
	late := time.After(limit)
	for {
		r, err := n.e.Get(n.t.Context(), id)
		if err != nil {
			n.t.Fatal(err)
		}
		if r.State == want {
			return
		}
		select {
		case <-ch:
		case <-late:
			n.t.Fatalf("run %d is %s (%s %s) after %s, want %s", id, r.State, r.Error, r.Why, limit, want)
		}
	}
}

// quietAfter logs to the test while it runs: what ends after it has nobody to tell.
func quietAfter(t *testing.T) *slog.Logger {
	w := &lastWords{w: t.Output()}
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.w = io.Discard
	})
	return slog.New(slog.NewTextHandler(w, nil))
}

type lastWords struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lastWords) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
