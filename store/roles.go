package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
)

// A role is what one node does for all: to speak on a chat network, to collect notices, to start tasks. Its row names
// the life that has it, and it is free when that has left or is buried; so a role changes hands under the same rules as
// a run.

// ErrYield is what the work of a role returns when this node cannot do it now, and another may: the role is given up,
// and this node does not take it again for yieldFor.
var ErrYield = errors.New("another node may do better")

const (
	sqlRoles  = "CREATE TABLE IF NOT EXISTS jarvis_roles (name TEXT PRIMARY KEY, holder TEXT NOT NULL, since BIGINT NOT NULL)"
	rolesGate = advisoryKey + 2 // held while a role changes hands
	// askRole is how often a node asks for a role that another has.
	askRole  = time.Second
	yieldFor = 20 * time.Second
)

// Role is what one node does for all.
type Role struct {
	Name   string
	Holder string // of a life
	Since  time.Time
}

// Roles lists those that a life has which is not over, by name.
func (db *DB) Roles(ctx context.Context) ([]Role, error) {
	return Collect(ctx, db, func(row Row) (r Role, err error) {
		var since int64
		err = row.Scan(&r.Name, &r.Holder, &since)
		r.Since = time.UnixMilli(since)
		return r, err
	}, "SELECT name, holder, since FROM jarvis_roles WHERE "+fmt.Sprintf(SQLTaken, "jarvis_roles.holder")+" ORDER BY name")
}

// InRole does the work while this node has the role of that name, waiting for it as long as another has it. The context
// of the work ends with ctx, and when this node is to give up its roles (Drain); then the work returns, and the role is
// free. It returns the work's error, or nil when ctx ended first.
func (db *DB) InRole(ctx context.Context, name string, work func(context.Context) error) error {
	for {
		if err := db.takeRole(ctx, name); err != nil {
			return nil // ctx has ended
		}
		err := db.inRole(ctx, name, work)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrYield):
			if !wait(ctx, yieldFor) {
				return nil
			}
		case err == nil && db.Drains():
		default:
			return err
		}
	}
}

// inRole gives the role back however work ends; where the database is lost, the end of this life does.
func (db *DB) inRole(ctx context.Context, name string, work func(context.Context) error) error {
	role, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(db.draining, guard.Func(guard.Count, end))()
	defer func() {
		free, done := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer done()
		if err := db.freeRole(free, name); err != nil && db.pulse.err() == nil {
			db.log.Warn("a role is not given back; it is free when this process has ended", "role", name, "err", err)
		}
	}()
	return work(role)
}

// takeRole returns when the role is ours, or with an error when ctx has ended.
func (db *DB) takeRole(ctx context.Context, name string) error {
	said := false
	for {
		ours := false
		if !db.Drains() {
			err := db.Write(ctx, func(tx Tx) (err error) {
				ours, err = db.tryRole(ctx, tx, name)
				return err
			})
			if err != nil && ctx.Err() == nil && !said && db.pulse.err() == nil {
				db.log.Warn("a role cannot be asked for; it is asked for again", "role", name, "err", err)
			}
			said = err != nil
			if ours && err == nil {
				return nil
			}
		}
		if !wait(ctx, askRole) {
			return ctx.Err()
		}
	}
}

// tryRole reports whether the role is ours, from before or from now on.
func (db *DB) tryRole(ctx context.Context, tx Tx, name string) (bool, error) {
	var holder string
	taken := fmt.Sprintf(SQLTaken, "jarvis_roles.holder")
	err := tx.QueryRow(ctx, "SELECT holder FROM jarvis_roles WHERE name = ? AND "+taken, name).Scan(&holder)
	if err == nil {
		return holder == db.holder, nil
	} else if !errors.Is(err, ErrNoRows) {
		return false, err
	}
	if db.pool != nil { // each statement after it sees what the one before us did
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(?)", int64(rolesGate)); err != nil {
			return false, err
		}
	}
	n, err := tx.Exec(ctx, "INSERT INTO jarvis_roles (name, holder, since) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, since = excluded.since WHERE NOT "+taken,
		name, db.holder, time.Now().UnixMilli())
	return n == 1, err
}

func (db *DB) freeRole(ctx context.Context, name string) error {
	return db.Write(ctx, func(tx Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM jarvis_roles WHERE name = ? AND holder = ?", name, db.holder)
		return err
	})
}

// wait reports false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
