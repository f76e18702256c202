package store

import (
	"context"
	"fmt"
	"strconv"
)

// Primary tells the PostgreSQL servers apart that take over from each other: each promotion begins a new timeline
// (https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-TIMELINES).
type Primary struct {
	Timeline int64 `json:"timeline"`
	// Sync says that a commit is answered when a standby has it, so that no promotion loses what we were told is
	// committed.
	Sync bool `json:"sync"`
}

// Primary gives that of this database; the zero Primary on SQLite.
func (db *DB) Primary(ctx context.Context) (p Primary, err error) {
	if db.pool == nil {
		return p, nil
	}
	var file, standbys, commit string
	err = db.QueryRow(ctx, "SELECT pg_walfile_name(pg_current_wal_lsn()), current_setting('synchronous_standby_names'), current_setting('synchronous_commit')").Scan(&file, &standbys, &commit)
	if err != nil {
		return p, fmt.Errorf("ask PostgreSQL for its timeline: %w", err)
	}
	if len(file) < 8 {
		return p, fmt.Errorf("PostgreSQL names its log %q, without a timeline", file)
	}
	p.Timeline, err = strconv.ParseInt(file[:8], 16, 64)
	p.Sync = standbys != "" && commit != "off" && commit != "local"
	return p, err
}

// FactForUpdate is DB.Fact as a part of a transaction: nobody else changes the fact before that ends.
func FactForUpdate(ctx context.Context, tx Tx, name string) (v string, err error) {
	rows, err := tx.Query(ctx, "SELECT value FROM jarvis_facts WHERE name = ?"+tx.ForUpdate(), name)
	if err != nil {
		return "", err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		err = rows.Scan(&v)
	}
	if err == nil {
		err = rows.Err()
	}
	return v, err
}
