package checks

import (
	"context"

	"github.com/jarvisops/jarvis/store"
)

// Restored is for a record that comes from a backup: an action that was to be done then was done by whoever went on from
// there, or would come too late, and is not done. It gives how many there were.
func (m *Monitor) Restored(ctx context.Context, tx store.Tx) (int64, error) {
	return tx.Exec(ctx, "UPDATE check_outbox SET done = ?, err = 'not done: the record was restored from a backup' WHERE done = 0", m.now().UnixMilli())
}
