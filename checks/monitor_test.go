package checks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
)

// ground is a Monitor whose hosts are functions of the test. It lives in a bubble of testing/synctest: an hour takes no time.
type ground struct {
	*Monitor
	t    *testing.T
	dir  string
	cfg  Config
	stop func()
	// registry: there is an engine with these steps; nil: there is none.
	registry *pipeline.Registry
	// do is World.Do.
	do func(ctx context.Context, line, key string) error

	mu      sync.Mutex
	offset  time.Duration // of the wall clock
	say     func(k Key, nth int) outcome
	ran     []ran
	running map[Key]bool
	most    int // at once
	overlap []Key
}

type ran struct {
	Key
	at time.Time // by the wall clock
}

func newGround(t *testing.T, yaml string) *ground {
	g := &ground{t: t, dir: t.TempDir(), running: map[Key]bool{}, say: func(Key, int) outcome { return outcome{stdout: "OK - fine|a=1"} }}
	var d Defs
	file := filepath.Join(t.TempDir(), "checks.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	g.cfg = Config{Dir: filepath.Dir(file), Defs: d}
	return g
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
	m.run = g.run
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
	if err := m.Open(g.t.Context(), World{DB: db, Engine: engine, Do: g.do, Now: g.wall, Target: func(_ context.Context, w string) (remote.Target, error) { return remote.Target{Addr: w}, nil }}); err != nil {
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

func (g *ground) run(ctx context.Context, p *pair, _ Task) outcome {
	at := g.wall()
	g.mu.Lock()
	if g.running[p.Key] {
		g.overlap = append(g.overlap, p.Key)
	}
	g.running[p.Key] = true
	g.most = max(g.most, len(g.running))
	g.ran = append(g.ran, ran{p.Key, at})
	nth := 0
	for _, r := range g.ran {
		if r.Key == p.Key {
			nth++
		}
	}
	say := g.say
	g.mu.Unlock()
	out := say(p.Key, nth)
	time.Sleep(out.took)
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, p.Key)
	return out
}

// count gives how often a check ran, and forgets it.
func (g *ground) times(k Key) (out []time.Time) {
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

func (g *ground) says(f func(k Key, nth int) outcome) {
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

var diskLoki = Key{"disk", "loki"}

func TestChecksRunOnTime(t *testing.T) {
	bubble(t, `
tasks:
  - {name: disk, command: check_disk, schedule: "@every 10s"}
  - {name: load, command: check_load, schedule: "*/15 * * * * *"}
host_tasks:
  - {tasks: ["*"], hosts: ["web[1-20]"]}
`, func(t *testing.T, g *ground) {
		g.says(func(Key, int) outcome { return outcome{took: time.Second, stdout: "OK|a=1"} })
		time.Sleep(10 * time.Minute)
		for i := range 20 {
			h := fmt.Sprint("web", i+1)
			if n := len(g.times(Key{"disk", h})); n < 60 || n > 62 {
				t.Errorf("disk on %s ran %d times in 10 minutes", h, n)
			}
			if n := len(g.times(Key{"load", h})); n < 39 || n > 41 {
				t.Errorf("load on %s ran %d times in 10 minutes", h, n)
			}
		}
		s := g.Stats()
		if s.Checks != 40 || s.Hosts != 20 || s.Problems != 0 || s.MaxLag > 100*time.Millisecond || s.Started < 180 || s.Written < 180 {
			t.Errorf("%+v", s)
		}
		time.Sleep(20 * time.Second) // they are summed up each five minutes
		list, err := g.Metrics(t.Context(), Key{"disk", "web1"}, 5*time.Minute, g.wall().Add(-time.Hour))
		if err != nil || len(list) != 1 || len(list[0].Points) < 2 || list[0].Points[0].Mean != 1 {
			t.Errorf("%+v %v", list, err)
		}
		var n int64
		for _, p := range list[0].Points {
			n += p.N
		}
		if n < 58 || n > 62 {
			t.Errorf("%d results are summed up", n)
		}
	})
}

func TestHostHasRoomForSoMany(t *testing.T) {
	var tasks strings.Builder
	for i := range 30 {
		fmt.Fprintf(&tasks, "  - {name: t%d, command: x, schedule: '0 * * * * *'}\n", i)
	}
	bubble(t, "tasks:\n"+tasks.String()+"host_tasks: [{tasks: ['*'], hosts: [loki]}]\n", func(t *testing.T, g *ground) {
		g.says(func(Key, int) outcome { return outcome{took: time.Second} })
		time.Sleep(2*time.Minute + 30*time.Second)
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.most != 4 || len(g.ran) < 60 {
			t.Errorf("%d at once, %d in all", g.most, len(g.ran))
		}
	})
}

func TestSaidOnceAndTogether(t *testing.T) {
	bubble(t, `
tasks: [{name: disk, command: check_disk, schedule: "0 * * * * *", attempts: 2}]
host_tasks: [{tasks: [disk], hosts: ["web[01-14]", loki]}]
`, func(t *testing.T, g *ground) {
		time.Sleep(90 * time.Second)
		g.says(func(k Key, _ int) outcome {
			if k.Host == "loki" {
				return outcome{stdout: "DISK OK"}
			}
			return outcome{exit: 2, stdout: "DISK CRITICAL - / is full"}
		})
		time.Sleep(time.Minute)
		g.wantLines() // soft
		time.Sleep(5 * time.Minute)
		g.wantLines("disk is CRITICAL on 14 hosts: web[01-14]. `checks disk`")
		g.says(func(k Key, _ int) outcome {
			if k.Host == "web03" {
				return outcome{exit: 2, stdout: "DISK CRITICAL - / is full"}
			}
			return outcome{stdout: "DISK OK"}
		})
		time.Sleep(5 * time.Minute)
		g.wantLines("disk is CRITICAL on 14 hosts: web[01-14]. `checks disk`", "disk is OK again on 13 hosts: web[01-02,04-14]")
		g.says(func(Key, int) outcome { return outcome{stdout: "DISK OK"} })
		time.Sleep(2 * time.Minute)
		if got := g.lines(); len(got) != 3 || got[2] != "disk is OK again on web03 after 10m" {
			t.Errorf("%q", got)
		}
	})
}

func TestHostGoneForAnHour(t *testing.T) {
	bubble(t, `
tasks:
  - {name: disk, command: check_disk, schedule: "@every 20s"}
  - {name: load, command: check_load, schedule: "@every 20s", attempts: 1}
  - {name: backup, command: check_backup, schedule: "30 3 * * *", attempts: 1}
host_tasks: [{tasks: ["*"], hosts: [loki, thor]}]
`, func(t *testing.T, g *ground) {
		time.Sleep(5 * time.Minute)
		began := g.wall()
		g.forgetRuns()
		g.says(func(k Key, _ int) outcome {
			if k.Host == "loki" {
				return outcome{unreachable: true, text: "dial tcp 192.0.2.1:22: connection refused"}
			}
			return outcome{stdout: "OK"}
		})
		time.Sleep(time.Hour)
		attempts := 0
		g.mu.Lock()
		for _, r := range g.ran {
			if r.Host == "loki" {
				attempts++
			}
		}
		g.mu.Unlock()
		if attempts < 110 || attempts > 125 {
			t.Errorf("%d connections in an hour, want one each 30 s", attempts)
		}
		g.wantLines("loki can not be reached: dial tcp 192.0.2.1:22: connection refused")
		list, err := g.List(Filter{Host: "loki"})
		if err != nil || len(list) != 4 || list[0].Task != hostTask || list[0].Hard != Critical || list[1].Status != Unknown && list[2].Status != Unknown {
			t.Errorf("%v %+v", err, list)
		}
		if n := len(g.times(Key{"disk", "thor"})); n < 175 {
			t.Errorf("meanwhile disk ran %d times on the other", n)
		}
		res, err := g.Results(t.Context(), ResultFilter{Keys: []Key{diskLoki}, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		unknown := 0
		for _, r := range res {
			if r.At.After(began) && r.Status == Unknown && r.Quiet {
				unknown++
			}
		}
		if unknown < 170 {
			t.Errorf("only %d results say that nothing is known", unknown)
		}
		g.forgetRuns()
		g.says(func(Key, int) outcome { return outcome{stdout: "OK"} })
		time.Sleep(2 * time.Minute)
		g.wantLines("loki can not be reached: dial tcp 192.0.2.1:22: connection refused", "loki answers again after 59m")
		if list, err := g.List(Filter{Host: "loki", Status: Problems}); err != nil || len(list) != 0 {
			t.Errorf("%v %+v", err, list)
		}
	})
}

func TestADailyCheckOfAHostThatWasAway(t *testing.T) {
	bubble(t, `
tasks: [{name: backup, command: check_backup, schedule: "TZ=UTC 0 3 * * *", attempts: 1}]
host_tasks: [{tasks: ["*"], hosts: [loki]}]
`, func(t *testing.T, g *ground) {
		g.says(func(Key, int) outcome { return outcome{unreachable: true, text: "no route to host"} })
		time.Sleep(4 * time.Hour) // the bubble begins at midnight UTC
		if n := len(g.times(Key{"backup", "loki"})); n != 1 {
			t.Fatalf("it was tried %d times", n)
		}
		g.says(func(Key, int) outcome { return outcome{stdout: "OK"} })
		time.Sleep(2 * time.Minute)
		if n := len(g.times(Key{"backup", "loki"})); n != 2 {
			t.Errorf("the host is back, and it ran %d times", n)
		}
		time.Sleep(10 * time.Hour)
		if n := len(g.times(Key{"backup", "loki"})); n != 2 {
			t.Errorf("and then %d times", n)
		}
	})
}

func TestAcknowledgedAndSilenced(t *testing.T) {
	bubble(t, simple, func(t *testing.T, g *ground) {
		ctx := t.Context()
		g.says(func(Key, int) outcome { return outcome{exit: 2, stdout: "full"} })
		time.Sleep(time.Minute)
		problem := "disk is CRITICAL on loki: full. `check show disk on loki`"
		g.wantLines(problem)
		if keys, err := g.Acknowledge(ctx, []Key{diskLoki}, Ack{By: "alice", Until: g.wall().Add(2 * time.Hour)}); err != nil || len(keys) != 1 {
			t.Fatal(keys, err)
		}
		g.says(func(Key, int) outcome { return outcome{exit: 1, stdout: "nearly full"} })
		time.Sleep(time.Hour)
		g.wantLines(problem) // a change is kept back
		// A restart forgets none of it.
		g.stop()
		g.start()
		time.Sleep(30 * time.Minute)
		g.wantLines(problem)
		time.Sleep(time.Hour)
		after := "disk is still WARNING on loki: nearly full. `check show disk on loki`"
		g.wantLines(problem, after)
		// In a downtime nothing is said; what is left of it is said behind it.
		d, err := g.Silence(ctx, Downtime{Host: "lo*", Until: g.wall().Add(time.Hour), By: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		g.says(func(Key, int) outcome { return outcome{stdout: "fine"} })
		time.Sleep(20 * time.Minute)
		g.says(func(Key, int) outcome { return outcome{exit: 2, stdout: "full"} })
		time.Sleep(20 * time.Minute)
		g.wantLines(problem, after)
		if _, err := g.EndSilence(ctx, d.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		g.wantLines(problem, after, problem)
		// Being well ends an acknowledgement.
		if keys, err := g.Acknowledge(ctx, []Key{diskLoki}, Ack{By: "alice"}); err != nil || len(keys) != 1 {
			t.Fatal(keys, err)
		}
		g.says(func(Key, int) outcome { return outcome{stdout: "fine"} })
		time.Sleep(time.Minute)
		g.says(func(Key, int) outcome { return outcome{exit: 2, stdout: "full"} })
		time.Sleep(time.Minute)
		got := g.lines()
		if len(got) != 5 || !strings.HasPrefix(got[3], "disk is OK again on loki after") || got[4] != problem {
			t.Errorf("%q", got)
		}
	})
}

func TestTheClockIsSet(t *testing.T) {
	const yaml = `
tasks:
  - {name: often, command: x, schedule: "@every 30s"}
  - {name: minute, command: x, schedule: "* * * * *"}
  - {name: daily, command: x, schedule: "TZ=UTC 30 2 * * *"}
  - {name: must, command: x, schedule: "TZ=UTC 30 2 * * *", catch_up: once}
host_tasks: [{tasks: ["*"], hosts: [loki]}]
`
	often, minute, daily, must := Key{"often", "loki"}, Key{"minute", "loki"}, Key{"daily", "loki"}, Key{"must", "loki"}
	t.Run("forwards", func(t *testing.T) {
		bubble(t, yaml, func(t *testing.T, g *ground) {
			time.Sleep(2*time.Hour + 5*time.Second)
			g.forgetRuns()
			g.step(time.Hour) // over 02:30
			time.Sleep(time.Minute)
			if n := len(g.times(often)); n < 2 || n > 3 {
				t.Errorf("often: %d times in a minute", n)
			}
			if n := len(g.times(minute)); n < 1 || n > 2 {
				t.Errorf("minute: %d times in a minute", n)
			}
			if n := len(g.times(daily)); n != 0 {
				t.Errorf("daily was missed, and ran %d times", n)
			}
			if n := len(g.times(must)); n != 1 {
				t.Errorf("must was missed, and ran %d times", n)
			}
		})
	})
	t.Run("backwards", func(t *testing.T) {
		bubble(t, yaml, func(t *testing.T, g *ground) {
			time.Sleep(3*time.Hour + 5*time.Second)
			if len(g.times(daily)) != 1 || len(g.times(must)) != 1 {
				t.Fatal(len(g.times(daily)), len(g.times(must)))
			}
			g.forgetRuns()
			g.step(-time.Hour) // before 02:30
			time.Sleep(2 * time.Minute)
			if n := len(g.times(often)); n < 3 || n > 5 {
				t.Errorf("often: %d times in two minutes", n)
			}
			if n := len(g.times(minute)); n < 1 || n > 3 {
				t.Errorf("minute: %d times in two minutes", n)
			}
			time.Sleep(2 * time.Hour)
			if len(g.times(daily)) != 0 || len(g.times(must)) != 0 {
				t.Errorf("what ran today ran again: %d %d", len(g.times(daily)), len(g.times(must)))
			}
			g.step(22 * time.Hour)
			time.Sleep(2 * time.Hour)
			if len(g.times(daily)) != 1 || len(g.times(must)) != 1 {
				t.Errorf("the next day: %d %d", len(g.times(daily)), len(g.times(must)))
			}
		})
	})
	t.Run("a little", func(t *testing.T) {
		bubble(t, yaml, func(t *testing.T, g *ground) {
			time.Sleep(2*time.Hour + 30*time.Minute + time.Second)
			if len(g.times(daily)) != 1 {
				t.Fatal("it did not run")
			}
			g.forgetRuns()
			g.step(-2 * time.Second)
			time.Sleep(58 * time.Second)
			if len(g.times(daily))+len(g.times(minute)) != 0 {
				t.Error("NTP moved the clock by two seconds, and it ran twice")
			}
		})
	})
}

func TestDaylightSaving(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	const yaml = `
tasks:
  - {name: night, command: x, schedule: "TZ=Europe/Berlin 30 2 * * *"}
  - {name: often, command: x, schedule: "TZ=Europe/Berlin */10 * * * *"}
host_tasks: [{tasks: ["*"], hosts: [loki]}]
`
	for _, c := range []struct {
		name        string
		from        time.Time
		night, runs int
	}{
		{"an hour is missing", time.Date(2027, 3, 28, 0, 5, 0, 0, berlin), 1, 24},
		{"an hour comes twice", time.Date(2027, 10, 31, 0, 5, 0, 0, berlin), 1, 36},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGround(t, yaml)
				g.step(time.Until(c.from))
				g.start()
				until := time.Date(c.from.Year(), c.from.Month(), c.from.Day(), 5, 5, 0, 0, berlin)
				time.Sleep(until.Sub(c.from))
				if n := len(g.times(Key{"night", "loki"})); n != c.night {
					t.Errorf("night ran %d times: %v", n, g.times(Key{"night", "loki"}))
				}
				if n := len(g.times(Key{"often", "loki"})); n != c.runs {
					t.Errorf("often ran %d times, want %d", n, c.runs)
				}
				g.stop()
			})
		})
	}
}

func TestOutage(t *testing.T) {
	const yaml = `
tasks:
  - {name: often, command: x, schedule: "@every 30s"}
  - {name: daily, command: x, schedule: "TZ=UTC 30 2 * * *"}
  - {name: must, command: x, schedule: "TZ=UTC 30 2 * * *", catch_up: once}
host_tasks: [{tasks: ["*"], hosts: [loki]}]
`
	often, daily, must := Key{"often", "loki"}, Key{"daily", "loki"}, Key{"must", "loki"}
	bubble(t, yaml, func(t *testing.T, g *ground) {
		g.oneDay()
		g.stop()
		g.forgetRuns()
		time.Sleep(time.Hour)
		g.start()
		time.Sleep(2 * time.Minute)
		if n := len(g.times(often)); n < 3 || n > 6 {
			t.Errorf("often ran %d times in two minutes behind an outage", n)
		}
		if len(g.times(daily)) != 0 || len(g.times(must)) != 1 {
			t.Errorf("skip ran %d times, once %d times", len(g.times(daily)), len(g.times(must)))
		}
	})
}

// A check that ran when the server stopped has no result: it runs again at the next start, whatever catch_up says.
func TestWhatRanWhenItStoppedRunsAgain(t *testing.T) {
	bubble(t, `
tasks: [{name: daily, command: x, schedule: "TZ=UTC 30 2 * * *", timeout: 2h}]
host_tasks: [{tasks: ["*"], hosts: [loki]}]
`, func(t *testing.T, g *ground) {
		daily := Key{"daily", "loki"}
		g.oneDay()
		if len(g.times(daily)) != 1 {
			t.Fatal("it did not run the first day")
		}
		g.says(func(Key, int) outcome { return outcome{took: time.Hour} })
		time.Sleep(time.Hour) // it runs
		g.stop()              // waits for it: its context has ended, so it has no result
		time.Sleep(3 * time.Hour)
		g.forgetRuns()
		g.start()
		time.Sleep(time.Minute)
		if n := len(g.times(daily)); n != 1 {
			t.Errorf("it ran %d times after the start", n)
		}
		time.Sleep(3 * time.Hour)
		res, err := g.Results(t.Context(), ResultFilter{Keys: []Key{daily}})
		if err != nil || len(res) != 2 {
			t.Errorf("%d results on record, %v", len(res), err)
		}
	})
}

// A deployment keeps its own host quiet while it runs, and a moment longer; what is wrong then is said.
func TestADeploymentIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, "tasks: [{name: disk, command: x, schedule: '@every 10s', attempts: 1}]\nhost_tasks: [{tasks: [disk], hosts: ['*', thor]}]\n")
		reg := pipeline.NewRegistry()
		reg.Add(pipeline.Step{Name: "esx:deploy", Doc: "deploys", Timeout: time.Hour, Gives: []string{"ipaddress"}, Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Minute):
			}
			return c.Set("ipaddress", "192.0.2.1")
		}})
		g.registry = reg
		g.start()
		g.says(func(k Key, _ int) outcome { return outcome{exit: 2, stdout: "full"} })
		deploy := func() {
			c, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n  fqdn: loki.websages.com\n  provider: ESX\n"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := g.Engine.Start(t.Context(), pipeline.Request{Pipeline: "deploy/esx", Clipboard: c, Steps: []string{"esx:deploy"}, By: "alice"}); err != nil {
				t.Fatal(err)
			}
		}
		deploy()
		time.Sleep(10 * time.Minute)
		thor := "disk is CRITICAL on thor: full. `check show disk on thor`"
		g.wantLines(thor)
		time.Sleep(11 * time.Minute)
		if list, err := g.List(Filter{Host: "loki"}); err != nil || len(list) != 1 || !strings.HasPrefix(list[0].Hidden, "run 1 works on it") {
			t.Errorf("%+v %v", list, err)
		}
		g.wantLines(thor) // it came on record, and is given two minutes
		time.Sleep(3 * time.Minute)
		loki := "disk is CRITICAL on loki: full. `check show disk on loki`"
		g.wantLines(thor, loki)
		g.stop()
	})
}

