package access

import (
	"context"
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// letGo is the table that the triggers of the audit look at: rows of before its mark may be removed. It holds a mark
// only inside the transactions of Prune, so that nobody else ever finds one. On PostgreSQL the function replaces the
// one that refused every deletion.
func letGo(postgres bool) store.Migration {
	const table, mark = `CREATE TABLE audit_let_go (before BIGINT NOT NULL)`, `(SELECT coalesce(max(before), 0) FROM audit_let_go)`
	if postgres {
		return store.Migration{Name: "access/6-keep", Stmts: []string{table,
			`CREATE OR REPLACE FUNCTION audit_is_for_ever() RETURNS trigger AS $$ BEGIN
	IF TG_OP = 'DELETE' THEN IF OLD.at < ` + mark + ` THEN RETURN OLD; END IF; END IF;
	RAISE EXCEPTION 'audit rows are never changed'; END $$ LANGUAGE plpgsql`}}
	}
	return store.Migration{Name: "access/6-keep", Stmts: []string{table,
		`DROP TRIGGER audit_no_delete`,
		`CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit WHEN OLD.at >= ` + mark + ` BEGIN SELECT RAISE(ABORT, 'audit rows are never changed'); END`,
	}}
}

// Prune removes the audit rows of before a time, and gives how many. The audit itself says so.
func (a *Access) Prune(ctx context.Context, before time.Time) (int64, error) {
	n, err := a.db.Sweep(ctx, store.Sweep{Table: "audit", Old: "at < ?", Arg: before.UnixMilli(), Around: func(tx store.Tx, remove func() (int64, error)) (int64, error) {
		if _, err := tx.Exec(ctx, "INSERT INTO audit_let_go (before) VALUES (?)", before.UnixMilli()); err != nil {
			return 0, err
		}
		n, err := remove()
		if err == nil {
			_, err = tx.Exec(ctx, "DELETE FROM audit_let_go")
		}
		return n, err
	}})
	if err != nil {
		err = fmt.Errorf("remove old rows of the audit: %w", err)
	}
	if n > 0 {
		row := Record{Who: "jarvis", Via: "keep.audit", Line: "remove the audit of before " + before.UTC().Format(time.RFC3339), Outcome: fmt.Sprintf("ok: %d rows", n)}
		if aerr := a.Audit(context.WithoutCancel(ctx), row); err == nil {
			err = aerr
		}
	}
	return n, err
}
