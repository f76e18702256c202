//go:build !race

// Not under the race detector: the process that is killed is not the test's.

package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKeepRemovesYearsAndNothingYoung has a record of years of which most is too old, and a server that removes it and
// is killed with -9 in the middle, again and again. In the end what is old is gone, and all that is young is as it was,
// byte by byte.
func TestKeepRemovesYearsAndNothingYoung(t *testing.T) {
	const hosts, runs, events = 800, 6, 8
	const oldRuns = 4 * hosts // of each host four are old and two young
	y := makeYears(t, "kept", hosts, runs, events, 0)
	db := must[*sql.DB](t)(sql.Open("sqlite", "file:"+filepath.Join(y.dir, "data", "jarvis.db")+"?_pragma=busy_timeout(20000)"))
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	exec := func(q string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), q, args...); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	count := func(q string, args ...any) (n int) {
		t.Helper()
		if err := db.QueryRowContext(t.Context(), q, args...).Scan(&n); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		return n
	}
	const year = 365 * 24 * time.Hour
	now := time.Now()
	old, young, cutoff := now.Add(-2*year).UnixMilli(), now.Add(-year/12).UnixMilli(), now.Add(-400*24*time.Hour).UnixMilli()
	exec("UPDATE runs SET cluster = 0, started = CASE WHEN id <= ? THEN ? ELSE ? END, ended = CASE WHEN id <= ? THEN ? ELSE ? END WHERE id > 1", oldRuns+1, old, young, oldRuns+1, old, young)
	exec("UPDATE runs SET state = 'failed', ending = 'failed', live = 1 WHERE id = 20") // nobody has looked after it for two years
	exec("UPDATE runs SET live = 0 WHERE id <> 20")
	exec("DELETE FROM events WHERE run IN (SELECT id FROM runs WHERE fqdn = (SELECT fqdn FROM runs WHERE id = 20) AND id <> 20)")
	exec("DELETE FROM runs WHERE fqdn = (SELECT fqdn FROM runs WHERE id = 20) AND id <> 20")
	exec("UPDATE hosts SET run = 20, newest = 20 WHERE fqdn = (SELECT fqdn FROM runs WHERE id = 20)")
	exec("DROP TRIGGER audit_no_update")
	exec("UPDATE audit SET at = CASE WHEN id < 6000 THEN ? ELSE ? END", old, young)
	exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO notices (event, run, frontend, place, nick, line, sent, at) SELECT i, 1, 'irc', '#ops', '', 'a line', CASE WHEN i % 100 = 0 THEN 0 WHEN i < 4000 THEN ? ELSE ? END, ? FROM n", old, young, old)

	stays := map[string]string{
		"runs":     fmt.Sprintf("SELECT * FROM runs WHERE id > %d OR id IN (1, 20) ORDER BY id", oldRuns+1),
		"events":   fmt.Sprintf("SELECT * FROM events WHERE run > %d OR run IN (1, 20) ORDER BY id", oldRuns+1),
		"hosts":    "SELECT fqdn, host, run, newest, hostkeys FROM hosts ORDER BY fqdn",
		"machines": "SELECT * FROM machines ORDER BY id",
		"audit":    fmt.Sprintf("SELECT * FROM audit WHERE at >= %d AND id <= %d ORDER BY id", cutoff, count("SELECT max(id) FROM audit")),
		"notices":  fmt.Sprintf("SELECT * FROM notices WHERE sent = 0 OR sent >= %d ORDER BY id", cutoff),
		"timings":  "SELECT * FROM timings WHERE run IN (SELECT DISTINCT run FROM timings ORDER BY run DESC LIMIT 20) ORDER BY run, stage",
	}
	before := map[string]string{}
	for name, q := range stays {
		before[name] = rowsOf(t, db, q)
	}

	conf := strings.Replace(yearsConf, "listen: 127.0.0.1:0", "listen: ''", 1) + "keep: {events: 400d, runs: 400d, audit: 400d, notices: 400d, timings: 400d}\n"
	y.write("jarvis.yaml", conf, 0o600)
	log := must[*os.File](t)(os.Create(filepath.Join(y.dir, "log")))
	p := &process{t: t, bin: buildJarvis(t), conf: filepath.Join(y.dir, "jarvis.yaml"), log: log}
	t.Cleanup(func() { _ = log.Close() })
	// The newest of the old runs has more events than a transaction takes, and is the last to go.
	exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO events (run, at, kind, stage, step, text, diff, took) SELECT ?, ?, 'log', 0, '', 'a line', '', 0 FROM n", oldRuns+1, old)
	events0 := map[int]int{}
	perRun := func(do func(run, n int)) {
		t.Helper()
		rows := must[*sql.Rows](t)(db.QueryContext(t.Context(), "SELECT run, count(*) FROM events WHERE run <> coalesce((SELECT CAST(value AS INTEGER) FROM jarvis_facts WHERE name = 'events_going_run'), 0) GROUP BY run"))
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var run, n int
			if err := rows.Scan(&run, &n); err != nil {
				t.Fatal(err)
			}
			do(run, n)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	perRun(func(run, n int) { events0[run] = n })
	left := func() int { return count("SELECT count(*) FROM runs WHERE ended < ?", cutoff) }
	inTheMiddle := 0
	for range 4 {
		was := left()
		p.start()
		for deadline := time.Now().Add(time.Minute); left() > was-300 && left() > 0 && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond)
		}
		p.kill()
		if n := left(); n > 1 && n < oldRuns {
			inTheMiddle++
		}
		perRun(func(run, n int) {
			if n != events0[run] {
				t.Errorf("after a kill run %d has %d events of %d, and nothing says that they go", run, n, events0[run])
			}
		})
		if n := count("SELECT count(*) FROM events WHERE run NOT IN (SELECT id FROM runs)"); n > 0 {
			t.Errorf("after a kill %d events have no run", n)
		}
	}
	if inTheMiddle == 0 {
		t.Error("no kill came in the middle of a sweep")
	}
	p.start()
	t.Cleanup(p.kill)
	for deadline := time.Now().Add(time.Minute); count("SELECT count(*) FROM audit WHERE at < ?", cutoff)+count("SELECT count(*) FROM audit_let_go") > 0 || !strings.Contains(p.said(), "removed what is older than keep says"); {
		if time.Now().After(deadline) {
			t.Fatalf("it is not done: %s", p.said())
		}
		time.Sleep(20 * time.Millisecond)
	}
	for name, q := range stays {
		if rowsOf(t, db, q) != before[name] {
			t.Errorf("%s: what is young or needed is not what it was", name)
		}
	}
	if n := count("SELECT count(*) FROM runs WHERE ended < ? AND id NOT IN (1, 20)", cutoff); n > 0 {
		t.Errorf("%d old runs are there", n)
	}
	if n := count("SELECT count(*) FROM notices WHERE sent > 0 AND sent < ?", cutoff); n > 0 {
		t.Errorf("%d old notices are there", n)
	}
	if n := count("SELECT count(DISTINCT run) FROM timings"); n > 2*hosts {
		t.Errorf("timings of %d runs are there", n)
	}
	var whole string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&whole); err != nil || whole != "ok" {
		t.Errorf("the file: %s %v", whole, err)
	}
	code, out, errs := jarvis(t, "", "--config", p.conf, "status", "5")
	if code != exitNotFound || !strings.Contains(errs, "run 5 is older than keep.runs: what ended before ") {
		t.Errorf("status 5: %d %s%s", code, out, errs)
	}
	if code, out, errs = jarvis(t, "", "--config", p.conf, "status", "web18.example.org"); code != 0 {
		t.Errorf("status of a host: %d %s%s", code, out, errs)
	}
	t.Logf("%d of 4 kills came in the middle", inTheMiddle)
}

// rowsOf gives all that a statement reads, as a sum.
func rowsOf(t *testing.T, db *sql.DB, q string) string {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), q)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	sum, n := sha256.New(), 0
	row, dest := make([]any, len(names)), make([]any, len(names))
	for i := range row {
		dest[i] = &row[i]
	}
	for ; rows.Next(); n++ {
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintln(sum, row...)
	}
	if rows.Err() != nil || n == 0 && !strings.Contains(q, "machines") {
		t.Fatalf("%s: %d rows, %v", q, n, rows.Err())
	}
	return fmt.Sprintf("%d rows %x", n, sum.Sum(nil))
}
