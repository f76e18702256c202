package bot_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/store"
)

// TestOldNoticesStay: the table is made once more on SQLite, and what waits in it still does, on either database.
func TestOldNoticesStay(t *testing.T) {
	pg, err := real.StartPostgres(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Stop)
	url, err := pg.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]store.Options{"sqlite": {Dir: t.TempDir()}, "postgres": {Dir: t.TempDir(), URL: url}} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			db, err := store.Open(ctx, o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			all := bot.Migrations(db.Postgres() != nil)
			list := all[:slices.IndexFunc(all, func(m store.Migration) bool { return m.Name == "bot/7-sources" })]
			now := slices.IndexFunc(list, func(m store.Migration) bool { return m.Name == "bot/4-routes" })
			exec := func(q string, args ...any) error {
				return db.Write(ctx, func(tx store.Tx) error { _, err := tx.Exec(ctx, q, args...); return err })
			}
			// An older server, also one that goes on beside us.
			const insert = "INSERT INTO notices (event, run, frontend, place, nick, line, sent, direct, person, at) VALUES (?, 1, 'irc/x', '#ops', 'alice', ?, 0, 'alice', 'alice', 5) ON CONFLICT DO NOTHING"
			if err := db.Migrate(ctx, list[:now]); err != nil {
				t.Fatal(err)
			}
			for event, line := range []string{"zero", "one", "two"} {
				if err := exec(insert, event, line); err != nil {
					t.Fatal(err)
				}
			}
			if err := db.Migrate(ctx, list); err != nil {
				t.Fatal(err)
			}
			for _, event := range []int{2, 3} {
				if err := exec(insert, event, "again or new"); err != nil {
					t.Fatal(err)
				}
			}
			if err := exec("INSERT INTO notices (event, route, run, frontend, place, nick, line, sent) VALUES (2, 'email a@b', 1, 'email', 'a@b', '', 'by a route', -1)"); err != nil {
				t.Fatal(err)
			}
			got, err := store.Collect(ctx, db, func(row store.Row) (s string, err error) {
				var id int64
				return s, row.Scan(&id, &s)
			}, "SELECT id, line FROM notices ORDER BY id")
			if want := "zero, one, two, again or new, by a route"; err != nil || strings.Join(got, ", ") != want {
				t.Errorf("%v: there are %s, want %s", err, strings.Join(got, ", "), want)
			}
		})
	}
}

// The sign of an event's number said what a notice is of; a column does, and an old record opens with all it had, what
// waits included. An older server that goes on beside us still writes its own way.
func TestOldNoticesSayWhatTheyAreOf(t *testing.T) {
	pg, err := real.StartPostgres(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Stop)
	url, err := pg.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]store.Options{"sqlite": {Dir: t.TempDir()}, "postgres": {Dir: t.TempDir(), URL: url}} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			db, err := store.Open(ctx, o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			list := bot.Migrations(db.Postgres() != nil)
			now := slices.IndexFunc(list, func(m store.Migration) bool { return m.Name == "bot/7-sources" })
			if err := db.Migrate(ctx, list[:now]); err != nil {
				t.Fatal(err)
			}
			write := func(event int64, route, line string) {
				t.Helper()
				if err := db.Write(ctx, func(tx store.Tx) error {
					_, err := tx.Exec(ctx, "INSERT INTO notices (event, route, run, frontend, place, nick, line, sent, direct, person, at, body, next, tries, why, dropped, born) VALUES (?, ?, 1, 'irc/x', '#ops', 'n', ?, 0, 'd', 'p', 5, 'b', 6, 7, 'w', 1, 8) ON CONFLICT DO NOTHING", event, route, line)
					return err
				}); err != nil {
					t.Fatal(err)
				}
			}
			write(7, "", "a run")
			write(-7, "", "a check")
			write(-3, "folded irc/x #ops", "quiet")
			write(-1700000000, "summary irc/x #ops 09:00 UTC", "a day")
			write(7, "email a@b", "a run, by a route")
			if err := db.Migrate(ctx, list); err != nil {
				t.Fatal(err)
			}
			write(-8, "", "a check of an older server")
			write(-8, "", "and again")
			got, err := store.Collect(ctx, db, func(row store.Row) (s string, err error) {
				var event, tries, dropped, born int64
				var source, line, why, body string
				err = row.Scan(&source, &event, &line, &tries, &why, &dropped, &born, &body)
				return fmt.Sprint(source, " ", event, " ", line, tries, why, dropped, born, body), err
			}, "SELECT source, event, line, tries, why, dropped, born, body FROM notices ORDER BY id")
			want := []string{" 7 a run7w1 8b", "checks 7 a check7w1 8b", "quiet 3 quiet7w1 8b", "summary 1700000000 a day7w1 8b", " 7 a run, by a route7w1 8b", " -8 a check of an older server7w1 8b"}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%v: there are\n%q\nwant\n%q", err, got, want)
			}
		})
	}
}
