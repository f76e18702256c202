package pipeline_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// dayRuns is how many deployments a day of a large site has.
const dayRuns = 10_000

// A deployment of the day: fourteen steps. Three ask again and again until something is there, as providers and SSH do;
// one works for long on the host; the others are questions to an API, or a command.
var (
	daySteps = []string{"day:call", "day:call", "day:boots", "day:call", "day:ssh", "day:call", "day:converge", "day:call", "day:call", "day:cloudinit", "day:call", "day:call", "day:call", "day:call"}
	dayWaits = map[string]time.Duration{"day:boots": 20 * time.Second, "day:ssh": 40 * time.Second, "day:cloudinit": time.Minute}
)

const (
	dayCall     = 500 * time.Millisecond
	dayConverge = 20 * time.Second
)

// day is a part of one: many nodes on one real PostgreSQL, with the real engine, take-up and leases. Deployments are
// fewer than in a day, and come faster; what they wait for takes as long as it does, divided by quick, which is 1 but
// in the small form.
type day struct {
	b     *testing.B
	pg    *real.Postgres
	url   string
	key   *clipboard.Key
	quick time.Duration
	nodes []*dayNode
	look  *store.DB // of a node that lives to the end

	begun, asked atomic.Int64
	begin, goes  late // from the word, and from the end of a wait, to the step
	again        late // from the death of a node to the step that it had in hand, elsewhere

	mu     sync.Mutex
	killed map[*dayNode]time.Time // when it was cut off
	handOf map[string]*dayNode    // who has, or had, a host's step
}

// dayNode is one of them. Those that are to die are behind a wire.
type dayNode struct {
	name  string
	e     *pipeline.Engine
	db    *store.DB
	wire  *wire
	end   context.CancelFunc
	done  chan struct{}
	steps atomic.Int64
	gone  atomic.Bool
}

func (d *day) registry(n *dayNode) *pipeline.Registry {
	reg := pipeline.NewRegistry()
	rest := func(ctx context.Context, t time.Duration) error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(t / d.quick):
			return nil
		}
	}
	reg.Add(pipeline.Step{Name: "day:call", Do: func(ctx context.Context, c *clipboard.Clipboard) error {
		d.begins(n)
		d.holds(n, c.Get("hostname"), pipeline.FactsOf(ctx).Resumed)
		if f := pipeline.FactsOf(ctx); f.Stage == 0 && !f.Resumed {
			d.begin.now(c.Get("hostname"), 0)
		}
		if err := rest(ctx, dayCall); err != nil {
			return err
		}
		return c.Set("count", fmt.Sprint(pipeline.FactsOf(ctx).Stage))
	}}, pipeline.Step{Name: "day:converge", Timeout: time.Hour, Do: func(ctx context.Context, c *clipboard.Clipboard) error {
		d.begins(n)
		d.holds(n, c.Get("hostname"), pipeline.FactsOf(ctx).Resumed)
		return rest(ctx, dayConverge)
	}}, pipeline.Step{Name: "day:plain", Do: func(ctx context.Context, c *clipboard.Clipboard) error {
		d.begins(n)
		return c.Set("count", fmt.Sprint(pipeline.FactsOf(ctx).Stage))
	}})
	for name, takes := range dayWaits {
		reg.Add(pipeline.Step{Name: name, Timeout: time.Hour, Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			d.asked.Add(1)
			waited := pipeline.FactsOf(ctx).Waited
			pause := min(max(waited/8, 300*time.Millisecond/d.quick), 15*time.Second/d.quick) // as provider.Pause
			if waited == 0 {
				d.begins(n)
				d.goes.is(c.Get("hostname"), pause)
			} else {
				d.goes.now(c.Get("hostname"), pause)
			}
			if waited < takes/d.quick {
				return pipeline.Wait(pause, "nothing on 203.0.113.5:22 yet (connection refused)")
			}
			return nil
		}})
	}
	return reg
}

