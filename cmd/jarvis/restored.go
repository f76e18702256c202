package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// restoredFact is under which name a database says that it comes from a backup.
const restoredFact = "restored"

// restored says from which backup, and whether the record was made fit to go on.
type restored struct {
	Taken   time.Time `json:"taken"` // the moment that the backup shows
	At      time.Time `json:"restored"`
	Host    string    `json:"host"` // where the original was
	Data    string    `json:"data"`
	Settled bool      `json:"settled"`
}

func (r restored) text() (string, error) {
	b, err := json.Marshal(r)
	return string(b), err
}

// settleRestored makes a record that comes from a backup fit to go on: once, before anything works on it, in one
// transaction. It refuses to start beside the original where that can be known.
func (a *app) settleRestored(ctx context.Context, b *bot.Bot) error {
	text, err := a.db.Fact(ctx, restoredFact)
	if err != nil || text == "" {
		return err
	}
	var r restored
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return fmt.Errorf("read from which backup the record is: %w", err)
	}
	if err := a.besideOriginal(r); err != nil || r.Settled {
		return err
	}
	r.Settled = true
	if text, err = r.text(); err != nil {
		return err
	}
	var asks []pipeline.Run
	var unsaid []string
	var undone int64
	err = a.db.Write(ctx, func(tx store.Tx) (err error) {
		if unsaid, err = b.Restored(ctx, tx); err != nil {
			return err
		}
		if undone, err = a.checks.Restored(ctx, tx); err != nil {
			return err
		}
		if err := access.EndAllSessions(ctx, tx); err != nil { // who signed out since would be signed in again
			return err
		}
		if asks, err = a.engine.Restored(ctx, tx, r.Taken); err != nil {
			return err
		}
		if err := store.SetFact(ctx, tx, primaryFact, ""); err != nil { // this server took over from nobody
			return err
		}
		return store.SetFact(ctx, tx, restoredFact, text)
	})
	if err != nil {
		return fmt.Errorf("make the restored record fit to go on: %w", err)
	}
	a.log.Warn("this record was restored from a backup; what happened since is not in it", "taken", r.Taken, "from", r.Host+":"+r.Data,
		"runs_that_ask", len(asks), "notices_not_said", len(unsaid), "actions_not_done", undone)
	for _, run := range asks {
		a.log.Warn("a run was under way in the backup, and asks a person", "run", run.ID, "host", run.Host, "step", run.Step())
	}
	for _, line := range unsaid {
		a.log.Warn("a notice waited in the backup, and is not said", "line", line)
	}
	return nil
}

// besideOriginal refuses to start while the server whose backup this is runs on this machine. Elsewhere nobody can
// know.
func (a *app) besideOriginal(r restored) error {
	host, err := os.Hostname()
	if err != nil || host != r.Host {
		return err
	}
	if here, err := filepath.Abs(a.conf.Data); err != nil || here == r.Data {
		return err
	}
	if pid, held := store.HeldBy(r.Data); held {
		return &exitError{exitUsage, fmt.Sprintf("this record was restored from a backup of %s, and the jarvis there runs (process %s): both are the same installation, and each would believe that it owns the same machines; stop that one first, for good", r.Data, pid)}
	}
	return nil
}
