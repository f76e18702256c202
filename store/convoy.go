package store

import (
	"context"
	"slices"
	"sync"

	"github.com/jarvisops/jarvis/internal/guard"
)

const (
	maxConvoy  = 64 // writes in one transaction: the first of them waits for the last
	maxConvoys = 1  // under way at once
)

// convoy lets writes on PostgreSQL share a journey and a commit: those that arrive while one is under way go together
// with the next, as group does it on SQLite. Only writes go that have nothing to read in between: see Tx.Later. When a
// statement of one fails, the others go again without it.
//
// A goroutine runs while there is something to carry; each write waits for its answer, so none is left when all
// returned.
type convoy struct {
	db *DB

	mu    sync.Mutex
	wait  []*passenger
	under int // convoys under way
}

type passenger struct {
	ctx   context.Context
	queue []later
	res   chan error
}

// do carries one write. A context that ends does not take back what is under way: the caller would not know whether it
// happened.
func (v *convoy) do(ctx context.Context, queue []later) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p := &passenger{context.WithoutCancel(ctx), queue, make(chan error, 1)}
	v.mu.Lock()
	v.wait = append(v.wait, p)
	start := v.under < maxConvoys
	if start {
		v.under++
	}
	v.mu.Unlock()
	if start {
		guard.Go(guard.Count, v.run)
	}
	return <-p.res
}

// run carries what waits until nothing does; do starts it again.
func (v *convoy) run() {
	for {
		v.mu.Lock()
		n := min(len(v.wait), maxConvoy)
		if n == 0 {
			v.under--
			v.mu.Unlock()
			return
		}
		all := slices.Clone(v.wait[:n])
		v.wait = append(v.wait[:0], v.wait[n:]...)
		v.mu.Unlock()
		v.carry(all)
	}
}

// carry answers all of them.
func (v *convoy) carry(all []*passenger) {
	for len(all) > 0 {
		at, err := -1, error(nil)
		var rolledBack bool
		if caught := guard.Call(func() error {
			ctx, done := v.db.pulse.forAll(all[0].ctx)
			defer done()
			writes := make([][]later, len(all))
			for i, p := range all {
				writes[i] = p.queue
			}
			at, rolledBack, err = sendAll(ctx, v.db, writes)
			err = v.db.pulse.because(ctx, err)
			return nil
		}); caught != nil {
			at, err = -1, caught
		}
		if err == nil || at < 0 || !rolledBack {
			for _, p := range all {
				p.res <- err
			}
			return
		}
		all[at].res <- err
		all = slices.Delete(all, at, at+1)
	}
}
