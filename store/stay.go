package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// A split: another server became the primary, the address leads there, and the old one lives on with the sessions that
// it had. Whoever works with the old one renews a row there that nobody else sees; on the new one it seems dead, and
// its work begins a second time. So each node looks whether the address still leads to the server that its lease is
// with.

// stayEvery and the time-out of a look fit, with the end of the process, into takeOver.
const stayEvery = 3 * time.Second

// serverOf tells one server, from its start to its end, from all others.
func serverOf(ctx context.Context, conn *pgx.Conn) (is string, err error) {
	err = conn.QueryRow(ctx, "SELECT extract(epoch FROM pg_postmaster_start_time())::text").Scan(&is)
	return is, err
}

// stay looks until ctx ends. A look that fails says nothing: the sessions that are there tell how the database is.
func (o *owner) stay(ctx context.Context, lost func(why string, err error)) {
	cfg := o.conn.Config()
	for wait(ctx, stayEvery) {
		if is, err := lookWhere(ctx, cfg); err == nil && is != o.server {
			lost("the address of the database leads to another server than the one that this process began with", errors.New("that one started at "+is+", and this one at "+o.server))
			return
		}
	}
}

// lookWhere asks over a new connection to which server the address leads now.
func lookWhere(ctx context.Context, cfg *pgx.ConnConfig) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return "", err
	}
	defer closeConn(conn)
	return serverOf(ctx, conn)
}
