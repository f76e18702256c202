package checks

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
)

// many are nodes on one PostgreSQL, each behind a line of its own that can be cut. Their runs are counted.
type many struct {
	t    *testing.T
	url  string
	conf model.Config
	took time.Duration // of a run

	mu    sync.Mutex
	began map[model.Key][]run
	now   map[model.Key]string // who runs it
	twice []string
	say   func(model.Key) outcome
}

// run is one that began: when, and where.
type run struct {
	at   time.Time
	node string
}

// node is one of them.
type node struct {
	*Monitor
	name string
	db   *store.DB
	line *toxiproxy.Proxy
	end  func() // as a service manager does
}

func newMany(t *testing.T, conf model.Config) *many {
	t.Helper()
	pg, err := real.StartPostgres(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Stop)
	u, err := pg.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &many{t: t, url: u, conf: conf, took: 50 * time.Millisecond, began: map[model.Key][]run{}, now: map[model.Key]string{}, say: func(model.Key) outcome { return outcome{stdout: "OK|a=1"} }}
}

func (m *many) start(name, silo string) *node {
	m.t.Helper()
	u, err := url.Parse(m.url)
	if err != nil {
		m.t.Fatal(err)
	}
	log := zerolog.New(io.Discard)
	line := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), log), name, "127.0.0.1:0", u.Host)
	if err := line.Start(); err != nil {
		m.t.Fatal(err)
	}
	u.Host = line.Listen
	said := slog.New(slog.NewTextHandler(m.t.Output(), nil)).With("node", name)
	db, err := store.Open(m.t.Context(), store.Options{URL: u.String(), Shared: true, Node: store.Node{Name: name, Silo: silo}, Log: said})
	if err != nil {
		m.t.Fatal(err)
	}
	conf := m.conf
	conf.Node = name
	mon, err := New(conf)
	if err != nil {
		m.t.Fatal(err)
	}
	mon.run = func(ctx context.Context, j job) outcome { return m.run(ctx, name, j) }
	if err := mon.Open(m.t.Context(), World{DB: db, Log: said, Target: func(_ context.Context, w string) (remote.Target, error) { return remote.Target{Addr: w}, nil }}); err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // as the server does: who cannot prove that it lives ends
		select {
		case <-db.Lost():
			cancel()
		case <-ctx.Done():
		}
	}()
	go func() {
		defer close(done)
		if err := mon.Run(ctx); err != nil {
			m.t.Error(err)
		}
	}()
	n := &node{Monitor: mon, name: name, db: db, line: line}
	n.end = sync.OnceFunc(func() {
		cancel()
		<-done
		_ = db.Close()
		line.Stop()
	})
	m.t.Cleanup(n.end)
	return n
}

// cut has the line of a node drop all bytes, and refuse nothing.
func (n *node) cut() error {
	for _, stream := range []string{"upstream", "downstream"} {
		if _, err := n.line.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(`{"name": "cut %s", "type": "timeout", "stream": %q, "attributes": {"timeout": 0}}`, stream, stream))); err != nil {
			return err
		}
	}
	return nil
}

func (m *many) run(ctx context.Context, node string, j job) outcome {
	m.mu.Lock()
	if was := m.now[j.Key]; was != "" {
		m.twice = append(m.twice, fmt.Sprintf("%s by %s and %s", j.Key, was, node))
	}
	m.now[j.Key] = node
	m.began[j.Key] = append(m.began[j.Key], run{time.Now(), node})
	out, took := m.say(j.Key), m.took
	m.mu.Unlock()
	t := time.NewTimer(took)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		out = outcome{text: "cancelled"}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.now, j.Key)
	out.took = took
	return out
}

// longest gives the longest time in which a check did not begin, until now.
func (m *many) longest(since time.Time) (k model.Key, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, list := range m.began {
		was := time.Time{}
		for _, r := range append(slices.Clone(list), run{at: time.Now()}) {
			if gap := r.at.Sub(was); !was.IsZero() && r.at.After(since) && gap > d {
				k, d = key, gap
			}
			was = r.at
		}
	}
	return k, d
}

// by counts the checks by who ran them last.
func (m *many) by() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]int{}
	for _, list := range m.began {
		out[list[len(list)-1].node]++
	}
	return out
}