// is notes when something is due, whatever was due before.
func (l *late) is(host string, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due[host] = time.Now().Add(d)
}

func (d *day) begins(n *dayNode) {
	d.begun.Add(1)
	n.steps.Add(1)
}

// holds notes who has a step in hand; and when it is one of a node that died, how long after that it goes on.
func (d *day) holds(n *dayNode, host string, resumed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if resumed {
		if at, ok := d.killed[d.handOf[host]]; ok { // not one that left in order
			d.again.took = append(d.again.took, time.Since(at))
		}
	}
	d.handOf[host] = n
}

// opens has one more node live.
func (d *day) opens(name string, mortal bool) {
	n, at := &dayNode{name: name, done: make(chan struct{})}, d.url
	if mortal {
		u, err := url.Parse(d.url)
		if err != nil {
			d.b.Fatal(err)
		}
		n.wire = newWire(d.b, u.Host)
		u.Host = n.wire.addr
		at = u.String()
	}
	var err error
	if n.db, err = store.Open(d.b.Context(), store.Options{URL: at, Shared: true, Node: store.Node{Name: name}}); err != nil {
		d.b.Fatal(err)
	}
	if n.e, err = pipeline.New(d.b.Context(), pipeline.Config{DB: n.db, Registry: d.registry(n), Key: d.key}); err != nil {
		d.b.Fatal(err)
	}
	var ctx context.Context
	ctx, n.end = context.WithCancel(context.Background())
	go func() { // as the server does: who cannot prove that it lives ends
		select {
		case <-n.db.Lost():
			n.end()
		case <-ctx.Done():
		}
	}()
	go func() {
		defer close(n.done)
		if err := n.e.Run(ctx); err != nil && n.db.Why() == nil {
			d.b.Errorf("%s: %v", name, err)
		}
	}()
	d.nodes = append(d.nodes, n)
}

// dies has a node end: silently, as a machine that loses its network does, or in order.
func (d *day) dies(n *dayNode, silently bool) {
	n.gone.Store(true)
	if !silently {
		n.ends()
		return
	}
	d.mu.Lock()
	d.killed[n] = time.Now()
	d.mu.Unlock()
	n.wire.cut.Store(true)
}

func (n *dayNode) ends() {
	n.end()
	<-n.done
	_ = n.db.Close()
	if n.wire != nil {
		n.wire.Close()
	}
}

// asks begins a deployment at any node that lives; at another when that one dies meanwhile.
func (d *day) asks(i int, host string, steps []string) {
	d.begin.is(host, 0)
	for ; ; i++ {
		n := d.nodes[i%len(d.nodes)]
		if n.gone.Load() {
			continue
		}
		_, err := n.e.Start(d.b.Context(), pipeline.Request{Clipboard: clip4k(d.b, host), Kind: pipeline.Kind{Verb: "bench"}, Steps: steps, By: "bench"})
		if err == nil {
			return
		}
		if !n.gone.Load() {
			d.b.Fatal(err)
		}
	}
}

// until waits for so many runs that are ready.
func (d *day) until(want int, limit time.Duration) {
	for late := time.Now().Add(limit); ; time.Sleep(200 * time.Millisecond) {
		var ready, all int
		if err := d.look.QueryRow(d.b.Context(), "SELECT count(CASE WHEN state = 'ready' THEN 1 END), count(*) FROM runs").Scan(&ready, &all); err != nil {
			d.b.Fatal(err)
		}
		if ready >= want {
			return
		}
		if time.Now().After(late) {
			d.b.Fatalf("%d of %d runs are ready after %s, want %d", ready, all, limit, want)
		}
	}
}

// meter is what was used so far.
type meter struct {
	at                 time.Time
	commits, rows, wal int64
	begun, asked       int64
	ofNodes, ofPG      time.Duration
	sessions           int
}

