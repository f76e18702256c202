package checks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

func TestSaidOnceAndTogether(t *testing.T) {
	bubble(t, `
tasks: [{name: disk, command: check_disk, schedule: "0 * * * * *", attempts: 2}]
host_tasks: [{tasks: [disk], hosts: ["web[01-14]", loki]}]
`, func(t *testing.T, g *ground) {
		time.Sleep(90 * time.Second)
		g.says(func(k model.Key, _ int) outcome {
			if k.Host == "loki" {
				return outcome{stdout: "DISK OK"}
			}
			return outcome{exit: 2, stdout: "DISK CRITICAL - / is full"}
		})
		time.Sleep(time.Minute)
		g.wantLines() // soft
		time.Sleep(5 * time.Minute)
		g.wantLines("disk is CRITICAL on 14 hosts: web[01-14]. `checks disk`")
		g.says(func(k model.Key, _ int) outcome {
			if k.Host == "web03" {
				return outcome{exit: 2, stdout: "DISK CRITICAL - / is full"}
			}
			return outcome{stdout: "DISK OK"}
		})
		time.Sleep(5 * time.Minute)
		g.wantLines("disk is CRITICAL on 14 hosts: web[01-14]. `checks disk`", "disk is OK again on 13 hosts: web[01-02,04-14]")
		g.says(func(model.Key, int) outcome { return outcome{stdout: "DISK OK"} })
		time.Sleep(2 * time.Minute)
		if got := g.lines(); len(got) != 3 || got[2] != "disk is OK again on web03 after 10m" {
			t.Errorf("%q", got)
		}
	})
}

// What people are told of the end is how long it was not OK, also when it became worse on the way.
func TestTheOutageCounts(t *testing.T) {
	bubble(t, `
tasks: [{name: disk, command: check_disk, schedule: "0 * * * * *", attempts: 1}]
host_tasks: [{tasks: [disk], hosts: [loki]}]
`, func(t *testing.T, g *ground) {
		var exit atomic.Int64
		g.says(func(model.Key, int) outcome { return outcome{exit: int(exit.Load()), stdout: "DISK"} })
		time.Sleep(30 * time.Second) // between two runs
		for _, x := range []struct {
			exit int64
			line string
		}{{1, "disk is WARNING on loki: DISK. `check show disk on loki`"}, {2, "disk is CRITICAL on loki: DISK. `check show disk on loki`"}, {0, "disk is OK again on loki after 10m"}} {
			exit.Store(x.exit)
			time.Sleep(5 * time.Minute)
			if got := g.lines(); len(got) == 0 || got[len(got)-1] != x.line {
				t.Errorf("%q, want at the end %q", got, x.line)
			}
		}
	})
}

// Who is told of critical problems alone hears of those, and of their end.
func TestToldByStatus(t *testing.T) {
	bubble(t, `
tasks: [{name: disk, command: check_disk, schedule: "0 * * * * *", attempts: 1}]
host_tasks: [{tasks: [disk], hosts: [loki]}]
contacts: [{name: ops, channel: "#ops"}, {name: night, channel: "#night"}]
actions:
  - {name: tell, notify: [ops]}
  - {name: wake, notify: [night], status: [critical, UNKNOWN]}
`, func(t *testing.T, g *ground) {
		var exit atomic.Int64
		g.says(func(model.Key, int) outcome { return outcome{exit: int(exit.Load()), stdout: "DISK"} })
		time.Sleep(30 * time.Second) // between two runs
		for _, status := range []int64{1, 0, 1, 2, 1, 0, 1, 0} {
			exit.Store(status)
			time.Sleep(5 * time.Minute)
		}
		time.Sleep(time.Minute)
		var night []string
		for _, l := range g.lines() {
			if l, ok := strings.CutPrefix(l, "#night "); ok {
				night = append(night, l)
			}
		}
		if want := []string{"disk is CRITICAL on loki: DISK. `check show disk on loki`", "disk is OK again on loki after 15m"}; !slices.Equal(night, want) {
			t.Errorf("%q, want %q", night, want)
		}
	})
}

// A problem that is not believed yet is looked at again soon, however rare the check is; then its schedule counts.
func TestRetry(t *testing.T) {
	bubble(t, `
tasks: [{name: disk, command: check_disk, schedule: "0 0 * * * *", attempts: 3, retry: 20s}]
host_tasks: [{tasks: [disk], hosts: [loki]}]
`, func(t *testing.T, g *ground) {
		k := model.Key{Task: "disk", Host: "loki"}
		time.Sleep(30 * time.Minute)
		g.times(k)
		g.says(func(model.Key, int) outcome { return outcome{exit: 2, stdout: "DISK"} })
		before := len(g.times(k))
		time.Sleep(4 * time.Hour)
		list := g.times(k)[before:]
		var apart []time.Duration
		for i := 1; i < len(list); i++ {
			apart = append(apart, list[i].Sub(list[i-1]).Round(time.Second))
		}
		if want := []time.Duration{20 * time.Second, 20 * time.Second, time.Hour - 40*time.Second, time.Hour}; len(apart) < len(want) || !slices.Equal(apart[:len(want)], want) {
			t.Errorf("%v apart, want %v", apart, want)
		}
	})
}

