// Package store opens the one database and gives transactions on it. SQLite by default, PostgreSQL when the
// configuration names one. It knows no table of its own but the list of applied migrations: each engine keeps its
// SQL in its own package, and hands its migrations to Migrate.
//
//	pipeline, access, bot ── Write(func(Tx)) ──► one writer (SQLite) │ pool (PostgreSQL)
//	                      └─ Query ───────────► readers, never behind the writer
//
// On SQLite the writes that arrive while a commit is under way share the next one: Write returns only when the
// commit that holds it is on disk (synchronous=FULL). On PostgreSQL every Write is a transaction of its own.
//
// Statements are written once, with ? for arguments and SQL that both engines take.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "modernc.org/sqlite" // the SQLite driver, in Go
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

// Tx is a transaction. Raw gives the driver's own (*sql.Tx or pgx.Tx), for River.
type Tx interface {
	Querier
	Exec(ctx context.Context, q string, args ...any) (rows int64, err error)
	Raw() any
}

// DB is an open database, safe for concurrent use.
type DB struct {
	write *sql.DB // SQLite: one connection
	read  *sql.DB
	pool  *pgxpool.Pool
	lock  *lock
	group *group
	hold  *pgxpool.Conn // PostgreSQL: the session that holds the advisory lock

	knownMu sync.Mutex
	known   map[string]bool // names of the migrations that this program has
}

// Options to Open.
type Options struct {
	Dir string // folder of the SQLite file and its lock
	URL string // postgres://…; empty means SQLite in Dir
}

// advisoryKey is the PostgreSQL advisory lock that the one node holds: "jarvis" in ASCII.
const advisoryKey = 0x6a6172766973

// Open opens the database and takes its lock. ErrInUse when another process holds it.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.URL != "" {
		return openPostgres(ctx, o.URL)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	l, err := takeLock(filepath.Join(o.Dir, "jarvis.lock"))
	if err != nil {
		return nil, err
	}
	file := filepath.Join(o.Dir, "jarvis.db")
	open := func(extra string, conns int) (*sql.DB, error) {
		q := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)", "foreign_keys(1)"}}
		db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?"+q.Encode()+extra)
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(conns)
		db.SetMaxIdleConns(conns)
		return db, db.PingContext(ctx)
	}
	db := &DB{lock: l, known: map[string]bool{}}
	if db.write, err = open("&_txlock=immediate", 1); err == nil {
		db.read, err = open("&_pragma=query_only(1)", 4)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", file, err), db.Close())
	}
	// The file may hold sealed secrets and everybody's clipboards.
	if err := os.Chmod(file, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", file, err), db.Close())
	}
	db.group = newGroup(db.write)
	return db, nil
}

func openPostgres(ctx context.Context, u string) (*DB, error) {
	pool, err := pgxpool.New(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("open the PostgreSQL database: %w", err)
	}
	db := &DB{pool: pool, known: map[string]bool{}}
	if db.hold, err = pool.Acquire(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open the PostgreSQL database: %w", err)
	}
	var got bool
	if err := db.hold.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", int64(advisoryKey)).Scan(&got); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the PostgreSQL database: %w", err), db.Close())
	}
	if !got {
		return nil, errors.Join(fmt.Errorf("%w: the database is held by another session", ErrInUse), db.Close())
	}
	return db, nil
}

// Close waits for writes under way and releases the lock.
func (db *DB) Close() error {
	var errs []error
	if db.group != nil {
		db.group.close()
	}
	if db.hold != nil {
		// Said, not left to the end of the connection: the server may see that only after the next process asks.
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		_, _ = db.hold.Exec(ctx, "SELECT pg_advisory_unlock_all()")
		cancel()
		db.hold.Release()
	}
	if db.pool != nil {
		db.pool.Close()
	}
	for _, d := range []*sql.DB{db.read, db.write} {
		if d != nil {
			errs = append(errs, d.Close())
		}
	}
	if db.lock != nil {
		errs = append(errs, db.lock.release())
	}
	return errors.Join(errs...)
}

// Postgres gives the pool, or nil on SQLite.
func (db *DB) Postgres() *pgxpool.Pool { return db.pool }

// SQLite gives the one writing connection, or nil on PostgreSQL. It is for River, which runs its own statements.
func (db *DB) SQLite() *sql.DB { return db.write }

// Write runs f in a transaction. When it returns nil, the commit is on disk. f may run more than once and must
// touch nothing but the transaction; an error from f rolls back what f did, and nobody else's write.
func (db *DB) Write(ctx context.Context, f func(Tx) error) error {
	if db.pool != nil {
		return pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error { return f(pgTx{pgQuerier{tx}, tx}) })
	}
	return db.group.do(ctx, f)
}

// Query reads outside any transaction; on SQLite it sees the last commit and never waits for a writer.
func (db *DB) Query(ctx context.Context, q string, args ...any) (Rows, error) {
	if db.pool != nil {
		return pgQuerier{db.pool}.Query(ctx, q, args...)
	}
	return db.read.QueryContext(ctx, q, args...)
}

// QueryRow reads one row as Query does.
func (db *DB) QueryRow(ctx context.Context, q string, args ...any) Row {
	if db.pool != nil {
		return pgQuerier{db.pool}.QueryRow(ctx, q, args...)
	}
	return db.read.QueryRowContext(ctx, q, args...)
}