func (d *day) meter() (m meter) {
	err := d.look.QueryRow(d.b.Context(), `SELECT xact_commit, tup_inserted + tup_updated + tup_deleted, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint,
		(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') FROM pg_stat_database WHERE datname = current_database()`).Scan(&m.commits, &m.rows, &m.wal, &m.sessions)
	if err != nil {
		d.b.Fatal(err)
	}
	if m.ofPG, err = d.pg.CPU(); err != nil {
		d.b.Fatal(err)
	}
	m.at, m.begun, m.asked, m.ofNodes = time.Now(), d.begun.Load(), d.asked.Load(), processTime(d.b)
	return m
}

// used says what was used between two looks, a second.
func (d *day) used(what string, from, to meter) (a meter, seconds float64) {
	s := to.at.Sub(from.at).Seconds()
	a = meter{commits: to.commits - from.commits, rows: to.rows - from.rows, wal: to.wal - from.wal, begun: to.begun - from.begun, asked: to.asked - from.asked, ofNodes: to.ofNodes - from.ofNodes, ofPG: to.ofPG - from.ofPG}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		d.b.Fatal(err)
	}
	d.b.Logf("%s, %.0f s: %.1f steps begun a second, %.1f asked again, %.1f transactions, %.1f rows written, %.1f KiB of log; cores: nodes %.2f, PostgreSQL %.2f; %d sessions; load %s", what, s,
		float64(a.begun)/s, float64(a.asked)/s, float64(a.commits)/s, float64(a.rows)/s, float64(a.wal)/s/1024, a.ofNodes.Seconds()/s, a.ofPG.Seconds()/s, to.sessions, strings.Join(strings.Fields(string(load))[:2], " "))
	return a, s
}

