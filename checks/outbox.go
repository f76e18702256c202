package checks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/store"
)

// outbox is what follows on results and stands on record: each row is done at least once, and again until it is taken
// or given up. It owns the table check_outbox, the channels that say that something is there, and which rows of runs
// are under way here. It needs the record and a clock; what a row asks for is done by who reads it.
type outbox struct {
	tools
	acts  chan struct{} // something is to be done
	says  chan struct{} // to be said
	sends chan struct{} // to be sent
	runs  chan struct{} // to be run

	mu     sync.Mutex              // taken after every other
	acting map[int64]bool          // rows of runs that are under way here
	waits  map[int64]chan struct{} // for rows of runs that are asked of another node
}

// tools is what a part that is on record works with.
type tools struct {
	db  *store.DB
	now func() time.Time
	log *slog.Logger
}

func newOutbox() *outbox {
	return &outbox{acts: make(chan struct{}, 1), says: make(chan struct{}, 1), sends: make(chan struct{}, 1), runs: make(chan struct{}, 1),
		acting: map[int64]bool{}, waits: map[int64]chan struct{}{}}
}

// wake has all look who do what stands here.
func (o *outbox) wake() {
	for _, ch := range []chan struct{}{o.runs, o.acts, o.says, o.sends} {
		poke(ch)
	}
}

const (
	actPeriod = 5 * time.Second // tried again so often, where it is due
	// giveUp is how long an action is tried.
	giveUp       = 24 * time.Hour
	longestRetry = time.Hour
)

// row is one of the outbox.
type row struct {
	kind   string
	action string
	event  string
}

// Kinds of rows: those that are gathered and said, those that are done one by one, and those that ask for a run.
const (
	rowNotice = "notice"
	rowDo     = "do"
	rowRun    = "run"
	rowLetter = "letter" // what one contact outside of chat is told in one round
)

// put writes a row, in the transaction of what it follows on.
func (r *row) put(ctx context.Context, tx store.Tx, now int64) (id int64, err error) {
	return id, tx.QueryRow(ctx, "INSERT INTO check_outbox (at, kind, action, event, done, tries, next, err) VALUES (?, ?, ?, ?, 0, 0, 0, '') RETURNING id", now, r.kind, r.action, r.event).Scan(&id)
}

type outboxRow struct {
	id     int64
	at     time.Time
	action string
	tries  int
	body   string // all that stands there
	Event
}

func scanOutbox(row store.Row) (r outboxRow, err error) {
	var at int64
	if err := row.Scan(&r.id, &at, &r.action, &r.tries, &r.body); err != nil {
		return r, err
	}
	if err := json.Unmarshal([]byte(r.body), &r.Event); err != nil {
		return r, fmt.Errorf("row %d of the outbox: %w", r.id, err)
	}
	r.at = time.UnixMilli(at)
	return r, nil
}

// ids gives those of rows.
func ids(rows []outboxRow) []int64 {
	out := make([]int64, len(rows))
	for i := range rows {
		out[i] = rows[i].id
	}
	return out
}

// outboxDone ends a row; err says why it was given up, "": it was done.
func outboxDone(ctx context.Context, tx store.Tx, id, now int64, err string) error {
	_, xerr := tx.Exec(ctx, "UPDATE check_outbox SET done = ?, err = ? WHERE id = ?", now, err, id)
	return xerr
}

// open gives rows of a kind that are to be done now.
func (o *outbox) open(ctx context.Context, kind string, limit int) ([]outboxRow, error) {
	return store.Collect(ctx, o.db, scanOutbox, "SELECT id, at, action, tries, event FROM check_outbox WHERE done = 0 AND kind = ? AND next <= ? ORDER BY next, id LIMIT ?", kind, o.now().UnixMilli(), limit)
}

// row reads one.
func (o *outbox) row(ctx context.Context, id int64) (outboxRow, error) {
	return scanOutbox(o.db.QueryRow(ctx, "SELECT id, at, action, tries, event FROM check_outbox WHERE id = ?", id))
}

var errLater = errors.New("its result says that it is done")

// do does one, and notes what came of it. It gives the error of do.
func (o *outbox) do(ctx context.Context, r outboxRow, do func(context.Context, outboxRow) error) error {
	err := guard.Call(func() error { return do(ctx, r) }) // it is tried again, and given up in the end
	if p := (*guard.Panic)(nil); errors.As(err, &p) {
		guard.Log(o.log, "do what follows on a result", "action", r.action, "check", r.Key.String())(p)
	}
	if errors.Is(err, errLater) || ctx.Err() != nil {
		return err
	}
	now := o.now()
	text := ""
	if err != nil {
		text = clip(model.OneLine(err), maxLine)
	}
	var gone *goneError
	over := err == nil || errors.As(err, &gone) || now.Sub(r.at) > giveUp
	if err != nil && over {
		o.log.Error("an action was given up", "action", r.action, "check", r.Key.String(), "err", text)
	} else if err != nil && r.tries == 0 {
		o.log.Warn("an action failed; it is tried again", "action", r.action, "check", r.Key.String(), "err", text)
	}
	werr := o.db.Write(ctx, func(tx store.Tx) error {
		if over {
			return outboxDone(ctx, tx, r.id, now.UnixMilli(), text)
		}
		wait := min(actPeriod<<min(r.tries, 20), longestRetry)
		_, err := tx.Exec(ctx, "UPDATE check_outbox SET tries = tries + 1, next = ?, err = ? WHERE id = ?", now.Add(wait).UnixMilli(), text, r.id)
		return err
	})
	if werr != nil && ctx.Err() == nil {
		o.log.Error("note what came of an action", "err", werr)
		t := time.NewTimer(time.Second) // the database is away; it is done again
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
	return err
}
