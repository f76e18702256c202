package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// primaryFact is which PostgreSQL server the record was on when somebody looked last.
const primaryFact = "primary"

// settleFailover finds out whether another PostgreSQL server has taken over since, and makes the record fit to go on
// when that may not have had its end: once, before anything works on it there. Of several nodes that start at once one
// does it.
func (a *app) settleFailover(ctx context.Context, b *bot.Bot) error {
	now, err := a.db.Primary(ctx)
	if err != nil {
		a.log.Warn("nobody can tell whether another PostgreSQL server has taken over since the last start", "err", err)
		return nil
	}
	if now.Timeline == 0 {
		return nil
	}
	if was, err := a.primary(ctx); err != nil || was == now {
		return err
	} else if was.Timeline != 0 && was.Timeline != now.Timeline && !was.Sync {
		if err := b.MayHaveSaid(ctx); err != nil {
			return fmt.Errorf("mark what may have been said before another PostgreSQL server took over: %w", err)
		}
	}
	var was store.Primary
	var asks []pipeline.Run
	err = a.db.Write(ctx, func(tx store.Tx) error {
		asks = nil
		text, err := store.FactForUpdate(ctx, tx, primaryFact)
		if err != nil {
			return err
		}
		was = store.Primary{}
		if text != "" {
			if err := json.Unmarshal([]byte(text), &was); err != nil {
				return fmt.Errorf("read on which PostgreSQL server the record was: %w", err)
			}
		}
		if was.Timeline != 0 && was.Timeline != now.Timeline && !was.Sync {
			if asks, err = a.engine.LostCommits(ctx, tx); err != nil {
				return err
			}
		}
		return setPrimary(ctx, tx, now)
	})
	switch {
	case err != nil:
		return fmt.Errorf("make the record fit to go on with another PostgreSQL server: %w", err)
	case was.Timeline == 0 || was.Timeline == now.Timeline:
	case was.Sync:
		a.log.Warn("another PostgreSQL server has taken over; replication was synchronous, so the record is whole", "timeline", now.Timeline)
	default:
		a.log.Warn("another PostgreSQL server has taken over; replication was not synchronous, so the last moments of the record may be lost", "timeline", now.Timeline, "runs_that_ask", len(asks))
		for _, run := range asks {
			a.log.Warn("a run may be further than the record says, and asks a person", "run", run.ID, "host", run.Host, "step", run.Step())
		}
	}
	return nil
}

// primary gives the PostgreSQL server that the record was on last; the zero Primary when none was noted.
func (a *app) primary(ctx context.Context) (p store.Primary, err error) {
	text, err := a.db.Fact(ctx, primaryFact)
	if err != nil || text == "" {
		return p, err
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return p, fmt.Errorf("read on which PostgreSQL server the record is: %w", err)
	}
	return p, nil
}

func setPrimary(ctx context.Context, tx store.Tx, p store.Primary) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return store.SetFact(ctx, tx, primaryFact, string(b))
}

const watchPrimary = time.Minute

// notePrimary keeps on record whether replication is synchronous, which may be changed at any time.
func (a *app) notePrimary(ctx context.Context) error {
	t := time.NewTicker(watchPrimary)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		now, err := a.db.Primary(ctx)
		if err != nil || now.Timeline == 0 {
			continue // that it is silent, others tell
		}
		was, err := a.primary(ctx)
		if err != nil || was.Timeline != now.Timeline || was == now {
			continue // another timeline is for who starts on it
		}
		if err := a.db.Write(ctx, func(tx store.Tx) error { return setPrimary(ctx, tx, now) }); err != nil && ctx.Err() == nil {
			a.log.Debug("note how PostgreSQL replicates", "err", err)
		}
	}
}
