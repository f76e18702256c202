package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Loading fills a database that holds nothing yet with the tables of a Snapshot. All of it is one transaction: before
// Commit nothing is there. It is a Sink. Call Abort at the end, also after Commit.
//
// Each table's numbers go on after a gap, because the database that was copied may have given out more of them since:
// a number names a run in all the world.
type Loading struct {
	ctx  context.Context //nolint:containedctx // a Sink has none, and this one lives as long as one call of its user
	file string          // SQLite
	db   *sql.DB
	sq   *sql.Tx
	conn *pgx.Conn // PostgreSQL
	pg   pgx.Tx
	tx   Tx

	now   Table
	open  bool
	stmt  *sql.Stmt // SQLite: inserts a row
	batch [][]any   // PostgreSQL: rows to send
}

// gap is how many numbers are left out at least.
const gap = 1000

// beyond gives the number after which a restored table goes on.
func beyond(last int64) int64 { return (last + gap + last/10 + gap - 1) / gap * gap }

// BeginLoad makes the tables of the migrations that the snapshot had, and no others: what a newer program changes, it
// changes when it is started. ErrInUse when a server has the database; an error when it holds anything.
func BeginLoad(ctx context.Context, o Options, list []Migration) (_ *Loading, err error) {
	l := &Loading{ctx: ctx}
	defer func() {
		if err != nil {
			l.Abort()
		}
	}()
	if o.URL != "" {
		err = l.openPostgres(o.URL)
	} else {
		err = l.openSQLite(filepath.Join(o.Dir, "jarvis.db"))
	}
	if err != nil {
		return nil, err
	}
	if _, err := l.tx.Exec(ctx, sqlMigrations); err != nil {
		return nil, fmt.Errorf("make the list of migrations: %w", err)
	}
	for _, m := range list {
		_, err := l.tx.Exec(ctx, "INSERT INTO jarvis_migrations (name) VALUES (?)", m.Name)
		if err == nil {
			err = m.apply(ctx, l.tx, l.pg != nil)
		}
		if err != nil {
			return nil, fmt.Errorf("make the tables of %s: %w", m.Name, explain("", err))
		}
	}
	return l, nil
}

// openSQLite makes the file, and refuses one that is there.
func (l *Loading) openSQLite(file string) (err error) {
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is there already: %w", file, errors.Join(err, os.ErrExist))
	}
	l.file = file
	// Nobody else sees the file before all of it is on disk: the one sync is in Commit.
	q := url.Values{"_pragma": {"journal_mode(MEMORY)", "synchronous(OFF)"}}
	if l.db, err = sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?"+q.Encode()); err != nil {
		return err
	}
	l.db.SetMaxOpenConns(1)
	if l.sq, err = l.db.BeginTx(l.ctx, nil); err != nil {
		return fmt.Errorf("make %s: %w", file, explain(file, err))
	}
	l.tx = sqlTx{l.sq, &stmts{}}
	return os.Chmod(file, 0o600)
}

// openPostgres refuses a database that holds a record, or to which a server is connected.
func (l *Loading) openPostgres(u string) (err error) {
	if l.conn, err = connectAside(l.ctx, u); err != nil {
		return err
	}
	if l.pg, err = l.conn.Begin(l.ctx); err != nil {
		return fmt.Errorf("begin to write the PostgreSQL database: %w", explain("", err))
	}
	p := newPulse()
	l.tx = pgTx{pgQuerier{l.pg, p, p.forAll}, l.pg}
	var free, used bool
	for began := time.Now(); !free && time.Since(began) < sessionEnds; {
		if err := l.pg.QueryRow(l.ctx, "SELECT pg_try_advisory_xact_lock($1), to_regclass('jarvis_migrations') IS NOT NULL", int64(advisoryKey)).Scan(&free, &used); err != nil {
			return fmt.Errorf("look whether the PostgreSQL database is empty: %w", explain("", err))
		}
		if !free {
			time.Sleep(lookAgain)
		}
	}
	switch {
	case !free:
		return fmt.Errorf("%w: a server is connected to that PostgreSQL database", ErrInUse)
	case used:
		return errors.New("that PostgreSQL database holds a record of Jarvis already; name an empty one, made by `createdb NAME`")
	}
	return nil
}

