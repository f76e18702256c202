package store

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sys/unix"
)

// What a session is given when the URL says nothing else. They are set after the connection stands, and only those that
// the server knows: as parameters of the start an older server, or a pooler, would refuse the connection.
var sessionDefaults = []struct{ name, value string }{
	{"statement_timeout", "60s"}, // Migrate takes it off for its own transactions
	{"lock_timeout", "10s"},
	{"idle_session_timeout", "0"},
}

// What the lock's session is given whatever the URL says. The server's own probes let it see within half a minute that
// a machine is gone which said no good-bye.
var ownerDefaults = []struct{ name, value string }{
	{"statement_timeout", "0"}, // the clock of the owner is ours
	{"lock_timeout", "2s"},
	{"idle_session_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"tcp_keepalives_idle", "10"},
	{"tcp_keepalives_interval", "5"},
	{"tcp_keepalives_count", "3"},
}

const (
	connectTimeout = 5 * time.Second
	tcpUserTimeout = 10 * time.Second // unconfirmed bytes end a connection after that (tcp(7), TCP_USER_TIMEOUT)
)

// poolConfig reads the URL and adds what it leaves open.
func poolConfig(u string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(u)
	if err != nil {
		return nil, fmt.Errorf("read the address of the PostgreSQL database: %w", err)
	}
	said := func(string) bool { return false }
	if parsed, err := url.Parse(u); err == nil {
		said = parsed.Query().Has
	}
	if !said("pool_max_conns") {
		// Steps share the one of their convoy, however many runs there are; the others are for people's words and
		// questions, and for River.
		cfg.MaxConns = int32(max(10, 2*runtime.NumCPU()))
	}
	if !said("pool_ping_timeout") {
		cfg.PingTimeout = renewEvery // an idle connection that says nothing goes
	}
	cc := cfg.ConnConfig
	if !said("connect_timeout") {
		cc.ConnectTimeout = connectTimeout
	}
	if cc.RuntimeParams["application_name"] == "" {
		cc.RuntimeParams["application_name"] = "jarvis"
	}
	cc.DialFunc = dialer(cc.ConnectTimeout).DialContext
	var open []struct{ name, value string }
	for _, d := range sessionDefaults {
		if !said(d.name) && !strings.Contains(cc.RuntimeParams["options"], d.name) {
			open = append(open, d)
		}
	}
	cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error { return set(ctx, c, open) }
	return cfg, nil
}

// besidePool are the sessions that a node keeps beside its pool: that of its life, and that on which it listens.
const besidePool = 2

// warnOfFew says when the server lets in fewer sessions than all the nodes that live there may want; who comes too late
// for one waits, or is refused.
func (db *DB) warnOfFew(ctx context.Context) {
	var nodes, free int
	err := db.QueryRow(ctx, `SELECT (SELECT count(*) FROM jarvis_nodes WHERE state = 'lives'),
		current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int`).Scan(&nodes, &free)
	if err != nil {
		return // it is only a warning, and a database that is not well is said elsewhere
	}
	each := int(db.pool.Config().MaxConns) + besidePool
	if need := nodes * each; need > free {
		db.log.Warn("the PostgreSQL server may let in too few sessions: raise its max_connections, or lower pool_max_conns in the address of the database",
			"nodes", nodes, "sessions_of_each", each, "needed", need, "allowed", free)
	}
}

// ownerConfig is that of the one session that holds the lock.
func ownerConfig(cfg *pgxpool.Config) *pgx.ConnConfig {
	cc := cfg.ConnConfig.Copy()
	cc.RuntimeParams["application_name"] += " lock"
	return cc
}

// dialer bounds how long sent data may go without an answer; the kernel alone would wait for many minutes.
func dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{Timeout: timeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control: func(network, _ string, c syscall.RawConn) error {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			var serr error
			if err := c.Control(func(fd uintptr) {
				serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(tcpUserTimeout/time.Millisecond))
			}); err != nil {
				return err
			}
			return serr
		}}
}

// set gives a session those parameters that the server knows.
func set(ctx context.Context, c *pgx.Conn, params []struct{ name, value string }) error {
	if len(params) == 0 {
		return nil
	}
	var names, values []string
	for _, p := range params {
		names, values = append(names, p.name), append(values, p.value)
	}
	_, err := c.Exec(ctx, "SELECT set_config(s.name, v.value, false) FROM pg_settings s JOIN unnest($1::text[], $2::text[]) AS v(name, value) ON s.name = v.name", names, values)
	if err != nil {
		return fmt.Errorf("set the session's parameters: %w", err)
	}
	return nil
}

// openPostgres becomes the owner before it opens any other connection.
func openPostgres(ctx context.Context, o Options) (_ *DB, err error) {
	cfg, err := poolConfig(o.URL)
	if err != nil {
		return nil, err
	}
	db := newDB(o)
	if db.owner, err = takeOwner(ctx, ownerConfig(cfg), o); err != nil {
		return nil, fmt.Errorf("open the PostgreSQL database: %w", explain("", err))
	}
	db.holder = db.owner.holder
	cfg.ConnConfig.Tracer = o.Tracer
	db.convoy = &convoy{db: db}
	defaults := cfg.AfterConnect
	cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		if err := defaults(ctx, c); err != nil {
			return err
		}
		return db.owner.carry(ctx, c)
	}
	if db.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		db.owner.release(true)
		return nil, fmt.Errorf("open the PostgreSQL database: %w", explain("", err))
	}
	db.owner.keep(db.pulse.silence, db.lose)
	db.warnOfFew(ctx)
	if o.Shared {
		db.others = watchOthers(db, o.Log)
	}
	return db, nil
}
