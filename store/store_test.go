package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) *DB {
	t.Helper()
	db, err := Open(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context(), []Migration{{"t/1", []string{"CREATE TABLE t (id {{id}}, v TEXT NOT NULL UNIQUE)"}}}); err != nil {
		t.Fatal(err)
	}
	return db
}

func count(t *testing.T, db *DB) (n int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOneBadWriteTakesNoOtherWithIt(t *testing.T) {
	db := open(t)
	var wg sync.WaitGroup
	bad := errors.New("no")
	for i := range 200 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			err := db.Write(t.Context(), func(tx Tx) error {
				if _, err := tx.Exec(t.Context(), "INSERT INTO t (v) VALUES (?)", fmt.Sprint(i)); err != nil {
					return err
				}
				if i%10 == 0 {
					return bad
				}
				return nil
			})
			if (i%10 == 0) != errors.Is(err, bad) {
				t.Errorf("write %d = %v", i, err)
			}
		}()
	}
	wg.Wait()
	if n := count(t, db); n != 180 {
		t.Errorf("%d rows, want 180", n)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	a, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("second Open = %v, want ErrInUse", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWriteAfterCloseIsAnError(t *testing.T) {
	db := open(t)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Write(context.Background(), func(Tx) error { return nil }); err == nil {
		t.Error("a write after Close succeeded")
	}
}
