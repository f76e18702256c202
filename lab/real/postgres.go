package real

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// Postgres is a PostgreSQL server in a folder of its own.
type Postgres struct {
	proc *proc
	dir  string
	port int
	n    atomic.Int64
}

// StartPostgres initialises and starts a server that listens on a loopback port.
func StartPostgres(ctx context.Context) (*Postgres, error) {
	initdb, err := need("initdb", "postgresql")
	if err != nil {
		return nil, err
	}
	postgres, err := need("postgres", "postgresql")
	if err != nil {
		return nil, err
	}
	dir, err := folder("postgres")
	if err != nil {
		return nil, err
	}
	p := &Postgres{dir: dir}
	asUser := "postgres"
	if err := own(dir, asUser); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if err := run(ctx, asUser, initdb, "-D", data, "-U", "jarvis", "-A", "trust", "--no-sync", "-E", "UTF8"); err != nil {
		return nil, err
	}
	if p.port, err = FreePort(); err != nil {
		return nil, err
	}
	p.proc, err = start(asUser, postgres, "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(p.port), "-k", dir)
	if err != nil {
		return nil, err
	}
	if err := p.proc.until("postgres", 20*time.Second, func() error { return p.psql(ctx, "SELECT 1") }); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

func (p *Postgres) psql(ctx context.Context, stmt string) error {
	psql, err := need("psql", "postgresql-client")
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, psql, "-h", "127.0.0.1", "-p", strconv.Itoa(p.port), "-U", "jarvis", "-d", "postgres", "-qc", stmt).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// Database makes a fresh database and gives its URL.
func (p *Postgres) Database(ctx context.Context) (string, error) {
	name := fmt.Sprintf("jarvis%d", p.n.Add(1))
	if err := p.psql(ctx, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	return fmt.Sprintf("postgres://jarvis@127.0.0.1:%d/%s?sslmode=disable", p.port, name), nil
}

// Stop ends the server and removes its folder.
func (p *Postgres) Stop() {
	p.proc.stop(syscall.SIGINT)
	_ = os.RemoveAll(p.dir)
}
