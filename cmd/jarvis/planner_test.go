package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/store"
)

// growing are the tables that have a row for each thing that ever happened.
var growing = []string{"runs", "events", "audit", "approvals", "hosts", "notices", "timings", "clusters", "drift", "check_results", "check_notices", "check_outbox", "tasks", "pages"}

// mayScan are statements that read a whole table on purpose, each with its reason.
var mayScan = map[string]string{
	"SELECT id FROM clusters WHERE undoing = 1 AND":     "once, at the start of the server",
	"SELECT fqdn FROM hosts WHERE address IS NULL":      "once, at the start of the server",
	"UPDATE runs SET epoch = epoch + 1":                 "once, at the start of the server; by the index of live runs where there are many",
	"DELETE FROM check_notices WHERE id IN (SELECT id":  "the oldest, in the order of ids, and bounded",
	"DELETE FROM check_outbox WHERE id IN (SELECT id":   "the oldest, in the order of ids, and bounded",
	"SELECT coalesce(max(id), 0) FROM":                  "the end of an index",
	"SELECT max(id)":                                    "the end of an index",
	"UPDATE notices SET source = CASE":                  "once, when the record is upgraded",
	"UPDATE drift SET next = CASE":                      "once, at the start of the server",
	"SELECT count(*), count(drift.fqdn)":                "a person asks how many hosts there are; these are no history",
	"DELETE FROM pages WHERE":                           "pages live a week, and are few",
	"SELECT coalesce(max(id), 0), coalesce(sum(":        "a page in the order of ids, and bounded",
	"SELECT id FROM events WHERE id >":                  "in the order of ids, and bounded",
	"SELECT id, run, at, kind, stage, step, text, diff": "in the order of ids, and bounded",
}

// openOnly are indexes that hold only what waits or is under way, however long the record is.
var openOnly = regexp.MustCompile(`(?m)^.*USING (COVERING )?INDEX (approvals_one_pending|approvals_pending|runs_live|runs_one_live_per_host|notices_unsent|notices_quiet|notices_dropped)\b.*$`)

// TestNoStatementReadsAWholeTable sends every word there is to a server on PostgreSQL, takes down each statement that
// it sent, and asks the planners of both databases how they would find the rows. What grows is never read whole.
func TestNoStatementReadsAWholeTable(t *testing.T) {
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	url := must[string](t)(pg.Database(t.Context()))
	// What a start alone sends, migrations above all, is sent once; what other tests sent is theirs.
	store.TakeStatements()
	loadedApp(t, t.TempDir(), fmt.Sprintf("database: %q\nlisten: \"\"\n", must[string](t)(pg.Database(t.Context()))))
	start := store.TakeStatements()
	sent := slices.DeleteFunc(tour(t, url), func(q string) bool { return slices.Contains(start, q) })
	if len(sent) < 60 {
		t.Errorf("only %d statements were sent", len(sent))
	}
	plans := map[string]func(q string) (string, error){"postgres": postgresPlans(t, url), "sqlite": sqlitePlans(t)}
	for name, plan := range plans {
		asked := 0
		for _, q := range sent {
			if !regexp.MustCompile(`^\s*(SELECT|UPDATE|DELETE)`).MatchString(q) || name == "sqlite" && regexp.MustCompile(`pg_|_seq\b|FOR UPDATE|= ANY\(|jarvis_owner|to_regclass|unnest|txid_current|::|current_setting`).MatchString(q) {
				continue
			}
			if slices.ContainsFunc(mapKeys(mayScan), func(p string) bool { return strings.HasPrefix(strings.TrimSpace(q), p) }) {
				continue
			}
			how, err := plan(q)
			if err != nil {
				t.Errorf("%s: %s: %v", name, q, err)
				continue
			}
			asked++
			how = openOnly.ReplaceAllString(how, "")
			for _, table := range growing {
				if regexp.MustCompile(`(?m)(SCAN|Seq Scan on) ` + table + `\b`).MatchString(how) {
					t.Errorf("%s reads all of %s:\n%s\n%s", name, table, q, how)
				}
			}
		}
		t.Logf("%s: %d statements", name, asked)
	}
}

func mapKeys(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return out
}

