package bot

import (
	"context"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// Restored is for a record that comes from a backup: what waited to be said then was said by whoever went on from
// there, or is old by now, and is not said again. It gives those lines, for the log. Events up to now are not collected
// any more; those that come later are.
func (b *Bot) Restored(ctx context.Context, tx store.Tx) (unsaid []string, err error) {
	unsaid, err = store.Collect(ctx, tx, func(row store.Row) (line string, err error) { return line, row.Scan(&line) },
		"SELECT line FROM notices WHERE sent <= 0 ORDER BY id")
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, "UPDATE notices SET sent = ? WHERE sent <= 0", time.Now().UnixMilli()); err != nil {
		return nil, err
	}
	for name, newest := range map[string]string{"notices": "SELECT coalesce(max(id), 0) FROM events", "checks": "SELECT coalesce(max(id), 0) FROM check_notices"} {
		_, err := tx.Exec(ctx, "INSERT INTO followers (name, event) VALUES (?, ("+newest+")) ON CONFLICT (name) DO UPDATE SET event = excluded.event", name)
		if err != nil {
			return nil, err
		}
	}
	return unsaid, nil
}

// MayHaveSaid is for a record that may lack its last moments: what is to be said, and what is about to be, may have
// been said by whoever did so on the record that is gone. It is said, as perhaps for the second time.
func (b *Bot) MayHaveSaid(ctx context.Context) error {
	for more := true; more; {
		var err error
		if more, err = b.notices.collect(ctx); err != nil {
			return err
		}
		if b.Checks != nil {
			also, err := b.notices.collectChecks(ctx)
			if err != nil {
				return err
			}
			more = more || also
		}
	}
	return b.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE notices SET holder = 'another primary' WHERE sent = 0 AND holder = ''")
		return err
	})
}
