// Package store opens the one database and gives transactions on it. SQLite by default, PostgreSQL when the
// configuration names one. It knows no table of its own but the list of applied migrations: each engine keeps its
// SQL in its own package, and hands its migrations to Migrate.
//
//	pipeline, access, bot ── Write(func(Tx)) ──► one writer (SQLite) │ pool (PostgreSQL)
//	                      └─ Query ───────────► readers, which never wait for the writer
//
// On SQLite the writes that arrive while a commit is under way share the next one: Write returns only when the
// commit that holds it is on disk (synchronous=FULL). On PostgreSQL every Write is a transaction of its own, but those
// that read nothing share one in the same way, and a journey with it: see Tx.Later.
//
// Statements are written once, with ? for arguments and SQL that both engines take.
//
// One process owns a SQLite database, by an flock on its folder. On PostgreSQL each node has a row that it renews, and
// its share of an advisory lock. Who cannot prove any more that it lives is told by Lost, and writes nothing from then
// on:
//
//	owner.keep, lock.watch ──► pulse ──► Lost, ErrLost for writes, an end to what waits for a database that is silent
//	watcher.look ──► who does not renew: dead, its sessions ended, buried ──► Died
//
// Open starts one goroutine that keeps the lock, and one that reads all pages of a SQLite file once; Close ends both.
//
// Why not a second store, or a broker: docs/adr/0013-one-database-is-the-record.md
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "modernc.org/sqlite" // the driver. Why not SQLite in C: docs/adr/0014-sqlite-in-pure-go.md

	"github.com/jarvisops/jarvis/internal/guard"
)

// ErrInUse says that another process owns the data: two on one SQLite folder would each run every step.
var ErrInUse = errors.New("another jarvis uses this data")

// ErrNoRows is what Row.Scan gives when there is no row.
var ErrNoRows = sql.ErrNoRows

// Rows is what a query gives; Close it.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// Row is a single row; Scan gives ErrNoRows when there is none.
type Row interface{ Scan(dest ...any) error }

// Querier reads.
type Querier interface {
	Query(ctx context.Context, q string, args ...any) (Rows, error)
	QueryRow(ctx context.Context, q string, args ...any) Row
}

// Tx is a transaction. Raw gives the driver's own (*sql.Tx or pgx.Tx), for River; or an error, when it cannot begin.
type Tx interface {
	Querier
	Exec(ctx context.Context, q string, args ...any) (rows int64, err error)
	// Later is for a statement whose result nobody waits for; they are done in the order in which they are given, with
	// all others. Where journeys to the database are what costs, it is sent with the next statement, or with the
	// commit. With miss it must change exactly one row, and has no RETURNING; when it does not, nothing of the
	// transaction happens. miss, or what else the statement comes to, is the error of Later itself, of a later
	// statement, or of Write. q and args must not change afterwards.
	Later(ctx context.Context, miss error, q string, args ...any) error
	// ForUpdate ends a SELECT of rows that the transaction is going to change: on PostgreSQL nobody else changes them
	// until it ends. On SQLite, where there is one writer, it is "".
	ForUpdate() string
	Raw() any
}

// DB is an open database, safe for concurrent use.
type DB struct {
	log  *slog.Logger
	dir  string // SQLite: the folder
	file string // SQLite: the file

	write *sql.DB // SQLite: one connection
	read  *sql.DB
	lock  *lock
	group *group

	pool   *pgxpool.Pool
	convoy *convoy
	owner  *owner
	others *watcher // nil: this node is alone
	holder string
	node   Node
	died   chan struct{}

	draining context.Context // ends when this node is to begin nothing any more
	drain    context.CancelFunc

	pulse  *pulse
	probes probes
	damage atomic.Pointer[Trouble]
	look   context.CancelFunc // ends the look at all pages
	looked chan struct{}

	closing sync.Once
	closed  error

	knownMu sync.Mutex
	known   map[string]bool // names of the migrations that this program has
}

// Options to Open.
type Options struct {
	Dir string       // folder of the SQLite file and its lock
	URL string       // postgres://…; empty means SQLite in Dir
	Log *slog.Logger // nil: discarded
	// Shared lets other nodes live on the same PostgreSQL database.
	Shared bool
	Node   Node
	Tracer pgx.QueryTracer // sees what is sent to PostgreSQL; nil: nobody does
	// Fresh is asked when the database holds nothing yet, before any table is made; its error is that of Open. nil lets
	// every new database come to be.
	Fresh func() error
}

