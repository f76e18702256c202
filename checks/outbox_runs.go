package checks

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/store"
)

// Runs that an action or a person asks for are rows of the outbox. Whoever has the host's part does them.

// askedFor is how long a person's row is obeyed: nobody waits any more after it.
const askedFor = 10 * time.Minute

// begins notes that the run which a row asks for is under way here; false: it is already.
func (o *outbox) begins(id int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.acting[id] {
		return false
	}
	o.acting[id] = true
	return true
}

// ended notes that runs are no longer under way here: they are done, or another node's.
func (o *outbox) ended(ids []int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		delete(o.acting, id)
	}
}

// makeRun makes a row one that asks for a run.
func (o *outbox) makeRun(ctx context.Context, id int64) error {
	if err := o.db.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE check_outbox SET kind = ? WHERE id = ?", rowRun, id)
		return err
	}); err != nil {
		return err
	}
	poke(o.runs)
	return nil
}

// giveUpRuns gives up rows that ask for a run that may not be, and those whose person waits no longer.
func (o *outbox) giveUpRuns(ctx context.Context, may func(outboxRow) error) error {
	rows, err := o.open(ctx, rowRun, maxGathered)
	if err != nil {
		return err
	}
	now := o.now()
	for _, r := range rows {
		err := may(r)
		if err == nil && r.action == "" && now.Sub(r.at) > askedFor {
			err = fmt.Errorf("nobody ran it within %s", askedFor)
		}
		if err == nil {
			continue
		}
		if r.action != "" {
			o.log.Error("an action was given up", "action", r.action, "check", r.Key.String(), "err", err)
		}
		if err := o.db.Write(ctx, func(tx store.Tx) error { return outboxDone(ctx, tx, r.id, now.UnixMilli(), model.OneLine(err)) }); err != nil {
			return err
		}
	}
	return nil
}

// ask has another node run a check. The channel is closed when the row is done.
func (o *outbox) ask(ctx context.Context, k model.Key) (<-chan struct{}, error) {
	event, err := json.Marshal(Event{Key: k})
	if err != nil {
		return nil, err
	}
	var id int64
	err = o.db.Write(ctx, func(tx store.Tx) (err error) {
		id, err = (&row{kind: rowRun, event: string(event)}).put(ctx, tx, o.now().UnixMilli())
		return err
	})
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waits[id] = done
	return done, nil
}

// hear tells those who wait for a run elsewhere that there is a result.
func (o *outbox) hear(ctx context.Context) error {
	o.mu.Lock()
	ids := slices.Collect(maps.Keys(o.waits))
	o.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	done, err := store.Collect(ctx, o.db, func(row store.Row) (id int64, err error) { return id, row.Scan(&id) }, "SELECT id FROM check_outbox WHERE id = ANY(?) AND done > 0", ids)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range done {
		if ch := o.waits[id]; ch != nil {
			close(ch)
			delete(o.waits, id)
		}
	}
	return nil
}
