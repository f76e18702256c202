package store

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jarvisops/jarvis/lab/real"
)

// server is a PostgreSQL of this test alone: what is done to it would end the others'.
func server(t *testing.T) (*real.Postgres, string) {
	t.Helper()
	pg, err := real.StartPostgres(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Stop)
	u, err := pg.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return pg, u
}

func openURL(t *testing.T, u string) *DB {
	t.Helper()
	db, err := Open(t.Context(), Options{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// lostWithin waits for Lost, and gives how long that took.
func lostWithin(t *testing.T, db *DB, limit time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	select {
	case <-db.Lost():
	case <-time.After(limit):
		t.Fatalf("not noticed after %s", limit)
	}
	if err := db.Write(t.Context(), func(Tx) error { t.Error("a write of the lost one ran"); return nil }); !errors.Is(err, ErrLost) {
		t.Errorf("a write after that = %v", err)
	}
	t.Logf("noticed after %s: %v", time.Since(began).Round(10*time.Millisecond), db.Why())
	return time.Since(began)
}

const terminateLock = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"

// The story: an administrator ends the one idle session that nobody knows. The lock is free, a second server starts,
// and the first goes on: each runs every step. So the first must know, and the second must wait until it does.
func TestALockThatIsTakenAwayIsNoticed(t *testing.T) {
	t.Parallel()
	pg, u := server(t)
	a := openURL(t, u)
	if _, err := Open(t.Context(), Options{URL: u}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "process") {
		t.Errorf("a second = %v", err)
	}
	if err := pg.SQL(t.Context(), terminateLock); err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	// The second comes at once, while the first does not know yet.
	var said real.Buffer
	b, err := Open(t.Context(), Options{URL: u, Log: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	waited := time.Since(ended)
	select {
	case <-a.Lost():
	default:
		t.Error("the second is in, and the first does not know")
	}
	lostWithin(t, a, time.Second)
	if waited < takeOver-renewEvery-time.Second || waited > takeOver+2*time.Second {
		t.Errorf("the second waited %s", waited)
	}
	if !strings.Contains(said.String(), "did not release it") {
		t.Errorf("the second said %q", said.String())
	}
	t.Logf("the second waited %s", waited.Round(10*time.Millisecond))
}

// Released in order, nobody waits.
func TestAReleasedLockIsTakenAtOnce(t *testing.T) {
	t.Parallel()
	_, u := server(t)
	a := openURL(t, u)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	openURL(t, u)
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("it took %s", d)
	}
}

// A process that was suspended wakes up and does not know yet that another owns the database: the database itself
// refuses what it writes.
func TestTheFenceRefusesWhoDoesNotKnowYet(t *testing.T) {
	t.Parallel()
	_, u := server(t)
	a := openURL(t, u)
	if _, err := a.pool.Exec(t.Context(), "UPDATE jarvis_nodes SET state = 'dead'"); err != nil {
		t.Fatal(err)
	}
	a.owner.sent.Add(-int64(20 * time.Second)) // the time it slept
	if err := a.Write(t.Context(), func(Tx) error { t.Error("the write began"); return nil }); !errors.Is(err, ErrLost) {
		t.Errorf("Write = %v", err)
	}
	lostWithin(t, a, time.Second)
}

func TestARestartOfPostgresIsNoticed(t *testing.T) {
	t.Parallel()
	pg, u := server(t)
	a := openURL(t, u)
	if err := pg.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	lostWithin(t, a, renewEvery+2*time.Second)
	if err := a.Healthy(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("Healthy = %v", err)
	}
}

// idle_session_timeout of the role ended the lock's session, which says nothing for hours.
func TestAnIdleSessionTimeoutEndsNothing(t *testing.T) {
	t.Parallel()
	pg, u := server(t)
	if err := pg.SQL(t.Context(), "ALTER ROLE jarvis SET idle_session_timeout = '1s'"); err != nil {
		t.Fatal(err)
	}
	a := openURL(t, u)
	select {
	case <-a.Lost():
		t.Errorf("lost: %v", a.Why())
	case <-time.After(5 * time.Second):
	}
	if err := a.Healthy(t.Context()); err != nil {
		t.Errorf("Healthy = %v", err)
	}
	var idle, app, statement, lock string
	if err := a.QueryRow(t.Context(), "SELECT current_setting('idle_session_timeout'), current_setting('application_name'), current_setting('statement_timeout'), current_setting('lock_timeout')").Scan(&idle, &app, &statement, &lock); err != nil || idle != "0" || app != "jarvis" || statement != "1min" || lock != "10s" {
		t.Errorf("a session has %s %s %s %s, %v", idle, app, statement, lock, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	// What the URL says wins.
	b := openURL(t, u+"&application_name=mine&statement_timeout=7000&pool_max_conns=3&options=-c%20lock_timeout%3D3000")
	if err := b.QueryRow(t.Context(), "SELECT current_setting('application_name'), current_setting('statement_timeout'), current_setting('lock_timeout')").Scan(&app, &statement, &lock); err != nil || app != "mine" || statement != "7s" || lock != "3s" || b.pool.Config().MaxConns != 3 {
		t.Errorf("by the URL: %s %s %s %d, %v", app, statement, lock, b.pool.Config().MaxConns, err)
	}
}

// The server is frozen: TCP accepts, nobody answers. Health says so within a second, a read within a few, and whoever
// can prove nothing for six seconds stops.
func TestAFrozenPostgresHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	pg, u := server(t)
	a := openURL(t, u)
	if err := a.Healthy(t.Context()); err != nil {
		t.Fatal(err)
	}
	thaw, err := pg.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	defer thaw()
	frozen := time.Now()
	for a.Healthy(t.Context()) == nil { // the answer of a moment ago is good for a moment
		if time.Since(frozen) > time.Second {
			t.Fatal("a frozen database is healthy")
		}
		time.Sleep(20 * time.Millisecond)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			began := time.Now()
			err := a.Healthy(t.Context())
			var sick *Trouble
			if !errors.As(err, &sick) || sick.What != "the database does not answer" || time.Since(began) > healthWithin+300*time.Millisecond {
				t.Errorf("Healthy = %v after %s", err, time.Since(began))
			}
		}()
	}
	wg.Wait()
	var n int
	err = a.QueryRow(t.Context(), "SELECT 1").Scan(&n)
	var sick *Trouble
	if !errors.As(err, &sick) || sick.What != "the database does not answer" {
		t.Errorf("a read = %v", err)
	}
	if d := time.Since(frozen); d > 2*renewEvery+time.Second {
		t.Errorf("a read was answered after %s", d)
	}
	t.Logf("a read was answered after %s", time.Since(frozen).Round(10*time.Millisecond))
	lostWithin(t, a, giveUp+2*time.Second)
	began := time.Now()
	_ = a.Close()
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("Close took %s", d)
	}
	for time.Since(frozen) < 12*time.Second {
		time.Sleep(100 * time.Millisecond)
	}
	thaw()
	b := openURL(t, u) // what waited for the frozen server is over, or is waited for
	if err := b.Healthy(t.Context()); err != nil {
		t.Errorf("Healthy after the thaw = %v", err)
	}
}

// Short silence is survived: three seconds are no reason to stop everything.
func TestAShortSilenceIsSurvived(t *testing.T) {
	t.Parallel()
	pg, u := server(t)
	a := openURL(t, u)
	thaw, err := pg.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(3*time.Second, thaw)
	defer thaw()
	for began := time.Now(); ; {
		if err := a.Healthy(t.Context()); err == nil && time.Since(began) > 3*time.Second {
			break
		}
		if time.Since(began) > 15*time.Second {
			t.Fatalf("not healthy again: %v", a.Why())
		}
		time.Sleep(50 * time.Millisecond)
	}
	var n int
	if err := a.QueryRow(t.Context(), "SELECT 1").Scan(&n); err != nil {
		t.Errorf("a read afterwards = %v", err)
	}
	if err := a.Why(); err != nil {
		t.Errorf("lost after three seconds: %v", err)
	}
}

// A server that was frozen still has the lock of a connection that is long gone: who comes next waits for it to notice.
func TestTheLockOfADeadHolderIsWaitedFor(t *testing.T) {
	t.Parallel()
	_, u := server(t)
	if err := openURL(t, u).Close(); err != nil {
		t.Fatal(err)
	}
	dead, err := pgx.Connect(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{fmt.Sprintf("SELECT pg_advisory_lock(%d)", advisoryKey), "UPDATE jarvis_nodes SET state = 'lives', renewed_at = " + dbNow + " - 12000"} {
		if _, err := dead.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	gone := time.AfterFunc(1500*time.Millisecond, func() { closeConn(dead) })
	defer gone.Stop()
	if err := openURL(t, u).Healthy(t.Context()); err != nil {
		t.Error(err)
	}
}
