package store

import (
	"context"
	"database/sql"
	"errors"
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

// pgQuerier turns ? into $1 and pgx's types into ours.
type pgQuerier struct {
	q interface {
		Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
		QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	}
}

func (p pgQuerier) Query(ctx context.Context, q string, args ...any) (Rows, error) {
	r, err := p.q.Query(ctx, dollars(q), args...)
	if err != nil {
		return nil, err
	}
	return pgRows{r}, nil
}

func (p pgQuerier) QueryRow(ctx context.Context, q string, args ...any) Row {
	return pgRow{p.q.QueryRow(ctx, dollars(q), args...)}
}

type pgTx struct {
	pgQuerier
	tx interface {
		Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	}
}

func (p pgTx) Raw() any          { return p.tx }
func (p pgTx) ForUpdate() string { return " FOR UPDATE" }

func (p pgTx) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	tag, err := p.tx.Exec(ctx, dollars(q), args...)
	return tag.RowsAffected(), err
}

type pgRows struct{ pgx.Rows }

func (r pgRows) Close() error { r.Rows.Close(); return nil }

type pgRow struct{ pgx.Row }

func (r pgRow) Scan(dest ...any) error {
	err := r.Row.Scan(dest...)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNoRows
	}
	return err
}

var dollarCache sync.Map // string → string; the set of statements is fixed

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
