package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/jackc/pgx/v5"
)

// Every session of a node carries a shared advisory lock with the number of its life. Who declares a life for dead
// writes that into its row first, and then ends every session that carries its number. So what it had under way there
// is rolled back by the server, however long that process slept, and a session that it opens later finds itself dead in
// the row.

// sessionClass is the first half of those locks: "jarv" in ASCII.
const sessionClass = 0x6a617276

const (
	sqlCarry = "SELECT pg_advisory_lock_shared($1::int4, $2::int4)"
	// Those of one life ($3 true), or of all others.
	sqlEnd = `SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND classid = $1::bigint::oid AND objsubid = 2
	AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND (objid::bigint = $2) = $3`
)

// number tells a life's sessions from those of others.
func number(holder string) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(holder)) // never fails
	return int32(h.Sum32())
}

// carry marks a new session as the node's. It fails when somebody declared the node for dead.
func (o *owner) carry(ctx context.Context, c *pgx.Conn) error {
	if _, err := c.Exec(ctx, sqlCarry, int32(sessionClass), number(o.holder)); err != nil {
		return fmt.Errorf("mark the session: %w", err)
	}
	var lives bool
	if err := c.QueryRow(ctx, "SELECT "+sqlLives, o.holder).Scan(&lives); err != nil {
		return fmt.Errorf("ask whose the database is: %w", err)
	}
	if !lives {
		return errors.New("another process took this one for dead")
	}
	return nil
}

// bury ends all other lives, for a node that is to be alone, and returns when no session of theirs is left.
func (o *owner) bury(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if _, err := o.conn.Exec(ctx, "UPDATE jarvis_nodes SET state = 'dead' WHERE holder <> $1 AND state = 'lives'", o.holder); err != nil {
		return fmt.Errorf("take the lock of the PostgreSQL database: %w", err)
	}
	for {
		var left int
		if err := o.conn.QueryRow(ctx, sqlEnd, int64(sessionClass), int64(uint32(number(o.holder))), false).Scan(&left); err != nil {
			return fmt.Errorf("end the sessions of the earlier holder: %w", err)
		}
		if left == 0 {
			break
		}
		t := time.NewTimer(lookAgain / 10)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%d sessions of the earlier holder do not end: %w", left, ctx.Err())
		case <-t.C:
		}
	}
	_, err := o.conn.Exec(ctx, "UPDATE jarvis_nodes SET state = 'buried' WHERE state = 'dead'")
	return err
}
