package pipeline

import (
	"context"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// settled knows up to which id no event can appear any more, on PostgreSQL. An id is given out before its transaction
// commits, so that a later one may be seen earlier; a follower that went past it would never see the earlier one.
//
// An event's transaction has its number before the event has its id (see the default of events.id). So every id up to
// one that was given out at some moment belongs to a transaction whose number was given out by then; when all of ours
// up to that number have ended, those ids are settled. Transactions of other programs do not matter, whatever they have
// open.
//
// On SQLite there is one writer, and ids come in the order of commits.
type settled struct {
	mu   sync.Mutex
	safe int64 // settled
	id   int64 // the newest that was given out when xid was read
	xid  int64
}

// patient is how long a reader waits for transactions that are open now: they take milliseconds. One that takes longer
// holds back what came after it, not the reader.
const patient = 100 * time.Millisecond

// upTo gives the newest settled id.
func (s *settled) upTo(ctx context.Context, db store.Querier) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var id int64
	if err := db.QueryRow(ctx, "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_id_seq").Scan(&id); err != nil {
		return 0, err
	}
	if id == s.safe {
		return id, nil
	}
	next, oldest, err := open(ctx, db)
	if err != nil {
		return 0, err
	}
	if oldest >= s.xid {
		s.safe, s.id, s.xid = s.id, id, next
	}
	for began := time.Now(); oldest < next && time.Since(began) < patient; {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
		if _, oldest, err = open(ctx, db); err != nil {
			return 0, err
		}
	}
	if oldest >= next {
		s.safe, s.id, s.xid = id, id, next
	}
	return s.safe, nil
}

// open gives the number that the next transaction will have, and that of our oldest that is open; the next when none
// is.
func open(ctx context.Context, db store.Querier) (next, oldest int64, err error) {
	var end, more, age int64
	// Read after the id: whatever has an id by then has a smaller number. The end of a snapshot is not that number: it
	// is the first after the newest that has ended, and open ones come after it. age counts back from the next. A
	// session is ours when it has our name.
	err = db.QueryRow(ctx, `SELECT pg_snapshot_xmax(s)::text::bigint, age((pg_snapshot_xmax(s)::text::bigint % 4294967296)::text::xid),
		coalesce((SELECT max(age(backend_xid)) FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL AND application_name = current_setting('application_name')), 0)
		FROM pg_current_snapshot() AS s`).Scan(&end, &more, &age)
	next = end + more
	return next, next - age, err
}
