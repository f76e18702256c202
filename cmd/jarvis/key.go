package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// keyFact is under which name the database says with which key its secrets are sealed.
const keyFact = "age-recipient"

func keyFile(conf *config.Config) string { return filepath.Join(conf.Data, "age.key") }

// readKey gives the key of the configuration or of its file; fs.ErrNotExist when there is none.
func readKey(conf *config.Config) (*clipboard.Key, error) {
	if conf.AgeKey != "" {
		return clipboard.ParseKey(string(conf.AgeKey))
	}
	return clipboard.ReadKey(keyFile(conf))
}

// mayBeNew refuses a database that holds nothing where signs of an earlier one are: somebody has lost the record of
// all hosts, and going on would hide it and begin a second one.
func (a *app) mayBeNew() error {
	if _, err := os.Stat(filepath.Join(a.conf.Data, unfinished)); err == nil {
		return &exitError{exitUsage, fmt.Sprintf("a restore into %s was broken off; remove all in it, and restore again", a.conf.Data)}
	}
	var signs []string
	for _, name := range []string{"age.key", "tasks", "id_ed25519", "known_hosts"} {
		if st, err := os.Stat(filepath.Join(a.conf.Data, name)); err == nil && (st.IsDir() || st.Size() > 0) {
			signs = append(signs, filepath.Join(a.conf.Data, name))
		}
	}
	what := "jarvis.db in " + a.conf.Data
	if a.conf.Database != "" {
		what = "the PostgreSQL database"
	}
	switch {
	case len(signs) == 0:
		return nil
	case a.newDatabase:
		a.log.Warn("a new database is made beside the files of an earlier one, as --new-database says", "files", signs)
		return nil
	}
	// A person may have put known_hosts or an SSH key there before the first start; the key of the secrets is made by
	// us.
	if _, err := os.Stat(keyFile(a.conf)); err != nil {
		a.log.Warn("the database is new, and these files were there before it; if there was a database, stop now and restore it", "files", signs)
		return nil
	}
	a.log.Error("the database is missing or empty, and the files of an earlier one are there", "database", what, "files", signs)
	return &exitError{exitUsage, fmt.Sprintf("%s is missing or empty, and %s of an earlier database is there: without the record no host is known any more, and machines could be made twice; restore the database from the backup, or say `jarvis serve --new-database` once if it is meant to begin again", what, keyFile(a.conf))}
}

// openKey gives the key that seals secrets. The database says which one that is, so that neither another key nor a new
// one can take its place without a word.
func (a *app) openKey(ctx context.Context) (*clipboard.Key, error) {
	refuse := func(format string, args ...any) (*clipboard.Key, error) {
		return nil, &exitError{exitUsage, fmt.Sprintf(format, args...)}
	}
	where := keyFile(a.conf)
	if a.conf.AgeKey != "" {
		where = "age_key in the configuration"
	}
	known, err := a.db.Fact(ctx, keyFact)
	if err != nil {
		return nil, err
	}
	var sealed *clipboard.Clipboard
	if known == "" { // a database from before the fact was written, or a new one
		if sealed, err = pipeline.Sealed(ctx, a.db); err != nil {
			return nil, err
		}
	}
	made := false
	key, err := readKey(a.conf)
	switch {
	case errors.Is(err, fs.ErrNotExist) && known != "":
		return refuse("%s is missing, and the secrets in the database are sealed with it (%s): restore that file from the backup, or take it from another node (or give it as age_key in the configuration); a new key could open none of them", where, known)
	case errors.Is(err, fs.ErrNotExist) && sealed != nil:
		return refuse("%s is missing, and the database holds secrets that are sealed with it: restore that file from the backup; a new key could open none of them", where)
	case errors.Is(err, fs.ErrNotExist):
		if key, err = clipboard.MakeKey(where); err != nil {
			return nil, err
		}
		made = true
	case err != nil:
		return refuse("%v; the database's secrets are sealed with the key that was there, restore it from the backup", err)
	}
	is := key.Recipient()
	other := func(known string) (*clipboard.Key, error) {
		return refuse("%s is another key (%s) than the one that sealed the secrets in the database (%s): restore the right key from the backup or take it from another node (age.key, or age_key in the configuration), or use the database that belongs to this key", where, is, known)
	}
	switch {
	case known == is:
		return key, nil
	case known != "":
		return other(known)
	case sealed != nil:
		if _, err := sealed.OpenAll(key); err != nil {
			return refuse("%s (%s) does not open what is sealed in the database (%v): restore the right key from the backup, or the database that belongs to this key", where, is, err)
		}
	}
	if known, err = a.db.AgreeFact(ctx, keyFact, is); err != nil {
		return nil, err
	}
	if known != is { // another node made one at the same moment
		if made {
			err = os.Remove(where) // it has sealed nothing
		}
		_, refused := other(known)
		return nil, errors.Join(refused, err)
	}
	return key, nil
}

// openDatabase opens it with the words that a person needs who starts the server.
func (a *app) openDatabase(ctx context.Context) (err error) {
	a.db, err = store.Open(ctx, store.Options{Dir: a.conf.Data, URL: string(a.conf.Database), Log: a.log, Fresh: a.mayBeNew,
		Shared: true, Node: store.Node{Name: a.conf.Node.Name, Silo: a.conf.Node.Silo, Version: version}})
	return err
}
