package checks

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/store"
)

// onPostgres gives the address of a database on a server of its own.
func onPostgres(t *testing.T) string {
	t.Helper()
	pg, err := real.StartPostgres(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Stop)
	url, err := pg.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// ledgers gives one on each database, and what both are tested by.
func ledgers(t *testing.T, f func(t *testing.T, l *ledger)) {
	t.Helper()
	url := onPostgres(t)
	for name, o := range map[string]store.Options{"sqlite": {Dir: t.TempDir()}, "postgres": {Dir: t.TempDir(), URL: url}} {
		t.Run(name, func(t *testing.T) {
			db, err := store.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			if err := db.Migrate(t.Context(), Migrations(db.Postgres() != nil)); err != nil {
				t.Fatal(err)
			}
			f(t, &ledger{tools: tools{db, func() time.Time { return noon }, slog.New(slog.DiscardHandler)}, shared: db.Postgres() != nil})
		})
	}
}

// A batch is written whole, or not at all: when one of its pairs was changed on record meanwhile, nothing of it stands
// there.
func TestABatchIsWrittenWhole(t *testing.T) {
	ledgers(t, func(t *testing.T, l *ledger) {
		ctx := t.Context()
		keys := []model.Key{{Task: "disk", Host: "loki"}, {Task: "load", Host: "loki"}}
		pairs, err := l.addPairs(ctx, keys)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := l.addPairs(ctx, keys); err != nil || again[0].id != pairs[0].id || again[1].id != pairs[1].id {
			t.Fatalf("they have other numbers the second time: %v", err)
		}
		if l.shared {
			if _, err := l.changes(ctx); err != nil {
				t.Fatal(err)
			}
		}
		var asked int64
		if err := l.db.Write(ctx, func(tx store.Tx) (err error) {
			asked, err = (&row{kind: rowRun, event: anEvent}).put(ctx, tx, 0)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		batch := func() (out []settled) {
			for _, p := range pairs {
				s := settled{f: &finished{p: p, at: noon, out: outcome{exit: 2}}, p: p, stand: p.stand, j: judged{status: model.Critical, line: p.Task}}
				s.stand.Line = p.Task
				out = append(out, s)
			}
			out[0].events, out[0].asks = []row{{rowNotice, "", anEvent}}, []int64{asked}
			return out
		}
		stands := func(results, notices, done int, lines ...string) {
			t.Helper()
			list, err := l.states(ctx, "ORDER BY id")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range list {
				got = append(got, s.stand.Line)
			}
			var r, n, d int
			if err := l.db.QueryRow(ctx, "SELECT (SELECT count(*) FROM check_results), (SELECT count(*) FROM check_outbox WHERE kind = ?), (SELECT count(*) FROM check_outbox WHERE done > 0)", rowNotice).Scan(&r, &n, &d); err != nil {
				t.Fatal(err)
			}
			if r != results || n != notices || d != done || !slices.Equal(got, lines) {
				t.Errorf("%d results, %d notices, %d rows done, states %q", r, n, d, got)
			}
		}
		stands(0, 0, 0, "", "")
		pairs[1].rev += 7
		err = l.write(ctx, batch(), nil)
		if ids, stale := isStale(err); !stale || !slices.Equal(ids, []int64{pairs[1].id}) {
			t.Errorf("one was changed on record: %v", err)
		}
		stands(0, 0, 0, "", "")
		pairs[1].rev -= 7
		if err := l.write(ctx, batch(), func(store.Tx) error { return errGiven }); !errors.Is(err, errGiven) {
			t.Errorf("what else is written fails: %v", err)
		}
		stands(0, 0, 0, "", "")
		if !l.noted.IsZero() {
			t.Error("nothing was written, and it is noted that it was")
		}
		if err := l.write(ctx, batch(), nil); err != nil {
			t.Fatal(err)
		}
		stands(2, 1, 1, "disk", "load")
		if last, err := l.settledUpTo(ctx); err != nil || last != 2 && !l.shared {
			t.Errorf("the last result is %d, %v", last, err)
		}
		if alive, err := l.mark(ctx, markAlive); err != nil || (alive == noon.UnixMilli()) == l.shared {
			t.Errorf("it was alive last at %d, %v", alive, err)
		}
		if l.shared { // as another node finds it
			if list, err := l.changes(ctx); err != nil || len(list) != 2 {
				t.Errorf("%d were changed, %v", len(list), err)
			}
		}
	})
}

// Results are found by their time, and read with what they are of.
func TestResultsAreReadAlone(t *testing.T) {
	o, _ := newOutboxAlone(t)
	l := &ledger{tools: o.tools}
	ctx := t.Context()
	pairs, err := l.addPairs(ctx, []model.Key{diskLoki})
	if err != nil {
		t.Fatal(err)
	}
	p := pairs[0]
	for i := range 10 {
		s := settled{f: &finished{p: p, at: noon.Add(time.Duration(i) * time.Minute)}, p: p, stand: p.stand, j: judged{line: "fine", perf: "a=1"}}
		if err := l.write(ctx, []settled{s}, nil); err != nil {
			t.Fatal(err)
		}
		p.rev++
	}
	key := func(id int64) (k model.Key) {
		if id == p.id {
			k = diskLoki
		}
		return k
	}
	for _, c := range []struct {
		at    time.Time
		first int64
	}{{noon.Add(-day), 1}, {noon, 1}, {noon.Add(time.Second), 2}, {noon.Add(9 * time.Minute), 10}, {noon.Add(day), 11}} {
		if got, err := l.firstResult(ctx, c.at); err != nil || got != c.first {
			t.Errorf("the first of %s is %d, want %d; %v", c.at, got, c.first, err)
		}
	}
	list, err := l.readResults(ctx, key, "id >= ?", []any{4}, 3)
	if err != nil || len(list) != 3 || list[0].ID != 10 || list[0].Key != diskLoki || !list[0].At.Equal(noon.Add(9*time.Minute)) {
		t.Errorf("%+v, %v", list, err)
	}
	for more := true; more; {
		if more, err = l.rollSome(ctx); err != nil {
			t.Fatal(err)
		}
	}
	series, err := l.metrics(ctx, p.id, time.Hour, noon)
	if err != nil || len(series) != 1 || len(series[0].Points) != 1 || series[0].Points[0].N != 10 {
		t.Errorf("%+v, %v", series, err)
	}
}
