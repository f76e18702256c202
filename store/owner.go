package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/internal/guard"
)

// How long a node lives without proof. Who cannot renew ends before who comes next begins: giveUp and the end of the
// process must fit into takeOver.
const (
	renewEvery  = 2 * time.Second  // between two renewals, and until a silent database is said to be silent
	giveUp      = 6 * time.Second  // without a renewal: lost
	takeOver    = 10 * time.Second // a holder that released nothing counts as alive so long after its last renewal
	lookAgain   = 500 * time.Millisecond
	openTimeout = 15 * time.Second
)

// GiveUp is how long a node on PostgreSQL works without a proof that it lives; what it left running ends by then as
// well.
const GiveUp = giveUp

// advisoryKey is the PostgreSQL advisory lock of all nodes: "jarvis" in ASCII. Nodes share it; one that is to be alone,
// and a Jarvis of before there were nodes, takes it for itself.
const advisoryKey = 0x6a6172766973

// The row of a node's life. Its times are by the database's clock, so that two machines need not agree on theirs.
const (
	dbNow    = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
	sqlLives = "EXISTS (SELECT 1 FROM jarvis_nodes WHERE holder = $1 AND state = 'lives')"
	// A session that a pooler in between gave to somebody else holds no lock any more: so the lock is part of the
	// proof.
	sqlRenew = "UPDATE jarvis_nodes SET renewed_at = " + dbNow + ` WHERE holder = $1 AND state = 'lives' AND EXISTS (SELECT 1 FROM pg_locks
	WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted AND objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = $2)`
	sqlLeave = "UPDATE jarvis_nodes SET state = 'left' WHERE holder = $1 AND state = 'lives'"
)

// owner is the life of a node on PostgreSQL: its row, and the advisory lock on a connection of its own. One goroutine,
// started by keep and ended by release, renews.
// Why not the lock alone: docs/adr/0012-a-node-lives-by-a-lease.md
type owner struct {
	conn   *pgx.Conn
	holder string
	shared bool         // other nodes may live
	sent   atomic.Int64 // when the last renewal that came through was sent, by bootTime
	server string       // which server the session is with

	stop context.CancelFunc
	done chan struct{}
	wg   sync.WaitGroup // of whoever looks where the address leads
}

// takeOwner takes the lock and makes the row. ErrInUse when another session holds the lock in a way that does not go
// with ours. One that is to be alone waits for those that may still be alive without their session.
func takeOwner(ctx context.Context, cfg *pgx.ConnConfig, opt Options) (_ *owner, err error) {
	open, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(open, cfg)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			closeConn(conn)
		}
	}()
	if err := set(open, conn, ownerDefaults); err != nil {
		return nil, err
	}
	if err := makeNodes(open, conn); err != nil {
		return nil, err
	}
	if err := takeAdvisory(open, conn, opt.Shared); err != nil {
		return nil, err
	}
	if err := waitForEarlier(ctx, conn, opt); err != nil {
		return nil, err
	}
	o := &owner{conn: conn, holder: holderName(), shared: opt.Shared, done: make(chan struct{})}
	o.sent.Store(bootTime())
	take, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := o.begins(take, opt.Node); err != nil {
		return nil, fmt.Errorf("note that this node lives: %w", err)
	}
	if o.server, err = serverOf(take, conn); err != nil || opt.Shared {
		return o, err
	}
	return o, o.bury(ctx)
}

// sessionEnds is how long a session whose client has gone may still hold the lock, on a busy machine: whoever starts
// again at once is not refused for that.
const sessionEnds = 2 * time.Second

// takeAdvisory takes the lock. ErrInUse when another session holds it. One whose holder must be dead, by the row, is
// waited for longer: a server that was frozen frees the locks of lost connections only when it notices that they are.
func takeAdvisory(ctx context.Context, conn *pgx.Conn, shared bool) error {
	q := "SELECT pg_try_advisory_lock($1)"
	if shared {
		q = "SELECT pg_try_advisory_lock_shared($1)"
	}
	for began := time.Now(); ; {
		var got bool
		if err := conn.QueryRow(ctx, q, int64(advisoryKey)).Scan(&got); err != nil {
			return fmt.Errorf("lock the PostgreSQL database: %w", err)
		}
		if got {
			return nil
		}
		by, age := heldBy(ctx, conn)
		patience := sessionEnds
		if age > takeOver {
			patience = takeOver / 2
		}
		if time.Since(began) > patience {
			return fmt.Errorf("%w: the database is held by another session%s", ErrInUse, by)
		}
		time.Sleep(lookAgain)
	}
}

// bootTime is a clock that also counts while the machine sleeps, in nanoseconds: a suspended machine must know how old
// its proof is when it wakes up.
func bootTime() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return time.Now().UnixNano()
	}
	return ts.Nano()
}

// unproven gives for how long nothing has proven that the database is ours.
func (o *owner) unproven() time.Duration { return time.Duration(bootTime() - o.sent.Load()) }

// isProven reports whether nobody can have declared us dead by now.
func (o *owner) isProven() bool { return o.unproven() < renewEvery+time.Second }

