package checks

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"

	"context"
)

// shownReport gives a report in one line for each check.
func shownReport(r Report) string {
	var out []string
	for _, c := range r.Checks {
		up := "none"
		if c.Uptime != nil {
			up = fmt.Sprintf("%.4f", *c.Uptime)
		}
		l := fmt.Sprintf("%s %s %s of %s", c.Key, up, c.Known.Round(time.Minute), c.Asked.Round(time.Minute))
		for _, o := range c.Outages {
			l += fmt.Sprintf("; %s %s", o.Status, o.Took.Round(time.Minute))
			if o.End.IsZero() {
				l += " goes on"
			}
		}
		out = append(out, l)
	}
	return strings.Join(out, "\n")
}

// What a report says does not depend on how much of the record is summed up; what nobody saw is in no figure; a planned
// downtime is left out, or not.
func TestReport(t *testing.T) {
	bubble(t, `
tasks: [{name: disk, command: x, schedule: "@every 1m", attempts: 1}]
host_tasks: [{tasks: [disk], hosts: [loki, thor]}]
periods: [{name: first, when: ["00:00-01:00"], zone: UTC}, {name: seventh, when: ["06:00-06:30"], zone: UTC}]
downtimes: [{name: patches, period: seventh, hosts: [web*], tasks: [disk]}, {name: again, period: seventh, hosts: [thor], tasks: [disk]}]
`, func(t *testing.T, g *ground) {
		began := g.now()
		loki, thor := model.Key{Task: "disk", Host: "loki"}, model.Key{Task: "disk", Host: "thor"}
		bad := func(hosts ...string) {
			g.says(func(k model.Key, _ int) outcome {
				for _, h := range hosts {
					if h == k.Host {
						return outcome{exit: 2, stdout: "DISK"}
					}
				}
				return outcome{stdout: "OK"}
			})
		}
		time.Sleep(time.Hour)
		bad("loki")
		time.Sleep(30 * time.Minute)
		bad()
		time.Sleep(30 * time.Minute)
		if _, err := g.Silence(t.Context(), Downtime{Host: "thor", Until: g.now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		bad("thor")
		time.Sleep(30 * time.Minute)
		bad()
		time.Sleep(30 * time.Minute)
		g.stop()
		time.Sleep(3 * time.Hour) // nobody looks
		g.start()
		bad("loki")
		time.Sleep(time.Hour)
		want := func(f ReportFilter, text string) {
			t.Helper()
			f.Keys = []model.Key{thor, loki}
			if f.Since.IsZero() {
				f.Since = began
			}
			r, err := g.Report(t.Context(), f)
			if got := shownReport(r); err != nil || got != text {
				t.Errorf("%v: it is\n%s\nwant\n%s", err, got, text)
			}
			if missing := r.All.Known < r.All.Asked*99/100; missing != (r.Note != "") {
				t.Errorf("note %q, %s known of %s", r.Note, r.All.Known, r.All.Asked)
			}
		}
		all := func() {
			t.Helper()
			want(ReportFilter{}, "disk on loki 0.6265 3h59m0s of 7h0m0s; CRITICAL 30m0s; CRITICAL 59m0s goes on\ndisk on thor 1.0000 2h30m0s of 5h30m0s")
			want(ReportFilter{Planned: true}, "disk on loki 0.6265 3h59m0s of 7h0m0s; CRITICAL 30m0s; CRITICAL 59m0s goes on\ndisk on thor 0.8743 3h59m0s of 7h0m0s; CRITICAL 30m0s")
			want(ReportFilter{Since: began.Add(95 * time.Minute), Until: began.Add(2 * time.Hour)}, "disk on loki 1.0000 25m0s of 25m0s\ndisk on thor 1.0000 25m0s of 25m0s")
			want(ReportFilter{Since: began.Add(10 * time.Minute), Within: "first"}, "disk on loki 1.0000 50m0s of 50m0s\ndisk on thor 1.0000 50m0s of 50m0s")
		}
		all()
		g.spanAll()
		all()
	})
}

// spanAll sums up what there is, from nothing and in small steps.
func (g *ground) spanAll() {
	g.t.Helper()
	if err := g.DB.Write(g.t.Context(), func(tx store.Tx) error {
		_, err := tx.Exec(g.t.Context(), "DELETE FROM check_marks WHERE name = ?", markSpans)
		return err
	}); err != nil {
		g.t.Fatal(err)
	}
	f := g.spans()
	for more := true; more; {
		var err error
		if more, err = f.some(g.t.Context()); err != nil {
			g.t.Fatal(err)
		}
	}
}

// Spans on either database: they grow, what was killed in the middle is done again, and retention takes them.
func TestSpansOnRecord(t *testing.T) {
	url := onPostgres(t)
	for name, o := range map[string]store.Options{"sqlite": {Dir: t.TempDir()}, "postgres": {Dir: t.TempDir(), URL: url}} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			db, err := store.Open(ctx, o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			m, err := New(model.Config{Defs: model.Defs{Tasks: []model.Task{{Name: "disk", Command: "x"}}, HostTasks: []model.HostTask{{Tasks: []string{"disk"}, Hosts: []string{"loki"}}}}})
			if err != nil {
				t.Fatal(err)
			}
			now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
			m.Now = func() time.Time { return now }
			if err := m.Open(ctx, World{DB: db, Now: m.Now, Target: func(context.Context, string) (remote.Target, error) { return remote.Target{}, nil }}); err != nil {
				t.Fatal(err)
			}
			id := m.roster.pair(diskLoki).id
			result := func(minutes int, status, soft int) {
				t.Helper()
				at := now.Add(-12 * time.Hour).Add(time.Duration(minutes) * time.Minute).UnixMilli()
				if err := db.Write(ctx, func(tx store.Tx) error {
					_, err := tx.Exec(ctx, "INSERT INTO check_results (pair, at, due, took, status, soft, quiet, exit, sig, line, long, perf) VALUES (?, ?, ?, 1, ?, ?, 0, 0, '', '', '', '')", id, at, at, status, soft)
					return err
				}); err != nil {
					t.Fatal(err)
				}
			}
			spans := func() string {
				t.Helper()
				rows, err := m.ledger.readSpans(ctx, "")
				if err != nil {
					t.Fatal(err)
				}
				var out []string
				for _, r := range rows {
					out = append(out, fmt.Sprintf("%s-%s %s", r.From.UTC().Format("15:04"), r.To.UTC().Format("15:04"), r.Status))
				}
				return strings.Join(out, ", ")
			}
			follow := func(f *spanFollower) {
				t.Helper()
				for more := true; more; {
					var err error
					if more, err = f.some(ctx); err != nil {
						t.Fatal(err)
					}
				}
			}
			f := m.spans()
			follow(f)
			for i := range 10 {
				result(i, 0, 0)
			}
			follow(f)
			result(10, 2, 1)
			result(11, 2, 0)
			follow(f)
			result(12, 0, 0)
			want := "00:00-00:11 OK, 00:11-00:12 CRITICAL, 00:12-00:12 OK"
			for range 2 { // another server, which reads from the record where that is
				follow(m.spans())
				if got := spans(); got != want {
					t.Errorf("there is %s, want %s", got, want)
				}
				if err := db.Write(ctx, func(tx store.Tx) error { return setMark(ctx, tx, markSpans, 3) }); err != nil { // it was killed before it noted how far it was
					t.Fatal(err)
				}
			}
			follow(m.spans())
			r, err := m.Report(ctx, ReportFilter{Keys: []model.Key{diskLoki}, Since: now.Add(-24 * time.Hour), Until: now.Add(-12*time.Hour + 12*time.Minute)})
			if got := shownReport(r); err != nil || got != "disk on loki 0.9167 12m0s of 12h12m0s; CRITICAL 1m0s" || r.Note != "only 1 % of that time is on record; the figures are of that part" {
				t.Errorf("%v: %s %q", err, got, r.Note)
			}
			if _, err := m.Report(ctx, ReportFilter{Keys: []model.Key{diskLoki}, Since: now.Add(-time.Hour), Within: "nights"}); err == nil || !strings.Contains(err.Error(), `no period "nights"`) {
				t.Errorf("a period that is not there: %v", err)
			}
			now = now.Add(3 * 365 * day)
			next := 0
			if err := m.forgetAll(ctx, &next); err != nil {
				t.Fatal(err)
			}
			if got := spans(); got != "" {
				t.Errorf("after three years there is %s", got)
			}
		})
	}
}