func newDB(o Options) *DB {
	db := &DB{log: o.Log, node: o.Node, pulse: newPulse(), known: map[string]bool{}, died: make(chan struct{}, 1)}
	db.draining, db.drain = context.WithCancel(context.Background())
	return db
}

// Open opens the database and takes its lock. ErrInUse when another process holds it, a *Trouble when the database is
// not well. On PostgreSQL it waits, ten seconds at most, for an earlier owner that did not release the database.
func Open(ctx context.Context, o Options) (db *DB, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Fresh == nil {
		o.Fresh = func() error { return nil }
	}
	var fresh bool
	if o.URL != "" {
		if db, err = openPostgres(ctx, o); err == nil {
			err = db.QueryRow(ctx, "SELECT to_regclass('jarvis_migrations') IS NULL").Scan(&fresh)
		}
	} else {
		if db, err = openSQLite(ctx, o); err == nil {
			err = db.QueryRow(ctx, "SELECT NOT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'jarvis_migrations')").Scan(&fresh)
		}
	}
	if err == nil && fresh {
		err = o.Fresh()
	}
	if err == nil {
		err = db.Migrate(ctx, Migrations(o.URL != ""))
	}
	if err == nil && o.URL == "" {
		db.holder = holderName()
		err = db.beginsAlone(ctx, o.Node)
	}
	if err != nil {
		if db != nil {
			err = errors.Join(db.met(err), db.Close())
		}
		return nil, err
	}
	return db, nil
}

