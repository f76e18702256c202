package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/internal/guard"
)

// lock is an flock on a file and on its folder: the kernel frees both when the process dies, however it dies. The file
// names the process and can be deleted by anybody who tidies up; the folder cannot while anything is in it, so that a
// second process is refused even then.
type lock struct {
	f, dir *os.File
	file   string
	stop   chan struct{}
	done   chan struct{}
}

// takeLock gives ErrInUse, with the process that has the lock, when another one has it.
func takeLock(folder string) (_ *lock, err error) {
	l := &lock{file: filepath.Join(folder, "jarvis.lock")}
	defer func() {
		if err != nil {
			_ = l.release()
		}
	}()
	if l.f, err = os.OpenFile(l.file, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := l.flock(l.f); err != nil {
		return nil, err
	}
	if l.dir, err = os.Open(folder); err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	// Some network file systems know no lock on a folder; there the file must do.
	if err := l.flock(l.dir); errors.Is(err, ErrInUse) {
		return nil, err
	}
	if err := l.f.Truncate(0); err == nil {
		_, _ = l.f.WriteAt([]byte(fmt.Sprintln(os.Getpid())), 0)
	}
	return l, nil
}

func (l *lock) flock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		pid := make([]byte, 32)
		n, _ := l.f.Read(pid)
		by := strings.TrimSpace(string(pid[:n]))
		if by == "" {
			return fmt.Errorf("%w: %s is held by a process whose jarvis.lock was deleted", ErrInUse, f.Name())
		}
		return fmt.Errorf("%w: %s is held by process %s", ErrInUse, f.Name(), by)
	case err != nil:
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// watch calls lost, once, when one of the files is no longer the one that its path names: it was deleted, or another
// was put in its place. What is written then reaches nobody, and another process may come in.
func (l *lock) watch(db string, lost func(why string, err error)) error {
	opened, err := os.Stat(db)
	if err != nil {
		return err
	}
	locked, err := l.f.Stat()
	if err != nil {
		return err
	}
	l.stop, l.done = make(chan struct{}), make(chan struct{})
	guard.Go(func(p *guard.Panic) { lost("the lock is no longer looked at", p) }, func() {
		defer close(l.done)
		t := time.NewTicker(renewEvery)
		defer t.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-t.C:
			}
			for _, f := range []struct {
				path string
				was  os.FileInfo
			}{{l.file, locked}, {db, opened}} {
				is, err := os.Stat(f.path)
				switch {
				case errors.Is(err, os.ErrNotExist):
					lost(filepath.Base(f.path)+" was deleted", nil)
					return
				case errors.Is(err, os.ErrPermission), errors.Is(err, unix.EIO):
					continue // not proof of anything; the next write says it
				case err == nil && !os.SameFile(is, f.was):
					lost(filepath.Base(f.path)+" was replaced", nil)
					return
				}
			}
		}
	})
	return nil
}

// release leaves the file: who deleted it could take it from the next one.
func (l *lock) release() error {
	if l.stop != nil {
		close(l.stop)
		<-l.done
	}
	var errs []error
	for _, f := range []*os.File{l.f, l.dir} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// HeldBy tells whether a process holds the SQLite database in a folder now, and which by its lock file. It is a look
// from outside: the answer may be old when it arrives.
func HeldBy(folder string) (pid string, held bool) {
	f, err := os.Open(filepath.Join(folder, "jarvis.lock"))
	if err != nil {
		return "", false
	}
	defer func() { _ = f.Close() }() // and with it the lock, if it was free
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
		return "", false
	}
	b := make([]byte, 32)
	n, _ := f.Read(b)
	return strings.TrimSpace(string(b[:n])), true
}