// begin gives what a transaction begins with. Nobody declares us dead while the proof is young; when it is not, as
// in a process that was suspended, the transaction itself asks whether the row names us: no journey more, but a quarter
// of the speed of small ones.
func (o *owner) begin() string {
	if o.isProven() {
		return "begin"
	}
	return fmt.Sprintf("begin; SELECT 1 / count(*) FROM jarvis_nodes WHERE holder = '%s' AND state = 'lives'", o.holder)
}

// waitForEarlier returns when nobody can be alive whom we cannot live beside: for one that is to be alone that is every
// other node, and for all a Jarvis of before there were nodes. They left, or renewed too long ago. A database whose
// clock was set back has a renewal from the future: then our own clock tells when it has stood unchanged for long
// enough.
func waitForEarlier(ctx context.Context, conn *pgx.Conn, opt Options) error {
	said := false
	for began := time.Now(); ; {
		look, cancel := context.WithTimeout(ctx, openTimeout)
		last, err := lastSeen(look, conn, opt.Shared)
		cancel()
		if err != nil {
			return fmt.Errorf("read who holds the PostgreSQL database: %w", err)
		}
		left := takeOver - max(last.age, time.Since(began))
		if last.holder == "" || left <= 0 {
			return forgetOldOwner(ctx, conn)
		}
		if !said {
			said = true
			opt.Log.Warn("the earlier holder of the database did not release it and may still be ending; waiting until it must be dead",
				"holder", last.holder, "renewed", last.age.String()+" ago", "at_most", left.Round(time.Second).String())
		}
		t := time.NewTimer(min(left, lookAgain))
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}

// heldBy names the holder, for a message, and gives the age of its last renewal; "" and 0 when no row says anything.
func heldBy(ctx context.Context, conn *pgx.Conn) (by string, age time.Duration) {
	last, err := lastSeen(ctx, conn, false)
	if err != nil || last.holder == "" {
		return "", 0
	}
	return fmt.Sprintf(", %s, which said so %s ago", last.holder, last.age.Round(100*time.Millisecond)), last.age
}

// holderName is another one at each start. It has no quote, for it stands in SQL as it is.
func holderName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	b := make([]byte, 6)
	_, _ = rand.Read(b) // never fails
	return fmt.Sprintf("%s process %d %s", strings.ReplaceAll(host, "'", ""), os.Getpid(), hex.EncodeToString(b))
}

// keep renews until release, or until the ownership cannot be proven any more: then lost is called, once.
// silent is told when the database begins and ceases to keep silent.
func (o *owner) keep(silent func(bool), lost func(why string, err error)) {
	ctx, cancel := context.WithCancel(context.Background())
	o.stop = cancel
	o.wg.Add(1)
	guard.Go(guard.Count, func() {
		defer o.wg.Done()
		o.stay(ctx, lost)
	})
	guard.Go(func(p *guard.Panic) { lost("the lock is no longer renewed", p) }, func() {
		defer close(o.done)
		for pause := renewEvery; ; {
			before := bootTime()
			t := time.NewTimer(pause)
			select {
			case <-ctx.Done():
				t.Stop()
				return
			case <-t.C:
			}
			sent := bootTime()
			stood := time.Duration(sent-before) - pause // this process had no processor, or was stopped
			// Not cut off after a pause that it may survive: to end a question is to end the session, and the lock with
			// it.
			one, end := context.WithTimeout(ctx, giveUp-o.unproven())
			hush := time.AfterFunc(renewEvery, guard.Func(guard.Count, func() { silent(true) }))
			tag, err := o.conn.Exec(one, sqlRenew, o.holder, int64(advisoryKey))
			end()
			hush.Stop()
			pause = renewEvery
			switch {
			case ctx.Err() != nil:
				return
			case err == nil && tag.RowsAffected() == 1:
				o.sent.Store(sent)
				silent(false)
			case stood > giveUp-renewEvery:
				lost(fmt.Sprintf("it stood still for %s and could not show that it lives, so others go on with its runs", stood.Round(time.Second)), err)
				return
			case err == nil:
				lost("another process took this one for dead, or its lock was taken from us", nil)
				return
			case o.unproven() >= giveUp:
				lost(fmt.Sprintf("the database has confirmed nothing for %s", giveUp), err)
				return
			case o.conn.IsClosed():
				lost("the session that holds the database's lock was ended", err)
				return
			default:
				pause = lookAgain
			}
		}
	})
}

// release ends the session. inOrder says that nothing of ours is under way in the database any more, so that the next
// owner need not wait.
func (o *owner) release(inOrder bool) {
	if o.stop != nil {
		o.stop()
		<-o.done
		o.wg.Wait()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if inOrder && !o.conn.IsClosed() {
		// Said, not left to the end of the connection: the server may see that only after the next process asks.
		_, _ = o.conn.Exec(ctx, sqlLeave, o.holder)
		_, _ = o.conn.Exec(ctx, "SELECT pg_advisory_unlock_all()")
	}
	closeConn(o.conn)
}

// closeConn waits a second: a server that keeps silent is to hold nothing up.
func closeConn(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx)
}
