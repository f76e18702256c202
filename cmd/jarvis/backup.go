package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/jarvisops/jarvis/backup"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

type backupCmd struct {
	File           string   `arg:"" help:"The backup to write."`
	Recipient      []string `help:"Seal it to this age1… key; may be said several times." short:"r" placeholder:"KEY" xor:"seal"`
	PassphraseFile string   `help:"Seal it with the passphrase in this file instead of asking for one." name:"passphrase-file" placeholder:"FILE" xor:"seal"`
	Replace        bool     `help:"Replace a file that is there."`
}

// filesOf a data folder that go into a backup. Copies of git repositories are not among them: they are fetched again.
var filesOf = []string{"age.key", "id_ed25519", "id_ed25519.pub", "known_hosts", "installation", "outcomes/run-*.json"}

// Run is called by kong.
func (c *backupCmd) Run(ctx context.Context, t *term) (err error) {
	conf, err := t.load(config.LoadRecord)
	if err != nil {
		return err
	}
	if err := c.free(backup.Free(c.File, c.Replace)); err != nil {
		return err
	}
	to, err := c.recipients(t, conf)
	if err != nil {
		return err
	}
	draft, err := backup.NewDraft(c.File)
	if err != nil {
		return fmt.Errorf("make the backup: %w", err)
	}
	defer func() {
		if err != nil { // whole or not at all
			_ = draft.Drop()
		}
	}()
	for _, l := range draft.Left {
		_, _ = fmt.Fprintf(t.err, "removed %s, which a backup that was killed had left\n", l)
	}
	h, sums, err := writeBackup(ctx, conf, draft, to, &progress{to: t.err, what: "backup"})
	if err != nil {
		return fmt.Errorf("make the backup: %w", err)
	}
	if err := c.free(draft.Place(c.Replace)); err != nil {
		return fmt.Errorf("make the backup: %w", err)
	}
	_, _ = fmt.Fprintf(t.out, "%s: %d rows of %d tables and %d files, as of %s\n", c.File, sums.Rows, sums.Tables, sums.Files, plain.Time(h.At))
	for _, l := range notInIt(conf) {
		_, _ = fmt.Fprintln(t.out, "not in it: "+l)
	}
	return nil
}

// free says what to do about a place that is taken.
func (c *backupCmd) free(err error) error {
	switch {
	case errors.Is(err, backup.ErrThere):
		return &exitError{exitUsage, err.Error() + "; name another file, or say --replace"}
	case errors.Is(err, backup.ErrKind):
		return &exitError{exitUsage, err.Error() + "; name another file"}
	}
	return err
}

// notInIt says what a restore needs beside the backup.
func notInIt(conf *config.Config) []string {
	out := []string{"the configuration, and the secrets that it names"}
	if conf.AgeKey != "" {
		out = append(out, "the key that seals secrets, which is in the configuration (age_key)")
	}
	if s := conf.Workers.SSH; s != nil {
		for _, f := range []string{s.Key, s.KnownHosts} {
			if f != "" && filepath.Dir(f) != filepath.Clean(conf.Data) {
				out = append(out, f+", which is outside of the data folder")
			}
		}
	}
	return out
}

