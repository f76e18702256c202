package main

import (
	"database/sql"

	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/contract"
)

// checkProcess is the real program with checks of a row of hosts.
func checkProcess(t *testing.T, bin, data, defs string) *process {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "jarvis.yaml")
	if err := os.WriteFile(conf, []byte("data: "+data+"\nlisten: \"\"\nchecks:\n"+defs), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, bin: bin, conf: conf, log: must[*os.File](t)(os.Create(filepath.Join(dir, "log")))}
	t.Cleanup(func() {
		if b, err := os.ReadFile(p.log.Name()); t.Failed() && err == nil {
			t.Logf("the server's log:\n%s", last(b))
		}
	})
	return p
}

func (p *process) checkStats() (s checks.Stats, ok bool) {
	out, err := p.cli(p.t.Context(), "check", "stats", "--json")
	var a struct{ Data checks.Stats }
	return a.Data, err == nil && contract.Unmarshal(out, &a) == nil && func() bool { s = a.Data; return true }()
}

// until waits for something of the statistics.
func (p *process) until(what string, f func(s checks.Stats) bool) checks.Stats {
	p.t.Helper()
	var s checks.Stats
	for range 1200 {
		var ok bool
		if s, ok = p.checkStats(); ok && f(s) {
			return s
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.t.Fatalf("%s: %+v", what, s)
	return s
}

// TestChecksThroughKills kills the server with -9 at random moments. What is on record ran; what ran and is not on
// record was not acknowledged when the server died, and ran again; what had to be told is told.
func TestChecksThroughKills(t *testing.T) {
	kills := number("JARVIS_CHECK_KILLS", 8)
	bin := buildJarvis(t)
	r := newRow(t, 2, 100) // behind the build: it changes HOME, where Go keeps its modules
	data := filepath.Join(t.TempDir(), "data")
	p := checkProcess(t, bin, data, `
  gather: 1s
  tasks:
    - {name: a, command: "echo x >> /ran-a", schedule: "@every 1s"}
    - {name: b, command: "echo x >> /ran-b; sleep 0.3", schedule: "@every 1s"}
    - {name: c, command: "echo x >> /ran-c", schedule: "*/2 * * * * *"}
    - {name: long, command: "pgrep -f 'sleep 3.1[4]' >> /overlap; sleep 3.14", schedule: "@every 1s"}
    - {name: flag, command: "test ! -e /flag", schedule: "@every 1s", attempts: 1}
  host_tasks: [{tasks: ["*"], hosts: ["web[1-2]"]}]
`)
	for i := range kills {
		p.start()
		time.Sleep(time.Duration(500+rand.IntN(2500)) * time.Millisecond)
		if i == kills/2 {
			r.inside(t, 1, "touch /flag")
		}
		p.kill()
	}
	p.start()
	p.until("all runs again", func(s checks.Stats) bool { return s.Checks == 10 && s.Started > 16 && s.Problems == 1 })
	r.inside(t, 1, "rm /flag")
	p.until("all is well", func(s checks.Stats) bool { return s.Problems == 0 })
	time.Sleep(3 * time.Second)
	p.end(syscall.SIGTERM)
	db := must[*sql.DB](t)(sql.Open("sqlite", "file:"+filepath.Join(data, "jarvis.db")))
	defer func() { _ = db.Close() }()
	for _, k := range []model.Key{{Task: "a", Host: "web1"}, {Task: "b", Host: "web1"}, {Task: "c", Host: "web2"}} {
		var n, distinct int
		if err := db.QueryRow("SELECT count(*), count(DISTINCT at) FROM check_results r JOIN check_pairs p ON p.id = r.pair WHERE p.task = ? AND p.host = ? AND r.line NOT LIKE '%reached%'", k.Task, k.Host).Scan(&n, &distinct); err != nil {
			t.Fatal(err)
		}
		ran := strings.Count(r.read(int(k.Host[3]-'0'), "ran-"+k.Task), "x")
		t.Logf("%s: ran %d times, %d on record", k, ran, n)
		if n > ran || ran-n > kills+1 || n != distinct || n < kills/2 {
			t.Errorf("%s: ran %d times, and %d results (%d at different times) are on record after %d kills", k, ran, n, distinct, kills)
		}
	}
	for i := range 2 {
		if got := r.read(i+1, "overlap"); got != "" {
			t.Errorf("on web%d it ran twice at once: %q", i+1, got)
		}
	}
	var lines []string
	rows := must[*sql.Rows](t)(db.Query("SELECT line FROM check_notices ORDER BY id"))
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var l string
		if err := rows.Scan(&l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "flag is CRITICAL on web1") && !strings.HasPrefix(lines[0], "flag is WARNING on web1") || !strings.HasPrefix(lines[1], "flag is OK again on web1") {
		t.Errorf("told: %q", lines)
	}
	var open int
	if err := db.QueryRow("SELECT count(*) FROM check_outbox WHERE done = 0").Scan(&open); err != nil || open != 0 {
		t.Errorf("%d rows of the outbox are open, %v", open, err)
	}
}

// TestTheDiskIsFull fills the disk of the data folder: nothing that was committed is lost, it is said once, and it goes
// on when there is room.
func TestTheDiskIsFull(t *testing.T) {
	bin := buildJarvis(t)
	r := newRow(t, 1, 101)
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(data, syscall.MNT_DETACH) })
	p := checkProcess(t, bin, data, `
  tasks:
    - {name: a, command: "echo x >> /ran-a", schedule: "@every 1s"}
    - {name: b, command: "head -c 4000 /dev/zero | tr '\\0' y", schedule: "@every 1s"}
  host_tasks: [{tasks: ["*"], hosts: [web1]}]
`)
	p.start()
	t.Cleanup(p.kill)
	p.until("it runs", func(s checks.Stats) bool { return s.Written > 6 })
	filler := filepath.Join(data, "filler")
	f := must[*os.File](t)(os.Create(filler))
	block := make([]byte, 4096)
	for {
		if _, err := f.Write(block); err != nil {
			break
		}
	}
	_ = f.Close()
	p.until("it is said", func(s checks.Stats) bool { return strings.Contains(s.Trouble, "the database takes no results since") })
	if out := string(must[[]byte](t)(p.cli(t.Context(), "checks"))); !strings.Contains(out, "trouble: the database takes no results") {
		t.Error(out)
	}
	before := strings.Count(r.read(1, "ran-a"), "x")
	time.Sleep(3 * time.Second)
	if after := strings.Count(r.read(1, "ran-a"), "x"); after > before+1 {
		t.Errorf("it ran %d times while no result was taken", after-before)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	p.until("it goes on", func(s checks.Stats) bool { return s.Trouble == "" && s.Unwritten == 0 })
	time.Sleep(2 * time.Second)
	p.end(syscall.SIGTERM)
	log := string(must[[]byte](t)(os.ReadFile(p.log.Name())))
	if n := strings.Count(log, "results cannot be committed"); n != 1 {
		t.Errorf("it was logged %d times", n)
	}
	db := must[*sql.DB](t)(sql.Open("sqlite", "file:"+filepath.Join(data, "jarvis.db")))
	defer func() { _ = db.Close() }()
	var ok string
	var n int
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&ok); err != nil || ok != "ok" {
		t.Errorf("%q %v", ok, err)
	}
	if err := db.QueryRow("SELECT count(*) FROM check_results r JOIN check_pairs p ON p.id = r.pair WHERE p.task = 'a'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if ran := strings.Count(r.read(1, "ran-a"), "x"); n != ran {
		t.Errorf("it ran %d times, and %d results are on record", ran, n)
	}
}