// tour says what there is to say to a server, and gives the statements that it sent.
func tour(t *testing.T, url string) []string {
	t.Helper()
	dir := t.TempDir()
	write := writeIn(t, dir)
	write("w/toy", "#!/bin/sh\ncase $1 in --steps) exit 64;; fail) echo no >&2; exit 1;; esac\necho \"$1 it\" >&2\n", 0o755)
	conf := write("jarvis.yaml", fmt.Sprintf(`
database: %q
listen: 127.0.0.1:0
drift: {every: 4s}
chat: [{irc: {server: "127.0.0.1:1", nick: jarvis, channels: ["#ops"]}}]
people: [{name: root, local: root, roles: [admin]}, {name: bob, roles: [deploy]}]
workers: {external: {dir: w}}
pipelines:
  deploy: {toy: ["toy:make", "toy:paint"], bad: ["toy:make", "toy:fail"]}
  redeploy: {toy: ["toy:make"]}
  destroy: {toy: ["toy:destroy"]}
checks:
  hosts: [{name: loki, address: 127.0.0.1}]
  tasks: [{name: up, command: "true", from: server}]
  host_tasks: [{tasks: ["*"], hosts: [loki]}]
`, url), 0o600)
	one, bad := write("loki.yaml", "instance: {hostname: loki, fqdn: loki.example.org, provider: toy}\n", 0o600), write("thor.yaml", "instance: {hostname: thor, provider: bad}\n", 0o600)
	many := write("web.yaml", "cluster: web\ninstances:\n- {hostname: web1, provider: toy}\n- {hostname: web2, provider: toy}\nbarriers: [\"toy:paint\"]\n", 0o600)
	if code, _, errs := jarvis(t, "", "--config", conf, "config", "check"); code != 0 {
		// The checks' shape is another test's; without them the tour is as good for the record.
		t.Logf("without checks: %s", errs)
		b, err := os.ReadFile(conf)
		if err != nil {
			t.Fatal(err)
		}
		text, _, _ := strings.Cut(string(b), "checks:\n")
		conf = write("jarvis.yaml", text, 0o600)
	}
	_, log := serveInProcess(t, conf)
	for _, line := range []string{"deploy " + one, "deploy " + bad, "deploy " + many, "retry thor", "skip thor", "cancel thor", "undo thor", "deploy --no-wait " + one, "status", "status loki", "hosts", "history loki", "log loki", "log loki 1",
		"show loki", "drift", "drift loki", "plan loki", "deny 6", "redeploy --no-wait loki", "cancel loki", "destroy --no-wait loki", "approve 1", "undo --no-wait loki", "steps", "whoami", "audit", "audit root", "task", "checks", "check show up on loki", "ack up loki", "status web", "cancel web", "undo --no-wait web",
		"token new x for bob", "token list", "token revoke 1"} {
		_, _, _ = jarvis(t, "", append([]string{"--config", conf}, strings.Fields(line)...)...)
	}
	// What removes what is old works on a record that holds something.
	text := string(must[[]byte](t)(os.ReadFile(conf)))
	write("jarvis.yaml", text+"keep: {events: 1d, runs: 1d, audit: 30d, notices: 1d, timings: 1d}\n", 0o600)
	if code, _, errs := jarvis(t, "", "--config", conf, "reload"); code != 0 {
		t.Fatal(errs)
	}
	_, secret, _ := jarvis(t, "", "--config", conf, "token", "new", "api", "for", "bob")
	secret, _, _ = strings.Cut(secret, "\n")
	m := regexp.MustCompile(`the API is served" address=(\S+)`).FindStringSubmatch(log.String())
	if m == nil {
		t.Fatal(log)
	}
	for _, path := range []string{"/v1/runs", "/v1/runs?host=loki", "/v1/runs?state=ready", "/v1/runs?host=loki&state=ready", "/v1/runs/1", "/v1/runs/1/events", "/v1/events?after=0", "/v1/hosts", "/v1/status/loki", "/v1/audit", "/readyz", "/metrics", "/p/none"} {
		req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+m[1]+path, nil))
		req.Header.Set("Authorization", "Bearer "+secret)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	return store.TakeStatements()
}

// postgresPlans asks how a statement would be carried out when no table is read whole that need not be.
func postgresPlans(t *testing.T, url string) func(q string) (string, error) {
	c := must[*pgx.Conn](t)(pgx.Connect(t.Context(), url))
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	for _, q := range []string{"SET enable_seqscan = off", "SET plan_cache_mode = force_generic_plan"} {
		if _, err := c.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	return func(q string) (string, error) {
		n := 0
		text := regexp.MustCompile(`\?`).ReplaceAllStringFunc(q, func(string) string { n++; return fmt.Sprintf("$%d", n) })
		if _, err := c.Exec(t.Context(), "PREPARE asked AS "+text); err != nil {
			return "", err
		}
		defer func() { _, _ = c.Exec(context.Background(), "DEALLOCATE asked") }()
		args := ""
		if n > 0 {
			args = "(" + strings.TrimSuffix(strings.Repeat("NULL, ", n), ", ") + ")"
		}
		rows, err := c.Query(t.Context(), "EXPLAIN EXECUTE asked"+args)
		if err != nil {
			return "", err
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		return strings.Join(lines, "\n"), err
	}
}

// sqlitePlans does the same on a fresh record.
func sqlitePlans(t *testing.T) func(q string) (string, error) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "jarvis.yaml")
	if err := os.WriteFile(conf, []byte("data: ./data\nlisten: \"\"\nchat: [{irc: {server: \"127.0.0.1:1\", nick: jarvis, channels: [\"#ops\"]}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	serveInProcess(t, conf) // it makes every table
	db := must[*sql.DB](t)(sql.Open("sqlite", "file:"+dir+"/data/jarvis.db?_pragma=query_only(1)"))
	t.Cleanup(func() { _ = db.Close() })
	return func(q string) (string, error) {
		args := make([]any, strings.Count(q, "?"))
		rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+q, args...)
		if err != nil {
			return "", err
		}
		defer func() { _ = rows.Close() }()
		var out []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				return "", err
			}
			out = append(out, detail)
		}
		return strings.Join(out, "\n"), rows.Err()
	}
}
