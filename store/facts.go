package store

import (
	"context"
	"errors"
	"fmt"
)

var factsMigration = Migration{"store/1-facts", []string{"CREATE TABLE jarvis_facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)"}}

// Migrations of the store's own tables. Each package that has tables has such a list: a backup is made and restored by
// them.
func Migrations(bool) []Migration { return []Migration{factsMigration, healthMigration} }

// Fact gives what the database says of itself under a name, such as which key seals its secrets; "" when nothing.
func (db *DB) Fact(ctx context.Context, name string) (string, error) {
	var v string
	err := db.QueryRow(ctx, "SELECT value FROM jarvis_facts WHERE name = ?", name).Scan(&v)
	if errors.Is(err, ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the database's %s: %w", name, err)
	}
	return v, nil
}

// SetFact writes one; a fact that is there is replaced.
func (db *DB) SetFact(ctx context.Context, name, value string) error {
	return db.Write(ctx, func(tx Tx) error { return SetFact(ctx, tx, name, value) })
}

// SetFact is DB.SetFact as a part of a transaction.
func SetFact(ctx context.Context, tx Tx, name, value string) error {
	if _, err := tx.Exec(ctx, "INSERT INTO jarvis_facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value); err != nil {
		return fmt.Errorf("write the database's %s: %w", name, err)
	}
	return nil
}

// AgreeFact writes one that is not there yet, and gives what counts: of several nodes that do so at once, the first
// one's.
func (db *DB) AgreeFact(ctx context.Context, name, value string) (counts string, err error) {
	err = db.Write(ctx, func(tx Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO jarvis_facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", name, value); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT value FROM jarvis_facts WHERE name = ?", name).Scan(&counts)
	})
	if err != nil {
		return "", fmt.Errorf("write the database's %s: %w", name, err)
	}
	return counts, nil
}
