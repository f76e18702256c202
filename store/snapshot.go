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

	"github.com/jackc/pgx/v5"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// Table begins the rows of one table in a Copy.
type Table struct {
	Name    string   `json:"table"`
	Columns []string `json:"columns"`
	Last    int64    `json:"last"` // the last number that was given out for id; -1: its rows have none
}

// Sink takes what a Copy reads: each table, followed by its rows. A value is nil, int64, float64 or string. Row must
// not keep the slice.
type Sink interface {
	Table(Table) error
	Row(row []any) error
}

// Snapshot reads the tables of this program as they were at one moment, whatever is written meanwhile, beside a server
// that runs. It takes no lock that a server wants. Close it.
type Snapshot struct {
	Migrations []string // that the database has

	known []Migration
	db    *sql.DB // SQLite
	tx    *sql.Tx
	conn  *pgx.Conn // PostgreSQL
	pg    pgx.Tx
}

// OpenSnapshot opens the database of o, which must be there. known are the migrations of this program: only tables that
// they make are read. The error is ErrNewer when the database has others.
func OpenSnapshot(ctx context.Context, o Options, known []Migration) (_ *Snapshot, err error) {
	s := &Snapshot{known: known}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	if o.URL != "" {
		err = s.openPostgres(ctx, o.URL)
	} else {
		err = s.openSQLite(ctx, filepath.Join(o.Dir, "jarvis.db"))
	}
	if err != nil {
		return nil, err
	}
	err = s.each(ctx, "SELECT name FROM jarvis_migrations ORDER BY name", func(row []any) error {
		name, _ := row[0].(string)
		s.Migrations = append(s.Migrations, name)
		if !slices.ContainsFunc(known, func(m Migration) bool { return m.Name == name }) {
			return fmt.Errorf("%w: it holds %s, which this program does not know; make the backup with the newer jarvis", ErrNewer, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the list of migrations: %w", err)
	}
	return s, nil
}

// openSQLite may write, for SQLite's own files beside the database; no statement of ours can.
func (s *Snapshot) openSQLite(ctx context.Context, file string) (err error) {
	if st, err := os.Stat(file); err != nil {
		return fmt.Errorf("open the database: %w", err)
	} else if st.Size() == 0 {
		return fmt.Errorf("open the database: %s is empty", file)
	}
	q := url.Values{"mode": {"rw"}, "_pragma": {"busy_timeout(10000)", "query_only(1)"}}
	if s.db, err = sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?"+q.Encode()); err != nil {
		return err
	}
	s.db.SetMaxOpenConns(1)
	// It begins with its first read, and sees that moment until it ends.
	if s.tx, err = s.db.BeginTx(ctx, nil); err != nil {
		return fmt.Errorf("read %s: %w", file, explain(file, err))
	}
	return nil
}

// openPostgres reads in one transaction, which sees the database as it was when it began.
func (s *Snapshot) openPostgres(ctx context.Context, u string) (err error) {
	if s.conn, err = connectAside(ctx, u); err != nil {
		return err
	}
	s.pg, err = s.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("begin to read the PostgreSQL database: %w", explain("", err))
	}
	return nil
}

// connectAside gives a session beside a server's. What it leaves open holds nobody up who follows the events: it has
// another name than those that are waited for.
func connectAside(ctx context.Context, u string) (*pgx.Conn, error) {
	cfg, err := poolConfig(u)
	if err != nil {
		return nil, err
	}
	cc := ownerConfig(cfg)
	cc.RuntimeParams["application_name"] = "jarvis backup"
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return nil, fmt.Errorf("open the PostgreSQL database: %w", explain("", err))
	}
	return conn, errors.Join(set(ctx, conn, ownerDefaults))
}

