//go:build !race

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
)

// TestFrozenInEachStep freezes the node that carries a run in the middle of a step, lets another take the run up and
// finish it, and wakes the first one up. What it still does must be nothing, or harmless by the step's own idempotence:
// the world is looked at in the end. By default a few kinds of steps; with JARVIS_CLUSTER_STEPS=10, as `make cluster`
// does, each.
func TestFrozenInEachStep(t *testing.T) {
	cases := []string{"linode:deploy", "dns:update_host", "ssh:run_config_management", // of Linode, EC2 and ESX in turn
		"keys:update_deploy_key", "ec2:deploy", "esx:deploy", "ldap:update_host_ou", "kids:play", "monitor:suppress", "ssh:make_root_keypair"}
	cases = cases[:number("JARVIS_CLUSTER_STEPS", 3)]
	s := newSiege(t, 0, 85)
	for _, c := range s.clouds {
		c.Chaos().Random(0, 1)
	}
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	u := must[string](t)(pg.Database(t.Context()))
	key := must[*age.X25519Identity](t)(age.GenerateX25519Identity()).String()
	var list []*process
	for _, name := range []string{"one", "two"} {
		conf := writeIn(t, s.dir)(name+".yaml", s.config(filepath.Join(s.dir, name), fmt.Sprintf("node: {name: %s}\ndatabase: %q\nage_key: %s\n", name, u, key)), 0o600)
		log := must[*os.File](t)(os.Create(filepath.Join(s.dir, name+".log")))
		p := &process{t: t, bin: buildJarvis(t), conf: conf, log: log}
		list = append(list, p)
		t.Cleanup(func() {
			_ = p.cmd.Process.Signal(syscall.SIGCONT)
			p.kill()
			if text, _ := os.ReadFile(log.Name()); t.Failed() {
				t.Logf("the end of the log of %s:\n%s", name, text[max(0, len(text)-2500):])
			}
		})
		p.start()
	}
	up := func(p *process) {
		until(t, 60*time.Second, "a node is up", func() bool { _, err := p.cli(t.Context(), "nodes"); return err == nil })
	}
	up(list[0])
	up(list[1])
	s.enter()
	s.cli = list[0].cli
	s.letGo()
	db := must[*pgx.Conn](t)(pgx.Connect(t.Context(), u))
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	for i, step := range cases {
		name := s.name(i)
		for try := 0; s.hosts()[name].ID == 0; try++ {
			if try > 5 {
				t.Fatalf("nobody hears of %s", name)
			}
			s.whose(name).says("deploy " + s.gist + name)
			for wait := 0; wait < 100 && s.hosts()[name].ID == 0; wait++ {
				time.Sleep(50 * time.Millisecond)
			}
		}
		// The node that carries it is frozen as soon as the step is under way.
		var holder string
		until(t, 2*time.Minute, name+" is at "+step, func() bool {
			err := db.QueryRow(t.Context(), `SELECT n.name FROM events e JOIN runs r ON r.id = e.run JOIN river_job j ON (j.args->>'run')::bigint = r.id AND j.state = 'running'
				JOIN jarvis_nodes n ON n.holder = j.attempted_by[array_upper(j.attempted_by, 1)] WHERE r.host = $1 AND e.kind = 'step' AND e.step = $2 LIMIT 1`, name, step).Scan(&holder)
			return err == nil
		})
		frozen, other := list[0], list[1]
		if holder == "two" {
			frozen, other = other, frozen
		}
		if err := frozen.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		s.cli = other.cli
		var took time.Duration
		until(t, 3*time.Minute, name+" is ready elsewhere", func() bool {
			if took == 0 {
				var n int
				if err := db.QueryRow(t.Context(), "SELECT count(*) FROM runs WHERE host = $1 AND epoch > 1", name).Scan(&n); err == nil && n > 0 {
					took = time.Since(began)
				}
			}
			return s.hosts()[name].State == pipeline.Ready
		})
		size := fileSize(t, frozen.log.Name())
		if err := frozen.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if err := frozen.cmd.Wait(); err == nil {
			t.Errorf("%s: the node that was frozen ended well", step)
		}
		text := string(must[[]byte](t)(os.ReadFile(frozen.log.Name()))[size:])
		did := "nothing"
		if strings.Contains(text, "event=done") || strings.Contains(text, "event=ready") {
			did = "its log tells of the run, as every node's does"
		}
		t.Logf("| %-28s | taken up after %4.1f s | awake, it did %s, and ended |", step, took.Seconds(), did)
		if took > 30*time.Second {
			t.Errorf("%s was taken up after %s", step, took)
		}
		frozen.start()
		up(frozen)
		s.runs++
	}
	s.stands()
}

func fileSize(t *testing.T, name string) int64 {
	t.Helper()
	return must[os.FileInfo](t)(os.Stat(name)).Size()
}
