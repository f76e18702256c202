package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/store"
)

// Forgotten says what of a host was taken off the record.
type Forgotten struct {
	FQDN   string `json:"fqdn"`
	Runs   int64  `json:"runs"`
	Events int64  `json:"events"`
}

// ForgetError: a host cannot be taken off the record now.
type ForgetError struct {
	Host     string
	Machines []Machine // that are its own on record
	Pending  int64     // the run about which something waits for a second person; 0: none
}

// Error implements error.
func (e *ForgetError) Error() string {
	if e.Pending > 0 {
		return fmt.Sprintf("something about run %d of %s waits for a second person", e.Pending, e.Host)
	}
	var list []string
	for _, m := range e.Machines {
		list = append(list, m.ID+" at "+m.Provider)
	}
	return fmt.Sprintf("%s has a machine on record: %s", e.Host, strings.Join(list, ", "))
}

// Forget takes a host off the record: its runs with their events and approvals, how it is reached, its drift. It
// touches no machine. A *BusyError while a run holds it, a *ForgetError while a machine is its own or something waits
// for an answer.
//
// Events go first, in small pieces; what the host is goes last, in one transaction. Whoever is interrupted says it
// again.
func (e *Engine) Forget(ctx context.Context, fqdn string) (Forgotten, error) {
	f := Forgotten{FQDN: fqdn}
	events, err := e.db.Pieces(ctx, func(tx store.Tx) (int64, error) {
		f.Runs = 0
		if err := forgettable(ctx, tx, fqdn); err != nil {
			return 0, err
		}
		evs, err := store.Collect(ctx, tx, scanEvent, "SELECT id, run, at, kind, stage, step, text, diff, took FROM events WHERE run IN (SELECT id FROM runs WHERE fqdn = ?) ORDER BY id LIMIT ?", fqdn, store.Piece)
		if err != nil {
			return 0, err
		}
		if n := int64(len(evs)); n > 0 {
			if err := foldGiven(ctx, tx, fqdn, evs); err != nil {
				return 0, err
			}
			if _, err := tx.Exec(ctx, "DELETE FROM events WHERE run IN (SELECT id FROM runs WHERE fqdn = ?) AND id <= ?", fqdn, evs[n-1].ID); err != nil || n == store.Piece {
				return n, err
			}
		}
		f.Runs, err = forget(ctx, tx, fqdn)
		return int64(len(evs)), err
	})
	f.Events = events
	if err != nil {
		return f, fmt.Errorf("forget %s: %w", fqdn, err)
	}
	return f, nil
}

// forgettable locks a host, and says why it cannot go.
func forgettable(ctx context.Context, tx store.Tx, fqdn string) error {
	var host string
	err := tx.QueryRow(ctx, "SELECT host FROM hosts WHERE fqdn = ? AND task = 0"+tx.ForUpdate(), fqdn).Scan(&host)
	if errors.Is(err, store.ErrNoRows) {
		return ErrNotFound
	} else if err != nil {
		return err
	}
	switch busy, err := holder(ctx, tx, fqdn); {
	case err == nil:
		return &BusyError{busy}
	case !errors.Is(err, ErrNotFound):
		return err
	}
	no := &ForgetError{Host: fqdn}
	if no.Machines, err = store.Collect(ctx, tx, scanMachine, "SELECT "+machineColumns+" FROM machines WHERE fqdn = ? ORDER BY run, id", fqdn); err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, "SELECT coalesce(max(run), 0) FROM approvals WHERE outcome = '' AND run IN (SELECT id FROM runs WHERE fqdn = ?)", fqdn).Scan(&no.Pending); err != nil {
		return err
	}
	if len(no.Machines) > 0 || no.Pending > 0 {
		return no
	}
	return nil
}

// forget takes a host out of all tables but that of events, which the caller has emptied of it.
func forget(ctx context.Context, tx store.Tx, fqdn string) (runs int64, err error) {
	for _, q := range []string{"DELETE FROM approvals WHERE run IN (SELECT id FROM runs WHERE fqdn = ?)", "DELETE FROM drift WHERE fqdn = ?", "DELETE FROM given WHERE fqdn = ?", "DELETE FROM host_groups WHERE fqdn = ?", "DELETE FROM holds WHERE fqdn = ?", "DELETE FROM hosts WHERE fqdn = ?"} {
		if _, err := tx.Exec(ctx, q, fqdn); err != nil {
			return 0, err
		}
	}
	return tx.Exec(ctx, "DELETE FROM runs WHERE fqdn = ?", fqdn)
}
