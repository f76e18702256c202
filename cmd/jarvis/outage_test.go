//go:build !race

// Not under the race detector: the process that loses its database is not the test's.

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
)

// countingWorker writes down when a step begins and ends. Once it has written that it ends, nothing keeps it from doing
// so. None ends while the file `hold` is there.
const countingWorker = `#!/bin/bash
log=${0%/*}/log
case $1 in
--steps) for i in 1 2 3 4; do echo "- {name: 'toy:s$i', doc: counts, needs: [hostname], gives: [did$i], timeout: 600s, resume: $([ $i = 2 ] && echo ask || echo again)}"; done; exit ;;
esac
in=$(cat); host=$(sed -n 's/.*hostname: *\([a-z0-9]*\).*/\1/p' <<<"$in" | head -n 1)
echo "begin $host $1" >>"$log"
sleep 0.$((RANDOM % 9 + 1))
while [ -e "${0%/*}/hold" ]; do sleep 0.05; done
trap '' TERM
echo "end $host $1" >>"$log"
printf '%s\n  did%s: yes\n' "$in" "${1#s}"
`

// outage is a server whose database comes and goes, started again whenever it ends, as a service manager does.
type outage struct {
	*process
	dir   string
	hosts int
	over  atomic.Bool
	done  chan struct{}
	ends  atomic.Int32
}

