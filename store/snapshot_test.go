package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

var copied = []Migration{
	{"t/1", []string{"CREATE TABLE t (id {{id}}, v TEXT NOT NULL UNIQUE)"}},
	{"t/2", []string{"ALTER TABLE t ADD COLUMN f DOUBLE PRECISION", "CREATE TABLE marks (name TEXT PRIMARY KEY)", "INSERT INTO marks (name) VALUES ('made by the migration')"}},
}

// source is a database with n rows, the newest number of which was given out and is gone.
func source(t *testing.T, o Options, n int) *DB {
	t.Helper()
	db, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	err = db.Write(t.Context(), func(tx Tx) error {
		for i := range n + 1 {
			if _, err := tx.Exec(t.Context(), "INSERT INTO t (v, f) VALUES (?, ?)", fmt.Sprint(i), float64(i)/3); err != nil {
				return err
			}
		}
		_, err := tx.Exec(t.Context(), "DELETE FROM t WHERE v = ?", fmt.Sprint(n))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func all() []Migration { return append(Migrations(false), copied...) }

// counted is a sink that writes into the source while it is read.
type counted struct {
	Sink
	rows    int
	meddle  func()
	meddled bool
}

func (c *counted) Row(row []any) error {
	c.rows++
	if !c.meddled {
		c.meddled = true
		c.meddle()
	}
	return c.Sink.Row(row)
}

// TestACopyShowsOneMoment writes while the copy is read, loads it into the other database, and looks at what is there.
func TestACopyShowsOneMoment(t *testing.T) {
	pg, url := server(t)
	other, err := pg.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ from, to Options }{
		"sqlite to postgres":   {Options{Dir: t.TempDir()}, Options{URL: other}},
		"postgres to sqlite":   {Options{URL: url}, Options{Dir: t.TempDir()}},
		"sqlite to sqlite too": {Options{Dir: t.TempDir()}, Options{Dir: t.TempDir()}},
	} {
		t.Run(name, func(t *testing.T) {
			db := source(t, c.from, 2500)
			s, err := OpenSnapshot(t.Context(), c.from, all())
			if err != nil {
				t.Fatal(err)
			}
			l, err := BeginLoad(t.Context(), c.to, all())
			if err != nil {
				t.Fatal(err)
			}
			defer l.Abort()
			sink := &counted{Sink: l, meddle: func() {
				err := db.Write(t.Context(), func(tx Tx) error {
					_, err := tx.Exec(t.Context(), "DELETE FROM t")
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}}
			if err := errors.Join(s.Copy(t.Context(), sink), s.Close(), l.SetFact("copied", "yes"), l.Commit()); err != nil {
				t.Fatal(err)
			}
			l.Abort()
			to, err := Open(t.Context(), c.to)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = to.Close() }()
			if err := to.Migrate(t.Context(), copied); err != nil {
				t.Fatal(err)
			}
			var rows, marks, id int
			var third float64
			err = errors.Join(to.QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&rows), to.QueryRow(t.Context(), "SELECT count(*) FROM marks").Scan(&marks),
				to.QueryRow(t.Context(), "SELECT f FROM t WHERE v = '1'").Scan(&third),
				to.Write(t.Context(), func(tx Tx) error {
					return tx.QueryRow(t.Context(), "INSERT INTO t (v) VALUES ('new') RETURNING id").Scan(&id)
				}))
			if err != nil || rows != 2500 || marks != 1 || third != 1.0/3 || id != 4001 {
				t.Errorf("%d rows, %d marks, a third is %v, the next number %d, %v", rows, marks, third, id, err)
			}
			if fact, err := to.Fact(t.Context(), "copied"); err != nil || fact != "yes" {
				t.Errorf("Fact = %q, %v", fact, err)
			}
		})
	}
}

// TestNothingIsLoadedOverARecord, nor under a server, nor half.
func TestNothingIsLoadedOverARecord(t *testing.T) {
	pg, url := server(t)
	refused := func(o Options, text string) {
		t.Helper()
		l, err := BeginLoad(t.Context(), o, all())
		if err == nil {
			l.Abort()
		}
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("BeginLoad = %v, want %q", err, text)
		}
	}
	dir := t.TempDir()
	source(t, Options{Dir: dir}, 1)
	refused(Options{Dir: dir}, "is there already")
	db := source(t, Options{URL: url}, 1)
	refused(Options{URL: url}, "another jarvis uses this data")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	refused(Options{URL: url}, "holds a record of Jarvis already")

	empty, err := pg.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l, err := BeginLoad(ctx, Options{URL: empty}, all())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Table(Table{Name: "t", Columns: []string{"id", "v"}}); err == nil || !strings.Contains(err.Error(), "this database has f, id, v") {
		t.Errorf("Table with other columns = %v", err)
	}
	cancel()
	l.Abort()
	if l, err = BeginLoad(t.Context(), Options{URL: empty}, all()); err != nil {
		t.Errorf("after a load that was broken off, BeginLoad = %v", err)
	} else {
		l.Abort()
	}
}

// TestASnapshotOfANewerRecordIsRefused: what this program does not know it could not copy.
func TestASnapshotOfANewerRecordIsRefused(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	source(t, o, 1)
	if s, err := OpenSnapshot(t.Context(), o, Migrations(false)); !errors.Is(err, ErrNewer) {
		t.Errorf("OpenSnapshot = %v, %v", s, err)
	}
	if s, err := OpenSnapshot(t.Context(), Options{Dir: t.TempDir()}, all()); err == nil {
		t.Errorf("OpenSnapshot of nothing = %v", s)
	}
}