// openSQLite takes the lock before it looks at the file: until then it may be another process's.
func openSQLite(ctx context.Context, o Options) (*DB, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	db := newDB(o)
	db.dir, db.file = o.Dir, filepath.Join(o.Dir, "jarvis.db")
	var err error
	if db.lock, err = takeLock(o.Dir); err != nil {
		return nil, explain(db.file, err)
	}
	fail := func(err error) (*DB, error) {
		err = explain(db.file, err)
		var sick *Trouble // names the file itself
		if !errors.As(err, &sick) {
			err = fmt.Errorf("open %s: %w", db.file, err)
		}
		return nil, errors.Join(err, db.Close())
	}
	if size(db.file) == 0 {
		// SQLite deletes the log of a file that is empty, and what was committed last with it.
		if size(db.file+"-wal") > 0 {
			return fail(&Trouble{Kind: Damaged, File: db.file, What: "the database is missing or empty, and its log jarvis.db-wal is still there",
				Do: "put jarvis.db back beside it, or restore a backup; move jarvis.db-wal away only when nothing of it is wanted"})
		}
		if err := o.Fresh(); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	open := func(extra string, conns int) (*sql.DB, error) {
		q := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"}}
		c, err := sql.Open("sqlite", "file:"+(&url.URL{Path: db.file}).EscapedPath()+"?"+q.Encode()+extra)
		if err != nil {
			return nil, err
		}
		c.SetMaxOpenConns(conns)
		c.SetMaxIdleConns(conns)
		return c, c.PingContext(ctx)
	}
	if db.write, err = open("&_txlock=immediate", 1); err == nil {
		db.read, err = open("&_pragma=query_only(1)", 4)
	}
	if err != nil {
		return fail(err)
	}
	// The file may hold sealed secrets and everybody's clipboards.
	if err := os.Chmod(db.file, 0o600); err != nil {
		return fail(err)
	}
	if err := db.lock.watch(db.file, db.lose); err != nil {
		return fail(err)
	}
	db.group = newGroup(db.write, db.pulse.err)
	pages, err := open("&_pragma=query_only(1)", 1)
	if err != nil {
		if pages != nil {
			_ = pages.Close()
		}
		return fail(err)
	}
	look, end := context.WithCancel(context.Background())
	db.look, db.looked = end, make(chan struct{})
	guard.Go(guard.Count, func() {
		defer close(db.looked)
		db.quickCheck(look, pages)
		_ = pages.Close()
	})
	return db, nil
}

// size is 0 of a file that is not there.
func size(file string) int64 {
	st, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return st.Size()
}

// closeWithin bounds the wait for what is under way on PostgreSQL when the database is closed.
const closeWithin = 3 * time.Second

// Close waits for writes under way and releases the lock. On PostgreSQL it waits no longer than three seconds for them.
func (db *DB) Close() error {
	db.closing.Do(func() { db.closed = db.close() })
	return db.closed
}

// close ends the parts in such an order that none misses another. It ends also when PostgreSQL keeps silent, and then
// is an error.
func (db *DB) close() error {
	var errs []error
	if db.look != nil {
		db.look()
		<-db.looked
	}
	db.probes.wg.Wait()
	db.others.stop()
	if db.group != nil {
		if db.holder != "" {
			db.leavesAlone()
		}
		db.group.close()
	}
	free := true
	if db.pool != nil {
		wait := closeWithin
		if db.pulse.err() != nil { // what is under way has been ended, and another waits for us to be gone
			wait = closeWithin / 6
		}
		closed := make(chan struct{})
		guard.Go(guard.Count, func() {
			defer close(closed)
			db.pool.Close()
		})
		select {
		case <-closed:
		case <-time.After(wait):
			// Something is still under way: then the lock is not given back in order, and who comes next waits for its
			// age.
			free = false
			errs = append(errs, silentTrouble(""))
		}
	}
	if db.owner != nil {
		db.owner.release(free)
	}
	for _, d := range []*sql.DB{db.read, db.write} {
		if d != nil {
			errs = append(errs, d.Close())
		}
	}
	if db.lock != nil {
		errs = append(errs, db.lock.release())
	}
	db.pulse.end()
	db.drain()
	return errors.Join(errs...)
}

// Lost is closed when this process can no longer prove that the database is its own: another may own it and begin the
// same work. Stop all work at once; every Write fails from then on. Why says what happened.
func (db *DB) Lost() <-chan struct{} { return db.pulse.lost }

// Why gives the reason of Lost, an ErrLost, or nil.
func (db *DB) Why() error { return db.pulse.err() }

// lose ends all work, for another may write now. The first reason counts.
func (db *DB) lose(why string, err error) {
	t := &Trouble{Kind: Gone, File: db.file, What: "this process no longer owns the database: " + why, Do: "start it again", Err: err}
	if db.pulse.lose(t) {
		db.log.Error("the database is lost; all work stops", "why", why, "err", err)
	}
}

// Postgres gives the pool, or nil on SQLite.
func (db *DB) Postgres() *pgxpool.Pool { return db.pool }

// SQLite gives the one writing connection, or nil on PostgreSQL. It is for River, which runs its own statements.
func (db *DB) SQLite() *sql.DB { return db.write }

// Write runs f in a transaction. When it returns nil, the commit is on disk. f may run more than once and must
// touch nothing but the transaction; an error from f rolls back what f did, and nobody else's write. It fails with
// ErrLost once the database is lost, and with a *Trouble when the database is not well.
func (db *DB) Write(ctx context.Context, f func(Tx) error) error {
	if err := db.pulse.err(); err != nil {
		return err
	}
	if db.pool == nil {
		return db.met(db.group.do(ctx, f))
	}
	c, done := db.pulse.forAll(ctx)
	defer done()
	w := &pgWrite{db: db, ctx: c}
	defer w.end()
	var err error
	if !db.owner.isProven() { // then f does not even begin before the database has said that we live
		_, err = w.Exec(c, "")
	}
	if err == nil {
		err = f(w)
	}
	if err == nil {
		err = w.commit()
	}
	return db.met(db.pulse.because(c, err))
}

// Query reads outside any transaction; on SQLite it sees the last commit and never waits for a writer. It fails with a
// *Trouble when the database keeps silent.
func (db *DB) Query(ctx context.Context, q string, args ...any) (Rows, error) {
	if db.pool != nil {
		return pgQuerier{db.pool, db.pulse, db.pulse.forRead}.Query(ctx, q, args...)
	}
	rows, err := db.read.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, db.met(err)
	}
	return sqlRows{rows, db}, nil
}

// QueryRow reads one row as Query does.
func (db *DB) QueryRow(ctx context.Context, q string, args ...any) Row {
	if db.pool != nil {
		return pgQuerier{db.pool, db.pulse, db.pulse.forRead}.QueryRow(ctx, q, args...)
	}
	return sqlRow{db.read.QueryRowContext(ctx, q, args...), db}
}
