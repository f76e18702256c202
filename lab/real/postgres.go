package real

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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

// manySessions is how many the server lets in: all tests of a package share one, and those that run side by side play
// up to twenty nodes, each with a pool of ten and more. Its own default of 100 refused one that came last.
const manySessions = "max_connections = 500\n"

// StartPostgres initialises and starts a server that listens on a loopback port.
func StartPostgres(ctx context.Context) (*Postgres, error) {
	initdb, err := need("initdb", "postgresql")
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
	if err := os.WriteFile(filepath.Join(data, "postgresql.auto.conf"), []byte(manySessions), 0o600); err != nil {
		return nil, err
	}
	if p.port, err = FreePort(); err != nil {
		return nil, err
	}
	if err := p.launch(ctx); err != nil {
		if p.proc != nil {
			p.Stop()
		}
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

// SQL runs statements as the superuser, in the database postgres.
func (p *Postgres) SQL(ctx context.Context, stmt string) error { return p.psql(ctx, stmt) }

// pids gives the server's process and all its children.
func (p *Postgres) pids() ([]int, error) {
	pids := []int{p.proc.cmd.Process.Pid}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pids[0], pids[0]))
	if err != nil {
		return nil, fmt.Errorf("list PostgreSQL's processes: %w", err)
	}
	for _, f := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(f); err == nil {
			pids = append(pids, n)
		}
	}
	return pids, nil
}

// Freeze stops all processes of the server: the kernel still accepts connections, and nobody answers. The returned
// function lets them go on.
//
// A signal is on its way when kill(2) returns: the first process may be forking one that no list of children has yet.
// So each is seen to stand, and the children are listed until none is new.
func (p *Postgres) Freeze() (thaw func(), err error) {
	var stopped []int
	thaw = func() {
		for _, pid := range stopped {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
	for {
		pids, err := p.pids()
		if err != nil {
			thaw()
			return nil, err
		}
		fresh := false
		for _, pid := range pids {
			if slices.Contains(stopped, pid) {
				continue
			}
			fresh = true
			stopped = append(stopped, pid)
			if err := stand(pid); err != nil {
				thaw()
				return nil, err
			}
		}
		if !fresh {
			return thaw, nil
		}
	}
}

// stand sends SIGSTOP and waits until the process stands, or is gone.
func stand(pid int) error {
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	for range 1000 {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return nil // gone
		}
		// The name in parentheses may have anything in it; the state is the letter after the last one.
		if state := strings.TrimSpace(string(b[bytes.LastIndexByte(b, ')')+1:])); strings.HasPrefix(state, "T") || strings.HasPrefix(state, "Z") {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("process %d of PostgreSQL does not stop", pid)
}

// Restart ends the server as `pg_ctl restart -m fast` does and starts it again on the same port.
func (p *Postgres) Restart(ctx context.Context) error {
	return p.Down(ctx, 0)
}

// Down is Restart with a pause between.
func (p *Postgres) Down(ctx context.Context, pause time.Duration) error {
	p.proc.stop(syscall.SIGINT)
	time.Sleep(pause)
	return p.launch(ctx)
}

// launch is over when the server answers a statement.
func (p *Postgres) launch(ctx context.Context) (err error) {
	postgres, err := need("postgres", "postgresql")
	if err != nil {
		return err
	}
	if p.proc, err = start("postgres", postgres, "-D", filepath.Join(p.dir, "data"), "-h", "127.0.0.1", "-p", strconv.Itoa(p.port), "-k", p.dir); err != nil {
		return err
	}
	return p.proc.until("postgres", 20*time.Second, func() error { return p.psql(ctx, "SELECT 1") })
}