// until waits for something.
func (m *many) until(what string, within time.Duration, f func() bool) {
	m.t.Helper()
	for end := time.Now().Add(within); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatalf("not within %s: %s; checks by node: %v", within, what, m.by())
		}
	}
}

// settled waits until exactly these nodes run all checks.
func (m *many) settled(names ...string) {
	m.t.Helper()
	m.until(strings.Join(names, ", ")+" run all", 60*time.Second, func() bool {
		by, all := m.by(), 0
		for _, n := range by {
			all += n
		}
		for _, n := range names {
			if by[n] < all/len(names)/3 {
				return false
			}
		}
		return len(by) == len(names)
	})
}

func (m *many) once() {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.twice {
		m.t.Errorf("run at the same time: %s", s)
	}
	m.twice = nil
}

const manyHosts, manyEvery = 60, 3 * time.Second

func manyConf() model.Config {
	return model.Config{Gather: 500 * time.Millisecond, Defs: model.Defs{
		Tasks:     []model.Task{{Name: "disk", Command: "x", Schedule: "@every " + manyEvery.String(), Attempts: 1}, {Name: "load", Command: "x", Schedule: "@every " + manyEvery.String(), Attempts: 1}},
		HostTasks: []model.HostTask{{Tasks: []string{"*"}, Hosts: []string{fmt.Sprintf("web[1-%d]", manyHosts)}}},
	}}
}

// TestNobodyRunsACheckTwice: nodes come, drain, die with their line cut and end. No check is run by two at a time, and
// none by nobody for more than 30 s; no result is counted twice, and what follows is done once.
func TestNobodyRunsACheckTwice(t *testing.T) {
	m := newMany(t, manyConf())
	a := m.start("a", "")
	m.until("a runs all", 60*time.Second, func() bool { return m.by()["a"] == 2*manyHosts })
	began := time.Now()
	gap := func(when string, most time.Duration) {
		t.Helper()
		k, d := m.longest(began)
		t.Logf("%s: %v; the longest time in which a check did not begin is %s (%s)", when, m.by(), d.Round(10*time.Millisecond), k)
		if d > most {
			t.Errorf("%s: %s did not run for %s", when, k, d)
		}
		began = time.Now()
		m.once()
	}
	b := m.start("b", "")
	m.settled("a", "b")
	gap("b joined", manyEvery+12*time.Second)
	c := m.start("c", "")
	m.settled("a", "b", "c")
	gap("c joined", manyEvery+12*time.Second)
	for _, n := range []*node{a, b, c} {
		if s := n.Stats(t.Context()); s.Checks != 2*manyHosts || s.Nobody != 0 || s.Trouble != "" {
			t.Errorf("%s: %+v", n.name, s)
		}
	}

	if there, err := c.db.Drain(t.Context(), b.db.Holder()); err != nil || !there {
		t.Fatal(there, err)
	}
	m.settled("a", "c")
	gap("b drains", manyEvery+12*time.Second)

	if err := a.cut(); err != nil {
		t.Fatal(err)
	}
	m.settled("c")
	gap("a died", manyEvery+30*time.Second)

	d := m.start("d", "")
	m.settled("c", "d")
	gap("d joined", manyEvery+12*time.Second)
	c.end()
	m.settled("d")
	gap("c ended", manyEvery+15*time.Second)
	a.end()
	b.end()
	d.end()
	db, err := store.Open(t.Context(), store.Options{URL: m.url})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var results, twice, revs int
	if err := db.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM check_results), (SELECT count(*) FROM (SELECT 1 FROM check_results GROUP BY pair, due HAVING count(*) > 1) AS x), (SELECT sum(rev) FROM check_pairs)").Scan(&results, &twice, &revs); err != nil {
		t.Fatal(err)
	}
	runs := 0
	for _, list := range m.began {
		runs += len(list)
	}
	t.Logf("%d runs, %d results", runs, results)
	if twice > 0 || revs != results || results > runs || results < runs*8/10 {
		t.Errorf("%d runs, %d results, %d of them for the same time, %d changes of states", runs, results, twice, revs)
	}
}

