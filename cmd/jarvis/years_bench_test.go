package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/web"
)

// BenchmarkYears sets every verb on a record of years beside the same on a young one, in one run:
// docs/design/performance.md has the figures. The young record has as many hosts as
// `hosts` lists at once, and each has as many runs, so that both say as much.
func BenchmarkYears(b *testing.B) {
	for range b.N {
		hosts, results := 20_000, 5_000_000
		if testing.Short() { // CI runs each benchmark so that none can rot
			hosts, results = 1_000, 50_000
		}
		old := newYears(b, "old", number("JARVIS_BENCH_HOSTS", hosts), 5, number("JARVIS_BENCH_EVENTS", 30), number("JARVIS_BENCH_RESULTS", results))
		young := newYears(b, "young", 205, 5, number("JARVIS_BENCH_EVENTS", 30), 0)
		worst, times := 0.0, 15
		if testing.Short() {
			times = 1
		}
		for _, v := range yearsVerbs {
			var took [2][]time.Duration
			for i := range number("JARVIS_BENCH_TIMES", times) {
				for j, y := range []*years{old, young} {
					took[j] = append(took[j], v.time(y, i))
				}
			}
			for j := range took {
				slices.Sort(took[j])
			}
			m := func(j int) time.Duration { return took[j][len(took[j])/2] }
			ratio := float64(m(0)) / float64(m(1))
			worst = max(worst, ratio)
			fmt.Printf("%-28s %9s : %9s = %5.2f\n", v.name, m(0).Round(10*time.Microsecond), m(1).Round(10*time.Microsecond), ratio)
		}
		b.ReportMetric(worst, "worst-ratio")
		b.ReportMetric(0, "ns/op")
	}
}

// years is a server with a record of some length.
type years struct {
	testing.TB
	client *web.Client
	base   string
	token  string
	hosts  int
	dir    string
	log    *real.Buffer
}

const yearsConf = `
data: ./data
listen: 127.0.0.1:0
people: [{name: root, local: root, roles: [admin]}, {name: ci, roles: [deploy, view]}]
limit: {burst: 1000000, interval: 1ms}
approvals: {off: true}
workers: {external: {dir: w}}
pipelines:
  deploy: {toy: ["toy:make", "toy:paint"], bad: ["toy:make", "toy:fail"]}
  redeploy: {toy: ["toy:make"]}
  destroy: {toy: ["toy:destroy"]}
checks:
  tasks: [{name: up, command: "true", from: server, schedule: "@every 1h"}]
  hosts: [{name: fixed, address: 127.0.0.1}]
  host_tasks: [{tasks: ["*"], hosts: [fixed]}]
`

// newYears makes a record of years, and serves it.
func newYears(b testing.TB, name string, hosts, runs, events, results int) *years {
	b.Helper()
	y := makeYears(b, name, hosts, runs, events, results)
	began := time.Now()
	y.serve()
	ready := time.Since(began)
	for !strings.Contains(y.log.String(), "the database's pages are whole") { // once, after the start, in the background
		time.Sleep(50 * time.Millisecond)
	}
	fmt.Printf("%s: ready in %s, and its pages are looked through in %s\n", name, ready.Round(10*time.Millisecond), time.Since(began).Round(10*time.Millisecond))
	return y
}

// makeYears makes a record in the product's own tables: a few runs are carried for real, and their rows are copied.
func makeYears(b testing.TB, name string, hosts, runs, events, results int) *years {
	b.Helper()
	y := &years{TB: b, hosts: hosts, dir: b.TempDir()}
	y.write("w/toy", "#!/bin/sh\ncase $1 in --steps) exit 64;; fail) echo no >&2; exit 1;; esac\necho \"$1 it\" >&2\n", 0o755)
	y.write("jarvis.yaml", yearsConf, 0o600)
	stop := y.serve()
	y.do("deploy " + y.doc("template", "toy", ""))
	y.settled("template")
	stop()
	began := time.Now()
	y.fill(hosts, runs, events, results)
	var size int64
	if st, err := os.Stat(filepath.Join(y.dir, "data", "jarvis.db")); err == nil {
		size = st.Size()
	}
	fmt.Printf("%s: %d runs of %d hosts, %d events, %d rows of audit, %d results, %d MB, written in %s\n", name, hosts*runs, hosts, hosts*runs*events, hosts*runs*3, results, size>>20, time.Since(began).Round(time.Second))
	return y
}

func (y *years) write(name, text string, mode os.FileMode) string {
	y.Helper()
	return writeIn(y, y.dir)(name, text, mode)
}

// doc writes a clipboard.
func (y *years) doc(host, provider, more string) string {
	return y.write(host+".yaml", fmt.Sprintf("instance: {hostname: %s, fqdn: %s.example.org, provider: %s}\n%s", host, host, provider, more), 0o600)
}

