//go:build !race

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
)

// hitNode is a node that a service manager keeps up, behind a line to the database of its own.
type hitNode struct {
	*process
	name string
	wire *wire

	frozen  atomic.Bool
	stopped atomic.Bool
	ended   chan struct{}
}

// keepUp starts it again a second after it ended.
func (b *hitNode) keepUp() {
	defer close(b.ended)
	for !b.stopped.Load() {
		b.mu.Lock()
		cmd := exec.Command(b.bin, "--config", b.conf, "serve")
		cmd.Stdout, cmd.Stderr = b.log, b.log
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		err := cmd.Start()
		b.cmd = cmd
		b.mu.Unlock()
		if err != nil {
			b.t.Error(err)
			return
		}
		_ = cmd.Wait()
		time.Sleep(time.Second)
	}
}

func (b *hitNode) signal(sig syscall.Signal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd != nil {
		_ = b.cmd.Process.Signal(sig)
	}
}

// TestBlows has three nodes deploy on three providers that play their faults, and hits them at random: killed, stopped and woken,
// cut off from the database, the database restarted, all its sessions ended, and whoever speaks killed. In the end every run is
// ready, no machine was made twice, what ran on hosts ran once, and alice has heard of each host once. Then all is undone, with
// more blows, and nothing is left. `make cluster` does it for long.
func TestBlows(t *testing.T) {
	runs, blows := number("JARVIS_CLUSTER_RUNS", 60), number("JARVIS_CLUSTER_BLOWS", 14)
	stop := time.Duration(number("JARVIS_CLUSTER_STOP", 20)) * time.Second
	s := newSiege(t, runs, 83)
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	db := must[*url.URL](t)(url.Parse(must[string](t)(pg.Database(t.Context()))))
	key := must[*age.X25519Identity](t)(age.GenerateX25519Identity()).String()
	var list []*hitNode
	for _, name := range []string{"one", "two", "three"} {
		w := newWire(t, db.Host)
		u := *db
		u.Host = w.Listen
		conf := writeIn(t, s.dir)(name+".yaml", s.config(filepath.Join(s.dir, name), fmt.Sprintf("node: {name: %s}\ndatabase: %q\nage_key: %s\n", name, u.String(), key)), 0o600)
		log := must[*os.File](t)(os.Create(filepath.Join(s.dir, name+".log")))
		b := &hitNode{process: &process{t: t, bin: buildJarvis(t), conf: conf, log: log}, name: name, wire: w, ended: make(chan struct{})}
		list = append(list, b)
		go b.keepUp()
		t.Cleanup(func() {
			b.stopped.Store(true)
			b.signal(syscall.SIGCONT)
			b.signal(syscall.SIGKILL)
			<-b.ended
			if text, _ := os.ReadFile(log.Name()); t.Failed() {
				t.Logf("the end of the log of %s:\n%s", name, text[max(0, len(text)-2500):])
			}
		})
	}
	s.cli = func(ctx context.Context, args ...string) (out []byte, err error) {
		for _, i := range rand.Perm(len(list)) {
			if list[i].frozen.Load() {
				continue
			}
			one, cancel := context.WithTimeout(ctx, 20*time.Second)
			out, err = list[i].cli(one, args...)
			cancel()
			if err == nil {
				return out, nil
			}
		}
		return out, err
	}
	until(t, 60*time.Second, "a node is up", func() bool { return s.hosts() != nil })
	s.enter()

	var fatal []time.Time // blows after which others must take over
	var mu sync.Mutex
	var healing sync.WaitGroup
	noteFatal := func() { mu.Lock(); fatal = append(fatal, time.Now()); mu.Unlock() }
	free := func() *hitNode { // one that is not down already
		for {
			b := list[rand.IntN(len(list))]
			if !b.frozen.Load() {
				return b
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	kinds := []struct {
		name string
		do   func()
	}{
		{"kill -9", func() { noteFatal(); free().signal(syscall.SIGKILL) }},
		{"stop and wake", func() {
			b := free()
			b.frozen.Store(true)
			noteFatal()
			b.signal(syscall.SIGSTOP)
			healing.Go(func() {
				time.Sleep(stop)
				b.signal(syscall.SIGCONT)
				b.frozen.Store(false)
			})
		}},
		{"cut from the database", func() {
			b, d := free(), time.Duration(rand.IntN(15))*time.Second
			noteFatal() // a short one may be too long for a busy node
			healing.Go(func() { b.wire.with(t, d, "timeout", `"timeout": 0`) })
			time.Sleep(time.Second)
		}},
		{"restart the database", func() {
			noteFatal()
			if err := pg.Restart(t.Context()); err != nil {
				t.Error(err)
			}
		}},
		{"end all sessions", func() {
			noteFatal()
			_ = pg.SQL(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name LIKE 'jarvis%'")
		}},
		{"kill who speaks", func() {
			out, err := s.cli(t.Context(), "nodes", "--json")
			var a struct{ Data []pipeline.Node }
			if err != nil || contract.Unmarshal(out, &a) != nil {
				return
			}
			for _, n := range a.Data {
				for _, b := range list {
					if n.State == "lives" && n.Name == b.name && slices.ContainsFunc(n.Roles, func(r string) bool { return strings.HasPrefix(r, "chat ") }) {
						noteFatal()
						b.signal(syscall.SIGKILL)
						return
					}
				}
			}
		}},
	}
	dealt := map[string]int{}
	busy := sync.Mutex{} // two wounds on one wire cannot be dressed at once
	deal := func(n int) {
		busy.Lock()
		defer busy.Unlock()
		for i := range n {
			healing.Wait()
			k := kinds[(i+rand.IntN(2))%len(kinds)]
			dealt[k.name]++
			k.do()
			time.Sleep(time.Duration(2000+rand.IntN(4000)) * time.Millisecond)
		}
		healing.Wait()
	}
	asking := make(chan struct{})
	go func() { defer close(asking); s.deploys(t.Context()) }()
	until(t, 60*time.Second, "runs move", func() bool { return s.inFlight() > min(10, runs/2) })
	deal(blows * 4 / 5)
	<-asking
	t.Logf("%d of %d were in flight after the last blow", s.inFlight(), runs)
	s.letGo()
	began := time.Now()
	s.settle(pipeline.Ready, "retry", 8*time.Minute)
	t.Logf("all were ready %s after the last blow", time.Since(began).Round(time.Second))
	s.stands()
	undoing := make(chan struct{})
	go func() { defer close(undoing); s.undoes(t.Context()) }()
	time.Sleep(2 * time.Second)
	deal(blows - blows*4/5)
	<-undoing
	s.settle(pipeline.Undone, "undo", 8*time.Minute)
	s.gone()
	t.Logf("dealt %v", dealt)
	s.saidOnce()
	takeUps(t, list, fatal)
}

// saidOnce makes sure that no notice was said twice without saying so.
func (s *siege) saidOnce() {
	s.t.Helper()
	marked := s.alice.Count(again)
	for i := range s.runs {
		for _, what := range []string{" is ready: ", " is undone: took back "} {
			if n := s.alice.Count("#ops :alice: " + s.name(i) + what); n > 1 {
				s.t.Errorf("%s%swas said %d times", s.name(i), what, n)
			}
		}
	}
	s.t.Logf("%d notices were said as perhaps for the second time", marked)
}

var tookUp = regexp.MustCompile(`time=(\S+) level=WARN msg="took up the runs of a node that is gone"`)

// takeUps prints how long it took until the runs of a node that was hit were taken up.
func takeUps(t *testing.T, list []*hitNode, fatal []time.Time) {
	t.Helper()
	var at []time.Time
	for _, b := range list {
		text, _ := os.ReadFile(b.log.Name())
		for _, m := range tookUp.FindAllStringSubmatch(string(text), -1) {
			at = append(at, must[time.Time](t)(time.Parse("2006-01-02T15:04:05.000Z07:00", m[1])))
		}
	}
	slices.SortFunc(fatal, time.Time.Compare)
	hist := map[int]int{}
	var worst time.Duration
	for _, x := range at {
		i, _ := slices.BinarySearchFunc(fatal, x, time.Time.Compare)
		if i == 0 {
			continue
		}
		d := x.Sub(fatal[i-1])
		worst = max(worst, d)
		hist[int(d/(5*time.Second))]++
	}
	for i := range 8 {
		t.Logf("taken up after %2d to %2d s: %s", i*5, i*5+5, strings.Repeat("#", hist[i]))
	}
	if worst > 30*time.Second {
		t.Errorf("the longest take-up was %s", worst)
	}
	if len(at) == 0 && len(fatal) > 0 {
		t.Error("nothing was ever taken up")
	}
}
