package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"filippo.io/age"

	"github.com/jarvisops/jarvis/backup"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

type restoreCmd struct {
	File           string `arg:"" help:"The backup to read."`
	Dir            string `arg:"" optional:"" help:"The data folder to make; it must be empty, or not be there."`
	Check          bool   `help:"Read all of the backup, say what it holds, and write nothing."`
	Database       string `help:"Put the record into this PostgreSQL database, which must be empty, and only the files into DIR." placeholder:"URL" env:"JARVIS_RESTORE_DATABASE"`
	Identity       string `help:"File of the age key that opens it, as age-keygen makes one." short:"i" placeholder:"FILE" xor:"open"`
	PassphraseFile string `help:"Open it with the passphrase in this file instead of asking for it." name:"passphrase-file" placeholder:"FILE" xor:"open"`
}

// unfinished is the folder in which a restore prepares what it then puts in place.
const unfinished = ".restore"

// Run is called by kong.
func (c *restoreCmd) Run(ctx context.Context, t *term) error {
	if (c.Dir == "") != c.Check {
		return &exitError{exitUsage, "say either `jarvis restore FILE DIR`, or `jarvis restore FILE --check`"}
	}
	if c.Database != "" && !strings.HasPrefix(c.Database, "postgres://") && !strings.HasPrefix(c.Database, "postgresql://") {
		return &exitError{exitUsage, "--database begins with postgres://"}
	}
	f, err := os.Open(c.File)
	if err != nil {
		return &exitError{exitNotFound, err.Error()}
	}
	defer func() { _ = f.Close() }()
	if !c.Check {
		if err := emptyOrNone(c.Dir); err != nil {
			return err
		}
	}
	keys, err := c.keys(t)
	if err != nil {
		return err
	}
	// Whole, before anything is written.
	holds := &contents{rows: map[string]int64{}}
	if err := c.read(ctx, t, f, keys, holds, "check"); err != nil {
		return err
	}
	list, err := tablesFor(holds.header, c.Database != "")
	if c.Check {
		holds.say(t.out)
		if err == nil {
			_, err = fmt.Fprintln(t.out, "it is whole")
		}
		return err
	}
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := c.restore(ctx, t, f, keys, holds.header, list); err != nil {
		return err
	}
	holds.say(t.out)
	c.afterwards(t.out, holds.header)
	return nil
}

// keys opens the backup's seal.
func (c *restoreCmd) keys(t *term) ([]age.Identity, error) {
	if c.Identity != "" {
		f, err := os.Open(c.Identity)
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Sprintf("read the key: %v", err)}
		}
		defer func() { _ = f.Close() }()
		ids, err := age.ParseIdentities(f)
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Sprintf("%s holds no age key (%v); it has a line AGE-SECRET-KEY-1…", c.Identity, err)}
		}
		return ids, nil
	}
	pass, err := passphrase(t, c.PassphraseFile, false)
	if err != nil {
		return nil, err
	}
	id, err := age.NewScryptIdentity(pass)
	if err != nil {
		return nil, err
	}
	id.SetMaxWorkFactor(22)
	return []age.Identity{id}, nil
}

// read reads all of the backup, and says what is wrong with it in words that tell what to do.
func (c *restoreCmd) read(ctx context.Context, t *term, f io.Reader, keys []age.Identity, to backup.Taker, what string) error {
	p := &progress{Sink: to, ctx: ctx, to: t.err, what: what}
	_, err := backup.Read(f, keys, taker{to, p})
	switch {
	case errors.Is(err, backup.ErrWrongKey):
		return &exitError{exitDenied, c.File + ": " + err.Error() + "; --identity or --passphrase-file name another"}
	case errors.Is(err, backup.ErrDamaged), errors.Is(err, backup.ErrNotSealed):
		return fmt.Errorf("%s: %w; take another backup", c.File, err)
	case errors.Is(err, backup.ErrNewer):
		return fmt.Errorf("%s: %w; restore it with that one", c.File, err)
	case err != nil:
		return fmt.Errorf("restore %s: %w", c.File, err)
	}
	return nil
}

// taker sends rows past the progress.
type taker struct {
	backup.Taker
	p *progress
}

func (k taker) Table(t store.Table) error { return k.p.Table(t) }
func (k taker) Row(row []any) error       { return k.p.Row(row) }

// emptyOrNone refuses a folder that holds anything.
func emptyOrNone(dir string) error {
	list, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return &exitError{exitUsage, err.Error()}
	case slices.ContainsFunc(list, func(e os.DirEntry) bool { return e.Name() == unfinished }):
		return &exitError{exitUsage, fmt.Sprintf("a restore into %s was broken off; remove all in it, and say it again", dir)}
	case len(list) > 0:
		return &exitError{exitUsage, fmt.Sprintf("%s is not empty (it holds %s); nothing is ever restored over what is there: name a new folder", dir, list[0].Name())}
	}
	return nil
}

