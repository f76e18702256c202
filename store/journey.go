package store

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// later is a statement whose result nobody waits for. With miss set it must change exactly one row; when it does not,
// nothing of its transaction happens, and miss is the error.
type later struct {
	q    string
	args []any
	miss error
}

// divideByZero is what the server says when a fence finds no row. The fence is part of the statement, because nobody
// reads the number of rows before the commit that travels with it.
const divideByZero = "22012"

// sql has a statement that must change a row divide by zero when it does not, so that all that travels with it fails as
// well.
func (l later) sql() string {
	q := dollars(l.q)
	if l.miss == nil {
		return q
	}
	return "WITH changed AS (" + q + " RETURNING 1) SELECT 1 / count(*) FROM changed"
}

// because gives the statement's error its meaning.
func (l later) because(err error) error {
	if l.miss != nil && isCode(err, divideByZero) {
		return l.miss
	}
	return err
}

func isCode(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}

// pgWrite is a Tx on PostgreSQL. What a transaction costs are the journeys to the server, so it takes a connection and
// begins with the first statement whose result is wanted, and what is to be done Later travels with the next statement,
// or with the commit. One that only has such statements is one journey, which several may share: see convoy.
//
// It is used by one goroutine.
type pgWrite struct {
	db    *DB
	ctx   context.Context // of the whole; ends with the pulse
	conn  *pgxpool.Conn   // nil until one is needed
	tx    pgx.Tx          // nil until it has begun
	queue []later
	err   error // nothing is committed after it
}

func (w *pgWrite) ForUpdate() string { return " FOR UPDATE" }

func (w *pgWrite) Later(_ context.Context, miss error, q string, args ...any) error {
	w.queue = append(w.queue, later{q, args, miss})
	return nil
}

// Raw gives the driver's transaction, or the error by which there is none.
func (w *pgWrite) Raw() any {
	if _, err := w.Exec(w.ctx, ""); err != nil { // begins, and sends what waits
		return err
	}
	return w.tx
}

func (w *pgWrite) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	c, done := w.db.pulse.forAll(ctx)
	defer done()
	if w.tx != nil && len(w.queue) == 0 {
		if q == "" {
			return 0, nil
		}
		tag, err := w.tx.Exec(c, dollars(q), args...)
		return tag.RowsAffected(), w.db.pulse.because(c, err)
	}
	res, err := w.send(c, q, args)
	if err != nil || res == nil {
		return 0, err
	}
	tag, err := res.Exec()
	err = errors.Join(err, res.Close())
	return tag.RowsAffected(), w.db.pulse.because(c, err)
}

func (w *pgWrite) Query(ctx context.Context, q string, args ...any) (Rows, error) {
	if w.tx != nil && len(w.queue) == 0 {
		return pgQuerier{w.tx, w.db.pulse, w.db.pulse.forAll}.Query(ctx, q, args...)
	}
	c, done := w.db.pulse.forAll(ctx)
	res, err := w.send(c, q, args)
	if err != nil {
		done()
		return nil, explain("", err)
	}
	end := func() { _ = res.Close(); done() }
	rows, err := res.Query()
	if err != nil {
		err = explain("", w.db.pulse.because(c, err))
		end()
		return nil, err
	}
	return pgRows{rows, w.db.pulse, c, end}, nil
}

func (w *pgWrite) QueryRow(ctx context.Context, q string, args ...any) Row {
	if w.tx != nil && len(w.queue) == 0 {
		return pgQuerier{w.tx, w.db.pulse, w.db.pulse.forAll}.QueryRow(ctx, q, args...)
	}
	c, done := w.db.pulse.forAll(ctx)
	res, err := w.send(c, q, args)
	if err != nil {
		done()
		return noRow{explain("", err)}
	}
	return pgRow{res.QueryRow(), w.db.pulse, c, func() { _ = res.Close(); done() }}
}

// noRow is the row of a question that could not be asked.
type noRow struct{ err error }

func (r noRow) Scan(...any) error { return r.err }

