package checks

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// claims is which node has each part, on record: it owns the table check_shares. It needs a record that nodes share,
// and a clock.
type claims struct{ tools }

const sharesGate = 0x6a617276_7301 // held while parts change hands

// taken is a part that is ours now.
type taken struct {
	name   string
	alive  time.Time // until when it is known to have been run
	gently bool      // whoever had it has ended all that ran
}

// take takes those parts that nobody has. alive is until when one that nobody had before is known to have been run.
func (c *claims) take(ctx context.Context, list []string, alive time.Time) (got []taken, err error) {
	err = c.db.Write(ctx, func(tx store.Tx) (err error) {
		got, err = c.try(ctx, tx, list, alive)
		return err
	})
	return got, err
}

// free gives parts back that are ours.
func (c *claims) free(ctx context.Context, list []string) error {
	return c.db.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE check_shares SET holder = '', at = ? WHERE holder = ? AND name = ANY(?)", c.now().UnixMilli(), c.db.Holder(), list)
		return err
	})
}

// try takes what is free. The gate makes each statement after it see what whoever was here before us did.
func (c *claims) try(ctx context.Context, tx store.Tx, list []string, alive time.Time) ([]taken, error) {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(?)", int64(sharesGate)); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `SELECT s.name, s.holder, s.at, COALESCE(n.renewed_at, 0), COALESCE(n.state, '') FROM check_shares s
		LEFT JOIN jarvis_nodes n ON n.holder = s.holder WHERE s.name = ANY(?)`, list)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	got := map[string]taken{}
	for _, s := range list {
		got[s] = taken{s, alive, false} // nobody had it, since there are parts
	}
	for rows.Next() {
		var name, holder, state string
		var at, renewed int64
		if err := rows.Scan(&name, &holder, &at, &renewed, &state); err != nil {
			return nil, err
		}
		if s := store.LifeState(state); holder != c.db.Holder() && (s == store.Lives || s == store.Dead) {
			delete(got, name)
			continue
		}
		got[name] = taken{name, time.UnixMilli(max(at, renewed)), holder == ""}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	_ = rows.Close()
	_, err = tx.Exec(ctx, `INSERT INTO check_shares (name, holder, since, at) SELECT unnest(?::text[]), ?, ?::bigint, 0
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, since = excluded.since`, slices.Collect(maps.Keys(got)), c.db.Holder(), c.now().UnixMilli())
	return slices.Collect(maps.Values(got)), err
}
