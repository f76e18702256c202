package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Migration is one step of a package's schema. Name is unique ("pipeline/1"). Each of Stmts is one statement without a
// semicolon at its end; {{id}} in it stands for "integer primary key that counts up".
type Migration struct {
	Name  string
	Stmts []string
}

// ErrNewer says that a newer program has changed the database's tables: this one would write what that one does not
// expect.
var ErrNewer = errors.New("the database is newer than this jarvis")

// Migrate applies what is not applied yet, each in a transaction, and notes that this program knows it.
func (db *DB) Migrate(ctx context.Context, list []Migration) error {
	for _, m := range list {
		for _, s := range m.Stmts {
			if err := oneStatement(s); err != nil {
				return fmt.Errorf("migrate the database to %s: %w", m.Name, err)
			}
		}
		db.knownMu.Lock()
		db.known[m.Name] = true
		db.knownMu.Unlock()
		err := db.Write(ctx, func(tx Tx) error {
			if db.pool != nil { // a large table takes its time, and another node waits for it
				for _, q := range []string{"SET LOCAL statement_timeout = 0", "SET LOCAL lock_timeout = 0", fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", nodesGate)} {
					if _, err := tx.Exec(ctx, q); err != nil {
						return err
					}
				}
			}
			if _, err := tx.Exec(ctx, sqlMigrations); err != nil {
				return err
			}
			n, err := tx.Exec(ctx, "INSERT INTO jarvis_migrations (name) VALUES (?) ON CONFLICT DO NOTHING", m.Name)
			if err != nil || n == 0 {
				return err
			}
			return m.apply(ctx, tx, db.pool != nil)
		})
		if err != nil {
			return fmt.Errorf("migrate the database to %s: %w", m.Name, err)
		}
	}
	return nil
}

const sqlMigrations = "CREATE TABLE IF NOT EXISTS jarvis_migrations (name TEXT PRIMARY KEY)"

// apply runs the statements of a migration.
func (m Migration) apply(ctx context.Context, tx Tx, postgres bool) error {
	id := "INTEGER PRIMARY KEY AUTOINCREMENT"
	if postgres {
		id = "BIGSERIAL PRIMARY KEY"
	}
	for _, s := range m.Stmts {
		if _, err := tx.Exec(ctx, strings.ReplaceAll(s, "{{id}}", id)); err != nil {
			return fmt.Errorf("%w in %q", err, s)
		}
	}
	return nil
}

// CheckSchema compares what was ever applied to the database with what this program knows: call it when all packages
// have migrated, and before any of them works. The error is ErrNewer and names what is unknown.
func (db *DB) CheckSchema(ctx context.Context) error {
	rows, err := db.Query(ctx, "SELECT name FROM jarvis_migrations ORDER BY name")
	if err != nil {
		return fmt.Errorf("read the list of migrations: %w", err)
	}
	var unknown []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return errors.Join(fmt.Errorf("read the list of migrations: %w", err), rows.Close())
		}
		db.knownMu.Lock()
		if !db.known[name] {
			unknown = append(unknown, name)
		}
		db.knownMu.Unlock()
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("read the list of migrations: %w", err)
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return fmt.Errorf("%w: it holds %s, which this program does not know; start the newer jarvis that used it last%s, or restore the backup made before it", ErrNewer, strings.Join(unknown, ", "), db.usedBy(ctx))
	}
	return nil
}

// usedBy names the version of the program that used the database last before this one; "" when that is not known.
func (db *DB) usedBy(ctx context.Context) string {
	var version string
	err := db.QueryRow(ctx, "SELECT version FROM jarvis_nodes WHERE holder <> ? AND version <> '' ORDER BY started_at DESC LIMIT 1", db.holder).Scan(&version)
	if err != nil {
		return ""
	}
	return " (version " + version + ")"
}

// oneStatement refuses a text that holds more than one statement, or the semicolon after one: the drivers disagree
// on what they do with a second, and one of them drops it without a word. A semicolon may be in quotes, in a comment,
// and between the BEGIN and END of a trigger.
func oneStatement(s string) error {
	depth := 0 // of BEGIN and CASE, which both close with END
	trigger := strings.HasPrefix(strings.ToUpper(strings.TrimSpace(s)), "CREATE TRIGGER")
	for i := 0; i < len(s); {
		rest := s[i:]
		switch c := s[i]; {
		case c == '\'' || c == '"':
			i += 1 + through(rest[1:], string(c))
		case strings.HasPrefix(rest, "$$"):
			i += 2 + through(rest[2:], "$$")
		case strings.HasPrefix(rest, "--"):
			i += 2 + through(rest[2:], "\n")
		case strings.HasPrefix(rest, "/*"):
			i += 2 + through(rest[2:], "*/")
		case c == ';' && depth == 0:
			return fmt.Errorf("%q holds a semicolon that ends a statement; each statement is an entry of its own", s)
		case letter(c):
			n := 1
			for n < len(rest) && letter(rest[n]) {
				n++
			}
			switch strings.ToUpper(rest[:n]) {
			case "BEGIN", "CASE":
				if trigger {
					depth++
				}
			case "END":
				depth = max(depth-1, 0)
			}
			i += n
		default:
			i++
		}
	}
	return nil
}

// through gives how many bytes there are up to and with the end mark.
func through(s, end string) int {
	if n := strings.Index(s, end); n >= 0 {
		return n + len(end)
	}
	return len(s)
}

func letter(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
