package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/jarvisops/jarvis/internal/guard"
)

// Node says which node this process is.
type Node struct {
	Name    string // of the configuration; "": this machine's
	Silo    string
	Version string // of the program
}

// Life is one process's time as a node: from its start until it left, or was declared dead.
type Life struct {
	Holder  string // names the life: machine, process, and a random word
	Node    Node
	Started time.Time
	Renewed time.Time // by the database's clock
	State   LifeState
	Drains  time.Time // since when it begins nothing any more; zero: it does
}

// LifeState says how a life stands.
type LifeState string

// A dead life's sessions may still end; from Buried on its work may be taken up.
const (
	Lives  LifeState = "lives"
	Left   LifeState = "left"
	Dead   LifeState = "dead"
	Buried LifeState = "buried"
)

// SQLTaken is a condition on the holder of a piece of work, which stands at %s: it is not to be taken up by anybody
// else.
const SQLTaken = "EXISTS (SELECT 1 FROM jarvis_nodes WHERE jarvis_nodes.holder = %s AND jarvis_nodes.state IN ('lives', 'dead'))"

const (
	sqlNodes  = "CREATE TABLE IF NOT EXISTS jarvis_nodes (holder TEXT PRIMARY KEY, name TEXT NOT NULL, silo TEXT NOT NULL, version TEXT NOT NULL, started_at BIGINT NOT NULL, renewed_at BIGINT NOT NULL, state TEXT NOT NULL, drains BIGINT NOT NULL DEFAULT 0)"
	nodesGate = advisoryKey + 1 // held while the tables are made: two that make one at a time fail
	oneByOne  = advisoryKey + 3
	lifeKept  = 30 * 24 * time.Hour
)

// makeNodes makes the tables.
func makeNodes(ctx context.Context, conn *pgx.Conn) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(nodesGate)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, sqlNodes+"; "+sqlRoles)
		return err
	})
	if err != nil {
		return fmt.Errorf("make the tables of nodes: %w", err)
	}
	return nil
}

// begins makes the row of this life, and forgets those that ended long ago.
func (o *owner) begins(ctx context.Context, n Node) error {
	_, err := o.conn.Exec(ctx, "INSERT INTO jarvis_nodes (holder, name, silo, version, started_at, renewed_at, state) VALUES ($1, $2, $3, $4, "+dbNow+", "+dbNow+", 'lives')",
		o.holder, n.name(), n.Silo, n.Version)
	if err != nil {
		return err
	}
	_, err = o.conn.Exec(ctx, "DELETE FROM jarvis_nodes WHERE state IN ('left', 'buried') AND renewed_at < "+dbNow+" - $1", lifeKept.Milliseconds())
	return err
}

// beginsAlone makes the row of this life on SQLite, whose lock says that every other has ended.
func (db *DB) beginsAlone(ctx context.Context, n Node) error {
	now := time.Now()
	return db.Write(ctx, func(tx Tx) error {
		for _, q := range []struct {
			text string
			args []any
		}{
			{sqlNodes, nil},
			{sqlRoles, nil},
			{"UPDATE jarvis_nodes SET state = 'buried' WHERE state IN ('lives', 'dead')", nil},
			{"DELETE FROM jarvis_nodes WHERE renewed_at < ?", []any{now.Add(-lifeKept).UnixMilli()}},
			{"INSERT INTO jarvis_nodes (holder, name, silo, version, started_at, renewed_at, state) VALUES (?, ?, ?, ?, ?, ?, 'lives')",
				[]any{db.holder, n.name(), n.Silo, n.Version, now.UnixMilli(), now.UnixMilli()}},
		} {
			if _, err := tx.Exec(ctx, q.text, q.args...); err != nil {
				return fmt.Errorf("note that this node lives: %w", err)
			}
		}
		return nil
	})
}