// restore prepares everything beside its place, and puts the database there last: whatever breaks it off, no server
// takes what is there for a record.
func (c *restoreCmd) restore(ctx context.Context, t *term, f io.Reader, keys []age.Identity, h backup.Header, list []store.Migration) (err error) {
	made := os.Mkdir(c.Dir, 0o700) == nil
	work := filepath.Join(c.Dir, unfinished)
	if err := os.MkdirAll(work, 0o700); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	var placed []string
	filled := false // a PostgreSQL database has the record, or may have it: the files that belong to it stay
	defer func() {
		if err == nil || filled {
			return
		}
		for _, name := range placed {
			_ = os.RemoveAll(filepath.Join(c.Dir, name))
		}
		_ = os.RemoveAll(work)
		if made {
			_ = os.Remove(c.Dir)
		}
	}()
	l, err := store.BeginLoad(ctx, store.Options{Dir: work, URL: c.Database}, list)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer l.Abort()
	if err := c.read(ctx, t, f, keys, &restoring{Loading: l, dir: work}, "restore"); err != nil {
		return err
	}
	note, err := restored{Taken: h.At, At: time.Now().UTC(), Host: h.Host, Data: h.Data}.text()
	if err == nil {
		err = l.SetFact(restoredFact, note)
	}
	if err == nil && c.Database == "" {
		err = l.Commit()
	}
	if err == nil {
		err = owned(c.Dir, work)
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	entries, err := os.ReadDir(work)
	if err != nil {
		return err
	}
	// The database last.
	slices.SortFunc(entries, func(a, b os.DirEntry) int {
		return cmp.Or(strings.Compare(dbLast(a), dbLast(b)), strings.Compare(a.Name(), b.Name()))
	})
	for _, e := range entries {
		if err := os.Rename(filepath.Join(work, e.Name()), filepath.Join(c.Dir, e.Name())); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		placed = append(placed, e.Name())
		if err := syncDir(c.Dir); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	}
	if c.Database != "" {
		filled = true
		if err := l.Commit(); err != nil { // the database may have done it, and the answer was lost
			return fmt.Errorf("restore: %w; it is not known whether the database has the record, so the files are left in %s: if it has the table jarvis_migrations, remove %s, and all is there; if not, remove all in that folder, and say it again", err, c.Dir, work)
		}
	}
	if err := errors.Join(os.Remove(work), syncDir(c.Dir)); err != nil {
		if filled {
			return fmt.Errorf("restore: %w; the record and its files are in place: remove %s before you start the server", err, work)
		}
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// dbLast sorts the database after the other files.
func dbLast(e os.DirEntry) string {
	if e.Name() == "jarvis.db" {
		return "last"
	}
	return ""
}

// owned gives what root restores to the owner of the data folder, who is to run the server.
func owned(dir, work string) error {
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || os.Getuid() != 0 || sys.Uid == 0 {
		return nil
	}
	return filepath.WalkDir(work, func(file string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(file, int(sys.Uid), int(sys.Gid)))
	})
}

// restoring takes the files of a backup as well.
type restoring struct {
	*store.Loading
	dir string
}

func (r *restoring) Header(backup.Header) error { return nil }

// File writes one below the folder; backup.Read has looked at its name.
func (r *restoring) File(f backup.File) (err error) {
	name := filepath.Join(r.dir, filepath.FromSlash(f.Name))
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, os.FileMode(f.Mode)&0o644)
	if err != nil {
		return err
	}
	_, err = out.Write(f.Data)
	return errors.Join(err, out.Sync(), out.Close())
}

// contents counts what a backup holds.
type contents struct {
	header backup.Header
	files  []string
	order  []string
	rows   map[string]int64
}

func (k *contents) Header(h backup.Header) error { k.header = h; return nil }
func (k *contents) File(f backup.File) error     { k.files = append(k.files, f.Name); return nil }
func (k *contents) Table(t store.Table) error    { k.order = append(k.order, t.Name); return nil }
func (k *contents) Row([]any) error              { k.rows[k.order[len(k.order)-1]]++; return nil }

func (k *contents) say(w io.Writer) {
	h := k.header
	_, _ = fmt.Fprintf(w, "a backup of %s, by jarvis %s: installation %s, %s of %s in %s\n", plain.Time(h.At), plain.Line(h.Program), plain.Line(h.Installation), plain.Line(h.Database), plain.Line(h.Host), plain.Line(h.Data))
	var parts []string
	for _, name := range k.order {
		if n := k.rows[name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", plain.Line(name), n))
		}
	}
	_, _ = fmt.Fprintf(w, "rows: %s\n", strings.Join(parts, ", "))
	_, _ = fmt.Fprintf(w, "files: %s\n", plain.Line(strings.Join(k.files, ", ")))
}

// afterwards says what the person must know before the server is started.
func (c *restoreCmd) afterwards(w io.Writer, h backup.Header) {
	_, _ = fmt.Fprintf(w, `restored into %s. Before you start the server on it:
- the jarvis that it is a backup of (%s on %s) must not run any more: both are installation %s, and each would believe that it owns the same machines
- what happened after %s is not in it: API tokens that were revoked since are good again, hosts that were made or destroyed since are not known so
- runs that were under way ask you before they go on; numbers of new runs begin above a gap
`, c.Dir, plain.Line(h.Data), plain.Line(h.Host), plain.Line(h.Installation), plain.Time(h.At))
}
