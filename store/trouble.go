package store

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Kind says what is wrong with a database.
type Kind string

// The kinds of trouble.
const (
	NotADatabase Kind = "not a database"
	Damaged      Kind = "damaged"
	DiskFull     Kind = "disk full"
	ReadOnly     Kind = "read-only"
	LockedOut    Kind = "locked by another program"
	NoRights     Kind = "no rights"
	DiskFails    Kind = "disk fails"
	NoAnswer     Kind = "no answer"
	Gone         Kind = "lost"
)

// Trouble is an error of the database as a person must hear it: What in one sentence that may be said in chat, Do what
// is safe to do about it. Err is the driver's own, or nil.
type Trouble struct {
	Kind Kind
	What string
	Do   string
	File string // the SQLite file; "" on PostgreSQL
	Err  error
}

// Error implements error.
func (t *Trouble) Error() string {
	s := t.What
	if t.File != "" {
		s = t.File + ": " + s
	}
	if t.Err != nil {
		s += fmt.Sprintf(" (%v)", t.Err)
	}
	if t.Do != "" {
		s += "; " + t.Do
	}
	return s
}

// Unwrap gives the cause, for errors.Is and errors.As.
func (t *Trouble) Unwrap() error { return t.Err }

// Is makes a lost database an ErrLost.
func (t *Trouble) Is(target error) bool { return target == ErrLost && t.Kind == Gone }

// ErrLost is what every write gives once another process may own the database.
var ErrLost = errors.New("this process no longer owns the database")

const (
	keepACopy = "stop jarvis, keep a copy of jarvis.db, jarvis.db-wal and jarvis.db-shm as they are, then restore the last backup"
	salvage   = ", or try `sqlite3 jarvis.db .recover | sqlite3 new.db` on another copy"
)

// explain gives an error of the driver its words. What needs none comes back as it is.
func explain(file string, err error) error {
	var known *Trouble
	if err == nil || errors.As(err, &known) {
		return err
	}
	tell := func(k Kind, what, do string) error {
		return &Trouble{Kind: k, What: what, Do: do, File: file, Err: err}
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_NOTADB:
			return tell(NotADatabase, "this file is not a database: its head is overwritten or cut off", keepACopy+"; do not delete it, what follows the head may still be whole")
		case sqlite3.SQLITE_CORRUPT:
			return tell(Damaged, "the database is damaged", keepACopy+salvage)
		case sqlite3.SQLITE_FULL:
			return tell(DiskFull, "the disk of the database is full", "make room on it; nothing that was confirmed is lost, and a server that runs goes on by itself")
		case sqlite3.SQLITE_READONLY:
			return tell(ReadOnly, "the database can be read but not written", "mount the disk for writing, and give jarvis.db, jarvis.db-wal, jarvis.db-shm and their folder to the user who runs jarvis")
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return tell(LockedOut, "another program holds the database's lock", "end that program (`fuser jarvis.db` names it), a sqlite3 shell or a backup perhaps; do not delete jarvis.db-wal or jarvis.db-shm")
		case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
			return tell(NoRights, "the database cannot be opened by this user", "give jarvis.db, jarvis.db-wal, jarvis.db-shm and their folder to the user who runs jarvis; do not delete the -wal, the newest commits are in it")
		case sqlite3.SQLITE_IOERR:
			return tell(DiskFails, "the disk of the database gives errors", "look at the kernel's log and the disk; keep a copy of all jarvis.db* files before anything else")
		}
		return err
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "53100":
			return tell(DiskFull, "the disk of the database is full", "make room on the PostgreSQL server; nothing that was confirmed is lost")
		case "25006":
			return tell(ReadOnly, "the database takes no writes", "the address leads to a standby, or default_transaction_read_only is on; point `database` to the primary")
		case "XX001", "XX002":
			return tell(Damaged, "the database is damaged", "stop jarvis, keep a copy of PostgreSQL's data folder, then restore the last backup")
		case "55P03":
			return tell(LockedOut, "another session holds a lock in the database", "pg_locks and pg_stat_activity show which")
		case "57P01", "57P02", "57P03":
			return tell(NoAnswer, "the database does not answer", "PostgreSQL is stopping or starting; look at its log")
		}
		return err
	}
	var con *pgconn.ConnectError
	var path *fs.PathError
	switch {
	case errors.As(err, &con):
		return tell(NoAnswer, "the database does not answer", "look whether PostgreSQL runs, and at `database` in the configuration")
	case !errors.As(err, &path):
	case errors.Is(err, syscall.ENOSPC):
		return tell(DiskFull, "the disk of the database is full", "make room on it")
	case errors.Is(err, syscall.EROFS):
		return tell(ReadOnly, "the database can be read but not written", "mount the disk for writing")
	case errors.Is(err, fs.ErrPermission):
		return tell(NoRights, "the database cannot be opened by this user", "give the data folder and all in it to the user who runs jarvis")
	}
	return err
}

// silentTrouble is that of a database that says nothing.
func silentTrouble(file string) *Trouble {
	return &Trouble{Kind: NoAnswer, What: "the database does not answer", Do: "try again in a moment", File: file}
}
