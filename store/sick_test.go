package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// filled is a database of many pages that is closed again, and its file.
func filled(t *testing.T, dir string) string {
	t.Helper()
	db, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), []Migration{{"t/1", []string{"CREATE TABLE t (id {{id}}, v TEXT NOT NULL)"}}}); err != nil {
		t.Fatal(err)
	}
	if err := fill(t, db, 200); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "jarvis.db")
}

func fill(t *testing.T, db *DB, rows int) error {
	return db.Write(t.Context(), func(tx Tx) error {
		for range rows {
			if _, err := tx.Exec(t.Context(), "INSERT INTO t (v) VALUES (?)", strings.Repeat("x", 3000)); err != nil {
				return err
			}
		}
		return nil
	})
}

// told checks the words: the kind, and that they say what is safe to do.
func told(t *testing.T, err error, k Kind, do string) {
	t.Helper()
	var sick *Trouble
	if !errors.As(err, &sick) || sick.Kind != k || !strings.Contains(err.Error(), do) {
		t.Errorf("%v; want %s and %q", err, k, do)
		return
	}
	t.Log(err)
}

// Each file here is really broken; what SQLite says of it was all that was said, as in "file is not a database (26)".
func TestABrokenFileIsNamedAtTheStart(t *testing.T) {
	for name, c := range map[string]struct {
		breaks func(f *os.File, size int64) error
		kind   Kind
		do     string
	}{
		"garbage over the head": {func(f *os.File, _ int64) error {
			_, err := f.WriteAt([]byte(strings.Repeat("junk", 1024)), 0)
			return err
		}, NotADatabase, "keep a copy"},
		"cut off in its head":   {func(f *os.File, _ int64) error { return f.Truncate(50) }, Damaged, "keep a copy"},
		"cut off in its middle": {func(f *os.File, size int64) error { return f.Truncate(size / 8192 * 4096) }, Damaged, ".recover"},
		"garbage over its pages": {func(f *os.File, size int64) error {
			for at := int64(4096 * 12); at < size; at += 4096 {
				if _, err := f.WriteAt([]byte(strings.Repeat("junk", 1024)), at); err != nil {
					return err
				}
			}
			return nil
		}, Damaged, ".recover"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f, err := os.OpenFile(filled(t, dir), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			st, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(c.breaks(f, st.Size()), f.Close()); err != nil {
				t.Fatal(err)
			}
			db, err := Open(t.Context(), Options{Dir: dir})
			if err == nil { // what the head does not show, the look at all pages does
				defer func() { _ = db.Close() }()
				for began := time.Now(); db.Damage() == nil; time.Sleep(10 * time.Millisecond) {
					if time.Since(began) > 10*time.Second {
						t.Fatal("nobody noticed")
					}
				}
				if err = db.Healthy(t.Context()); err == nil {
					t.Fatal("it is healthy")
				}
			}
			told(t, err, c.kind, c.do)
		})
	}
}

// A whole file is not said to be damaged.
func TestAWholeFileIsHealthy(t *testing.T) {
	dir := t.TempDir()
	filled(t, dir)
	db, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	<-db.looked
	if err := db.Healthy(t.Context()); err != nil || db.Damage() != nil {
		t.Errorf("Healthy = %v, Damage = %v", err, db.Damage())
	}
}

