package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"time"
)

// checkWithin bounds the look at the whole file: a hundred gigabytes on a slow disk are given up on.
const checkWithin = 30 * time.Minute

// Damage gives what is known to be broken in the database, or nil. It is found by a look at all pages after Open, or by
// whoever meets it first, and stays until the next start: a damaged file does not mend itself.
func (db *DB) Damage() *Trouble { return db.damage.Load() }

// met notes damage that an operation found, and gives the error its words.
func (db *DB) met(err error) error {
	err = explain(db.file, err)
	var t *Trouble
	if errors.As(err, &t) && (t.Kind == Damaged || t.Kind == NotADatabase) && db.damage.CompareAndSwap(nil, t) {
		db.log.Error("the database is damaged", "file", db.file, "err", t.Err, "do", t.Do)
	}
	return err
}

// quickCheck reads all pages of the file on a connection of its own, which holds no writer up (WAL).
func (db *DB) quickCheck(ctx context.Context, conn *sql.DB) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	found, err := findings(ctx, conn)
	switch {
	case ctx.Err() != nil:
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			db.log.Warn("the check of the database's pages was given up", "after", checkWithin.String())
		}
	case err != nil:
		if met := db.met(err); db.Damage() == nil {
			db.log.Warn("the database's pages could not be checked", "err", met)
		}
	case len(found) > 0:
		_ = db.met(&Trouble{Kind: Damaged, File: db.file, What: "the database is damaged", Do: keepACopy + salvage, Err: errors.New(strings.Join(found, "; "))})
	default:
		db.log.Log(ctx, slog.LevelDebug, "the database's pages are whole", "took", time.Since(began).Round(time.Millisecond).String())
	}
}

// findings gives what quick_check says, five lines at most; none when all is well.
func findings(ctx context.Context, conn *sql.DB) (out []string, err error) {
	rows, err := conn.QueryContext(ctx, "PRAGMA quick_check(5)")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		if line != "ok" {
			out = append(out, strings.ReplaceAll(line, "\n", " "))
		}
	}
	return out, rows.Err()
}
