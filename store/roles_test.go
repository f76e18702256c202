package store

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// inRole has a node do a role's work; the channel says each time it begins, and the work lasts until its context ends.
func inRole(t *testing.T, db *DB, name string, err error) (begun chan string, ended chan error) {
	t.Helper()
	begun, ended = make(chan string, 100), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		ended <- db.InRole(ctx, name, func(ctx context.Context) error {
			begun <- name
			if err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		})
	}()
	return begun, ended
}

func hears(t *testing.T, ch chan string, within time.Duration, what string) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(within):
		t.Fatalf("%s: not within %s", what, within)
	}
}

// TestARoleIsOneNodes: of three nodes one does the work; when it leaves, drains or dies, another does, and never two at
// once.
func TestARoleIsOneNodes(t *testing.T) {
	t.Parallel()
	_, u := server(t)
	var at atomic.Int32
	var dbs []*DB
	begun := make(chan int, 10)
	for i, name := range []string{"a", "b", "c"} {
		db := openNode(t, u, name)
		dbs = append(dbs, db)
		go func() {
			_ = db.InRole(t.Context(), "speak", func(ctx context.Context) error {
				if n := at.Add(1); n != 1 {
					t.Errorf("%d nodes have the role", n)
				}
				begun <- i
				select {
				case <-ctx.Done():
				case <-db.Lost():
				}
				at.Add(-1)
				return nil
			})
		}()
	}
	next := func(within time.Duration, not ...int) int {
		t.Helper()
		select {
		case i := <-begun:
			for _, n := range not {
				if i == n {
					t.Errorf("node %d has the role again", i)
				}
			}
			return i
		case <-time.After(within):
			t.Fatalf("nobody has the role within %s", within)
			return 0
		}
	}
	first := next(5 * time.Second)
	if list, err := dbs[0].Roles(t.Context()); err != nil || len(list) != 1 || list[0].Name != "speak" || list[0].Holder != dbs[first].Holder() {
		t.Errorf("the roles are %+v, %v", list, err)
	}
	// Drained from another node.
	if there, err := dbs[(first+1)%3].Drain(t.Context(), dbs[first].Holder()); err != nil || !there {
		t.Fatal(there, err)
	}
	second := next(2*renewEvery+3*askRole, first)
	// One that has ended its work without a word, and is declared dead by another: the role is free.
	third := 3 - first - second
	dbs[second].lose("it is frozen", nil)
	w := &watcher{db: dbs[third], log: dbs[third].log}
	lives, err := dbs[third].Lives(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lives {
		if l.Holder == dbs[second].Holder() {
			if err := w.bury(t.Context(), l.Holder, "", l.Renewed.UnixMilli(), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := next(5*time.Second, first, second); got != third {
		t.Errorf("node %d has it", got)
	}
}

// TestARoleThatIsYielded goes to another; what fails ends with its error and frees it.
func TestARoleThatIsYielded(t *testing.T) {
	t.Parallel()
	_, u := server(t)
	a, b := openNode(t, u, "a"), openNode(t, u, "b")
	begun, _ := inRole(t, a, "speak", ErrYield)
	hears(t, begun, 5*time.Second, "a has the role")
	other, _ := inRole(t, b, "speak", nil)
	hears(t, other, 5*time.Second, "b has it")
	broken, ended := inRole(t, a, "count", context.DeadlineExceeded)
	hears(t, broken, 5*time.Second, "a counts")
	if err := <-ended; err != context.DeadlineExceeded { //nolint:errorlint // it is that very error
		t.Error(err)
	}
	if list, err := a.Roles(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestARoleOnSQLite is taken like any other.
func TestARoleOnSQLite(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	begun, _ := inRole(t, db, "speak", nil)
	hears(t, begun, 5*time.Second, "the role")
}
