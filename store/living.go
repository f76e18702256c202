package store

import "context"

// Living lists the lives that nobody has declared for dead, the oldest first.
func (db *DB) Living(ctx context.Context) ([]Life, error) {
	return db.lives(ctx, "WHERE state = 'lives' ORDER BY started_at, holder")
}

// Proven reports whether this node may still begin something that it does not write first: nobody takes its work over
// yet.
func (db *DB) Proven() bool {
	return db.owner == nil || db.owner.unproven() < giveUp && db.pulse.err() == nil
}
