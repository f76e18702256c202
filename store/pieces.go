package store

import (
	"context"
	"time"
)

// Piece is how many rows one transaction of Pieces may touch, and piecePause is between two, for others to write.
const (
	Piece      = 1000
	piecePause = 20 * time.Millisecond
)

// Pieces does what is not urgent in small transactions, so that nobody waits for it longer than for one. f is called
// until it touches less than Piece rows; it may be called more than once for one transaction. It gives how many it
// touched.
func (db *DB) Pieces(ctx context.Context, f func(tx Tx) (rows int64, err error)) (total int64, err error) {
	for {
		var n int64
		err := db.Write(ctx, func(tx Tx) (err error) {
			n, err = f(tx)
			return err
		})
		if err != nil {
			return total, err
		}
		if total += n; n < Piece {
			return total, nil
		}
		if err := Breathe(ctx); err != nil {
			return total, err
		}
	}
}

// Breathe lets others write between two pieces of long work. The error is that of ctx.
func Breathe(ctx context.Context) error {
	t := time.NewTimer(piecePause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Sweep removes rows that are old from a table with an id, page by page in the order of ids, each page in a
// transaction.
type Sweep struct {
	Table string
	Old   string // the condition, with one argument, as in "at < ?"
	Arg   any
	All   bool // look through the whole table; otherwise end at the first page that has nothing old

	Around func(tx Tx, remove func() (int64, error)) (int64, error) // nil: remove alone
}

// Sweep gives how many rows it removed.
func (db *DB) Sweep(ctx context.Context, s Sweep) (total int64, err error) {
	for after := int64(0); ; {
		var upTo, old int64
		if err := db.QueryRow(ctx, "SELECT coalesce(max(id), 0), coalesce(sum(CASE WHEN "+s.Old+" THEN 1 ELSE 0 END), 0) FROM (SELECT * FROM "+s.Table+" WHERE id > ? ORDER BY id LIMIT ?) AS page",
			s.Arg, after, Piece).Scan(&upTo, &old); err != nil {
			return total, err
		}
		if upTo == 0 || old == 0 && !s.All {
			return total, nil
		}
		if old > 0 {
			var n int64
			err := db.Write(ctx, func(tx Tx) (err error) {
				remove := func() (int64, error) {
					return tx.Exec(ctx, "DELETE FROM "+s.Table+" WHERE id > ? AND id <= ? AND ("+s.Old+")", after, upTo, s.Arg)
				}
				if s.Around != nil {
					n, err = s.Around(tx, remove)
				} else {
					n, err = remove()
				}
				return err
			})
			if err != nil {
				return total, err
			}
			total += n
			if err := Breathe(ctx); err != nil {
				return total, err
			}
		}
		after = upTo
	}
}
