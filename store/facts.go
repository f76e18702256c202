package store

import (
	"context"
	"errors"
	"fmt"
)

var factsMigration = Migration{"store/1-facts", []string{"CREATE TABLE jarvis_facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)"}}

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
	err := db.Write(ctx, func(tx Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO jarvis_facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
		return err
	})
	if err != nil {
		return fmt.Errorf("write the database's %s: %w", name, err)
	}
	return nil
}
