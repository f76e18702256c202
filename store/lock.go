package store

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// lock is an flock on a file: the kernel frees it when the process dies, however it dies.
type lock struct{ f *os.File }

func takeLock(file string) (*lock, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid := make([]byte, 32)
		n, _ := f.Read(pid)
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is held by process %s", ErrInUse, file, strings.TrimSpace(string(pid[:n])))
		}
		return nil, fmt.Errorf("lock %s: %w", file, err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(fmt.Sprintln(os.Getpid())), 0)
	}
	return &lock{f}, nil
}

func (l *lock) release() error { return l.f.Close() }