// Table implements Sink.
func (l *Loading) Table(t Table) error {
	if err := l.endTable(); err != nil {
		return err
	}
	// A migration may have put rows in, which are those of the snapshot as well.
	if _, err := l.tx.Exec(l.ctx, "DELETE FROM "+quoted(t.Name)); err != nil {
		return fmt.Errorf("load the table %s: %w", t.Name, explain("", err))
	}
	have, err := l.columns(t.Name)
	if err != nil {
		return fmt.Errorf("load the table %s: %w", t.Name, explain("", err))
	}
	if a, b := slices.Sorted(slices.Values(t.Columns)), slices.Sorted(slices.Values(have)); !slices.Equal(a, b) {
		return fmt.Errorf("load the table %s: the backup has the columns %s, and this database has %s", t.Name, strings.Join(a, ", "), strings.Join(b, ", "))
	}
	l.now, l.open = t, true
	if l.sq != nil {
		names := make([]string, len(t.Columns))
		for i, c := range t.Columns {
			names[i] = quoted(c)
		}
		q := "INSERT INTO " + quoted(t.Name) + " (" + strings.Join(names, ", ") + ") VALUES (?" + strings.Repeat(", ?", len(names)-1) + ")"
		l.stmt, err = l.sq.PrepareContext(l.ctx, q)
	}
	return err
}

// columns asks the database, in whose order the values are.
func (l *Loading) columns(table string) ([]string, error) {
	q := "SELECT * FROM " + quoted(table) + " LIMIT 0"
	if l.sq != nil {
		rows, err := l.sq.QueryContext(l.ctx, q)
		if err != nil {
			return nil, err
		}
		names, err := rows.Columns()
		return names, errors.Join(err, rows.Close())
	}
	rows, err := l.pg.Query(l.ctx, q)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var names []string
	for _, c := range rows.FieldDescriptions() {
		names = append(names, c.Name)
	}
	rows.Close()
	return names, rows.Err()
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// loadBatch is how many rows go to PostgreSQL at once.
const loadBatch = 1000

// Row implements Sink.
func (l *Loading) Row(row []any) error {
	if !l.open || len(row) != len(l.now.Columns) {
		return fmt.Errorf("load the table %s: a row of %d values for %d columns", l.now.Name, len(row), len(l.now.Columns))
	}
	if l.sq != nil {
		if _, err := l.stmt.ExecContext(l.ctx, row...); err != nil {
			return fmt.Errorf("load the table %s: %w", l.now.Name, explain(l.file, err))
		}
		return nil
	}
	if l.batch = append(l.batch, slices.Clone(row)); len(l.batch) >= loadBatch {
		return l.send()
	}
	return nil
}

func (l *Loading) send() error {
	_, err := l.pg.CopyFrom(l.ctx, pgx.Identifier{l.now.Name}, l.now.Columns, pgx.CopyFromRows(l.batch))
	l.batch = l.batch[:0]
	if err != nil {
		return fmt.Errorf("load the table %s: %w", l.now.Name, explain("", err))
	}
	return nil
}

// endTable sends what is left of a table, and sets its numbers.
func (l *Loading) endTable() (err error) {
	if !l.open {
		return nil
	}
	l.open = false
	if l.stmt != nil {
		err, l.stmt = l.stmt.Close(), nil
	}
	if len(l.batch) > 0 {
		err = l.send()
	}
	if err != nil || l.now.Last < 0 {
		return err
	}
	next := beyond(l.now.Last)
	if l.pg != nil {
		_, err = l.pg.Exec(l.ctx, "SELECT setval($1::text::regclass, $2)", l.now.Name+"_id_seq", next)
	} else if _, err = l.sq.ExecContext(l.ctx, "DELETE FROM sqlite_sequence WHERE name = ?", l.now.Name); err == nil {
		_, err = l.sq.ExecContext(l.ctx, "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", l.now.Name, next)
	}
	if err != nil {
		return fmt.Errorf("set the numbers of the table %s: %w", l.now.Name, explain("", err))
	}
	return nil
}

// SetFact writes what the database says of itself under a name.
func (l *Loading) SetFact(name, value string) error {
	if err := l.endTable(); err != nil {
		return err
	}
	return SetFact(l.ctx, l.tx, name, value)
}

// Commit makes it all be there, on disk.
func (l *Loading) Commit() error {
	if err := l.endTable(); err != nil {
		return err
	}
	if l.pg != nil {
		if err := l.pg.Commit(l.ctx); err != nil {
			return fmt.Errorf("commit: %w", explain("", err))
		}
		return nil
	}
	err := l.sq.Commit()
	l.sq = nil
	if err = errors.Join(err, l.db.Close()); err != nil {
		return fmt.Errorf("commit: %w", explain(l.file, err))
	}
	l.db = nil
	f, err := os.OpenFile(l.file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Abort ends what was not committed. The file of a SQLite database is its caller's to remove.
func (l *Loading) Abort() {
	if l.sq != nil {
		_ = l.sq.Rollback()
	}
	if l.db != nil {
		_ = l.db.Close()
	}
	if l.conn != nil {
		if l.pg != nil && !l.conn.IsClosed() { // said, not left to the end of the session, which comes a moment later
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_ = l.pg.Rollback(ctx)
			cancel()
		}
		closeConn(l.conn)
	}
}
