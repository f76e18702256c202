package main

import (
	"context"
	"errors"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/keyring"
	"github.com/jarvisops/jarvis/workers/ssh"
)

// openRing has the data folder and the database hold the same SSH key and known_hosts, and gives the worker's
// configuration with what it needs of them: a copy, because the configuration is compared with the file's when it is
// read again. A key that the configuration names is the user's own, and each node's file is what it is.
func (a *app) openRing(ctx context.Context, key *clipboard.Key) (*ssh.Config, error) {
	var c ssh.Config
	if a.conf.Workers.SSH != nil {
		c = *a.conf.Workers.SSH
	}
	if err := a.db.Migrate(ctx, keyring.Migrations(a.conf.Database != "")); err != nil {
		return nil, err
	}
	if c.Key == "" {
		k := keyring.SSHKey{DB: a.db, Seal: key, File: ssh.KeyFile(c, a.conf.Data), Comment: ssh.KeyComment, Log: a.log}
		err := k.Settle(ctx)
		if errors.Is(err, keyring.ErrOther) {
			return nil, &exitError{exitUsage, err.Error()}
		} else if err != nil {
			return nil, err
		}
	}
	known, err := keyring.OpenKnown(ctx, a.db, ssh.KnownFile(c, a.conf.Data), a.log)
	if err != nil {
		return nil, err
	}
	if known != nil {
		c.Ledger, a.known = known, known
	}
	c.Through = a.through
	return &c, nil
}
