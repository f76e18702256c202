package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// awayFor is how long runs wait for a silo before people are told unasked: an agent that is restarted is back sooner.
const awayFor = time.Minute

// tellOfSilos has people told once of a silo that nobody serves while runs wait for it, not once a run, and again when
// somebody is back. away are the silos that have jobs and nobody for them. What was told, and of which run it is an
// event, is on record: any server tells, and none twice.
func (e *Engine) tellOfSilos(ctx context.Context, away []string, now time.Time) error {
	type row struct {
		silo  string
		since int64
		run   int64 // under which it was told; 0: not yet
	}
	rows, err := store.Collect(ctx, e.db, func(r store.Row) (w row, err error) { return w, r.Scan(&w.silo, &w.since, &w.run) }, "SELECT silo, since, run FROM silo_away")
	if err != nil {
		return err
	}
	var errs []error
	for _, silo := range away {
		i := slices.IndexFunc(rows, func(w row) bool { return w.silo == silo })
		switch {
		case i < 0:
			_, err = e.waitsFor(ctx, silo, func(tx store.Tx, _ Run, _ int) error {
				_, err := tx.Exec(ctx, "INSERT INTO silo_away (silo, since, run) VALUES (?, ?, 0) ON CONFLICT DO NOTHING", silo, now.UnixMilli())
				return err
			})
		case rows[i].run == 0 && now.Sub(time.UnixMilli(rows[i].since)) >= awayFor:
			var some bool
			some, err = e.waitsFor(ctx, silo, func(tx store.Tx, r Run, n int) error {
				if k, err := tx.Exec(ctx, "UPDATE silo_away SET run = ? WHERE silo = ? AND run = 0", r.ID, silo); err != nil || k == 0 {
					return err
				}
				return insertAll(ctx, tx, []Event{{Run: r.ID, At: now, Kind: EvSiloAway, Stage: r.shown(), Step: r.Step(), Text: siloAway(silo, n, r.Host)}})
			})
			if err == nil && !some { // what waited was cancelled
				err = e.siloBack(ctx, silo, 0, now)
			}
		default:
			continue
		}
		errs = append(errs, err)
	}
	for _, w := range rows {
		if !slices.Contains(away, w.silo) {
			errs = append(errs, e.siloBack(ctx, w.silo, w.run, now))
		}
	}
	return errors.Join(errs...)
}

// waitsFor gives the first of the runs that wait for a silo, and how many they are, to what is written; none: nothing
// is.
func (e *Engine) waitsFor(ctx context.Context, silo string, write func(tx store.Tx, first Run, n int) error) (some bool, err error) {
	return some, e.write(ctx, func(tx store.Tx) error {
		w := e.jobWords()
		var first int64
		var n int
		if err := tx.QueryRow(ctx, "SELECT coalesce(min(runs.id), 0), count(*) FROM runs JOIN river_job ON runs.id = "+w.run+" AND runs.epoch = "+w.turn+" WHERE kind = 'jarvis_carry' AND queue = ? AND live = 1 AND reason = 'silo'",
			queueOf(silo)).Scan(&first, &n); err != nil || n == 0 {
			some = false
			return err
		}
		r, err := lock(ctx, tx, first)
		if err != nil {
			return err
		}
		some = true
		return write(tx, r, n)
	})
}

// siloBack forgets that a silo was away, and says so where it was told.
func (e *Engine) siloBack(ctx context.Context, silo string, told int64, now time.Time) error {
	return e.write(ctx, func(tx store.Tx) error {
		n, err := tx.Exec(ctx, "DELETE FROM silo_away WHERE silo = ?", silo)
		if err != nil || n == 0 || told == 0 {
			return err
		}
		ok, err := served(ctx, tx, silo)
		if err != nil || !ok { // nothing waits any more
			return err
		}
		r, err := lock(ctx, tx, told)
		if errors.Is(err, ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		return insertAll(ctx, tx, []Event{{Run: r.ID, At: now, Kind: EvSiloBack, Stage: r.shown(), Step: r.Step(), Text: inWords(silo) + " is served again, and what waited for it goes on"}})
	})
}

func inWords(silo string) string {
	if silo == "" {
		return "what is in no silo"
	}
	return "the silo " + silo
}

// siloAway says for people what is missing, who waits for it, and what ends that.
func siloAway(silo string, n int, host string) string {
	waits := "the run of " + host + " waits for it"
	if n > 1 {
		waits = fmt.Sprintf("%d runs wait for it, the first that of %s", n, host)
	}
	who := fmt.Sprintf("a server with `node: {silo: %s}` or an agent is there", silo)
	if silo == "" {
		who = "a server without `node.silo` lives"
	}
	return fmt.Sprintf("nobody serves %s, and %s; all goes on by itself once %s. `nodes` tells more", inWords(silo), waits, who)
}
