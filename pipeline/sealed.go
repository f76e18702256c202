package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/store"
)

// Sealed gives the newest clipboard on record that holds a sealed value, or nil when there is none: with it a key can
// be proven before the engine works with it. It may be called before New, on a database without the engine's tables.
func Sealed(ctx context.Context, db *store.DB) (*clipboard.Clipboard, error) {
	var there int
	if err := db.QueryRow(ctx, "SELECT count(*) FROM jarvis_migrations WHERE name = 'pipeline/1'").Scan(&there); err != nil || there == 0 {
		return nil, err
	}
	rows, err := db.Query(ctx, "SELECT clipboard FROM runs WHERE clipboard LIKE '%!sealed%' ORDER BY id DESC LIMIT 100")
	if err != nil {
		return nil, fmt.Errorf("look for a sealed value: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("look for a sealed value: %w", err)
		}
		// A text may name the tag without having one.
		if c, err := clipboard.Parse([]byte(text)); err == nil && c.HasSealed() {
			return c, nil
		}
	}
	return nil, errors.Join(rows.Err())
}