// leavesAlone ends the row of this life on SQLite.
func (db *DB) leavesAlone() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = db.Write(ctx, func(tx Tx) error { // who comes next buries what did not leave
		_, err := tx.Exec(ctx, "UPDATE jarvis_nodes SET state = 'left', renewed_at = ? WHERE holder = ?", time.Now().UnixMilli(), db.holder)
		return err
	})
}

func (n Node) name() string {
	if n.Name != "" {
		return n.Name
	}
	host, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return host
}

// seen is who renewed last, of those beside whom a new node cannot live.
type seen struct {
	holder string
	age    time.Duration
}

// lastSeen looks at a Jarvis of before there were nodes, and for one that is to be alone at all nodes.
func lastSeen(ctx context.Context, conn *pgx.Conn, shared bool) (last seen, err error) {
	var old bool
	if err := conn.QueryRow(ctx, "SELECT to_regclass('jarvis_owner') IS NOT NULL").Scan(&old); err != nil {
		return last, err
	}
	q := "SELECT holder, " + dbNow + " - renewed_at FROM jarvis_nodes WHERE state = 'lives' AND NOT $1"
	if old {
		q += " UNION ALL SELECT holder, " + dbNow + " - renewed_at FROM jarvis_owner WHERE released = 0"
	}
	var age int64
	err = conn.QueryRow(ctx, q+" ORDER BY 2 LIMIT 1", shared).Scan(&last.holder, &age)
	if errors.Is(err, pgx.ErrNoRows) {
		return last, nil
	}
	last.age = time.Duration(age) * time.Millisecond
	return last, err
}

// forgetOldOwner ends what is left of a Jarvis of before there were nodes, which is not alive.
func forgetOldOwner(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	_, err := conn.Exec(ctx, "DROP TABLE IF EXISTS jarvis_owner")
	return err
}

// Node says which node this process is, with its name.
func (db *DB) Node() Node {
	n := db.node
	n.Name = n.name()
	return n
}

// Holder names this process's life as a node.
func (db *DB) Holder() string { return db.holder }

// Died gives a channel that holds a value when the work of another life may be taken up. It may come once for several.
func (db *DB) Died() <-chan struct{} { return db.died }

// DiedAgain has Died say it once more: whoever heard it could not do what follows from it.
func (db *DB) DiedAgain() {
	select {
	case db.died <- struct{}{}:
	default:
	}
}

// Lives lists the lives that are on record, those that still live first, and then the newest first.
func (db *DB) Lives(ctx context.Context) ([]Life, error) {
	return db.lives(ctx, "ORDER BY CASE state WHEN 'lives' THEN 0 ELSE 1 END, started_at DESC")
}

func (db *DB) lives(ctx context.Context, which string) ([]Life, error) {
	return Collect(ctx, db, func(row Row) (l Life, err error) {
		var started, renewed, drains int64
		err = row.Scan(&l.Holder, &l.Node.Name, &l.Node.Silo, &l.Node.Version, &started, &renewed, &l.State, &drains)
		l.Started, l.Renewed = time.UnixMilli(started), time.UnixMilli(renewed)
		if drains != 0 {
			l.Drains = time.UnixMilli(drains)
		}
		return l, err
	}, "SELECT holder, name, silo, version, started_at, renewed_at, state, drains FROM jarvis_nodes "+which)
}

// watcher looks at the rows of the other nodes, and declares for dead who does not renew. One goroutine, started by
// watchOthers and ended by stop.
type watcher struct {
	db   *DB
	log  *slog.Logger
	rows map[string]sight
	left map[string]bool // those that we know to have left

	stopping context.CancelFunc
	ended    sync.WaitGroup
}

// sight is a renewal as we saw it, and since when, by bootTime.
type sight struct{ renewed, since int64 }

func watchOthers(db *DB, log *slog.Logger) *watcher {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{db: db, log: log, rows: map[string]sight{}, left: map[string]bool{}, stopping: cancel}
	w.ended.Add(1)
	guard.Go(guard.Log(log, "look at the other nodes"), func() {
		defer w.ended.Done()
		t := time.NewTicker(renewEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			if err := errors.Join(w.look(ctx), db.lookDrains(ctx)); err != nil && ctx.Err() == nil && db.pulse.err() == nil {
				log.Warn("the other nodes cannot be looked at", "err", err)
			}
		}
	})
	return w
}