func newOutage(t *testing.T, database string, dataDir string) *outage {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "w"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "w", "toy"), []byte(countingWorker), 0o755); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "jarvis.yaml")
	text := fmt.Sprintf("%sdata: %q\nlisten: \"\"\napprovals: {off: true}\nworkers: {external: {dir: %q}}\npipelines: {deploy: {toy: [\"toy:s1\", \"toy:s2\", \"toy:s3\", \"toy:s4\"]}}\n", database, dataDir, filepath.Join(dir, "w"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &outage{process: &process{t: t, bin: buildJarvis(t), conf: conf, log: must[*os.File](t)(os.Create(filepath.Join(dir, "server.log")))}, dir: dir, hosts: number("JARVIS_OUTAGE_HOSTS", 24), done: make(chan struct{})}
	t.Cleanup(func() {
		if t.Failed() {
			said := o.said()
			t.Logf("the server says:\n%s", said[max(0, len(said)-6000):])
		}
	})
	o.start()
	go func() {
		defer close(o.done)
		for {
			_ = o.cmd.Wait()
			if o.over.Load() {
				return
			}
			o.ends.Add(1)
			time.Sleep(200 * time.Millisecond)
			o.start()
		}
	}()
	t.Cleanup(o.finish)
	until(t, 20*time.Second, "the server is ready", func() bool { return strings.Contains(o.said(), "msg=ready") })
	return o
}

func (o *outage) finish() {
	if o.over.CompareAndSwap(false, true) {
		_ = o.cmd.Process.Signal(syscall.SIGTERM)
		<-o.done
	}
}

// begin asks for every host, again and again until each is on record.
func (o *outage) begin() {
	o.t.Helper()
	for i := range o.hosts {
		name := fmt.Sprintf("h%d", i)
		clip := filepath.Join(o.dir, name+".yaml")
		if err := os.WriteFile(clip, []byte("instance:\n  hostname: "+name+"\n  provider: toy\n"), 0o600); err != nil {
			o.t.Fatal(err)
		}
		if out, err := exec.Command(o.bin, "--config", o.conf, "deploy", "--no-wait", clip).CombinedOutput(); err != nil {
			o.t.Fatalf("deploy: %v %s", err, out)
		}
	}
}

// ended counts the lines that say that a step ended.
func (o *outage) ended() map[string]int {
	o.t.Helper()
	b, err := os.ReadFile(filepath.Join(o.dir, "w", "log"))
	if err != nil && !os.IsNotExist(err) {
		o.t.Fatal(err)
	}
	out := map[string]int{}
	for _, l := range strings.Split(string(b), "\n") {
		if what, ok := strings.CutPrefix(l, "end "); ok {
			out[what]++
		}
	}
	return out
}

// allReady brings every host to the end. A person is asked about steps that were stopped in their middle, and about no
// other.
func (o *outage) allReady(limit time.Duration) {
	o.t.Helper()
	asked := 0
	until(o.t, limit, "every host is ready", func() bool {
		ctx, cancel := context.WithTimeout(o.t.Context(), 10*time.Second)
		defer cancel()
		out, err := o.cli(ctx, "hosts", "--json")
		var a struct{ Data []pipeline.Run }
		if err != nil || contract.Unmarshal(out, &a) != nil || len(a.Data) != o.hosts {
			return false
		}
		ready := 0
		for _, r := range a.Data {
			switch r.State {
			case pipeline.Ready:
				ready++
			case pipeline.Asking, pipeline.Failed:
				if o.ended()[r.Host+" "+strings.TrimPrefix(r.Step(), "toy:")] > 0 {
					o.t.Errorf("a person is asked about %s of %s, which ended: %s", r.Step(), r.Host, r.Error)
				}
				asked++
				_, _ = o.cli(ctx, "retry", r.Host)
			}
		}
		time.Sleep(100 * time.Millisecond)
		return ready == o.hosts
	})
	n := 0
	for what, times := range o.ended() {
		n++
		if times != 1 {
			o.t.Errorf("%s ended %d times", what, times)
		}
	}
	if n != 4*o.hosts {
		o.t.Errorf("%d of %d steps ended", n, 4*o.hosts)
	}
	o.t.Logf("%d hosts, %d steps, each ended once; the server ended %d times, a person was asked %d times", o.hosts, n, o.ends.Load(), asked)
}

// The story: PostgreSQL is restarted, stopped for a while, frozen, and cuts its sessions, at random moments. A step
// that had ended ran again, or a person was asked whether it had.
func TestNoStepRunsTwiceWhilePostgresComesAndGoes(t *testing.T) {
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	o := newOutage(t, fmt.Sprintf("database: %q\n", must[string](t)(pg.Database(t.Context()))), filepath.Join(t.TempDir(), "data"))
	o.begin()
	for range number("JARVIS_OUTAGES", 8) {
		time.Sleep(time.Duration(rand.IntN(900)) * time.Millisecond)
		pause := time.Duration(500+rand.IntN(3000)) * time.Millisecond
		switch rand.IntN(4) {
		case 0:
			t.Logf("stopped for %s", pause)
			if err := pg.Down(t.Context(), pause); err != nil {
				t.Fatal(err)
			}
		case 1:
			pause *= 4 // beyond what the server survives, sometimes
			t.Logf("frozen for %s", pause)
			thaw := must[func()](t)(pg.Freeze())
			time.Sleep(pause)
			thaw()
		case 2:
			t.Log("all sessions cut")
			_ = pg.SQL(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname LIKE 'jarvis%'")
		case 3:
			t.Log("restarted")
			if err := pg.Down(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	o.allReady(3 * time.Minute)
}

// The story: the disk fills up while steps run. Under SQLite `again` ran twice, and `ask` was asked about.
func TestNoStepRunsTwiceOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Fatalf("mount a small disk (needs root): %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	o := newOutage(t, "", filepath.Join(dir, "data"))
	o.begin()
	for range number("JARVIS_OUTAGES", 8) {
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		ballast := filepath.Join(dir, "ballast")
		_ = exec.Command("dd", "if=/dev/zero", "of="+ballast, "bs=4k").Run() // ends when the disk is full
		time.Sleep(time.Duration(500+rand.IntN(2000)) * time.Millisecond)
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
	o.allReady(3 * time.Minute)
	o.finish()
}

// The story: a step ends while PostgreSQL is frozen, and before it answers again somebody kills the server with -9.
// What the step did was known to nobody any more.
func TestAnOutcomeOutlivesTheProcess(t *testing.T) {
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	data := filepath.Join(t.TempDir(), "data")
	o := newOutage(t, fmt.Sprintf("database: %q\n", must[string](t)(pg.Database(t.Context()))), data)
	o.begin()
	until(t, 30*time.Second, "steps end", func() bool { return len(o.ended()) > 10 })
	thaw := must[func()](t)(pg.Freeze())
	before := len(o.ended())
	until(t, 5*time.Second, "more steps end", func() bool { return len(o.ended()) > before })
	// A step that ends in the moment of the kill is known to nobody, and nothing can change that. So none ends then.
	hold := filepath.Join(o.dir, "w", "hold")
	if err := os.WriteFile(hold, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2500 * time.Millisecond) // a file is written for what has not been on record for a second
	until(t, 2*time.Second, "their outcomes are in files", func() bool {
		files, _ := filepath.Glob(filepath.Join(data, "outcomes", "run-*.json"))
		return len(files) >= len(o.ended())-before
	})
	_ = o.cmd.Process.Signal(syscall.SIGKILL)
	time.Sleep(300 * time.Millisecond)
	if err := os.Remove(hold); err != nil {
		t.Fatal(err)
	}
	thaw()
	o.allReady(2 * time.Minute)
	if files, _ := filepath.Glob(filepath.Join(data, "outcomes", "*")); len(files) > 0 {
		t.Errorf("left behind: %v", files)
	}
}