// A command of the bot is given until it is taken, always with the same key; what stays is said again.
func TestWhatFollowsIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, `
tasks:
  - {name: disk, command: x, schedule: "@every 10s", attempts: 1}
  - {name: mend, command: x}
contacts: [{name: ops, channel: "#ops"}, {name: alice, person: alice}]
actions:
  - {name: tell, notify: [ops]}
  - {name: wake, on: [stays], stays: 30, notify: [alice]}
  - {name: again, on: [problem], hosts: ["lo*"], run: "redeploy {host}"}
  - {name: mend, on: [problem], task: mend, task_host: thor}
host_tasks: [{tasks: [disk], hosts: [loki, thor]}]
`)
		var asked []string
		g.do = func(_ context.Context, line, key string) error {
			asked = append(asked, line+" "+key)
			if len(asked) < 3 {
				return errors.New("the directory does not answer")
			}
			return nil
		}
		g.start()
		g.says(func(k Key, _ int) outcome {
			if k.Task == "disk" {
				return outcome{exit: 2, stdout: "full"}
			}
			return outcome{stdout: "mended"}
		})
		time.Sleep(10 * time.Minute)
		if len(asked) != 3 || !strings.HasPrefix(asked[0], "redeploy loki check-action-") || asked[0] != asked[2] {
			t.Errorf("%q", asked)
		}
		if n := len(g.times(Key{"mend", "thor"})); n < 1 || n > 2 {
			t.Errorf("mend ran %d times on thor for two problems", n)
		}
		if n := len(g.times(Key{"mend", "loki"})); n != 0 {
			t.Errorf("mend ran %d times on loki", n)
		}
		g.wantLines("#ops disk is CRITICAL on 2 hosts: loki,thor. `checks disk`", "alice disk is still CRITICAL on 2 hosts: loki,thor. `checks disk`")
		list, err := g.Acted(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			if d.Done.IsZero() || d.Error != "" {
				t.Errorf("%+v", d)
			}
		}
		g.stop()
	})
}

