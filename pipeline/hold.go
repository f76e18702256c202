package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// Hold is a person's word that nobody changes a host: no run of it begins, goes on after a failure, or is taken back,
// until somebody releases it. What is under way goes on.
type Hold struct {
	Host  string    `json:"host"` // its full name
	By    string    `json:"by"`
	Why   string    `json:"because"`
	Since time.Time `json:"since"`
}

// HeldError: the host is held.
type HeldError struct{ Hold }

// Error implements error.
func (e *HeldError) Error() string {
	return fmt.Sprintf("%s is held by %s since %s: %s", e.Host, e.By, plain.Time(e.Since), e.Why)
}

// Hold has nobody change a host until Release. A *HeldError when somebody holds it already.
func (e *Engine) Hold(ctx context.Context, fqdn, by, why string) (Hold, error) {
	h := Hold{Host: fqdn, By: plain.Line(by), Why: plain.Line(why), Since: time.Now()}
	return h, e.write(ctx, func(tx store.Tx) error {
		n, err := tx.Exec(ctx, "INSERT INTO holds (fqdn, by_whom, why, since) VALUES (?, ?, ?, ?) ON CONFLICT (fqdn) DO NOTHING", fqdn, h.By, h.Why, h.Since.UnixMilli())
		if err != nil || n == 1 {
			return err
		}
		return notHeld(ctx, tx, fqdn)
	})
}

// Release ends a hold, and gives it. ErrNotFound when nobody holds the host.
func (e *Engine) Release(ctx context.Context, fqdn string) (h Hold, err error) {
	return h, e.write(ctx, func(tx store.Tx) error {
		if h, err = holdOf(ctx, tx, fqdn); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "DELETE FROM holds WHERE fqdn = ?", fqdn)
		return err
	})
}

// HoldOf gives the hold of a host; ErrNotFound when nobody holds it.
func (e *Engine) HoldOf(ctx context.Context, fqdn string) (Hold, error) {
	return holdOf(ctx, e.db, fqdn)
}

// Holds gives all holds, by host.
func (e *Engine) Holds(ctx context.Context) ([]Hold, error) {
	return store.Collect(ctx, e.db, scanHold, "SELECT fqdn, by_whom, why, since FROM holds ORDER BY fqdn")
}

// holdOf gives ErrNotFound when nobody holds the host.
func holdOf(ctx context.Context, q store.Querier, fqdn string) (Hold, error) {
	h, err := scanHold(q.QueryRow(ctx, "SELECT fqdn, by_whom, why, since FROM holds WHERE fqdn = ?", fqdn))
	if errors.Is(err, store.ErrNoRows) {
		err = ErrNotFound
	}
	return h, err
}

func scanHold(r store.Row) (h Hold, err error) {
	var since int64
	err = r.Scan(&h.Host, &h.By, &h.Why, &since)
	h.Since = time.UnixMilli(since)
	return h, err
}

// notHeld gives a *HeldError for a host that is held.
func notHeld(ctx context.Context, q store.Querier, fqdn string) error {
	h, err := holdOf(ctx, q, fqdn)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return &HeldError{h}
}

// NoneHeld gives a *HeldError when a host of a cluster is held.
func (e *Engine) NoneHeld(ctx context.Context, cluster int64) error {
	return noneHeld(ctx, e.db, cluster)
}

// noneHeld is notHeld for the hosts of a cluster.
func noneHeld(ctx context.Context, q store.Querier, cluster int64) error {
	list, err := store.Collect(ctx, q, scanHold, "SELECT holds.fqdn, holds.by_whom, holds.why, holds.since FROM holds JOIN runs ON runs.fqdn = holds.fqdn WHERE runs.cluster = ? ORDER BY holds.fqdn LIMIT 1", cluster)
	if err != nil || len(list) == 0 {
		return err
	}
	return &HeldError{list[0]}
}

// keep has a run stay when its cluster is taken back, and says so in its log.
func (e *Engine) keep(ctx context.Context, id int64, held *HeldError) error {
	return e.write(ctx, func(tx store.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE runs SET kept = 1 WHERE id = ? AND kept = 0", id)
		if err != nil || n == 0 {
			return err
		}
		r, err := lock(ctx, tx, id)
		if err != nil {
			return err
		}
		return insertAll(ctx, tx, []Event{{Run: id, At: time.Now(), Kind: EvStays, Stage: r.shown(), Text: "its cluster is taken back, and it stays: " + held.Error()}})
	})
}

// isKept reports whether a run is to stay although its cluster is taken back; see keep.
func isKept(ctx context.Context, q store.Querier, id int64) (is bool, err error) {
	var n int
	err = q.QueryRow(ctx, "SELECT kept FROM runs WHERE id = ?", id).Scan(&n)
	return n == 1, err
}
