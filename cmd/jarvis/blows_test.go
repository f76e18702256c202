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

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
)

// hitNode is a node that a service manager keeps up, behind a line to the database of its own; or the agent.
type hitNode struct {
	*process
	name string
	verb string
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
		cmd := exec.Command(b.bin, "--config", b.conf, b.verb)
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

// up runs it until the test ends.
func (b *hitNode) up() {
	go b.keepUp()
	b.t.Cleanup(func() {
		b.stopped.Store(true)
		b.signal(syscall.SIGCONT)
		b.signal(syscall.SIGKILL)
		<-b.ended
		if text, _ := os.ReadFile(b.log.Name()); b.t.Failed() {
			b.t.Logf("the end of the log of %s:\n%s", b.name, text[max(0, len(text)-2500):])
		}
	})
}

// newHit makes one, with a log beside its configuration.
func newHit(t *testing.T, name, verb, conf string, w *wire) *hitNode {
	t.Helper()
	log := must[*os.File](t)(os.Create(strings.TrimSuffix(conf, ".yaml") + ".log"))
	return &hitNode{process: &process{t: t, bin: buildJarvis(t), conf: conf, log: log}, name: name, verb: verb, wire: w, ended: make(chan struct{})}
}

// TestBlows has three nodes deploy on three providers that play their faults, one of which only an agent reaches, and
// hits them at random: killed, stopped and woken, cut off from the database, the database restarted, all its sessions
// ended, whoever speaks on a network killed, the agent killed, stopped, and cut off from all. In the end every run is
// ready, no machine was made twice, what ran on hosts ran once, no step that asks was begun again without a person's
// word, at a server or at the agent, and whoever asked, on IRC or on Jabber, has heard of each host once. Then all is
// undone, with more blows, and nothing is left. `make cluster` does it for long.
func TestBlows(t *testing.T) {
	runs, blows := number("JARVIS_CLUSTER_RUNS", 60), number("JARVIS_CLUSTER_BLOWS", 14)
	stop := time.Duration(number("JARVIS_CLUSTER_STOP", 20)) * time.Second
	s := newSiege(t, runs, 83, "near:sign", "far:sign")
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	db := must[*url.URL](t)(url.Parse(must[string](t)(pg.Database(t.Context()))))
	key := must[*age.X25519Identity](t)(age.GenerateX25519Identity()).String()
	selfSigned(t, s.dir)
	var list []*hitNode
	agent := &hitAgent{}
	for _, name := range []string{"one", "two", "three"} {
		w := newWire(t, db.Host)
		u := *db
		u.Host = w.Listen
		api := freeAddr(t)
		agent.reach(t, api)
		text := s.config(filepath.Join(s.dir, name), fmt.Sprintf("http: {tls: {cert: cert.pem, key: key.pem}}\nsilos: {vmware: [esx, far]}\nnode: {name: %s}\ndatabase: %q\nage_key: %s\n", name, u.String(), key))
		text = strings.Replace(text, "listen: \"\"", fmt.Sprintf("listen: %q", api), 1)
		text = strings.Replace(text, s.world.VSphere.Config(), "", 1) // the agent's
		b := newHit(t, name, "serve", writeIn(t, s.dir)(name+".yaml", text, 0o600), w)
		list = append(list, b)
		b.up()
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
	agent.start(s)
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
	spoke := map[string]int{} // who was killed, by network
	kinds := []blow{
		{"kill -9", func() { noteFatal(); free().signal(syscall.SIGKILL) }},
		{"stop and wake", func() {
			b := free()
			b.frozen.Store(true)
			noteFatal()
			b.signal(syscall.SIGSTOP)
			healing.Go(func() {
				time.Sleep(stop)
				noteFatal() // awake, it may take a job in hand before it sees that it is dead
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
			var on string
			var b *hitNode
			until(t, time.Minute, "somebody speaks", func() bool { on, b = s.speaker(list); return b != nil })
			spoke[on]++
			noteFatal()
			b.signal(syscall.SIGKILL)
		}},
	}
	kinds = append(kinds, agent.blows(&healing)...)
	dealt := map[string]int{}
	var deck []blow
	busy := sync.Mutex{} // two wounds on one wire cannot be dressed at once
	deal := func(n int) {
		busy.Lock()
		defer busy.Unlock()
		for range n {
			healing.Wait()
			if len(deck) == 0 { // each kind once, and then all again in another order
				for _, i := range rand.Perm(len(kinds)) {
					deck = append(deck, kinds[i])
				}
			}
			k := deck[0]
			deck = deck[1:]
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
	t.Logf("dealt %v; of those who spoke %v", dealt, spoke)
	s.saidOnce()
	takeUps(t, list, fatal)
}

// speaker gives one of those who speak, and on what: the networks have a speaker each.
func (s *siege) speaker(list []*hitNode) (on string, who *hitNode) {
	out, err := s.cli(s.t.Context(), "nodes", "--json")
	var a struct{ Data command.Servers }
	if err != nil || contract.Unmarshal(out, &a) != nil {
		return "", nil
	}
	seen := 0
	for _, n := range a.Data.Nodes {
		i := slices.IndexFunc(list, func(b *hitNode) bool { return b.name == n.Name })
		for _, r := range n.Roles {
			network, voice := strings.CutPrefix(r, "chat ")
			if !voice || i < 0 || n.State != "lives" {
				continue
			}
			if seen++; rand.IntN(seen) == 0 {
				on, who = network, list[i]
			}
		}
	}
	return on, who
}

type blow struct {
	name string
	do   func()
}

// hitAgent is an agent of the vSphere's silo, with a line to each node that can be cut.
type hitAgent struct {
	*hitNode
	wires   []*wire
	servers []string
}

func (a *hitAgent) reach(t *testing.T, api string) {
	w := newWire(t, api)
	a.wires = append(a.wires, w)
	a.servers = append(a.servers, "https://"+w.Listen)
}

// start makes its token, and has it serve the silo.
func (a *hitAgent) start(s *siege) {
	t := s.t
	t.Helper()
	out := must[[]byte](t)(s.cli(t.Context(), "token", "new", "vm-agent", "silo", "vmware"))
	token, _, _ := strings.Cut(string(out), "\n")
	conf := writeIn(t, s.dir)("agent.yaml", fmt.Sprintf("data: %q\nagent: {server: [%s], token: %q, silo: vmware, ca: cert.pem}\nworkers:\n  external: {dir: %q}\n%s",
		filepath.Join(s.dir, "agent"), strings.Join(a.servers, ", "), token, s.ext, s.world.VSphere.Config()), 0o600)
	a.hitNode = newHit(t, "agent", "agent", conf, nil)
	a.up()
	until(t, time.Minute, "each node has the agent's line", func() bool {
		out, _ := s.cli(t.Context(), "nodes")
		return strings.Count(string(out), "has a line to the agent") == len(a.wires)
	})
}

// blows are those that hit the agent: none of them ends a node, so nothing is taken up because of them.
func (a *hitAgent) blows(healing *sync.WaitGroup) []blow {
	return []blow{
		{"kill the agent", func() { a.signal(syscall.SIGKILL) }},
		{"stop the agent and wake it", func() {
			a.signal(syscall.SIGSTOP)
			healing.Go(func() {
				time.Sleep(time.Duration(1+rand.IntN(30)) * time.Second)
				a.signal(syscall.SIGCONT)
			})
		}},
		{"cut the agent's lines", func() {
			d := time.Duration(1+rand.IntN(15)) * time.Second
			for _, w := range a.wires {
				healing.Go(func() { w.with(a.t, d, "timeout", `"timeout": 0`) })
			}
			time.Sleep(time.Second)
		}},
	}
}

// saidOnce makes sure that no notice was said twice without saying so.
func (s *siege) saidOnce() {
	s.t.Helper()
	marked := 0
	for _, a := range s.people {
		marked += a.Count(again)
	}
	for i := range s.runs {
		for _, what := range []string{" is ready: ", " is undone: took back "} {
			if a := s.whose(s.name(i)); a.Count(a.who+": "+s.name(i)+what) > 1 {
				s.t.Errorf("%s%swas said %d times to %s", s.name(i), what, a.Count(a.who+": "+s.name(i)+what), a.who)
			}
		}
	}
	s.t.Logf("%d notices were said as perhaps for the second time", marked)
}

var tookUp = regexp.MustCompile(`time=(\S+) level=WARN msg="took up the runs of a node that is gone"`)

var buried = regexp.MustCompile(`is taken for dead; .* silent=(\S+)`)

// takeUps prints how long it took until the runs of a node that was hit were taken up, and how long nodes had been
// silent when another buried them.
func takeUps(t *testing.T, list []*hitNode, fatal []time.Time) {
	t.Helper()
	var at []time.Time
	var silent []time.Duration
	for _, b := range list {
		text, _ := os.ReadFile(b.log.Name())
		for _, m := range tookUp.FindAllStringSubmatch(string(text), -1) {
			at = append(at, must[time.Time](t)(time.Parse("2006-01-02T15:04:05.000Z07:00", m[1])))
		}
		for _, m := range buried.FindAllStringSubmatch(string(text), -1) {
			silent = append(silent, must[time.Duration](t)(time.ParseDuration(m[1])))
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
	if len(silent) > 0 {
		slices.Sort(silent)
		t.Logf("%d nodes were buried, after a silence of %s to %s", len(silent), silent[0], silent[len(silent)-1])
		worst = max(worst, silent[len(silent)-1])
	}
	if worst > 30*time.Second {
		t.Errorf("the longest take-up was %s", worst)
	}
	if len(at) == 0 && len(fatal) > 0 {
		t.Error("nothing was ever taken up")
	}
}