// SQLite would delete the log of a database that is gone, and the newest commits with it.
func TestALogWithoutItsDatabaseIsKept(t *testing.T) {
	dir := t.TempDir()
	wal := filepath.Join(dir, "jarvis.db-wal")
	if err := os.WriteFile(wal, []byte(strings.Repeat("w", 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Options{Dir: dir})
	told(t, err, Damaged, "put jarvis.db back")
	if size(wal) != 5000 {
		t.Error("the log is gone")
	}
}

// mounted is a file system of its own.
func mounted(t *testing.T, mb int) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may mount a file system")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0755", mb)); err != nil {
		t.Fatalf("mount a file system of %d MB: %v", mb, err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

func TestAFullDiskIsSaid(t *testing.T) {
	dir := mounted(t, 8)
	filled(t, dir)
	db, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.Healthy(t.Context()); err != nil {
		t.Fatalf("with room: %v", err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 8<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	time.Sleep(healthFresh)
	// The log of SQLite has room left from before, so that a small write would still go through.
	told(t, db.Healthy(t.Context()), DiskFull, "make room")
	told(t, fill(t, db, 500), DiskFull, "make room")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := db.Healthy(t.Context()); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestAReadOnlyDiskIsSaid(t *testing.T) {
	dir := mounted(t, 8)
	filled(t, dir)
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Options{Dir: dir})
	told(t, err, ReadOnly, "for writing")
}

// Somebody ran a command as root: the log belongs to root, and the server's own user cannot read it.
func TestALogOfAnotherUserIsSaid(t *testing.T) {
	if os.Getenv("JARVIS_TEST_DIR") != "" {
		_, err := Open(t.Context(), Options{Dir: os.Getenv("JARVIS_TEST_DIR")})
		told(t, err, NoRights, "the newest commits are in it")
		return
	}
	if os.Getuid() != 0 {
		t.Skip("only root may become another user")
	}
	dir, err := os.MkdirTemp("", "jarvis-rights-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bin := filepath.Join(dir, "test")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	if err := errors.Join(os.WriteFile(bin, self, 0o755), os.Chmod(dir, 0o755), os.Mkdir(data, 0o755)); err != nil {
		t.Fatal(err)
	}
	filled(t, data)
	const nobody = 65534
	for _, f := range []string{"", "jarvis.db", "jarvis.lock"} {
		if err := os.Chown(filepath.Join(data, f), nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"jarvis.db-wal", "jarvis.db-shm"} {
		if err := os.WriteFile(filepath.Join(data, f), []byte(strings.Repeat("w", 4096)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command(bin, "-test.run=^TestALogOfAnotherUserIsSaid$", "-test.v")
	c.Dir, c.Env = data, append(os.Environ(), "JARVIS_TEST_DIR="+data)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}

// Another program holds the write lock: a sqlite3 shell that was left open, or a backup.
func TestALockOfAnotherProgramIsSaid(t *testing.T) {
	dir := t.TempDir()
	file := filled(t, dir)
	db, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	held := exec.Command("python3", "-c", "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\nc.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\nsys.stdin.read()\nc.execute('ROLLBACK')", file)
	in, err := held.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := held.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := held.Start(); err != nil {
		t.Fatalf("python3 is needed; run: apt-get install -y python3: %v", err)
	}
	ended := false
	end := func() {
		if !ended {
			ended = true
			_ = in.Close()
			_ = held.Wait()
		}
	}
	defer end()
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	told(t, db.Healthy(t.Context()), LockedOut, "holds its lock")
	if d := time.Since(began); d > healthWithin+300*time.Millisecond {
		t.Errorf("it took %s", d)
	}
	// Many writes wait together, not one after another.
	began = time.Now()
	errs := make(chan error, 20)
	for range cap(errs) {
		go func() { errs <- fill(t, db, 1) }()
	}
	var last error
	for range cap(errs) {
		last = <-errs
	}
	told(t, last, LockedOut, "fuser")
	if d := time.Since(began); d > 25*time.Second {
		t.Errorf("the writes waited %s", d)
	}
	end()
	for began := time.Now(); db.Healthy(t.Context()) != nil; time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > 15*time.Second {
			t.Fatal("not healthy again")
		}
	}
}

// The story: somebody tidies up and deletes jarvis.lock, starts Jarvis again, and two run on one folder.
func TestALockFileThatIsGoneIsNoticed(t *testing.T) {
	for name, breaks := range map[string]func(dir string) error{
		"deleted":               func(dir string) error { return os.Remove(filepath.Join(dir, "jarvis.lock")) },
		"replaced":              func(dir string) error { return replace(filepath.Join(dir, "jarvis.lock")) },
		"the database deleted":  func(dir string) error { return os.Remove(filepath.Join(dir, "jarvis.db")) },
		"the database replaced": func(dir string) error { return replace(filepath.Join(dir, "jarvis.db")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			db, err := Open(t.Context(), Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			if err := breaks(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrInUse) {
				t.Errorf("a second comes in: %v", err)
			}
			lostWithin(t, db, renewEvery+time.Second)
		})
	}
}

func replace(file string) error {
	return errors.Join(os.WriteFile(file+".new", nil, 0o600), os.Rename(file+".new", file))
}
