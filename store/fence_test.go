package store

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestASleepingHolderWritesNothingMore: a process is suspended in the middle of a transaction, its lock's session is
// ended, and another process takes the database over. What the sleeper had under way is rolled back, and it gets no new
// session.
func TestASleepingHolderWritesNothingMore(t *testing.T) {
	pg, u := server(t)
	a := openURL(t, u)
	if err := a.Write(t.Context(), func(tx Tx) error {
		_, err := tx.Exec(t.Context(), "CREATE TABLE fenced (who TEXT)")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	wake, done := sleeper(a)
	if err := pg.SQL(t.Context(), terminateLock); err != nil {
		t.Fatal(err)
	}
	b := openURL(t, u)
	if err := b.Write(t.Context(), func(tx Tx) error {
		_, err := tx.Exec(t.Context(), "INSERT INTO fenced VALUES ('the next')")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	close(wake)
	if err := <-done; err == nil {
		t.Error("the transaction of the sleeper was committed after the take-over")
	}
	a.pool.Reset() // whatever it opens from now on
	if err := a.Write(t.Context(), func(tx Tx) error {
		_, err := tx.Exec(t.Context(), "INSERT INTO fenced VALUES ('the sleeper, again')")
		return err
	}); err == nil {
		t.Error("the sleeper wrote after the take-over")
	}
	var who string
	if err := b.QueryRow(t.Context(), "SELECT string_agg(who, ', ') FROM fenced").Scan(&who); err != nil || who != "the next" {
		t.Errorf("the table has %q, %v", who, err)
	}
}

// TestAClockSetBackIsWaitedForOnce: the database's clock was set back by an hour, as after a failover. The last renewal
// is from the future then, and a start must not wait an hour for it to grow old.
func TestAClockSetBackIsWaitedForOnce(t *testing.T) {
	pg, u := server(t)
	a := openURL(t, u)
	a.owner.stop()
	<-a.owner.done
	if _, err := a.pool.Exec(t.Context(), "UPDATE jarvis_nodes SET renewed_at = renewed_at + 3600000"); err != nil {
		t.Fatal(err)
	}
	if err := pg.SQL(t.Context(), terminateLock); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*takeOver)
	defer cancel()
	began := time.Now()
	b, err := Open(ctx, Options{URL: u})
	if err != nil {
		t.Fatalf("after %s: %v", time.Since(began), err)
	}
	defer func() { _ = b.Close() }()
	if strings.Contains(b.owner.holder, a.owner.holder) {
		t.Error("the holder did not change")
	}
}

// sleeper has a node begin a transaction, and then renew no more. The transaction ends when wake is closed; done has
// what came of it.
func sleeper(a *DB) (wake chan struct{}, done chan error) {
	open := make(chan struct{})
	wake, done = make(chan struct{}), make(chan error, 1)
	go func() {
		done <- a.Write(context.Background(), func(tx Tx) error {
			if _, err := tx.Exec(context.Background(), "INSERT INTO fenced VALUES ('the sleeper')"); err != nil {
				return err
			}
			close(open)
			<-wake
			return nil
		})
	}()
	<-open
	a.owner.stop()
	<-a.owner.done
	return wake, done
}
