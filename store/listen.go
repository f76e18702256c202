package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/jarvisops/jarvis/internal/guard"
)

// Notice is a message of another node, or of ourselves, by NOTIFY.
type Notice struct{ Channel, Payload string }

// Shared reports whether other nodes may live on this database.
func (db *DB) Shared() bool { return db.others != nil }

// Notify sends a message to who listens on a channel, on every node. It is gone when nobody listens, or when the server
// falls at that moment: no commit waits for the disk because of it, and no other commit goes with it, because those
// with messages wait for each other.
func (db *DB) Notify(ctx context.Context, channel, payload string) error {
	if err := db.pulse.err(); err != nil {
		return err
	}
	c, done := db.pulse.forAll(ctx)
	defer done()
	b := &pgx.Batch{}
	b.Queue("SELECT set_config('synchronous_commit', 'off', true)")
	b.Queue("SELECT pg_notify($1, $2)", channel, payload)
	return db.met(db.pulse.because(c, db.pool.SendBatch(c, b).Close()))
}

// Listen gives the messages on channels until ctx ends. A connection that breaks is made again, and what was sent
// meanwhile is lost: whoever listens also looks by itself from time to time.
func (db *DB) Listen(ctx context.Context, channels ...string) <-chan Notice {
	out := make(chan Notice, 16)
	caught := guard.Log(db.log, "listen to the database")
	guard.Go(caught, func() {
		_ = guard.Loop(ctx, caught, func(ctx context.Context) error {
			for ctx.Err() == nil {
				if err := db.listen(ctx, out, channels); err != nil && ctx.Err() == nil {
					db.log.Debug("listen to the database", "err", err) // its silence is said elsewhere
					t := time.NewTimer(lookAgain)
					select {
					case <-ctx.Done():
					case <-t.C:
					}
					t.Stop()
				}
			}
			return nil
		})
	})
	return out
}

// listen hears the channels on a connection of its own until that fails.
func (db *DB) listen(ctx context.Context, out chan<- Notice, channels []string) error {
	return db.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		conn := c.Hijack() // it goes with us, and not back to who expects a session that listens to nothing
		defer closeConn(conn)
		for _, ch := range channels {
			if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{ch}.Sanitize()); err != nil {
				return err
			}
		}
		for {
			n, err := conn.WaitForNotification(ctx)
			if err != nil {
				return err
			}
			select {
			case out <- Notice{n.Channel, n.Payload}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}
