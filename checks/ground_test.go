package checks

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/post"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
)

// ground is a Monitor whose hosts are functions of the test. It lives in a bubble of testing/synctest: an hour takes no
// time.

type ground struct {
	*Monitor
	t    *testing.T
	dir  string
	cfg  model.Config
	stop func()
	// registry: there is an engine with these steps; nil: there is none.
	registry *pipeline.Registry
	mailBy   post.MailConfig
	// real: hosts are not functions of the test.
	real bool
	// do is World.Do.
	do func(ctx context.Context, line, key string) error

	mu      sync.Mutex
	offset  time.Duration // of the wall clock
	say     func(k model.Key, nth int) outcome
	ran     []ran
	about   []string // what runs of actions were about
	running map[model.Key]bool
	most    int // at once
	overlap []model.Key
}

type ran struct {
	model.Key
	at time.Time // by the wall clock
}

func newGround(t *testing.T, yaml string) *ground {
	g := &ground{t: t, dir: t.TempDir(), running: map[model.Key]bool{}, say: func(model.Key, int) outcome { return outcome{stdout: "OK - fine|a=1"} }}
	var d model.Defs
	file := filepath.Join(t.TempDir(), "checks.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	g.cfg = model.Config{Dir: filepath.Dir(file), Defs: d}
	return g
}

// edit writes other definitions, which are read at the next start.
func (g *ground) edit(yaml string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.cfg.Dir, "checks.yaml"), []byte(yaml), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// start opens the record as it is, and runs.

func (g *ground) start() {
	g.t.Helper()
	db, err := store.Open(g.t.Context(), store.Options{Dir: g.dir})
	if err != nil {
		g.t.Fatal(err)
	}
	m, err := New(g.cfg)
	if err != nil {
		g.t.Fatal(err)
	}
	if !g.real {
		m.run = g.run
	}
	g.Monitor = m
	services := []func(context.Context) error{m.Run}
	var engine *pipeline.Engine
	if g.registry != nil {
		key, err := clipboard.NewKey()
		if err != nil {
			g.t.Fatal(err)
		}
		if engine, err = pipeline.New(g.t.Context(), pipeline.Config{DB: db, Registry: g.registry, Key: key}); err != nil {
			g.t.Fatal(err)
		}
		services = append(services, engine.Run)
	}
	if err := m.Open(g.t.Context(), World{DB: db, Engine: engine, Do: g.do, Mail: g.mailBy, Now: g.wall, Target: func(_ context.Context, w string) (remote.Target, error) { return remote.Target{Addr: w}, nil }}); err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, f := range services {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := f(ctx); err != nil {
				g.t.Error(err)
			}
		}()
	}
	g.stop = func() {
		cancel()
		wg.Wait()
		if err := db.Close(); err != nil {
			g.t.Error(err)
		}
	}
}

func (g *ground) wall() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Now().Add(g.offset)
}

func (g *ground) step(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.offset += d
}

func (g *ground) run(_ context.Context, p job) outcome {
	at := g.wall()
	g.mu.Lock()
	if g.running[p.Key] {
		g.overlap = append(g.overlap, p.Key)
	}
	g.running[p.Key] = true
	g.most = max(g.most, len(g.running))
	g.ran = append(g.ran, ran{p.Key, at})
	if r := p.about; r != nil {
		g.about = append(g.about, r.action+": "+r.On+" "+r.Key.String()+" "+r.Status.String())
	}
	nth := 0
	for _, r := range g.ran {
		if r.Key == p.Key {
			nth++
		}
	}
	say := g.say
	g.mu.Unlock()
	defer func() { // also when say panics
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.running, p.Key)
	}()
	out := say(p.Key, nth)
	time.Sleep(out.took)
	return out
}

// count gives how often a check ran, and forgets it.

func (g *ground) times(k model.Key) (out []time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.ran {
		if r.Key == k {
			out = append(out, r.at)
		}
	}
	return out
}

func (g *ground) forgetRuns() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ran = nil
}

func (g *ground) says(f func(k model.Key, nth int) outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.say = f
}

// oneDay has the night's checks run once; it ends at 02:00 of the second day.

func (g *ground) oneDay() {
	time.Sleep(2*time.Hour + 40*time.Minute)
	g.stop()
	g.step(23 * time.Hour)
	g.start()
	time.Sleep(20 * time.Minute)
}

// lines gives what was said to people, in order.

func (g *ground) lines() []string {
	g.t.Helper()
	list, err := g.Notices(g.t.Context(), 0, 1000)
	if err != nil {
		g.t.Fatal(err)
	}
	var out []string
	for _, n := range list {
		out = append(out, strings.TrimSpace(n.Person+n.Channel+" "+n.Line))
	}
	return out
}

func (g *ground) wantLines(want ...string) {
	g.t.Helper()
	if got := g.lines(); !slices.Equal(got, want) {
		g.t.Errorf("said:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func bubble(t *testing.T, yaml string, f func(t *testing.T, g *ground)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, yaml)
		g.start()
		f(t, g)
		g.stop()
		if len(g.overlap) > 0 {
			t.Errorf("ran twice at once: %v", g.overlap)
		}
	})
}

const simple = `
tasks:
  - {name: disk, command: check_disk, schedule: "@every 10s", attempts: 1}
host_tasks:
  - {tasks: [disk], hosts: [loki]}
`

var diskLoki = model.Key{Task: "disk", Host: "loki"}

// A check that ran when the server stopped has no result: it runs again at the next start, whatever catch_up says.

// A deployment keeps its own host quiet while it runs, and a moment longer; what is wrong then is said.

// A command of the bot is given until it is taken, always with the same key; what stays is said again.

// fails and well make every check so.
func (g *ground) fails() {
	g.says(func(model.Key, int) outcome { return outcome{exit: 2, stdout: "full"} })
}

func (g *ground) well() { g.says(func(model.Key, int) outcome { return outcome{stdout: "fine"} }) }