// stop may be called of nil: a node that is alone watches nobody.
func (w *watcher) stop() {
	if w != nil {
		w.stopping()
		w.ended.Wait()
	}
}

// look compares each row with what it was, and goes on with those that are dead. Each part can be repeated, by us or by
// another node.
func (w *watcher) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*renewEvery)
	defer cancel()
	type row struct {
		holder, name string
		renewed      int64
		state        LifeState
	}
	list, err := Collect(ctx, w.db, func(r Row) (out row, err error) {
		return out, r.Scan(&out.holder, &out.name, &out.renewed, &out.state)
	}, "SELECT holder, name, renewed_at, state FROM jarvis_nodes WHERE state <> 'buried' AND holder <> ?", w.db.holder)
	if err != nil {
		return err
	}
	was, now := w.rows, bootTime()
	w.rows = make(map[string]sight, len(list))
	for _, r := range list {
		if r.state == Left {
			if !w.left[r.holder] {
				w.left[r.holder] = true
				w.db.DiedAgain()
			}
			continue
		}
		s := was[r.holder]
		if s.renewed != r.renewed {
			s = sight{r.renewed, now}
		}
		w.rows[r.holder] = s
		if r.state == Lives && time.Duration(now-s.since) < takeOver {
			continue
		}
		if err := w.bury(ctx, r.holder, r.name, r.renewed, time.Duration(now-s.since)); err != nil {
			return err
		}
	}
	return nil
}

// bury declares a life for dead when it has not renewed meanwhile, ends its sessions, and lets its work be taken up.
// silent is how long we have seen it not renew.
func (w *watcher) bury(ctx context.Context, holder, name string, renewed int64, silent time.Duration) error {
	began := time.Now()
	var dead int64
	err := w.db.Write(ctx, func(tx Tx) (err error) {
		dead, err = tx.Exec(ctx, "UPDATE jarvis_nodes SET state = 'dead' WHERE holder = ? AND (state = 'dead' OR state = 'lives' AND renewed_at = ?)", holder, renewed)
		return err
	})
	if err != nil || dead == 0 {
		return err
	}
	for {
		var left int
		if err := w.db.pool.QueryRow(ctx, sqlEnd, int64(sessionClass), int64(uint32(number(holder))), true).Scan(&left); err != nil {
			return fmt.Errorf("end the sessions of %s: %w", holder, err)
		}
		if left == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d sessions of %s do not end: %w", left, holder, ctx.Err())
		case <-time.After(lookAgain / 10):
		}
	}
	err = w.db.Write(ctx, func(tx Tx) (err error) {
		dead, err = tx.Exec(ctx, "UPDATE jarvis_nodes SET state = 'buried' WHERE holder = ? AND state = 'dead'", holder)
		return err
	})
	if err != nil || dead == 0 {
		return err
	}
	w.log.Warn("a node does not renew its row and is taken for dead; its work goes on elsewhere", "node", name, "life", holder, "silent", (silent + time.Since(began)).Round(100*time.Millisecond).String())
	w.db.DiedAgain()
	return nil
}

// OneByOne does something that two nodes must not do at the same time, as making tables that are not ours.
func (db *DB) OneByOne(ctx context.Context, f func() error) error {
	if db.pool == nil {
		return f()
	}
	return db.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		if _, err := c.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(oneByOne)); err != nil {
			return fmt.Errorf("wait for another node: %w", err)
		}
		defer func() {
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			if _, err := c.Exec(end, "SELECT pg_advisory_unlock($1)", int64(oneByOne)); err != nil {
				_ = c.Conn().Close(end) // the lock goes with its session
			}
		}()
		return f()
	})
}
