package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// sqlTx is a Tx on SQLite. Statements are prepared once for the one connection and reused.
type sqlTx struct {
	tx    *sql.Tx
	stmts *stmts
}

func (t sqlTx) Raw() any          { return t.tx }
func (t sqlTx) ForUpdate() string { return "" }

func (t sqlTx) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	st, err := t.stmts.get(ctx, t.tx, q)
	if err != nil {
		return 0, err
	}
	var r sql.Result
	if st != nil {
		r, err = st.ExecContext(ctx, args...)
	} else {
		r, err = t.tx.ExecContext(ctx, q, args...)
	}
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Later does it at once: SQLite is no journey away.
func (t sqlTx) Later(ctx context.Context, miss error, q string, args ...any) error {
	return atOnce(ctx, t, miss, q, args)
}

// atOnce is Later where no journey is to be saved.
func atOnce(ctx context.Context, tx Tx, miss error, q string, args []any) error {
	n, err := tx.Exec(ctx, q, args...)
	if err == nil && miss != nil && n != 1 {
		err = miss
	}
	return err
}

func (t sqlTx) Query(ctx context.Context, q string, args ...any) (Rows, error) {
	return t.tx.QueryContext(ctx, q, args...)
}

func (t sqlTx) QueryRow(ctx context.Context, q string, args ...any) Row {
	st, err := t.stmts.get(ctx, t.tx, q)
	if err != nil || st == nil {
		return t.tx.QueryRowContext(ctx, q, args...)
	}
	return st.QueryRowContext(ctx, args...)
}

// stmts keeps prepared statements of the write connection: parsing SQL is a good part of a small transaction.
type stmts struct {
	db   *sql.DB
	mu   sync.Mutex
	m    map[string]*sql.Stmt
	want []string // statements seen for the first time, to prepare when the connection is free
}

// get gives the statement on tx, or nil when it is not prepared yet.
func (s *stmts) get(ctx context.Context, tx *sql.Tx, q string) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.m[q]; st != nil {
		return tx.StmtContext(ctx, st), nil
	}
	if len(s.m)+len(s.want) < 200 && !strings.HasPrefix(q, "CREATE") && !strings.Contains(q, "migrations") {
		s.want = append(s.want, q)
	}
	return nil, nil
}

// prepare makes the wanted statements; call it between transactions. A failure only costs speed.
func (s *stmts) prepare(ctx context.Context) {
	s.mu.Lock()
	want := s.want
	s.want = nil
	s.mu.Unlock()
	for _, q := range want {
		s.mu.Lock()
		have := s.m[q] != nil
		s.mu.Unlock()
		if have {
			continue
		}
		if st, err := s.db.PrepareContext(ctx, q); err == nil {
			s.mu.Lock()
			s.m[q] = st
			s.mu.Unlock()
		}
	}
}

func (s *stmts) close() {
	for _, st := range s.m {
		_ = st.Close()
	}
}

// sqlRows and sqlRow give the driver's errors their words.
type sqlRows struct {
	*sql.Rows
	db *DB
}

func (r sqlRows) Scan(dest ...any) error { return r.db.met(r.Rows.Scan(dest...)) }
func (r sqlRows) Err() error             { return r.db.met(r.Rows.Err()) }

type sqlRow struct {
	*sql.Row
	db *DB
}

func (r sqlRow) Scan(dest ...any) error { return r.db.met(r.Row.Scan(dest...)) }

// pgQuerier turns ? into $1 and pgx's types into ours. bind gives a context that also ends with the pulse.
type pgQuerier struct {
	q interface {
		Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
		QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	}
	pulse *pulse
	bind  func(context.Context) (context.Context, func())
}

func (p pgQuerier) Query(ctx context.Context, q string, args ...any) (Rows, error) {
	c, done := p.bind(ctx)
	r, err := p.q.Query(c, dollars(q), args...)
	if err != nil {
		err = explain("", p.pulse.because(c, err))
		done()
		return nil, err
	}
	return pgRows{r, p.pulse, c, done}, nil
}

func (p pgQuerier) QueryRow(ctx context.Context, q string, args ...any) Row {
	c, done := p.bind(ctx)
	return pgRow{p.q.QueryRow(c, dollars(q), args...), p.pulse, c, done}
}

// pgTx is a Tx on a connection that somebody else looks after, for Load.
type pgTx struct {
	pgQuerier
	tx interface {
		Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	}
}

func (p pgTx) Raw() any          { return p.tx }
func (p pgTx) ForUpdate() string { return " FOR UPDATE" }

func (p pgTx) Later(ctx context.Context, miss error, q string, args ...any) error {
	return atOnce(ctx, p, miss, q, args)
}

func (p pgTx) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	c, done := p.bind(ctx)
	defer done()
	tag, err := p.tx.Exec(c, dollars(q), args...)
	return tag.RowsAffected(), p.pulse.because(c, err)
}

// pgRows ends its context when it is read to the end or closed.
type pgRows struct {
	pgx.Rows
	pulse *pulse
	ctx   context.Context
	done  func()
}

func (r pgRows) Close() error { r.Rows.Close(); r.done(); return nil }
func (r pgRows) Err() error   { return explain("", r.pulse.because(r.ctx, r.Rows.Err())) }

type pgRow struct {
	pgx.Row
	pulse *pulse
	ctx   context.Context
	done  func()
}

func (r pgRow) Scan(dest ...any) error {
	defer r.done()
	err := r.Row.Scan(dest...)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNoRows
	}
	return explain("", r.pulse.because(r.ctx, err))
}

var dollarCache sync.Map // string → string; the set of statements is fixed

// TakeStatements gives the text of every statement that this process sent to PostgreSQL through this package since it
// was last called, for a test that asks the planners about them.
func TakeStatements() []string {
	var out []string
	dollarCache.Range(func(k, _ any) bool {
		dollarCache.Delete(k)
		out = append(out, k.(string))
		return true
	})
	slices.Sort(out)
	return out
}

// dollars turns each ? into $1, $2, … . Our SQL has no ? in a literal.
func dollars(q string) string {
	if v, ok := dollarCache.Load(q); ok {
		return v.(string)
	}
	var b strings.Builder
	n := 0
	for _, r := range q {
		if r == '?' {
			n++
			b.WriteString("$" + strconv.Itoa(n))
			continue
		}
		b.WriteRune(r)
	}
	dollarCache.Store(q, b.String())
	return b.String()
}
