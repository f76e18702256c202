package access

import (
	"context"
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// What takes long is on record when it begins, and again when it ends. Between the two it has a row in audit_open, with
// the life of the server that does it: when that is over, another server, or the next one, writes the end that it could
// not.
var unended = store.Migration{Name: "access/11-open", Stmts: []string{
	`CREATE TABLE audit_open (name TEXT PRIMARY KEY, holder TEXT NOT NULL, who TEXT NOT NULL, via TEXT NOT NULL, line TEXT NOT NULL)`,
}}

// Begins is the outcome of what has begun.
const Begins = "begins"

// cutOff is the outcome of what a server did that went away.
const cutOff = "the server went away in the middle; what ran on the hosts was ended, or nobody knows"

// AuditBegin writes that something begins. AuditEnd of the same name ends it; no other has that name.
func (a *Access) AuditBegin(ctx context.Context, name string, r Record) error {
	r.Outcome = Begins
	return a.audit(ctx, r, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO audit_open (name, holder, who, via, line) VALUES (?, ?, ?, ?, ?)", name, a.db.Holder(), plain.Line(r.Who), plain.Line(r.Via), plain.Line(r.Line))
		return err
	})
}

// AuditEnd writes what became of it.
func (a *Access) AuditEnd(ctx context.Context, name string, r Record) error {
	return a.audit(ctx, r, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM audit_open WHERE name = ?", name)
		return err
	})
}

// AuditLost ends what servers did that are gone, and gives how much that was. Several servers may call it at a time.
func (a *Access) AuditLost(ctx context.Context) (ended int, err error) {
	taken := fmt.Sprintf(store.SQLTaken, "audit_open.holder")
	type left struct {
		name string
		r    Record
	}
	list, err := store.Collect(ctx, a.db, func(row store.Row) (l left, err error) {
		return l, row.Scan(&l.name, &l.r.Who, &l.r.Via, &l.r.Line)
	}, "SELECT name, who, via, line FROM audit_open WHERE NOT "+taken)
	for _, l := range list {
		l.r.Outcome = cutOff
		if err := a.db.Write(ctx, func(tx store.Tx) error {
			n, err := tx.Exec(ctx, "DELETE FROM audit_open WHERE name = ?", l.name)
			if err != nil || n == 0 { // another server has done it
				return err
			}
			ended++
			return insertAudit(ctx, tx, l.r)
		}); err != nil {
			return ended, fmt.Errorf("write the end of what a server did that is gone: %w", err)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("look for what servers did that are gone: %w", err)
	}
	return ended, nil
}

// audit writes a record, and what also does, in one transaction: neither is there without the other.
func (a *Access) audit(ctx context.Context, r Record, also func(store.Tx) error) error {
	err := a.db.Write(ctx, func(tx store.Tx) error {
		if err := insertAudit(ctx, tx, r); err != nil {
			return err
		}
		return also(tx)
	})
	if err != nil {
		return fmt.Errorf("write the audit record: %w", err)
	}
	return nil
}

// insertAudit writes a record as of now, whatever r.At says.
func insertAudit(ctx context.Context, tx store.Tx, r Record) error {
	_, err := tx.Exec(ctx, "INSERT INTO audit (at, who, via, line, outcome) VALUES (?, ?, ?, ?, ?)", time.Now().UnixMilli(), plain.Line(r.Who), plain.Line(r.Via), plain.Line(r.Line), plain.Line(r.Outcome))
	return err
}
