package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/jarvisops/jarvis/internal/guard"
)

// maxGroup bounds how many writes share a commit, so that a burst does not make the first of them wait for all.
const maxGroup = 256

// group gathers the writes that arrive while a commit is under way into one transaction: on SQLite the flush to
// disk is what a commit costs, and one flush serves all of them.
//
// One goroutine, started by newGroup and ended by close, owns the writing of groups.
type group struct {
	db    *sql.DB
	stmts *stmts
	lost  func() error // why nothing may be written any more, or nil
	in    chan *write
	done  chan struct{}

	mu     sync.RWMutex // closed and in: nobody sends on a closed channel
	closed bool
}

type write struct {
	ctx context.Context
	f   func(Tx) error
	res chan error
}

func newGroup(db *sql.DB, lost func() error) *group {
	g := &group{db: db, lost: lost, stmts: &stmts{db: db, m: map[string]*sql.Stmt{}}, in: make(chan *write, maxGroup), done: make(chan struct{})}
	guard.Go(guard.Count, g.run) // a panic of a write, or of the database below it, is caught in one
	return g
}

// close returns when all that was taken is committed or refused. It may be called again.
func (g *group) close() {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		close(g.in)
	}
	g.mu.Unlock()
	<-g.done
}

// do hands one write to the group and waits for its commit. A context that ends does not take back a write that is
// under way: the caller would not know whether it happened.
func (g *group) do(ctx context.Context, f func(Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &write{ctx: context.WithoutCancel(ctx), f: f, res: make(chan error, 1)}
	g.mu.RLock()
	if g.closed {
		g.mu.RUnlock()
		return sql.ErrConnDone
	}
	g.in <- w
	g.mu.RUnlock()
	return <-w.res
}

// run waits for no company: what came while the last commit was under way is the next group.
func (g *group) run() {
	defer close(g.done)
	defer g.stmts.close()
	for w := range g.in {
		batch := []*write{w}
		for len(batch) < maxGroup {
			select {
			case more, ok := <-g.in:
				if !ok {
					g.commit(batch)
					return
				}
				batch = append(batch, more)
				continue
			default:
			}
			break
		}
		g.commit(batch)
	}
}

// commit writes the batch as one transaction. When any of them fails, each is tried in a transaction of its own, so
// that one bad write takes no other with it. When the transaction could not even begin, that is the answer to all: each
// would wait as long again for the same lock.
func (g *group) commit(batch []*write) {
	err := g.one(batch)
	var none *beginError
	if err == nil || len(batch) == 1 || errors.As(err, &none) {
		for _, w := range batch {
			w.res <- err
		}
		return
	}
	for _, w := range batch {
		w.res <- g.one([]*write{w})
	}
}

// beginError: no transaction, so nothing of the batch was tried.
type beginError struct{ err error }

func (e *beginError) Error() string { return "begin: " + e.err.Error() }
func (e *beginError) Unwrap() error { return e.err }

// one writes a batch as one transaction. A panic is an error of that write: the loop serves everybody.
func (g *group) one(batch []*write) error {
	return guard.Call(func() error { return g.commitOne(batch) })
}

// commitOne writes all or nothing. It asks twice whether the database is still ours: before it begins, and before it
// commits.
func (g *group) commitOne(batch []*write) error {
	ctx := batch[0].ctx
	if err := g.lost(); err != nil {
		return &beginError{err}
	}
	tx, err := g.db.BeginTx(ctx, nil)
	if err != nil {
		return &beginError{err}
	}
	defer func() { _ = tx.Rollback() }() // nothing after a commit
	for _, w := range batch {
		if err := w.f(sqlTx{tx, g.stmts}); err != nil {
			return err
		}
	}
	if err := g.lost(); err != nil {
		_ = tx.Rollback()
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	g.stmts.prepare(ctx)
	return nil
}