// Results are found by the time at which they began.
func TestResultsByTime(t *testing.T) {
	bubble(t, `
tasks: [{name: disk, command: check_disk, schedule: "0 * * * * *", attempts: 1}]
host_tasks: [{tasks: [disk], hosts: [loki, thor]}]
`, func(t *testing.T, g *ground) {
		begin := g.wall()
		time.Sleep(4*time.Hour + time.Second)
		for _, x := range []struct {
			since, until time.Duration
			keys         []model.Key
			want         int
		}{{3 * time.Hour, 0, nil, 122}, {2 * time.Hour, 3 * time.Hour, nil, 120}, {2 * time.Hour, 3 * time.Hour, []model.Key{{Task: "disk", Host: "loki"}}, 60}, {0, time.Hour, []model.Key{{Task: "disk", Host: "loki"}, {Task: "disk", Host: "thor"}}, 118}, {20 * time.Hour, 0, nil, 0}} {
			f := ResultFilter{Keys: x.keys, Limit: maxResults, Since: begin.Add(x.since).Truncate(time.Minute)}
			if x.until > 0 {
				f.Until = begin.Add(x.until).Truncate(time.Minute)
			}
			list, err := g.Results(t.Context(), f)
			n := 0
			for _, r := range list {
				if r.Task == "disk" {
					n++
				}
			}
			if err != nil || n != x.want {
				t.Errorf("since %s until %s of %v: %d results, want %d (%v)", x.since, x.until, x.keys, n, x.want, err)
			}
		}
	})
}

// Each downtime that is on record holds, also where several begin at once.
func TestSilencesAtOnce(t *testing.T) {
	g := newGround(t, "tasks: [{name: disk, command: x}]\nhost_tasks: [{tasks: [disk], hosts: [loki]}]\n")
	g.start()
	defer g.stop()
	const n = 50
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if _, err := g.Silence(t.Context(), Downtime{Task: strconv.Itoa(i), Until: time.Now().Add(time.Hour), By: "alice"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := len(g.Downtimes()); got != n {
		t.Errorf("%d of %d are in force", got, n)
	}
}

func TestAcknowledgedAndSilenced(t *testing.T) {
	bubble(t, simple, func(t *testing.T, g *ground) {
		ctx := t.Context()
		g.says(func(model.Key, int) outcome { return outcome{exit: 2, stdout: "full"} })
		time.Sleep(time.Minute)
		problem := "disk is CRITICAL on loki: full. `check show disk on loki`"
		g.wantLines(problem)
		if keys, err := g.Acknowledge(ctx, []model.Key{diskLoki}, Ack{By: "alice", Until: g.wall().Add(2 * time.Hour)}); err != nil || len(keys) != 1 {
			t.Fatal(keys, err)
		}
		g.says(func(model.Key, int) outcome { return outcome{exit: 1, stdout: "nearly full"} })
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
		made, err := g.Silence(ctx, Downtime{Host: "lo*", Until: g.wall().Add(time.Hour), By: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		g.says(func(model.Key, int) outcome { return outcome{stdout: "fine"} })
		time.Sleep(20 * time.Minute)
		g.says(func(model.Key, int) outcome { return outcome{exit: 2, stdout: "full"} })
		time.Sleep(20 * time.Minute)
		g.wantLines(problem, after)
		if _, err := g.EndSilence(ctx, made[0].ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		g.wantLines(problem, after, problem)
		// Being well ends an acknowledgement.
		if keys, err := g.Acknowledge(ctx, []model.Key{diskLoki}, Ack{By: "alice"}); err != nil || len(keys) != 1 {
			t.Fatal(keys, err)
		}
		g.says(func(model.Key, int) outcome { return outcome{stdout: "fine"} })
		time.Sleep(time.Minute)
		g.says(func(model.Key, int) outcome { return outcome{exit: 2, stdout: "full"} })
		time.Sleep(time.Minute)
		got := g.lines()
		if len(got) != 5 || !strings.HasPrefix(got[3], "disk is OK again on loki after") || got[4] != problem {
			t.Errorf("%q", got)
		}
	})
}

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
		g.says(func(k model.Key, _ int) outcome { return outcome{exit: 2, stdout: "full"} })
		deploy := func() {
			c, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n  fqdn: loki.websages.com\n  provider: ESX\n"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := g.Engine.Start(t.Context(), pipeline.Request{Kind: pipeline.Kind{Verb: "deploy", Provider: "esx"}, Clipboard: c, Steps: []string{"esx:deploy"}, By: "alice"}); err != nil {
				t.Fatal(err)
			}
		}
		deploy()
		time.Sleep(10 * time.Minute)
		thor := "disk is CRITICAL on thor: full. `check show disk on thor`"
		g.wantLines(thor)
		time.Sleep(11 * time.Minute)
		if list, err := g.List(t.Context(), Filter{Host: "loki"}); err != nil || len(list) != 1 || !strings.HasPrefix(list[0].Hidden, "run 1 has just ended on it") {
			t.Errorf("%+v %v", list, err)
		}
		g.wantLines(thor) // it came on record, and is given two minutes
		time.Sleep(3 * time.Minute)
		loki := "disk is CRITICAL on loki: full. `check show disk on loki`"
		g.wantLines(thor, loki)
		g.stop()
	})
}

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
		g.says(func(k model.Key, _ int) outcome {
			if k.Task == "disk" {
				return outcome{exit: 2, stdout: "full"}
			}
			return outcome{stdout: "mended"}
		})
		time.Sleep(11 * time.Minute)
		synctest.Wait() // the race detector knows by that what came before
		if len(asked) != 3 || !strings.HasPrefix(asked[0], "redeploy loki check-action-") || asked[0] != asked[2] {
			t.Errorf("%q", asked)
		}
		if n := len(g.times(model.Key{Task: "mend", Host: "thor"})); n != 2 {
			t.Errorf("mend ran %d times on thor for two problems", n)
		}
		slices.Sort(g.about)
		if !slices.Equal(g.about, []string{"mend: problem disk on loki CRITICAL", "mend: problem disk on thor CRITICAL"}) {
			t.Errorf("it ran about %q", g.about)
		}
		if n := len(g.times(model.Key{Task: "mend", Host: "loki"})); n != 0 {
			t.Errorf("mend ran %d times on loki", n)
		}
		g.wantLines("#ops disk is CRITICAL on 2 hosts: loki,thor. `checks disk`", "alice disk is still CRITICAL on 2 hosts: loki,thor. `checks disk`", "alice disk is still CRITICAL on 2 hosts: loki,thor. `checks disk`")
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
	g.says(func(_ model.Key, n int) outcome {
		return outcome{stdout: fmt.Sprintf("DISK OK | /=%dMB;10;20 '/var log'=5%% a.b=1 a_b=2 x=U", n)}
	})
	g.start()
	defer func() { g.stop() }()
	line := regexp.MustCompile(`^jarvis\.web_example_org\.disk\.root (\d+) \d{10}$`)
	last, others := 0, map[string]bool{}
	defer func() { // a.b and a_b are two
		want := []string{"jarvis.web_example_org.disk.a_b_2e7336dc", "jarvis.web_example_org.disk.a_b_648fa9b3", "jarvis.web_example_org.disk.var_log"}
		if names := slices.Sorted(maps.Keys(others)); !slices.Equal(names, want) {
			t.Errorf("also %q, want %q", names, want)
		}
	}()
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
				} else {
					name, _, _ := strings.Cut(l, " ")
					others[name] = true
				}
			}
		case <-time.After(30 * time.Second):
			t.Fatal("Graphite got nothing")
		}
	}
}

