package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestOfWritesThatGoTogetherOneThatMissesFailsAlone: many share a transaction; a fence of one of them finds no row, a
// statement of another is refused, and each hears of its own fate.
func TestOfWritesThatGoTogetherOneThatMissesFailsAlone(t *testing.T) {
	_, u := server(t)
	for _, o := range []Options{{URL: u}, {Dir: t.TempDir()}} {
		db, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		const n = 200
		if err := db.Write(t.Context(), func(tx Tx) error {
			if _, err := tx.Exec(t.Context(), "CREATE TABLE things (id BIGINT PRIMARY KEY, epoch BIGINT)"); err != nil {
				return err
			}
			for i := range n {
				if _, err := tx.Exec(t.Context(), "INSERT INTO things VALUES (?, ?)", i, i%3); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		missed := errors.New("somebody wrote it")
		got := make([]error, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				got[i] = db.Write(t.Context(), func(tx Tx) error {
					if err := tx.Later(t.Context(), nil, "INSERT INTO things VALUES (?, ?)", n+i-i%2*(i%5/4*n), i); err != nil { // some are there already
						return err
					}
					return tx.Later(t.Context(), missed, "UPDATE things SET epoch = 9 WHERE id = ? AND epoch = ?", i, i%3/2*7) // one of three is of another epoch
				})
			})
		}
		all.Wait()
		want := 0
		for i, err := range got {
			twice, other := i%2*(i%5/4) == 1, i%3 != 0
			switch {
			case twice && (err == nil || errors.Is(err, missed)):
				t.Errorf("%d: a row that is there already = %v", i, err)
			case !twice && other && !errors.Is(err, missed):
				t.Errorf("%d: a fence that finds nothing = %v", i, err)
			case !twice && !other && err != nil:
				t.Errorf("%d = %v", i, err)
			case !twice && !other:
				want++
			}
		}
		var rows, changed int
		if err := db.QueryRow(t.Context(), "SELECT count(*), sum(CASE WHEN epoch = 9 AND id < ? THEN 1 ELSE 0 END) FROM things", n).Scan(&rows, &changed); err != nil {
			t.Fatal(err)
		}
		if rows != n+want || changed != want {
			t.Errorf("%d rows and %d changed, want %d and %d", rows, changed, n+want, want)
		}
	}
}

// TestWhatIsDoneLaterKeepsItsPlace: statements whose results nobody wants are done before the one that is given after
// them.
func TestWhatIsDoneLaterKeepsItsPlace(t *testing.T) {
	_, u := server(t)
	db := openURL(t, u)
	ctx := t.Context()
	missed := errors.New("missed")
	err := db.Write(ctx, func(tx Tx) error {
		if _, err := tx.Exec(ctx, "CREATE TABLE things (id BIGINT PRIMARY KEY, n BIGINT)"); err != nil {
			return err
		}
		if err := tx.Later(ctx, nil, "INSERT INTO things VALUES (?, ?)", 1, 1); err != nil {
			return err
		}
		var n int
		if err := tx.QueryRow(ctx, "SELECT n FROM things WHERE id = ?", 1).Scan(&n); err != nil || n != 1 {
			return fmt.Errorf("%d, %w", n, err)
		}
		if err := tx.Later(ctx, missed, "UPDATE things SET n = 2 WHERE id = ?", 1); err != nil {
			return err
		}
		list, err := Collect(ctx, tx, func(r Row) (n int, err error) { return n, r.Scan(&n) }, "SELECT n FROM things")
		if err != nil || len(list) != 1 || list[0] != 2 {
			return fmt.Errorf("%v, %w", list, err)
		}
		return tx.Later(ctx, missed, "UPDATE things SET n = 3 WHERE id = ?", 1)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Write(ctx, func(tx Tx) error { // the miss is the answer to the question after it, and swallowing that helps nobody
		_ = tx.Later(ctx, nil, "UPDATE things SET n = 4 WHERE id = ?", 1)
		_ = tx.Later(ctx, missed, "UPDATE things SET n = 5 WHERE id = ?", 2)
		var n int
		if err := tx.QueryRow(ctx, "SELECT n FROM things").Scan(&n); !errors.Is(err, missed) {
			t.Errorf("a question after a miss = %v", err)
		}
		return nil
	})
	if !errors.Is(err, missed) {
		t.Errorf("Write = %v", err)
	}
	var n int
	if err := db.QueryRow(ctx, "SELECT n FROM things").Scan(&n); err != nil || n != 3 {
		t.Errorf("n = %d, %v", n, err)
	}
}

// TestTheFenceRefusesAConvoy: the proof was young when the write was asked for, and is old when there is a connection
// for it.
func TestTheFenceRefusesAConvoy(t *testing.T) {
	_, u := server(t)
	db := openURL(t, u)
	if err := db.Write(t.Context(), func(tx Tx) error {
		_, err := tx.Exec(t.Context(), "CREATE TABLE things (id BIGINT)")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	err := db.Write(t.Context(), func(tx Tx) error {
		if _, err := db.pool.Exec(t.Context(), "UPDATE jarvis_nodes SET state = 'dead'"); err != nil {
			t.Fatal(err)
		}
		db.owner.sent.Add(-int64(20 * time.Second)) // the time it slept
		return tx.Later(t.Context(), nil, "INSERT INTO things VALUES (?)", 1)
	})
	if !errors.Is(err, ErrLost) {
		t.Errorf("Write = %v", err)
	}
	other, err := pgx.Connect(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	defer closeConn(other)
	var n int
	if err := other.QueryRow(t.Context(), "SELECT count(*) FROM things").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// TestTooFewSessionsAreSaid: a server that lets in fewer sessions than the nodes may want says nothing before it
// refuses one.
func TestTooFewSessionsAreSaid(t *testing.T) {
	_, u := server(t)
	for extra, want := range map[string]bool{"&pool_max_conns=4": false, "&pool_max_conns=999": true} {
		var said bytes.Buffer
		db, err := Open(context.Background(), Options{URL: u + extra, Log: slog.New(slog.NewTextHandler(&said, nil))})
		if err != nil {
			t.Fatal(err)
		}
		_ = db.Close()
		if got := strings.Contains(said.String(), "max_connections"); got != want {
			t.Errorf("with %s: %s", extra, said.String())
		}
	}
}