// Close ends the snapshot.
func (s *Snapshot) Close() error {
	var errs []error
	if s.tx != nil {
		errs = append(errs, s.tx.Rollback())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.conn != nil {
		closeConn(s.conn)
	}
	return errors.Join(errs...)
}

var (
	createTable = pattern.New(`^\s*CREATE TABLE (\w+)`)
	// Of one process and its moment, or made by the migrations themselves.
	notCopied = []string{"jarvis_health", "jarvis_nodes", "jarvis_roles", "jarvis_migrations"}
)

// tables gives the names of those that a list of migrations makes, in its order; of one that is made twice, as SQLite
// wants for other constraints, once.
func tables(list []Migration) (names []string) {
	for _, m := range list {
		for _, stmt := range m.Stmts {
			if found := createTable.FindStringSubmatch(stmt); found != nil && !slices.Contains(notCopied, found[1]) && !slices.Contains(names, found[1]) {
				names = append(names, found[1])
			}
		}
	}
	return names
}

// Copy hands all tables and rows to a sink.
func (s *Snapshot) Copy(ctx context.Context, to Sink) error {
	have := slices.DeleteFunc(slices.Clone(s.known), func(m Migration) bool { return !slices.Contains(s.Migrations, m.Name) })
	for _, name := range tables(have) {
		last, err := s.last(ctx, name)
		if err == nil {
			err = s.rows(ctx, "SELECT * FROM "+name, func(columns []string) error {
				return to.Table(Table{Name: name, Columns: columns, Last: last})
			}, to.Row)
		}
		if err != nil {
			return fmt.Errorf("copy the table %s: %w", name, err)
		}
	}
	return nil
}

// last gives the last number that a table gave out, -1 when its rows have none.
func (s *Snapshot) last(ctx context.Context, table string) (last int64, err error) {
	last = -1
	q := "SELECT CASE WHEN sql LIKE '%AUTOINCREMENT%' THEN coalesce((SELECT seq FROM sqlite_sequence WHERE name = '" + table + "'), 0) ELSE -1 END FROM sqlite_master WHERE type = 'table' AND name = '" + table + "'"
	if s.pg != nil {
		var numbered bool
		if err := s.pg.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", table+"_id_seq").Scan(&numbered); err != nil || !numbered {
			return -1, err
		}
		q = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM " + table + "_id_seq"
	}
	return last, s.each(ctx, q, func(row []any) error {
		last, _ = row[0].(int64)
		return nil
	})
}

func (s *Snapshot) each(ctx context.Context, q string, f func([]any) error) error {
	return s.rows(ctx, q, func([]string) error { return nil }, f)
}

// rows reads what a statement gives, in the types of a Sink.
func (s *Snapshot) rows(ctx context.Context, q string, head func([]string) error, f func([]any) error) (err error) {
	if s.pg != nil {
		rows, err := s.pg.Query(ctx, q)
		if err != nil {
			return explain("", err)
		}
		defer rows.Close()
		var columns []string
		for _, c := range rows.FieldDescriptions() {
			columns = append(columns, c.Name)
		}
		if err := head(columns); err != nil {
			return err
		}
		for rows.Next() {
			row, err := rows.Values()
			if err == nil {
				err = plainValues(columns, row)
			}
			if err == nil {
				err = f(row)
			}
			if err != nil {
				return err
			}
		}
		return explain("", rows.Err())
	}
	rows, err := s.tx.QueryContext(ctx, q)
	if err != nil {
		return explain("", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err == nil {
		err = head(columns)
	}
	if err != nil {
		return err
	}
	row, dest := make([]any, len(columns)), make([]any, len(columns))
	for i := range row {
		dest[i] = &row[i]
	}
	for rows.Next() {
		err := rows.Scan(dest...)
		if err == nil {
			err = plainValues(columns, row)
		}
		if err == nil {
			err = f(row)
		}
		if err != nil {
			return err
		}
	}
	return explain("", rows.Err())
}

// plainValues brings a row into the types of a Sink.
func plainValues(columns []string, row []any) error {
	for i, v := range row {
		switch x := v.(type) {
		case nil, int64, float64, string:
		case int32:
			row[i] = int64(x)
		case int16:
			row[i] = int64(x)
		case []byte:
			row[i] = string(x)
		default:
			return fmt.Errorf("column %s holds a %s, which a backup has no form for", columns[i], strings.TrimPrefix(fmt.Sprintf("%T", v), "*"))
		}
	}
	return nil
}
