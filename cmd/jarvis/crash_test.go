//go:build !race

// Not under the race detector, which would see only the simulators and make them slow: the process that is killed is
// not the test's. `make test` runs this file apart.

package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/pipeline"
)

// TestCrash has very many deployments in flight on three providers, which play their faults, and kills the process with
// -9 again and again, between and inside steps and while it starts. In the end every run is ready, no machine was made
// twice, every step finished once, the commands on the hosts ran once, and who asked has heard of every host. Then all
// is undone, with more kills and faults, and nothing is left anywhere. `make crash` does it for long.
func TestCrash(t *testing.T) {
	runs, kills := number("JARVIS_CRASH_RUNS", 90), number("JARVIS_CRASH_KILLS", 30)
	s := newSiege(t, runs, 79)
	dir, bin := s.dir, buildJarvis(t)
	conf := filepath.Join(dir, "jarvis.yaml")
	if err := os.WriteFile(conf, []byte(s.config(filepath.Join(dir, "data"), "")), 0o600); err != nil {
		t.Fatal(err)
	}
	log := must[*os.File](t)(os.Create(filepath.Join(dir, "log")))
	p := &process{t: t, bin: bin, conf: conf, log: log}
	p.start()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("the end of the log:\n%s", b[max(0, len(b)-2500):])
		}
	})
	s.cli = p.cli
	s.enter()

	killing := make(chan struct{})
	var asked sync.WaitGroup
	asked.Add(1)
	go func() {
		defer asked.Done()
		s.deploys(t.Context())
		close(killing)
	}()
	// Kills begin while the deployments are being asked for, a third of them inside the first 200 ms of a start.
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	most, full := 0, 0
	kill := func(i int) {
		pause := time.Duration(rnd.IntN(1500)) * time.Millisecond
		if i%3 == 0 {
			pause = time.Duration(rnd.IntN(200)) * time.Millisecond
		}
		time.Sleep(pause)
		if n := s.inFlight(); n > 0 { // 0: it was still starting
			most = max(most, n)
			if n >= 100 {
				full++
			}
		}
		p.kill()
		p.start()
		if i%5 == 2 {
			// Now and then an orderly stop in the middle of everything: the other way out must lose nothing either.
			time.Sleep(300 * time.Millisecond)
			p.end(syscall.SIGTERM)
			p.start()
		}
	}
	// The first part comes while deployments are being asked for; the rest hits whatever is left.
	done := 0
	for asking := true; asking && done < kills/5; done++ {
		time.Sleep(time.Second) // let some questions through
		kill(done)
		select {
		case <-killing:
			asking = false
		default:
		}
	}
	<-killing
	for ; done < kills; done++ {
		kill(done)
	}
	asked.Wait()
	s.letGo() // nobody was done before the last kill
	began := time.Now()
	s.settle(pipeline.Ready, "retry", 4*time.Minute)
	t.Logf("all were ready %s after the last kill", time.Since(began).Round(time.Second))
	t.Logf("%d runs, %d kills, up to %d in flight; 100 or more at %d of the kills that met a server in service", runs, kills, most, full)
	if runs >= 150 && most < 100 {
		t.Errorf("never were 100 deployments in flight at a kill; the most was %d", most)
	}
	s.stands()

	// And back: everything is undone, while the process is killed and the providers play their faults.
	asked.Add(1)
	go func() {
		defer asked.Done()
		s.undoes(t.Context())
	}()
	for i := range kills / 4 {
		kill(i)
	}
	asked.Wait()
	s.settle(pipeline.Undone, "undo", 4*time.Minute)
	s.gone()
}
