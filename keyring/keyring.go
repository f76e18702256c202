// Package keyring keeps in the database what every node needs to reach hosts: Jarvis's own SSH key, sealed, and what is
// known of hosts' keys. A node whose data folder is empty gets both files from it. cmd/jarvis opens it at start, and
// hands the Known to the worker ssh; nothing here starts a goroutine.
//
//	DATA/id_ed25519  ──► ssh_keys      taken over at the first start, written from it where there is no file
//	DATA/known_hosts ◄─► known_hosts   lines: a person's in the file, Jarvis's in the table; either side has all
//
// What is written to both tables is written in turn: each transaction begins with a write to the one row of
// keyring_turn.
//
// Why not the table alone, or the file: docs/adr/0027-host-keys-in-the-database-and-in-a-file.md
package keyring

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/store"
)

// Migrations of this package's tables. A line of known_hosts that was taken out stays there as gone: so a file that was
// written before can be told from one into which somebody put the line again. sum is its SHA-256, because PostgreSQL
// has no index on long texts.
func Migrations(bool) []store.Migration {
	return []store.Migration{{Name: "keyring/1", Stmts: []string{
		"CREATE TABLE keyring_turn (name TEXT NOT NULL)",
		"INSERT INTO keyring_turn (name) VALUES ('')",
		"CREATE TABLE ssh_keys (public TEXT PRIMARY KEY, sealed TEXT NOT NULL, since BIGINT NOT NULL, ended BIGINT NOT NULL)",
		"CREATE TABLE known_hosts (id {{id}}, sum TEXT NOT NULL UNIQUE, line TEXT NOT NULL, gone INTEGER NOT NULL, at BIGINT NOT NULL)",
	}}}
}

// takeTurn has all other nodes wait until the transaction ends. It gives the name of the ring, a random word, by which
// a file tells whose changes it counts.
func takeTurn(ctx context.Context, tx store.Tx) (name string, err error) {
	if _, err = tx.Exec(ctx, "UPDATE keyring_turn SET name = CASE name WHEN '' THEN ? ELSE name END", strings.ToLower(rand.Text()[:8])); err == nil {
		err = tx.QueryRow(ctx, "SELECT name FROM keyring_turn").Scan(&name)
	}
	if err != nil {
		return "", fmt.Errorf("take the turn at the keys in the database: %w", err)
	}
	return name, nil
}