// TestAnyNodeTellsAndDoesAll: whatever node is asked knows the results of all, has a check run, acknowledges, silences
// and defines, and what follows is said and done once.
func TestAnyNodeTellsAndDoesAll(t *testing.T) {
	ctx := t.Context()
	conf := manyConf()
	conf.HostTasks[0].Tasks, conf.HostTasks[0].Hosts = []string{"disk", "load"}, []string{"web[1-12]"}
	conf.Tasks = append(conf.Tasks, model.Task{Name: "mend", Command: "x"})
	conf.Actions = []model.Action{{Name: "tell", Notify: []string{"ops"}}, {Name: "mend", On: []string{"problem"}, Tasks: []string{"disk"}, Task: "mend"}}
	conf.Contacts = []model.Contact{{Name: "ops", Channel: "#ops"}}
	m := newMany(t, conf)
	all := []*node{m.start("a", ""), m.start("b", ""), m.start("c", "")}
	m.settled("a", "b", "c")
	who := func(k model.Key) string {
		m.mu.Lock()
		defer m.mu.Unlock()
		list := m.began[k]
		return list[len(list)-1].node
	}
	// A problem of all hosts: each node knows it, and it is said in one voice.
	m.mu.Lock()
	m.say = func(k model.Key) outcome {
		if k.Task == "disk" {
			return outcome{exit: 2, stdout: "full"}
		}
		return outcome{stdout: "fine"}
	}
	m.mu.Unlock()
	for _, n := range all {
		m.until(n.name+" knows of 12 problems", 20*time.Second, func() bool {
			list, err := n.List(ctx, Filter{Status: Problems})
			return err == nil && len(list) == 12
		})
	}
	m.until("each is mended", 30*time.Second, func() bool {
		list, err := all[1].Acted(ctx, 1000)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, d := range list {
			if d.Action == "mend" && !d.Done.IsZero() {
				n++
			}
		}
		return n == 12
	})
	for i := range 12 {
		k := model.Key{Task: "mend", Host: fmt.Sprint("web", i+1)}
		m.mu.Lock()
		if n := len(m.began[k]); n != 1 {
			t.Errorf("%s ran %d times", k, n)
		}
		m.mu.Unlock()
	}
	said := func() (hosts map[string]int) {
		hosts = map[string]int{}
		list, err := all[2].Notices(ctx, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range list {
			hosts[n.Line]++
		}
		return hosts
	}
	m.until("it is said", 20*time.Second, func() bool { return len(said()) > 0 })
	for line, n := range said() {
		if n != 1 {
			t.Errorf("%q was said %d times", line, n)
		}
	}

	// Asked at any node, run where it is run.
	k := model.Key{Task: "load", Host: "web3"}
	for _, n := range all {
		before, err := n.Show(ctx, k)
		if err != nil {
			t.Fatal(err)
		}
		done, err := n.RunNow(ctx, k)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s has no result of %s", n.name, k)
		}
		v, err := n.Show(ctx, k)
		if !v.At.After(before.At) { // of a run that was under way, or of one that began
			t.Errorf("asked at %s, there is no new result", n.name)
		}
		if err != nil || time.Since(v.At) > 5*time.Second || len(v.Recent) == 0 || v.Node != who(k) {
			t.Errorf("%s: %+v %v", n.name, v, err)
		}
		res, err := n.Results(ctx, ResultFilter{Keys: []model.Key{k}})
		if err != nil || len(res) == 0 || res[0].Key != k {
			t.Errorf("%s: %+v %v", n.name, res, err)
		}
	}

	// Acknowledged at a node that does not run it.
	k = model.Key{Task: "disk", Host: "web5"}
	other := all[slices.IndexFunc(all, func(n *node) bool { return n.name != who(k) })]
	if keys, err := other.Acknowledge(ctx, []model.Key{k}, Ack{By: "alice"}); err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	m.mu.Lock()
	at := len(m.began[k])
	m.mu.Unlock()
	m.until("it ran twice more", 20*time.Second, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.began[k]) >= at+2 })
	for _, n := range all {
		if v, err := n.Show(ctx, k); err != nil || v.Ack == nil || v.Ack.By != "alice" {
			t.Errorf("%s: %+v %v", n.name, v, err)
		}
	}
	made, err := all[0].Silence(ctx, Downtime{Host: "web7", Until: time.Now().Add(time.Hour), By: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range all {
		m.until(n.name+" knows the downtime", 5*time.Second, func() bool { return len(n.Downtimes()) == 1 })
	}
	if _, err := all[1].EndSilence(ctx, made[0].ID); err != nil {
		t.Error(err)
	}
	for _, n := range all {
		m.until(n.name+" knows its end", 5*time.Second, func() bool { return len(n.Downtimes()) == 0 })
	}
	if err := all[1].Define(ctx, model.Definition{Kind: model.KindHostTask, Name: "more", YAML: "{tasks: [load], hosts: [new1]}", By: "alice"}); err != nil {
		t.Fatal(err)
	}
	for _, n := range all {
		m.until(n.name+" knows the new one", 20*time.Second, func() bool {
			v, err := n.Show(ctx, model.Key{Task: "load", Host: "new1"})
			return err == nil && !v.At.IsZero()
		})
	}
	if err := all[2].Remove(ctx, model.KindHostTask, "more"); err != nil {
		t.Fatal(err)
	}
	for _, n := range all {
		m.until(n.name+" knows that it is gone", 5*time.Second, func() bool { _, err := n.Show(ctx, model.Key{Task: "load", Host: "new1"}); return err != nil })
	}
	m.once()
}

// TestSilosAndPins: a host of a silo is checked from there alone, one that host_tasks give to a node by that; where
// nobody is, nobody runs them, and it is said.
func TestSilosAndPins(t *testing.T) {
	conf := manyConf()
	conf.Hosts = []model.Host{{Name: "far1", Silo: "moon"}, {Name: "far2", Silo: "moon"}, {Name: "lost", Silo: "mars"}}
	conf.HostTasks = []model.HostTask{{Tasks: []string{"disk"}, Hosts: []string{"far1", "far2", "lost", "web[1-20]"}}, {Tasks: []string{"disk"}, Hosts: []string{"pin[1-3]"}, Node: "a"}}
	m := newMany(t, conf)
	a, b := m.start("a", ""), m.start("b", "moon")
	m.until("all but one ran", 60*time.Second, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.began) == 25 })
	m.mu.Lock()
	for k, list := range m.began {
		for _, r := range list {
			if strings.HasPrefix(k.Host, "far") && r.node != "b" || strings.HasPrefix(k.Host, "pin") && r.node != "a" {
				t.Errorf("%s ran at %s", k, r.node)
			}
		}
	}
	m.mu.Unlock()
	s := a.Stats(t.Context())
	if s.Nobody != 1 || s.Trouble != "nobody checks lost: nobody serves the silo mars, in which it stands" {
		t.Errorf("%+v", s)
	}
	if _, err := b.RunNow(t.Context(), model.Key{Task: "disk", Host: "lost"}); err == nil || !strings.Contains(err.Error(), "mars") {
		t.Error(err)
	}
	b.end()
	m.until("the silo is empty", 20*time.Second, func() bool { return a.Stats(t.Context()).Nobody == 3 })
	m.once()
}

