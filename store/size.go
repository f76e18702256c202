package store

import (
	"context"
	"fmt"
)

// Size gives how many bytes the database takes on disk, without the write-ahead log.
func (db *DB) Size(ctx context.Context) (bytes int64, err error) {
	q := "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
	if db.pool != nil {
		q = "SELECT pg_database_size(current_database())"
	}
	if err := db.QueryRow(ctx, q).Scan(&bytes); err != nil {
		return 0, fmt.Errorf("ask how large the database is: %w", err)
	}
	return bytes, nil
}
