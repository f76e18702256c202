package real

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"syscall"
)

// Addr is where the server listens.
func (p *Postgres) Addr() string { return "127.0.0.1:" + strconv.Itoa(p.port) }

// Standby starts a second server that follows the first by streaming replication. With sync a commit on the first is
// answered when the standby has it.
func (p *Postgres) Standby(ctx context.Context, sync bool) (*Postgres, error) {
	basebackup, err := need("pg_basebackup", "postgresql")
	if err != nil {
		return nil, err
	}
	dir, err := folder("postgres")
	if err != nil {
		return nil, err
	}
	s := &Postgres{dir: dir}
	if err := own(dir, "postgres"); err != nil {
		return nil, err
	}
	if s.port, err = FreePort(); err != nil {
		return nil, err
	}
	if err := run(ctx, "postgres", basebackup, "-h", "127.0.0.1", "-p", strconv.Itoa(p.port), "-U", "jarvis", "-D", filepath.Join(dir, "data"), "-R", "-X", "stream", "-c", "fast", "--no-sync"); err != nil {
		return nil, err
	}
	if err := s.launch(ctx); err != nil {
		if s.proc != nil {
			s.Stop()
		}
		return nil, err
	}
	if sync {
		for _, q := range []string{"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"} {
			if err := p.psql(ctx, q); err != nil {
				s.Stop()
				return nil, err
			}
		}
	}
	return s, nil
}

// Promote makes a standby the primary.
func (p *Postgres) Promote(ctx context.Context) error {
	if err := p.psql(ctx, "SELECT pg_promote(true, 30)"); err != nil {
		return fmt.Errorf("promote the standby: %w", err)
	}
	return nil
}

// Shut ends the server in order and keeps its folder; Launch starts it again.
func (p *Postgres) Shut() { p.proc.stop(syscall.SIGINT) }

// Crash ends it at once, as a loss of power does.
func (p *Postgres) Crash() { p.proc.stop(syscall.SIGQUIT) }

// Launch starts a server that was shut.
func (p *Postgres) Launch(ctx context.Context) error { return p.launch(ctx) }
