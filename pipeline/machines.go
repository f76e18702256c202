package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/store"
)

// The table `machines` says whose each machine is, by its id at its provider: it is written in the transaction in which
// a step's new provider_id is, and a row goes when a step takes the id out of the clipboard, or has destroyed. Tags can
// be lost or changed by anybody at the provider; what stands here cannot.

// Machine is a machine on record.
type Machine struct {
	Provider string // the module whose step gave it: "linode"
	Account  string // the name of its entry in the configuration; "" when it had none, or is of an earlier version
	ID       string // the provider's own
	FQDN     string // whose it is
	Run      int64  // that made or adopted it
	Marked   bool   // it was given the host's owner; false for those of earlier versions, which may carry none
}

// machineRecord is a Host that knows the machines on record.
type machineRecord interface {
	Machines(ctx context.Context) ([]Machine, error)
	Holder(ctx context.Context, provider, account, id string) (Machine, error)
}

// MachinesOf lists the machines that are the host's on record, oldest first. known is false where there is no record,
// as by hand.
func MachinesOf(ctx context.Context) (list []Machine, known bool, err error) {
	if r, ok := hostOf(ctx).(machineRecord); ok {
		list, err = r.Machines(ctx)
		return list, true, err
	}
	return nil, false, nil
}

// HolderOf gives whose a machine is on record; the zero Machine when it is nobody's. known as with MachinesOf.
func HolderOf(ctx context.Context, provider, account, id string) (m Machine, known bool, err error) {
	if r, ok := hostOf(ctx).(machineRecord); ok {
		m, err = r.Holder(ctx, provider, account, id)
		return m, true, err
	}
	return Machine{}, false, nil
}

var (
	_ machineRecord = (*stepRun)(nil)
	_ machineRecord = (*looking)(nil)
	_ machineRecord = (*planned)(nil)
)

func (s *stepRun) Machines(ctx context.Context) ([]Machine, error) {
	return s.e.machinesOf(ctx, s.run.FQDN)
}

func (s *stepRun) Holder(ctx context.Context, provider, account, id string) (Machine, error) {
	return s.e.holderOf(ctx, provider, account, id)
}

func (p *planned) Machines(ctx context.Context) ([]Machine, error) {
	return p.e.machinesOf(ctx, p.fqdn)
}

func (p *planned) Holder(ctx context.Context, provider, account, id string) (Machine, error) {
	return p.e.holderOf(ctx, provider, account, id)
}

const machineColumns = "provider, account, id, fqdn, run, marked"

func scanMachine(row store.Row) (m Machine, err error) {
	var marked int
	err = row.Scan(&m.Provider, &m.Account, &m.ID, &m.FQDN, &m.Run, &marked)
	m.Marked = marked == 1
	return m, err
}

func (e *Engine) machinesOf(ctx context.Context, fqdn string) ([]Machine, error) {
	list, err := store.Collect(ctx, e.db, scanMachine, "SELECT "+machineColumns+" FROM machines WHERE fqdn = ? ORDER BY run, id", fqdn)
	if err != nil {
		return nil, fmt.Errorf("look up the machines of %s: %w", fqdn, err)
	}
	return list, nil
}

// holderOf takes an account without a name for any: it may have got its name since, or lost it.
func (e *Engine) holderOf(ctx context.Context, provider, account, id string) (Machine, error) {
	m, err := scanMachine(e.db.QueryRow(ctx, "SELECT "+machineColumns+" FROM machines WHERE id = ? AND provider = ? AND (account = ? OR account = '' OR ? = '') ORDER BY CASE WHEN account = ? THEN 0 ELSE 1 END LIMIT 1",
		id, provider, account, account, account))
	if errors.Is(err, store.ErrNoRows) {
		return Machine{}, nil
	}
	if err != nil {
		err = fmt.Errorf("look up whose the machine %s is: %w", id, err)
	}
	return m, err
}

// noteMachine puts on record what a step did to the clipboard's provider_id. What a person wrote there is no change of
// a step's, and makes nobody the holder of anything.
func noteMachine(ctx context.Context, tx store.Tx, r *Run, step string, before, after *clipboard.Clipboard) error {
	had, has, module := before.Get("provider_id"), after.Get("provider_id"), Module(step)
	var err error
	switch {
	case has != "" && has != had:
		err = tx.Later(ctx, nil, "INSERT INTO machines ("+machineColumns+") VALUES (?, ?, ?, ?, ?, 1) ON CONFLICT (provider, account, id) DO UPDATE SET fqdn = excluded.fqdn, run = excluded.run, marked = 1",
			module, after.Get("provider_account"), has, r.FQDN, r.ID)
	case has == "" && had != "":
		err = tx.Later(ctx, nil, "DELETE FROM machines WHERE fqdn = ? AND provider = ? AND id = ?", r.FQDN, module, had)
	}
	if err != nil {
		return fmt.Errorf("note whose machine it is: %w", err)
	}
	return nil
}

// forgetMachines is for a step that made sure that the host has no machine at its provider any more.
func forgetMachines(ctx context.Context, tx store.Tx, fqdn, provider string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM machines WHERE fqdn = ? AND provider = ?", fqdn, provider); err != nil {
		return fmt.Errorf("forget the machine of %s: %w", fqdn, err)
	}
	return nil
}

// fillMachines writes the machines of the hosts that were on record before the table was.
func (e *Engine) fillMachines(ctx context.Context) error {
	names, err := store.Collect(ctx, e.db, func(row store.Row) (name string, err error) { return name, row.Scan(&name) }, "SELECT fqdn FROM hosts WHERE machines IS NULL ORDER BY fqdn")
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(names, 200) {
		var list []Machine
		for _, fqdn := range chunk {
			m, err := e.lastMachine(ctx, fqdn)
			if err != nil {
				return err
			}
			if m.ID != "" {
				list = append(list, m)
			}
		}
		err := e.write(ctx, func(tx store.Tx) error {
			for _, m := range list {
				if _, err := tx.Exec(ctx, "INSERT INTO machines ("+machineColumns+") VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING", m.Provider, m.Account, m.ID, m.FQDN, m.Run); err != nil {
					return err
				}
			}
			for _, fqdn := range chunk {
				if _, err := tx.Exec(ctx, "UPDATE hosts SET machines = 1 WHERE fqdn = ?", fqdn); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lastMachine finds the machine of a host in its clipboards: an id that a step gave, as far back as nothing took it
// down.
func (e *Engine) lastMachine(ctx context.Context, fqdn string) (Machine, error) {
	given, err := e.given(ctx, fqdn, "deploy", "provider_id")
	if err != nil {
		return Machine{}, err
	}
	adopted, err := e.given(ctx, fqdn, "adopt", "provider_id")
	if err != nil || len(given)+len(adopted) == 0 {
		return Machine{}, err
	}
	runs, err := e.runs(ctx, "fqdn = ? AND began > 0 ORDER BY id DESC LIMIT 20", fqdn)
	if err != nil {
		return Machine{}, err
	}
	for _, r := range runs {
		c, err := r.doc()
		if err != nil {
			continue
		}
		if id := c.Get("provider_id"); id != "" && (slices.Contains(given, id) || slices.Contains(adopted, id)) {
			provider := r.Provider
			if provider == "" {
				provider = strings.ToLower(c.Get("provider"))
			}
			return Machine{Provider: provider, Account: cmp.Or(c.Get("provider_account"), c.Get("account")), ID: id, FQDN: fqdn, Run: r.ID}, nil
		}
		if r.Ending == EndDestroyed || e.tookDown(&r) {
			break
		}
	}
	return Machine{}, nil
}