// What is old goes, the newest of each check stay as far as they may, and a check that is no longer declared goes with
// its last result.
func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, "tasks: [{name: disk, command: x, schedule: '@every 1m'}, {name: often, command: x, schedule: '@every 10s'}]\nhost_tasks: [{tasks: ['*'], hosts: [loki]}]\n")
		g.cfg.Keep = model.Keep{Results: time.Hour, Count: 120, Minutes: 2 * time.Hour, Hours: 3 * time.Hour}
		g.start()
		time.Sleep(3*time.Hour + 30*time.Second)
		count := func(q string) (n int) {
			t.Helper()
			if err := g.DB.QueryRow(t.Context(), "SELECT count(*) FROM "+q).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := count("check_results r JOIN check_pairs p ON p.id = r.pair WHERE p.task = 'disk'"); n < 59 || n > 63 {
			t.Errorf("%d results of an hour, one a minute", n)
		}
		if n := count("check_results r JOIN check_pairs p ON p.id = r.pair WHERE p.task = 'often'"); n < 120 || n > 145 {
			t.Errorf("%d results where 120 may be", n)
		}
		if n := count("check_metrics m JOIN check_pairs p ON p.id = m.pair WHERE p.task = 'disk' AND m.step = 300"); n < 23 || n > 26 {
			t.Errorf("%d sums of five minutes in two hours", n)
		}
		list, err := g.Metrics(t.Context(), diskLoki, time.Hour, g.wall().Add(-24*time.Hour))
		if err != nil || len(list) != 1 || len(list[0].Points) < 3 {
			t.Fatalf("%+v %v", list, err)
		}
		if p := list[0].Points[1]; p.N < 59 || p.N > 61 || p.Mean != 1 {
			t.Errorf("an hour sums up %+v", p)
		}
		g.stop()
		if err := os.WriteFile(filepath.Join(g.cfg.Dir, "checks.yaml"), []byte("tasks: [{name: disk, command: x}]\nhost_tasks: [{tasks: [disk], hosts: [loki]}]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		g.cfg.Keep = model.Keep{Results: time.Hour, Minutes: time.Hour, Hours: time.Hour, Days: time.Hour}
		g.step(26 * time.Hour)
		g.start()
		time.Sleep(10 * time.Minute)
		if n := count("check_pairs WHERE task = 'often'"); n != 0 {
			t.Error("what is no longer declared, and of which nothing is on record, is still there")
		}
		g.stop()
	})
}