func (y *years) serve() (stop func()) {
	y.Helper()
	stop, log := serveInProcess(y, filepath.Join(y.dir, "jarvis.yaml"), "--verbose")
	y.log = log
	y.client = web.NewClient(filepath.Join(y.dir, "data", "run", "jarvis.sock"))
	y.token = y.do("token new api" + fmt.Sprint(time.Now().UnixNano()) + " for ci")[0]
	_, rest, _ := strings.Cut(log.String(), `the API is served" address=`)
	y.base, _, _ = strings.Cut(rest, "\n")
	y.base = "http://" + y.base
	return stop
}

// do says a line, with a clipboard when it names one.
func (y *years) do(line string) []string {
	y.Helper()
	q := web.CommandRequest{Words: strings.Fields(line)}
	if last := q.Words[len(q.Words)-1]; strings.HasSuffix(last, ".yaml") {
		b, err := os.ReadFile(last)
		if err != nil {
			y.Fatal(err)
		}
		q.File = b
	}
	a, err := y.client.Command(y.Context(), q, "")
	if err != nil {
		y.Fatalf("%s: %v", line, err)
	}
	return a.Lines
}

// open sends a read, as the API's own clients do. The caller closes the body.
func (y *years) open(ctx context.Context, path string) *http.Response {
	y.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, y.base+path, nil)
	if err != nil {
		y.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+y.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		y.Fatal(err)
	}
	return res
}

func (y *years) get(path string) {
	y.Helper()
	res := y.open(y.Context(), path)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		y.Fatalf("%s: %s %s %v", path, res.Status, text, err)
	}
}

// settled waits until nothing moves a host any more.
func (y *years) settled(host string) {
	y.Helper()
	for {
		a, err := y.client.Command(y.Context(), web.CommandRequest{Words: []string{"status", host}}, "")
		if err != nil {
			y.Fatal(err)
		}
		run, _ := a.Data.(map[string]any)
		switch run["state"] {
		case "running", "waiting", "undoing":
			time.Sleep(time.Millisecond)
			continue
		}
		return
	}
}