// BenchmarkNodesDay: 20 nodes on one PostgreSQL carry a part of a day of 10,000 deployments, faster than they would
// come, while nodes die and one leaves. What the nodes cost when nothing is to do is measured before; what they carry
// at most, after.
func BenchmarkNodesDay(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as `jarvis serve` sets it
	many, faster, length, burst := number("JARVIS_DAY_NODES", small(20, 3)), small(number("JARVIS_DAY_FASTER", 20), 200), time.Duration(small(number("JARVIS_DAY_SECONDS", 300), 2))*time.Second, small(500, 20)
	idle := time.Duration(small(20, 1)) * time.Second
	runs := int(length.Seconds()*float64(faster)*dayRuns/86400 + 0.5)
	key, err := clipboard.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	d := &day{b: b, key: key, quick: time.Duration(small(1, 100)), killed: map[*dayNode]time.Time{}, handOf: map[string]*dayNode{}}
	for _, l := range []*late{&d.begin, &d.goes, &d.again} {
		l.due = map[string]time.Time{}
	}
	if d.pg = postgres; many > 5 { // more sessions than it lets in
		if d.pg, err = real.StartPostgres(b.Context()); err != nil {
			b.Fatal(err)
		}
		defer d.pg.Stop()
		if err := d.pg.SQL(b.Context(), fmt.Sprintf("ALTER SYSTEM SET max_connections = %d", 50+20*many)); err != nil {
			b.Fatal(err)
		}
		if err := d.pg.Restart(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	if d.url, err = d.pg.Database(b.Context()); err != nil {
		b.Fatal(err)
	}
	// The last four die, the last of them in order; in the small form that one alone, since it takes ten seconds until
	// one that is cut off is taken for dead.
	dead := small(min(4, many-1), 1)
	for i := range many {
		d.opens(fmt.Sprintf("node%02d", i+1), i >= many-dead)
	}
	defer func() {
		var wg sync.WaitGroup
		for _, n := range d.nodes {
			wg.Go(n.ends)
		}
		wg.Wait()
	}()
	d.look = d.nodes[0].db

	time.Sleep(2 * time.Second) // all listen, and have their roles
	m0 := d.meter()
	time.Sleep(idle)
	m1 := d.meter()
	still, stillFor := d.used(fmt.Sprintf("%d nodes with nothing to do", many), m0, m1)

	for i, k := 0, 0; i < runs; i++ {
		if k < dead && i*(2*dead+1) >= runs*(dead+k+1) {
			go d.dies(d.nodes[many-dead+k], k < dead-1)
			d.opens(fmt.Sprintf("node%02d", len(d.nodes)+1), false) // so that as many live as before
			k++
		}
		time.Sleep(time.Until(m1.at.Add(length * time.Duration(i) / time.Duration(runs))))
		d.asks(i, fmt.Sprintf("h%d", i), daySteps)
	}
	m2 := d.meter()
	d.until(runs, 10*time.Minute)
	m3 := d.meter()
	busy, busyFor := d.used(fmt.Sprintf("%d deployments, %d times as fast as 10,000 a day", runs, faster), m1, m3)
	var spread []int64
	for _, n := range d.nodes[:many-dead] {
		spread = append(spread, n.steps.Load())
	}
	slices.Sort(spread)
	b.Logf("the last began %.0f s after the first, all were ready after %.0f s; %d to %d steps at a node, %d in the middle; %.1f questions a deployment", m2.at.Sub(m1.at).Seconds(), m3.at.Sub(m1.at).Seconds(),
		spread[0], spread[len(spread)-1], spread[len(spread)/2], float64(busy.asked)/float64(runs))
	var buried int
	if err := d.look.QueryRow(b.Context(), "SELECT count(*) FROM jarvis_nodes WHERE state = 'buried'").Scan(&buried); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d nodes were cut off, %d taken for dead; one left in order", dead-1, buried)
	for _, l := range []struct {
		what string
		l    *late
	}{{"from the word to the first step", &d.begin}, {"from the end of a wait to the step", &d.goes}, {"from the death of a node to the step that it had in hand, elsewhere", &d.again}} {
		b.Logf("%s: p50 %s, p95 %s, p99 %s, at most %s (%d)", l.what, l.l.at(50), l.l.at(95), l.l.at(99), l.l.at(100), l.l.count())
	}

	for i := range burst {
		d.asks(i, fmt.Sprintf("b%d", i), slices.Repeat([]string{"day:plain"}, len(daySteps)))
	}
	d.until(runs+burst, 10*time.Minute)
	m4 := d.meter()
	most, mostFor := d.used(fmt.Sprintf("%d deployments at once, whose steps take no time", burst), m3, m4)

	// What a deployment costs beside what the nodes cost anyway, and so what a day costs, by calculation.
	each := func(busy, still int64) float64 {
		return (float64(busy) - float64(still)*busyFor/stillFor) / float64(runs)
	}
	dayOf := func(busy, still int64) float64 {
		return float64(still)/stillFor + each(busy, still)*dayRuns/86400
	}
	b.Logf("calculated, a deployment: %.0f transactions, %.0f rows written, %.0f KiB of log, %.0f ms of PostgreSQL, %.0f ms of nodes", each(busy.commits, still.commits), each(busy.rows, still.rows), each(busy.wal, still.wal)/1024,
		each(busy.ofPG.Milliseconds(), still.ofPG.Milliseconds()), each(busy.ofNodes.Milliseconds(), still.ofNodes.Milliseconds()))
	b.Logf("calculated, the real day, a second: %.0f transactions, %.0f rows written, %.1f KiB of log; cores: PostgreSQL %.3f, all nodes %.3f", dayOf(busy.commits, still.commits), dayOf(busy.rows, still.rows), dayOf(busy.wal, still.wal)/1024,
		dayOf(busy.ofPG.Milliseconds(), still.ofPG.Milliseconds())/1000, dayOf(busy.ofNodes.Milliseconds(), still.ofNodes.Milliseconds())/1000)
	b.ReportMetric(float64(most.begun)/mostFor, "steps/s-at-most")
	b.ReportMetric(float64(d.goes.at(95).Microseconds())/1000, "p95-ms-wait")
	b.ReportMetric(dayOf(busy.commits, still.commits), "transactions/s-of-the-day")
	b.ReportMetric(0, "ns/op")
}