// TestWithoutAWayNothingIsKnown: the line of an agent is cut. Of the hosts behind it nothing is known, so they are
// neither down nor flapping; they are asked again when there is a way.
func TestWithoutAWayNothingIsKnown(t *testing.T) {
	conf := manyConf()
	conf.Hosts = []model.Host{{Name: "far1", Silo: "moon"}}
	conf.HostTasks = []model.HostTask{{Tasks: []string{"disk"}, Hosts: []string{"far1"}}}
	m := newMany(t, conf)
	a := m.start("a", "moon")
	k := model.Key{Task: "disk", Host: "far1"}
	state := func() View {
		list, err := a.List(t.Context(), Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			if s.Host == k.Host && s.Task == k.Task {
				return s
			}
		}
		return View{}
	}
	m.until("it is well", 30*time.Second, func() bool { return state().Word == "OK" })
	m.mu.Lock()
	m.say = func(model.Key) outcome { return outcome{unreachable: true, noWay: true, text: "no agent has a line"} }
	before := len(m.began[k])
	m.mu.Unlock()
	m.until("it is tried again without a way", 60*time.Second, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.began[k]) > before+1 })
	if s := state(); s.Status != model.OK {
		t.Errorf("without a way it is %+v", s)
	}
	m.mu.Lock()
	m.say = func(model.Key) outcome { return outcome{exit: 2, stdout: "full"} }
	m.mu.Unlock()
	m.until("it is known again", 60*time.Second, func() bool { return state().Status == model.Critical })
	m.once()
}