// fill copies what the template run left, in pieces that a transaction holds.
func (y *years) fill(hosts, runs, events, results int) {
	y.Helper()
	ctx := context.Background()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(y.dir, "data", "jarvis.db")+"?_pragma=synchronous(off)&_pragma=cache_size(-400000)")
	if err != nil {
		y.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	exec := func(q string, args ...any) {
		y.Helper()
		if _, err := db.ExecContext(ctx, q, args...); err != nil {
			y.Fatalf("%s: %v", q, err)
		}
	}
	cols := func(table string, set map[string]string) (names, values string) {
		rows, err := db.QueryContext(ctx, "SELECT name FROM pragma_table_info(?)", table)
		if err != nil {
			y.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		var n, v []string
		for rows.Next() {
			var c string
			if err := rows.Scan(&c); err != nil {
				y.Fatal(err)
			}
			if c == "id" {
				continue
			}
			n = append(n, c)
			if s := set[c]; s != "" {
				v = append(v, s)
			} else {
				v = append(v, "t."+c)
			}
		}
		if rows.Err() != nil {
			y.Fatal(rows.Err())
		}
		return strings.Join(n, ", "), strings.Join(v, ", ")
	}
	const numbers = "WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?) "
	copies := func(table, where string, total int, set map[string]string) {
		names, values := cols(table, set)
		for i := 0; i < total; i += 100_000 {
			exec(numbers+"INSERT INTO "+table+" ("+names+") SELECT "+values+" FROM n, "+table+" t WHERE "+where, i, min(i+100_000, total))
		}
	}
	all := hosts * runs
	name := fmt.Sprintf("'web' || (i %% %d)", hosts)
	copies("runs", "t.id = 1", all, map[string]string{"host": name, "fqdn": name + " || '.example.org'", "request_key": "'key' || i", "cluster": "CASE WHEN i < 10000 THEN 1 + i / 10 ELSE 0 END",
		"state": "CASE WHEN i % 40 = 7 THEN 'failed' ELSE 'ready' END", "ending": "CASE WHEN i % 40 = 7 THEN 'failed' ELSE 'ready' END"})
	exec(numbers+"INSERT INTO clusters (name, barriers, on_failure, undoing, by_whom, started) SELECT 'cluster' || i, '[]', 'hold', 0, 'root', 1 FROM n", 0, min(1000, all/10+1))
	exec("INSERT INTO hosts (fqdn, host, run, newest, task, address, hostkeys) SELECT fqdn, max(host), max(id), max(id), 0, '192.0.2.1', '[\"ssh-ed25519 AAAA\"]' FROM runs WHERE id > 1 GROUP BY fqdn")
	exec("INSERT INTO timings (pipeline, stage, step, run, took) SELECT t.pipeline, t.stage, t.step, runs.id, t.took FROM runs, timings t WHERE t.run = 1 AND runs.id > 1")
	copies("events", "t.id = (SELECT min(id) + 2 + n.i % 3 FROM events)", all*events, map[string]string{"run": fmt.Sprintf("2 + i / %d", events), "text": "'this is what a step said in its line ' || i"})
	copies("audit", "t.id = 1", all*3, map[string]string{"who": "'person' || (i % 50)", "line": "'status web' || i"})
	exec("INSERT INTO audit (at, who, via, line, outcome) SELECT at, 'rare', via, line, outcome FROM audit WHERE id IN (1, 1, 1)")
	// Results of the month that is kept.
	const month = 29 * 24 * time.Hour
	first, each := time.Now().Add(-month).UnixMilli(), month.Milliseconds()/int64(max(results, 1))
	exec(numbers+"INSERT INTO check_results (pair, at, due, took, status, soft, quiet, exit, sig, line, long, perf) SELECT i % 100 + 1, ? + i * ?, ? + i * ?, 21000, CASE WHEN i % 1000 = 0 THEN 2 ELSE 0 END, 0, 0, 0, '', 'LOAD OK - total load average: 0.57, 0.63, 0.65', '', 'load1=0.570;5.000;10.000;0; load5=0.630;5.000;10.000;0; load15=0.650;5.000;10.000;0;' FROM n WHERE i < ?",
		0, max(results, 1), first, each, first, each, results)
	exec("INSERT INTO check_marks (name, value) VALUES ('roll-up', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", results) // they are rolled up long ago
	exec(numbers+"INSERT INTO pages (key, text, expires) SELECT 'page' || i, 'a long answer', ? FROM n", 0, all/10, time.Now().Add(100*time.Hour).UnixMilli())
	exec("UPDATE followers SET event = (SELECT max(id) FROM events)")
}

// yearsVerb is one thing that is timed. The number is of its turn.
type yearsVerb struct {
	name string
	f    func(y *years, i int)
	prep func(y *years, i int) // not timed
}

func (v yearsVerb) time(y *years, i int) time.Duration {
	if v.prep != nil {
		v.prep(y, i)
	}
	began := time.Now()
	v.f(y, i)
	return time.Since(began)
}

func saying(line string) yearsVerb {
	return yearsVerb{name: line, f: func(y *years, _ int) { y.do(line) }}
}

func reading(path string) yearsVerb {
	return yearsVerb{name: "GET " + path, f: func(y *years, _ int) { y.get(path) }}
}

// moving times a verb from its word to the state that it leads to, on a host that a deployment left as it is.
func moving(line, provider string) yearsVerb {
	host := func(i int) string { return fmt.Sprintf("%s%d", strings.ReplaceAll(line, " ", ""), i) }
	return yearsVerb{name: line, prep: func(y *years, i int) {
		y.do("deploy " + y.doc(host(i), provider, ""))
		y.settled(host(i))
	}, f: func(y *years, i int) {
		y.do(line + " " + host(i))
		y.settled(host(i))
	}}
}

var yearsVerbs = []yearsVerb{
	saying("status"), saying("status web17"), saying("status web17.example.org"), saying("status 100"), saying("hosts"), saying("hosts after web18"), saying("history web17"), saying("log web17"), saying("log web17 1"), saying("show web17"),
	{name: "plan", f: func(y *years, _ int) { y.do("plan " + y.doc("planned", "toy", "")) }}, saying("audit"), saying("audit rare"), saying("audit person7 50"), saying("whoami"), saying("steps"), saying("token list"), saying("checks"), saying("check show up on fixed"), saying("status cluster3"),
	reading("/v1/runs"), reading("/v1/runs?host=web17"), reading("/v1/runs?state=failed"), reading("/v1/runs?state=running"), reading("/v1/runs?host=web17&state=failed"), reading("/v1/hosts"), reading("/v1/runs/100/events"), reading("/readyz"), reading("/metrics"),
	{name: "deploy, to ready", f: func(y *years, i int) {
		host := fmt.Sprintf("new%d", i)
		y.do("deploy " + y.doc(host, "toy", ""))
		y.settled(host)
	}},
	{name: "deploy with a used key", f: func(y *years, _ int) {
		b, err := os.ReadFile(y.doc("keyed", "toy", ""))
		if err != nil {
			y.Fatal(err)
		}
		if _, err := y.client.Command(y.Context(), web.CommandRequest{Words: []string{"deploy", "keyed.yaml"}, File: b}, "a-key"); err != nil {
			y.Fatal(err)
		}
		y.settled("keyed")
	}},
	{name: "deploy, a cluster of 20", f: func(y *years, i int) {
		var doc strings.Builder
		fmt.Fprintf(&doc, "cluster: c%d\ninstances:\n", i)
		for n := range 20 {
			fmt.Fprintf(&doc, "- {hostname: c%dn%d, fqdn: c%dn%d.example.org, provider: toy}\n", i, n, i, n)
		}
		y.do("deploy " + y.write("cluster.yaml", doc.String(), 0o600))
		for n := range 20 {
			y.settled(fmt.Sprintf("c%dn%d", i, n))
		}
	}},
	moving("redeploy", "toy"), moving("destroy", "toy"), moving("retry", "bad"), moving("skip", "bad"), moving("cancel", "bad"), moving("undo", "toy"),
	{name: "events from now", f: func(y *years, _ int) {
		ctx, cancel := context.WithCancel(y.Context())
		defer cancel()
		res := y.open(ctx, "/v1/events?from=now")
		_ = res.Body.Close()
	}},
}
