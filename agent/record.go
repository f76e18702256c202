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
	}}, {Name: "agent/3", Stmts: []string{
		`ALTER TABLE agent_calls ADD COLUMN asked BIGINT NOT NULL DEFAULT 0`,
		`CREATE INDEX agent_calls_agent ON agent_calls (agent, is_over)`,
		`CREATE TABLE agent_loose (run BIGINT NOT NULL, agent TEXT NOT NULL, name TEXT NOT NULL, call TEXT NOT NULL, asked BIGINT NOT NULL, since BIGINT NOT NULL, PRIMARY KEY (run, agent))`,
		`CREATE INDEX agent_loose_agent ON agent_loose (agent)`,
	}}}
}

// Open makes the tables.
func (r Record) Open(ctx context.Context) error {
	return r.DB.Migrate(ctx, Migrations(r.DB.Postgres() != nil))
}

func scanLoose(row store.Row) (l Loose, err error) {
	var over, asked int64
	err = row.Scan(&l.Run, &l.ID, &l.Name, &l.Call, &over, &asked)
	l.Over, l.Asked = over != 0, asked != 0
	return l, err
}

const (
	ownerColumns = "SELECT run, agent, name, call, is_over, asked FROM agent_calls WHERE "
	looseColumns = "SELECT run, agent, name, call, 0, asked FROM agent_loose WHERE "
)

// Owner is Ledger.
func (r Record) Owner(ctx context.Context, run int64) (Owner, error) {
	l, err := scanLoose(r.DB.QueryRow(ctx, ownerColumns+"run = ?", run))
	if errors.Is(err, store.ErrNoRows) {
		return Owner{}, nil
	} else if err != nil {
		return Owner{}, fmt.Errorf("look up which agent has run %d in hand: %w", run, err)
	}
	return l.Owner, nil
}

// Own is Ledger. What is long over goes with it.
func (r Record) Own(ctx context.Context, run int64, o Owner) error {
	err := r.DB.Write(ctx, func(tx store.Tx) error {
		if err := own(ctx, tx, run, o); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "DELETE FROM agent_loose WHERE run = ? AND agent = ?", run, o.ID) // it ends what it does of a run before it begins more
		return err
	})
	if err != nil {
		return fmt.Errorf("note which agent has run %d in hand: %w", run, err)
	}
	return nil
}

// own makes o the owner, and puts what the one before may still do among the loose. It forgets what is older than
// keepFor.
func own(ctx context.Context, tx store.Tx, run int64, o Owner) error {
	now := time.Now()
	for _, old := range []string{"agent_calls WHERE is_over = 1 AND", "agent_loose WHERE"} { // no step lasts as long
		if _, err := tx.Exec(ctx, "DELETE FROM "+old+" since < ?", now.Add(-keepFor).UnixMilli()); err != nil {
			return err
		}
	}
	was, err := scanLoose(tx.QueryRow(ctx, ownerColumns+"run = ?", run))
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return err
	}
	if was.mayGoOn() && was.ID != o.ID && o.ID != nobody {
		if err := loosen(ctx, tx, run, was.Owner); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, `INSERT INTO agent_calls (run, agent, name, call, is_over, asked, since) VALUES (?, ?, ?, ?, 0, 0, ?)
		ON CONFLICT (run) DO UPDATE SET agent = excluded.agent, name = excluded.name, call = excluded.call, is_over = 0, asked = 0, since = excluded.since`, run, o.ID, o.Name, o.Call, now.UnixMilli())
	return err
}

// loosen notes that an agent may still do a call which nobody wants.
func loosen(ctx context.Context, tx store.Tx, run int64, o Owner) error {
	asked := 0
	if o.Asked {
		asked = 1
	}
	_, err := tx.Exec(ctx, `INSERT INTO agent_loose (run, agent, name, call, asked, since) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (run, agent) DO UPDATE SET name = excluded.name, call = excluded.call, asked = excluded.asked, since = excluded.since`, run, o.ID, o.Name, o.Call, asked, time.Now().UnixMilli())
	return err
}

// Over is Ledger.
func (r Record) Over(ctx context.Context, run int64, o Owner) error {
	return r.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE agent_calls SET is_over = 1, since = ? WHERE run = ? AND agent = ?", time.Now().UnixMilli(), run, o.ID)
		return err
	})
}

// LetGo is Ledger.
func (r Record) LetGo(ctx context.Context, run int64, o Owner) error {
	return r.DB.Write(ctx, func(tx store.Tx) error {
		if err := own(ctx, tx, run, Owner{ID: nobody, Call: o.Call}); err != nil {
			return err
		}
		return loosen(ctx, tx, run, o)
	})
}

// Loose is Ledger.
func (r Record) Loose(ctx context.Context, run int64) ([]Loose, error) {
	const ofHost = "run IN (SELECT o.id FROM runs AS o JOIN runs AS r ON r.fqdn = o.fqdn AND r.fqdn <> '' WHERE r.id = ?"
	list, err := store.Collect(ctx, r.DB, scanLoose, looseColumns+"run = ? OR "+ofHost+") ORDER BY run, agent", run, run)
	if err == nil {
		var more []Loose
		more, err = store.Collect(ctx, r.DB, scanLoose, ownerColumns+"is_over = 0 AND agent <> ? AND run <> ? AND "+ofHost+" AND o.state IN ('ready', 'cancelled', 'undone')) ORDER BY run", nobody, run, run)
		list = append(list, more...)
	}
	if err != nil {
		return nil, fmt.Errorf("look up which agents may still work at run %d: %w", run, err)
	}
	return list, nil
}

// Holds is Ledger.
func (r Record) Holds(ctx context.Context, agent string) (owns, loose []Loose, err error) {
	if owns, err = store.Collect(ctx, r.DB, scanLoose, ownerColumns+"agent = ? AND is_over = 0 ORDER BY run", agent); err == nil {
		loose, err = store.Collect(ctx, r.DB, scanLoose, looseColumns+"agent = ? ORDER BY run", agent)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("look up what an agent may still do: %w", err)
	}
	return owns, loose, nil
}

// Stopped is Ledger.
func (r Record) Stopped(ctx context.Context, l Loose) error {
	return r.DB.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM agent_loose WHERE run = ? AND agent = ? AND call = ?", l.Run, l.ID, l.Call); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE agent_calls SET is_over = 1, since = ? WHERE run = ? AND agent = ? AND call = ?", time.Now().UnixMilli(), l.Run, l.ID, l.Call)
		return err
	})
}

// Asked is Ledger.
func (r Record) Asked(ctx context.Context, run int64, agent string) error {
	return r.DB.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE agent_calls SET asked = 1 WHERE run = ? AND agent = ?", run, agent); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE agent_loose SET asked = 1 WHERE run = ? AND agent = ?", run, agent)
		return err
	})
}

// GoesOn tells, as q has it, what agents may still do of a run.
func (r Record) GoesOn(ctx context.Context, q store.Querier, run int64) (out []string, err error) {
	list, err := store.Collect(ctx, q, scanLoose, ownerColumns+"run = ? AND is_over = 0 AND agent <> ?", run, nobody)
	if err != nil {
		return nil, err
	}
	more, err := store.Collect(ctx, q, scanLoose, looseColumns+"run = ? ORDER BY agent", run)
	for _, l := range append(list, more...) {
		out = append(out, l.goesOn())
	}
	return out, err
}

var _ Ledger = Record{}