// writeBackup writes all of a backup. The files are read before the database: the outcome of a step is in a file until
// the database has it, so what was in neither had not ended at the moment that the backup shows.
func writeBackup(ctx context.Context, conf *config.Config, w io.Writer, to []age.Recipient, p *progress) (h backup.Header, sums backup.Sums, err error) {
	var files []backup.File
	for _, pattern := range filesOf {
		names, err := fs.Glob(os.DirFS(conf.Data), pattern)
		if err != nil {
			return h, sums, err
		}
		for _, name := range names {
			b, err := os.ReadFile(filepath.Join(conf.Data, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue // an outcome that reached the database meanwhile
			} else if err != nil {
				return h, sums, err
			}
			mode := uint32(0o600)
			if strings.HasSuffix(name, ".pub") || name == "known_hosts" {
				mode = 0o644
			}
			files = append(files, backup.File{Name: name, Mode: mode, Data: b})
		}
	}
	snap, err := store.OpenSnapshot(ctx, store.Options{Dir: conf.Data, URL: string(conf.Database)}, schema(conf.Database != ""))
	if err != nil {
		return h, sums, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	h = backup.Header{Program: version, At: time.Now().UTC().Truncate(time.Millisecond), Database: backup.SQLite, Migrations: snap.Migrations}
	if conf.Database != "" {
		h.Database = backup.PostgreSQL
	}
	if h.Installation, err = installation(conf.Data); err != nil {
		return h, sums, err
	}
	if h.Host, err = os.Hostname(); err != nil {
		return h, sums, err
	}
	if h.Data, err = filepath.Abs(conf.Data); err != nil {
		return h, sums, err
	}
	out, err := backup.NewWriter(w, h, to...)
	if err != nil {
		return h, sums, err
	}
	for _, f := range files {
		if err := out.File(f); err != nil {
			return h, sums, err
		}
	}
	p.Sink, p.ctx = out, ctx
	if err := snap.Copy(ctx, p); err != nil {
		return h, sums, err
	}
	sums, err = out.Close()
	return h, sums, err
}

// recipients says who can open the backup.
func (c *backupCmd) recipients(t *term, conf *config.Config) ([]age.Recipient, error) {
	var out []age.Recipient
	for _, r := range c.Recipient {
		x, err := age.ParseX25519Recipient(r)
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Sprintf("--recipient %s: %v; it begins with age1, and `age-keygen` makes one", r, err)}
		}
		if k, err := readKey(conf); err == nil && k.Recipient() == r {
			return nil, &exitError{exitUsage, "--recipient " + r + " is this installation's own key, which is inside the backup: who has lost the data could not open it; make another with `age-keygen`, and keep it elsewhere"}
		}
		out = append(out, x)
	}
	if len(out) > 0 {
		return out, nil
	}
	pass, err := passphrase(t, c.PassphraseFile, true)
	if err != nil {
		return nil, err
	}
	r, err := age.NewScryptRecipient(pass)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Sprintf("the passphrase: %v", err)}
	}
	return []age.Recipient{r}, nil
}

// shortestPassphrase: who finds a backup may try as many as they like.
const shortestPassphrase = 12

// passphrase reads it from a file, or asks for it; twice for one that is new.
func passphrase(t *term, file string, fresh bool) (string, error) {
	var pass string
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", &exitError{exitUsage, fmt.Sprintf("read the passphrase: %v", err)}
		}
		pass = string(bytes.TrimRight(b, "\r\n"))
	} else {
		var err error
		if pass, err = t.secret("Passphrase of the backup"); err != nil {
			return "", &exitError{exitUsage, err.Error() + "; name its file with --passphrase-file, or a key"}
		}
		if fresh {
			again, err := t.secret("The same once more")
			if err != nil {
				return "", err
			}
			if again != pass {
				return "", &exitError{exitUsage, "the two passphrases differ; nothing was written"}
			}
		}
	}
	switch {
	case pass == "":
		return "", &exitError{exitUsage, cmp.Or(file, "the passphrase") + " is empty"}
	case fresh && len(pass) < shortestPassphrase:
		return "", &exitError{exitUsage, fmt.Sprintf("the passphrase has %d characters; %d at least, because who finds the backup may try as many as they like", len(pass), shortestPassphrase)}
	}
	return pass, nil
}

// sayEvery is how often a long copy says how far it is.
const sayEvery = 5 * time.Second

// progress passes rows on, says now and then how far it is, and ends with its context.
type progress struct {
	store.Sink
	ctx   context.Context //nolint:containedctx // a Sink has none, and this one lives as long as one call
	to    io.Writer
	what  string
	table string
	rows  int64
	said  time.Time
}

func (p *progress) Table(t store.Table) error {
	p.table = t.Name
	return p.Sink.Table(t)
}

func (p *progress) Row(row []any) error {
	if p.rows++; p.rows%1024 == 0 {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		switch now := time.Now(); {
		case p.said.IsZero():
			p.said = now
		case now.Sub(p.said) > sayEvery:
			p.said = now
			_, _ = fmt.Fprintf(p.to, "%s: %d rows, now of the table %s\n", p.what, p.rows, p.table)
		}
	}
	return p.Sink.Row(row)
}

// syncDir makes a rename in a folder survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
