package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// takeUpGate is a PostgreSQL advisory lock: two nodes take up one after the other, and the second finds nothing.
const takeUpGate = 0x6a6172766974

// words of SQL that the two databases say differently: the run and the turn of a job, and who works on it.
type jobWords struct{ run, turn, holder string }

func (e *Engine) jobWords() jobWords {
	if e.db.Postgres() != nil {
		return jobWords{"(args->>'run')::bigint", "(args->>'turn')::bigint", "attempted_by[array_upper(attempted_by, 1)]"}
	}
	return jobWords{"json_extract(args, '$.run')", "json_extract(args, '$.turn')", "json_extract(attempted_by, '$[#-1]')"}
}

const (
	sqlOurJobs = "kind = 'jarvis_carry' AND state NOT IN ('completed', 'cancelled', 'discarded')"
	sqlMoving  = "live = 1 AND state IN ('running', 'waiting', 'undoing')"
)

// takeUp makes a fresh job for every run that the engine has to move and that nobody has in hand. At the start of a
// node that is alone these are all, and a stage's waiting begins again: the time in which nobody lived is not the
// host's fault. Otherwise they are those whose job a node had in hand that is buried by now.
func (e *Engine) takeUp(ctx context.Context, start bool) error {
	now := time.Now()
	var files []string
	var jobs []carryArgs
	err := e.write(ctx, func(tx store.Tx) (err error) {
		files = nil
		if e.db.Postgres() != nil {
			if _, err := tx.Exec(ctx, fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", takeUpGate)); err != nil {
				return err
			}
		}
		if start {
			if files, err = e.recall(ctx, tx); err != nil {
				return err
			}
		}
		alone := false
		if start {
			if alone, err = e.alone(ctx, tx); err != nil {
				return err
			}
		}
		if jobs, err = e.takeUpRuns(ctx, tx, now, alone); err != nil {
			return err
		}
		for rest := jobs; len(rest) > 0; {
			n := min(len(rest), 500)
			if err := e.queue.insert(ctx, tx, rest[:n]...); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, file := range files {
		e.drop(file)
	}
	if len(jobs) > 0 && !start {
		e.log.Warn("took up the runs of a node that is gone", "runs", len(jobs))
	}
	return nil
}

// alone reports whether no other node lives, or may still be ending.
func (e *Engine) alone(ctx context.Context, tx store.Tx) (bool, error) {
	var others int
	err := tx.QueryRow(ctx, "SELECT count(*) FROM jarvis_nodes WHERE holder <> ? AND state IN ('lives', 'dead')", e.db.Holder()).Scan(&others)
	return others == 0, err
}

// takeUpRuns raises the epochs of runs, so that whoever had them writes nothing more, and gives the jobs to make.
func (e *Engine) takeUpRuns(ctx context.Context, tx store.Tx, now time.Time, all bool) ([]carryArgs, error) {
	w := e.jobWords()
	taken := fmt.Sprintf(store.SQLTaken, w.holder)
	which, gone := sqlMoving, sqlOurJobs
	if !all {
		gone += " AND state = 'running' AND NOT " + taken
		which += " AND (id, epoch) NOT IN (SELECT " + w.run + ", " + w.turn + " FROM river_job WHERE " + sqlOurJobs + ")"
	}
	// The jobs go first: one that is made meanwhile stays with its run, or is the older of two.
	if _, err := tx.Exec(ctx, "DELETE FROM river_job WHERE "+gone); err != nil {
		return nil, err
	}
	// A dead process may hold River's leadership for a while yet; nobody would wake what sleeps for long.
	if _, err := tx.Exec(ctx, "DELETE FROM river_leader WHERE NOT "+fmt.Sprintf(store.SQLTaken, "river_leader.leader_id")); err != nil {
		return nil, err
	}
	columns, read := "id, epoch", func(row store.Row) (j carryArgs, err error) { return j, row.Scan(&j.Run, &j.Turn) }
	if e.siloed() {
		columns, read = runColumns, func(row store.Row) (carryArgs, error) {
			r, err := scan(row)
			return carryArgs{Run: r.ID, Turn: r.epoch, silo: e.place(&r, e.here)}, err
		}
	}
	return store.Collect(ctx, tx, read, "UPDATE runs SET epoch = epoch + 1, stage_at = CASE WHEN mark = ? THEN ? ELSE stage_at END WHERE "+which+" RETURNING "+columns, betweenTries, ms(now))
}

// inherit takes up what other nodes leave.
func (e *Engine) inherit(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.db.Died():
		}
		if err := e.takeUp(ctx, false); err != nil && ctx.Err() == nil {
			e.log.Error("take up the runs of a node that is gone; it is tried again", "err", err)
			e.db.DiedAgain()
			pause(ctx, time.Second)
			continue
		}
		if err := e.undoBroken(ctx); err != nil && ctx.Err() == nil {
			e.log.Error("undo the clusters that a node which is gone was undoing", "err", err)
		}
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
