package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// Record is the Ledger in the database, which all servers share.
type Record struct{ DB *store.DB }

// Migrations of the record.
func Migrations(bool) []store.Migration {
	return []store.Migration{{Name: "agent/1", Stmts: []string{
		`CREATE TABLE agent_calls (run BIGINT NOT NULL PRIMARY KEY, agent TEXT NOT NULL, name TEXT NOT NULL, is_over BIGINT NOT NULL, since BIGINT NOT NULL)`,
	}}, {Name: "agent/2", Stmts: []string{
		`ALTER TABLE agent_calls ADD COLUMN call TEXT NOT NULL DEFAULT ''`,
	}}}
}

// Open makes the table.
func (r Record) Open(ctx context.Context) error {
	return r.DB.Migrate(ctx, Migrations(r.DB.Postgres() != nil))
}

// Owner is Ledger.
func (r Record) Owner(ctx context.Context, run int64) (Owner, error) {
	var o Owner
	var over int64
	err := r.DB.QueryRow(ctx, "SELECT agent, name, call, is_over FROM agent_calls WHERE run = ?", run).Scan(&o.ID, &o.Name, &o.Call, &over)
	if errors.Is(err, store.ErrNoRows) {
		return Owner{}, nil
	} else if err != nil {
		return Owner{}, fmt.Errorf("look up which agent has run %d in hand: %w", run, err)
	}
	o.Over = over != 0
	return o, nil
}

// Own is Ledger. What is long over goes with it.
func (r Record) Own(ctx context.Context, run int64, o Owner) error {
	now := time.Now()
	err := r.DB.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM agent_calls WHERE is_over = 1 AND since < ?", now.Add(-keepFor).UnixMilli()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO agent_calls (run, agent, name, call, is_over, since) VALUES (?, ?, ?, ?, 0, ?)
			ON CONFLICT (run) DO UPDATE SET agent = excluded.agent, name = excluded.name, call = excluded.call, is_over = 0, since = excluded.since`, run, o.ID, o.Name, o.Call, now.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("note which agent has run %d in hand: %w", run, err)
	}
	return nil
}

// Over is Ledger.
func (r Record) Over(ctx context.Context, run int64, o Owner) error {
	return r.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE agent_calls SET is_over = 1, since = ? WHERE run = ? AND agent = ?", time.Now().UnixMilli(), run, o.ID)
		return err
	})
}

var _ Ledger = Record{}
