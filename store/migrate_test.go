package store

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func TestMigrateTwiceChangesNothing(t *testing.T) {
	db := open(t)
	if err := db.Migrate(t.Context(), []Migration{{"t/1", []string{"CREATE TABLE t (id {{id}}, v TEXT)"}}}); err != nil {
		t.Error(err)
	}
}

// A second statement in one text was run by one driver, and could be dropped by another: it is refused before anything
// is applied.
func TestAMigrationsStatementIsOne(t *testing.T) {
	for s, good := range map[string]bool{
		"CREATE TABLE a (v TEXT)":                                                                              true,
		"CREATE TABLE a (v TEXT);":                                                                             false,
		"CREATE TABLE a (v TEXT);\nCREATE TABLE b (v TEXT)":                                                    false,
		"CREATE TABLE a (v TEXT DEFAULT 'x;y')":                                                                true,
		"CREATE TABLE a (v TEXT DEFAULT 'x''; DROP TABLE b')":                                                  true,
		"CREATE TABLE a (v TEXT) -- one; two":                                                                  true,
		"CREATE TABLE a (v TEXT) /* one; two */":                                                               true,
		"CREATE TABLE a (v TEXT) /* one; two */; SELECT 1":                                                     false,
		"BEGIN; DROP TABLE a":                                                                                  false,
		"CREATE TRIGGER g BEFORE UPDATE ON a BEGIN SELECT 1; SELECT CASE WHEN 1 THEN 2 END; END":               true,
		"CREATE TRIGGER g BEFORE UPDATE ON a BEGIN SELECT 1; END; DROP TABLE a":                                false,
		"CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'no'; END $$ LANGUAGE plpgsql":        true,
		"CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN RETURN NEW; END $$ LANGUAGE plpgsql; DROP FUNCTION f": false,
	} {
		if err := oneStatement(s); (err == nil) != good {
			t.Errorf("%q = %v", s, err)
		}
	}
	db := open(t)
	err := db.Migrate(t.Context(), []Migration{{"t/2", []string{"CREATE TABLE x (v TEXT)", "CREATE TABLE y (v TEXT);\nCREATE TABLE z (v TEXT)"}}})
	if err == nil || !strings.Contains(err.Error(), "t/2") {
		t.Errorf("Migrate = %v", err)
	}
	var n int
	if err := db.QueryRow(t.Context(), "SELECT count(*) FROM sqlite_master WHERE name IN ('x', 'y', 'z')").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d tables of the refused migration, %v", n, err)
	}
}

// The attack on oneself: a newer program changed the tables, and the older one is started on them after all.
func TestANewerDatabaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	newer, err := Open(t.Context(), Options{Dir: dir, Node: Node{Version: "2.7.0"}})
	if err != nil {
		t.Fatal(err)
	}
	one, two := Migration{"t/1", []string{"CREATE TABLE t (v TEXT)"}}, Migration{"t/2-later", []string{"ALTER TABLE t ADD COLUMN w TEXT"}}
	if err := newer.Migrate(t.Context(), []Migration{one, two}); err != nil {
		t.Fatal(err)
	}
	if err := newer.CheckSchema(t.Context()); err != nil {
		t.Errorf("the newer program = %v", err)
	}
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	older, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = older.Close() })
	if err := older.Migrate(t.Context(), []Migration{one}); err != nil {
		t.Fatal(err)
	}
	err = older.CheckSchema(t.Context())
	if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "t/2-later") || !strings.Contains(err.Error(), "(version 2.7.0)") {
		t.Errorf("the older program on %s = %v", filepath.Base(dir), err)
	}
}
