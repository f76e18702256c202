package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func openNode(t *testing.T, u, name string) *DB {
	t.Helper()
	db, err := Open(t.Context(), Options{URL: u, Shared: true, Node: Node{Name: name, Silo: "home", Version: "1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// states gives "a lives, b left", in the order of names.
func states(t *testing.T, db *DB) string {
	t.Helper()
	list, err := db.Lives(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range list {
		out = append(out, l.Node.Name+" "+string(l.State))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// TestManyLiveOnOneDatabase: nodes live beside each other, and none beside one that is to be alone.
func TestManyLiveOnOneDatabase(t *testing.T) {
	t.Parallel()
	_, u := server(t)
	a, b := openNode(t, u, "a"), openNode(t, u, "b")
	for _, db := range []*DB{a, b} {
		if got := states(t, db); got != "a lives, b lives" {
			t.Errorf("%q", got)
		}
	}
	if _, err := Open(t.Context(), Options{URL: u}); !errors.Is(err, ErrInUse) {
		t.Errorf("one that is to be alone = %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if got := states(t, a); got != "a lives, b left" {
		t.Errorf("%q", got)
	}
	select {
	case <-a.Died():
	case <-time.After(takeOver - renewEvery): // sooner than one that died
		t.Error("nobody said that the work of b may be taken up")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	alone := openURL(t, u)
	if _, err := Open(t.Context(), Options{URL: u, Shared: true}); !errors.Is(err, ErrInUse) {
		t.Errorf("a node beside one that is alone = %v", err)
	}
	if err := alone.Why(); err != nil {
		t.Error(err)
	}
}

// TestManyStartAtOnce: nothing but their rows tells them apart.
func TestManyStartAtOnce(t *testing.T) {
	t.Parallel()
	_, u := server(t)
	errs := make(chan error)
	for i := range 6 {
		go func() {
			db, err := Open(context.Background(), Options{URL: u, Shared: true, Node: Node{Name: fmt.Sprint(i)}})
			if err == nil {
				err = db.Close()
			}
			errs <- err
		}()
	}
	for range 6 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// TestAFrozenNodeIsBuried: a node is stopped in the middle of a transaction. Another declares it for dead, and not
// before it must have ended; what it had under way is rolled back, and when it wakes up it writes nothing.
func TestAFrozenNodeIsBuried(t *testing.T) {
	t.Parallel()
	_, u := server(t)
	a, b := openNode(t, u, "a"), openNode(t, u, "b")
	if err := b.Write(t.Context(), func(tx Tx) error {
		_, err := tx.Exec(t.Context(), "CREATE TABLE fenced (who TEXT)")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	wake, done := sleeper(a)
	a.others.stop()
	stopped := time.Now()
	select {
	case <-b.Died():
	case <-time.After(3 * takeOver):
		t.Fatal("nobody noticed")
	}
	took := time.Since(stopped)
	if took < takeOver-renewEvery || took > 25*time.Second {
		t.Errorf("declared dead after %s", took)
	}
	if got := states(t, b); got != "a buried, b lives" {
		t.Errorf("%q", got)
	}
	close(wake)
	if err := <-done; err == nil {
		t.Error("the transaction of the sleeper was committed after that")
	}
	a.pool.Reset() // whatever it opens from now on
	if err := a.Write(t.Context(), func(tx Tx) error {
		_, err := tx.Exec(t.Context(), "INSERT INTO fenced VALUES ('the sleeper, again')")
		return err
	}); err == nil {
		t.Error("the sleeper wrote after it was declared dead")
	}
	var n int
	if err := b.QueryRow(t.Context(), "SELECT count(*) FROM fenced").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// TestAClockThatJumpsBuriesNobody: the database's clock is set forward by an hour, so that each row is old at once.
func TestAClockThatJumpsBuriesNobody(t *testing.T) {
	t.Parallel()
	_, u := server(t)
	a, b := openNode(t, u, "a"), openNode(t, u, "b")
	for range 3 {
		if _, err := b.pool.Exec(t.Context(), "UPDATE jarvis_nodes SET renewed_at = renewed_at - 3600000"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(renewEvery)
	}
	if got := states(t, b); got != "a lives, b lives" || a.Why() != nil || b.Why() != nil {
		t.Errorf("%q, %v, %v", got, a.Why(), b.Why())
	}
}

// TestANodeWaitsForAnOlderJarvis: one of before there were nodes holds the database by a row and a lock of its own. It
// is not joined while it may live, and the first node after it ends what is left of it.
func TestANodeWaitsForAnOlderJarvis(t *testing.T) {
	t.Parallel()
	_, u := server(t)
	older, err := pgx.Connect(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{fmt.Sprintf("SELECT pg_advisory_lock(%d)", advisoryKey),
		"CREATE TABLE jarvis_owner (id INTEGER PRIMARY KEY, holder TEXT NOT NULL, renewed_at BIGINT NOT NULL, released INTEGER NOT NULL)",
		"INSERT INTO jarvis_owner VALUES (1, 'older process 7', " + dbNow + ", 0)"} {
		if _, err := older.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(t.Context(), Options{URL: u, Shared: true}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "older process 7") {
		t.Errorf("beside an older one = %v", err)
	}
	closeConn(older)
	began := time.Now()
	a := openNode(t, u, "a")
	if d := time.Since(began); d < takeOver/2 {
		t.Errorf("it waited %s for one that may still live", d)
	}
	var left bool
	if err := a.QueryRow(t.Context(), "SELECT to_regclass('jarvis_owner') IS NOT NULL").Scan(&left); err != nil || left {
		t.Errorf("its table is there: %v, %v", left, err)
	}
}

// TestTheAddressLeadsElsewhere: another server became the primary, and the old one lives on with the sessions that were
// open. Whoever works there must end before those who see the new one begin its work.
func TestTheAddressLeadsElsewhere(t *testing.T) {
	t.Parallel()
	_, first := server(t)
	_, second := server(t)
	was, err := url.Parse(first)
	if err != nil {
		t.Fatal(err)
	}
	is, err := url.Parse(second)
	if err != nil {
		t.Fatal(err)
	}
	var leads atomic.Pointer[string]
	old := was.Host
	leads.Store(&old)
	at := forward(t, &leads)
	was.Host = at
	db := openNode(t, was.String(), "a")
	// The look fails as long as nobody is there: that is no proof of anything.
	nowhere := "127.0.0.1:1"
	leads.Store(&nowhere)
	time.Sleep(stayEvery + time.Second)
	if err := db.Why(); err != nil {
		t.Fatal(err)
	}
	leads.Store(&is.Host)
	began := time.Now()
	select {
	case <-db.Lost():
	case <-time.After(takeOver - 3*time.Second):
		t.Fatal("it works on with a server to which the address does not lead any more")
	}
	t.Logf("lost after %s: %v", time.Since(began).Round(100*time.Millisecond), db.Why())
}

// forward gives an address that leads new connections to where `leads` says, and leaves those that are open where they
// are.
func forward(t *testing.T, leads *atomic.Pointer[string]) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", *leads.Load())
			if err != nil {
				_ = c.Close()
				continue
			}
			go func() { _, _ = io.Copy(up, c); _ = up.Close() }()
			go func() { _, _ = io.Copy(c, up); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}
