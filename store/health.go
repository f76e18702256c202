package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/internal/guard"
)

const (
	healthWithin = 900 * time.Millisecond // an answer comes at the latest after that, whatever the database does
	healthFresh  = 200 * time.Millisecond // so long a good answer is good: asking costs nobody more than five commits a second
	// minFree: below that a write into the log of SQLite may still find room, and the next one not.
	minFree = 1 << 20
)

var healthMigration = Migration{"store/2-health", []string{
	"CREATE TABLE jarvis_health (id INTEGER PRIMARY KEY, at BIGINT NOT NULL)",
	"INSERT INTO jarvis_health (id, at) VALUES (1, 0)",
}}

// probes shares one write between all who ask at the same moment.
type probes struct {
	mu   sync.Mutex
	last *probe
	wg   sync.WaitGroup
}

type probe struct {
	done chan struct{}
	err  error
	at   time.Time
}

// Healthy says whether a commit reaches the disk now: it writes a row, and answers within a second whatever the
// database does. The error is a *Trouble, whose What is one sentence for people. Callers at the same moment share one
// write.
func (db *DB) Healthy(ctx context.Context) error {
	if err := db.pulse.err(); err != nil {
		return err
	}
	if t := db.Damage(); t != nil {
		return t
	}
	p := db.probe()
	t := time.NewTimer(healthWithin)
	defer t.Stop()
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		if db.pool != nil {
			return silentTrouble("")
		}
		return &Trouble{Kind: LockedOut, File: db.file, What: fmt.Sprintf("the database has taken no write for %s", healthWithin), Do: "another program holds its lock, or the disk is stuck"}
	}
}

// probe gives the write that is under way, or a new one.
func (db *DB) probe() *probe {
	db.probes.mu.Lock()
	defer db.probes.mu.Unlock()
	if p := db.probes.last; p != nil {
		select {
		case <-p.done:
			if p.err == nil && time.Since(p.at) < healthFresh {
				return p
			}
		default:
			return p
		}
	}
	p := &probe{done: make(chan struct{})}
	db.probes.last = p
	db.probes.wg.Add(1)
	guard.Go(guard.Count, func() {
		defer db.probes.wg.Done()
		defer close(p.done)
		p.err = guard.Call(db.touch)
		p.at = time.Now()
	})
	return p
}

// touch writes a row, for only that tells whether a commit comes through. A full disk is seen before it is too late.
func (db *DB) touch() error {
	ctx, cancel := context.WithTimeout(context.Background(), healthWithin)
	defer cancel()
	if db.dir != "" {
		var st unix.Statfs_t
		if err := unix.Statfs(db.dir, &st); err == nil && room(st) < minFree {
			return &Trouble{Kind: DiskFull, File: db.file, What: "the disk of the database is full", Do: "make room on it; nothing that was confirmed is lost, and a server that runs goes on by itself"}
		}
	}
	err := db.Write(ctx, func(tx Tx) error {
		_, err := tx.Exec(ctx, "UPDATE jarvis_health SET at = ? WHERE id = 1", time.Now().UnixMilli())
		return err
	})
	var known *Trouble
	if err != nil && ctx.Err() != nil && !errors.As(err, &known) {
		return silentTrouble(db.file)
	}
	return err
}

// room gives the bytes that this user may still fill.
func room(st unix.Statfs_t) uint64 {
	free := st.Bavail
	if os.Geteuid() == 0 {
		free = st.Bfree
	}
	return free * uint64(st.Bsize)
}
