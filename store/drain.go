package store

import (
	"context"
	"fmt"
	"time"
)

// A node that drains begins no work any more and gives up its roles; what it has in hand goes on to its next pause. It
// does so until it is started again.

const sqlDrains = "SELECT drains FROM jarvis_nodes WHERE holder = ?"

// Draining is closed when this node is to begin nothing any more.
func (db *DB) Draining() <-chan struct{} { return db.draining.Done() }

// Drains reports whether this node is to begin nothing any more.
func (db *DB) Drains() bool { return db.draining.Err() != nil }

// Drain has the life of a node drain; it sees that within two seconds. False: there is no such life any more.
func (db *DB) Drain(ctx context.Context, holder string) (there bool, err error) {
	err = db.Write(ctx, func(tx Tx) error {
		n, err := tx.Exec(ctx, "UPDATE jarvis_nodes SET drains = ? WHERE holder = ? AND state = 'lives'", time.Now().UnixMilli(), holder)
		there = n == 1
		return err
	})
	if err == nil && there && holder == db.holder {
		db.drain()
	}
	return there, err
}

// lookDrains looks whether somebody said that this node is to drain.
func (db *DB) lookDrains(ctx context.Context) error {
	if db.Drains() {
		return nil
	}
	var since int64
	if err := db.QueryRow(ctx, sqlDrains, db.holder).Scan(&since); err != nil {
		return fmt.Errorf("look whether this node drains: %w", err)
	}
	if since != 0 {
		db.drain()
	}
	return nil
}