func TestGraphite(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	got := make(chan string, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(c)
			_ = c.Close()
			got <- string(b)
		}
	}()
	g := newGround(t, fmt.Sprintf(`
hosts: [{name: web.example.org}]
tasks: [{name: disk, command: x, schedule: "@every 1s"}]
actions: [{name: graphs, on: [result], graphite: "%s"}]
host_tasks: [{tasks: [disk], hosts: [web.example.org]}]
`, l.Addr()))
	g.says(func(_ Key, n int) outcome {
		return outcome{stdout: fmt.Sprintf("DISK OK | /=%dMB;10;20 '/var log'=5%% x=U", n)}
	})
	g.start()
	defer func() { g.stop() }()
	line := regexp.MustCompile(`^jarvis\.web_example_org\.disk\.root (\d+) \d{10}$`)
	last := 0
	for last < 4 {
		select {
		case text := <-got:
			for _, l := range strings.Split(strings.TrimSpace(text), "\n") {
				if m := line.FindStringSubmatch(l); m != nil {
					n, _ := strconv.Atoi(m[1])
					if last > 0 && n != last+1 {
						t.Errorf("behind %d came %d", last, n)
					}
					last = n
				} else if !strings.HasPrefix(l, "jarvis.web_example_org.disk.var_log 5 ") {
					t.Errorf("%q", l)
				}
			}
		case <-time.After(30 * time.Second):
			t.Fatal("Graphite got nothing")
		}
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name string
		task Task
		out  outcome
		want Status
		line string
	}{
		{"a plugin", Task{}, outcome{exit: 1, stdout: "DISK WARNING - 5% | /=5%"}, Warning, "DISK WARNING - 5%"},
		{"a program that says nothing", Task{}, outcome{}, OK, "exit 0, and no output"},
		{"an exit code that no plugin has", Task{}, outcome{exit: 7, stdout: "hm"}, Unknown, "exit 7: hm"},
		{"not there", Task{}, outcome{exit: 127, stderr: "sh: 1: check_x: not found\n"}, Unknown, "exit 127: sh: 1: check_x: not found"},
		{"killed", Task{}, outcome{exit: 137, signal: "KILL"}, Unknown, "it was ended by SIGKILL"},
		{"too late", Task{}, outcome{text: "it did not end within 30s", stdout: "half"}, Unknown, "it did not end within 30s"},
		{"unreachable", Task{}, outcome{unreachable: true, text: "connection refused"}, Unknown, "the host can not be reached: connection refused"},
		{"unreachable probe", Task{From: "probe1"}, outcome{unreachable: true, text: "connection refused"}, Unknown, "probe1 can not be reached: connection refused"},
		{"an expected exit", Task{Expect: Expect{Exit: []int{0, 3}}}, outcome{exit: 3, stdout: "x"}, OK, "x"},
		{"another exit", Task{Expect: Expect{Exit: []int{0}}}, outcome{exit: 1, stdout: "x"}, Critical, "exit 1: x"},
		{"expected output", Task{Expect: Expect{Output: "^fin"}}, outcome{stdout: "finished\n"}, OK, "finished"},
		{"other output", Task{Expect: Expect{Output: "^fin"}}, outcome{stdout: "began\n"}, Critical, "its output is not as expected: began"},
		{"expected output, and a bad exit", Task{Expect: Expect{Output: "^fin"}}, outcome{exit: 1, stdout: "fin"}, Critical, "exit 1: fin"},
		{"what a terminal would do", Task{}, outcome{stdout: "\x1b[31mred\x07\x9b\n"}, OK, "[31mred\uFFFD"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.task.Name = "x"
			p := plan{Key: Key{"x", "loki"}, task: &c.task, expect: c.task.expect()}
			j := p.judge(c.out)
			if j.status != c.want || j.line != c.line {
				t.Errorf("%s %q, want %s %q", j.status, j.line, c.want, c.line)
			}
		})
	}
}