// send has a statement travel with what waits, and with the begin of the transaction. The caller reads the result of
// that statement alone, and closes. "" is no statement, and gives no results.
func (w *pgWrite) send(ctx context.Context, q string, args []any) (pgx.BatchResults, error) {
	if w.err != nil {
		return nil, w.err
	}
	b := &pgx.Batch{}
	begins := w.tx == nil
	if begins {
		if err := w.begin(ctx, b); err != nil {
			return nil, w.fail(ctx, err)
		}
		begins = w.tx == nil
	}
	queue := w.queue
	w.queue = nil
	for _, l := range queue {
		b.Queue(l.sql(), l.args...)
	}
	if q != "" {
		b.Queue(dollars(q), args...)
	}
	if b.Len() == 0 {
		return nil, nil
	}
	res := w.conn.SendBatch(ctx, b)
	if begins {
		w.tx = res.Tx()
		if _, err := res.Exec(); err != nil {
			return nil, w.fail(ctx, errors.Join(err, res.Close()))
		}
	}
	for _, l := range queue {
		if _, err := res.Exec(); err != nil {
			_ = res.Close()
			return nil, w.fail(ctx, l.because(err))
		}
	}
	if q == "" {
		if err := res.Close(); err != nil {
			return nil, w.fail(ctx, err)
		}
		return nil, nil
	}
	return res, nil
}

// begin takes a connection and lets the batch begin the transaction; or begins it, when it has to be asked first
// whether we live: a proof that was young before the wait for a connection may be old now.
func (w *pgWrite) begin(ctx context.Context, b *pgx.Batch) (err error) {
	if w.conn == nil {
		if w.conn, err = w.db.pool.Acquire(ctx); err != nil {
			return err
		}
	}
	if w.db.owner.isProven() {
		b.BeginTx(pgx.TxOptions{})
		return nil
	}
	w.tx, err = w.conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: w.db.owner.begin()})
	if isCode(err, divideByZero) {
		w.db.lose("another process took this one for dead", nil)
		return w.db.pulse.err()
	}
	return err
}

// fail keeps the error, after which nothing is committed.
func (w *pgWrite) fail(ctx context.Context, err error) error {
	w.err = w.db.pulse.because(ctx, err)
	return w.err
}

// commit ends the transaction when it has come to nothing but success so far.
func (w *pgWrite) commit() error {
	switch {
	case w.err != nil:
		return w.err
	case w.tx == nil && len(w.queue) == 0:
		return w.db.pulse.err()
	case w.tx == nil:
		return w.db.convoy.do(w.ctx, w.queue)
	case len(w.queue) == 0:
		err := w.tx.Commit(w.ctx)
		w.tx = nil
		return err
	}
	res, err := w.send(w.ctx, "commit", nil)
	if err != nil {
		return err
	}
	tag, err := res.Exec()
	if err = errors.Join(err, res.Close()); err == nil && tag.String() == "ROLLBACK" {
		err = pgx.ErrTxCommitRollback
	}
	if err == nil {
		w.tx = nil
	}
	return err
}

// end rolls back what was not committed, and gives the connection back.
func (w *pgWrite) end() {
	if w.tx != nil {
		_ = w.tx.Rollback(w.ctx) // a connection that is left in a transaction does not go back to the others
	}
	if w.conn != nil {
		w.conn.Release()
	}
}

// sendAll has the statements of several writes done in one journey as one transaction. at is the write whose statement
// failed, -1 when that cannot be told. rolledBack says that nothing of it happened: a connection that breaks leaves
// open whether it did.
func sendAll(ctx context.Context, db *DB, writes [][]later) (at int, rolledBack bool, err error) {
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return -1, true, err
	}
	defer conn.Release()
	b := &pgx.Batch{} // with one Sync at its end, which commits
	asks := !db.owner.isProven()
	if asks {
		b.Queue("SELECT 1 / count(*) FROM jarvis_nodes WHERE holder = $1 AND state = 'lives'", db.holder)
	}
	for _, w := range writes {
		for _, l := range w {
			b.Queue(l.sql(), l.args...)
		}
	}
	res := conn.SendBatch(ctx, b)
	defer func() { _ = res.Close() }() // once more does no harm
	if asks {
		if _, err := res.Exec(); isCode(err, divideByZero) {
			db.lose("another process took this one for dead", nil)
			return -1, true, db.pulse.err()
		} else if err != nil {
			return -1, isRefused(err), err
		}
	}
	for at, w := range writes {
		for _, l := range w {
			if _, err := res.Exec(); err != nil {
				return at, isRefused(err), l.because(err)
			}
		}
	}
	err = res.Close()
	return -1, isRefused(err), err
}

// isRefused reports whether the server refused a statement, and goes on serving the session.
func isRefused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && !slices.Contains([]string{"FATAL", "PANIC"}, pg.SeverityUnlocalized) && pg.Code[:2] != "57"
}
