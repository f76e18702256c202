package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/store"
)

// errUnstorable: the database answers, and will never take this.
var errUnstorable = errors.New("the database refuses it")

// settle has a commit tried until the database takes it, or says that it never will, or this process gives up because
// it has to end. What a step did is known here and nowhere else until then.
func (e *Engine) settle(commit func() error) error {
	began, pause := time.Now(), 50*time.Millisecond
	for try := 1; ; try++ {
		err := commit()
		switch {
		case err == nil:
			if try > 1 {
				e.log.Info("the database takes the record again", "after", time.Since(began).Round(time.Millisecond))
			}
			return nil
		case errors.Is(err, errStale), errors.Is(err, errCancelAsked):
			return err
		case store.Unstorable(err):
			return fmt.Errorf("%w: %w", errUnstorable, err)
		}
		if try == 1 || try%20 == 0 {
			e.log.Error("the database does not take what a step has done; it is kept and tried again", "try", try, "err", err)
		}
		select {
		case <-e.patience.Done():
			return err
		case <-time.After(pause):
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// neverBegan remembers that the step of a run did not start, although the record may say so.
func (e *Engine) neverBegan(r *Run) {
	e.mu.Lock()
	e.unbegun[r.ID] = r.epoch
	e.mu.Unlock()
}

// never reports whether the step that is on record as under way is known not to have started, and forgets it.
func (e *Engine) never(r *Run) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	epoch, ok := e.unbegun[r.ID]
	delete(e.unbegun, r.ID)
	return ok && epoch == r.epoch
}

// giveUp lets settle end soon: the process has to.
func (e *Engine) giveUp(after time.Duration) (stop func()) {
	t := time.AfterFunc(after, guard.Func(guard.Count, e.impatient))
	return func() { t.Stop() }
}

// write is a transaction after which followers look for new events. It says why a run could not be saved.
func (e *Engine) write(ctx context.Context, f func(store.Tx) error) error {
	before := e.offered.Load()
	err := e.db.Write(ctx, f)
	if err == nil && e.offered.Load() != before { // ours, or somebody else's: to look once more does no harm
		e.ears.look()
		select {
		case e.offer <- struct{}{}:
		default:
		}
	}
	var m *movedError
	if errors.As(err, &m) {
		return moved(ctx, e.db, m.was)
	}
	if err != nil {
		return err
	}
	e.poke()
	return nil
}
