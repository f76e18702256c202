package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
	"github.com/jarvisops/jarvis/web"
)

// sweepEvery is how often what is older than keep says is removed.
const sweepEvery = time.Hour

// keeper removes what is older than the configuration keeps, in small pieces, beside everything else. What it may not
// remove, and why, is in docs/design/retention.md.
type keeper struct {
	db      *store.DB
	engine  *pipeline.Engine
	access  *access.Access
	bot     *bot.Bot
	metrics *web.Metrics
	log     *slog.Logger

	changed chan struct{}
	mu      sync.Mutex
	keep    config.KeepConfig
}

func newKeeper(a *app, b *bot.Bot) *keeper {
	return &keeper{db: a.db, engine: a.engine, access: a.access, bot: b, metrics: a.metrics, log: a.log, keep: a.conf.Keep, changed: make(chan struct{}, 1)}
}

// set takes other times, and sweeps by them now.
func (k *keeper) set(c config.KeepConfig) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keep == c {
		return
	}
	k.keep = c
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

func (k *keeper) ages() config.KeepConfig {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keep
}

// run sweeps at the start, every hour, and when the times change, until ctx ends; on one node at a time.
func (k *keeper) run(ctx context.Context) error {
	return guard.Loop(ctx, guard.Log(k.log, "remove what is older than keep says"), func(ctx context.Context) error {
		return k.db.InRole(ctx, "retention", k.sweeps)
	})
}

// sweeps ends with ctx, so also when this node no longer has the role.
func (k *keeper) sweeps(ctx context.Context) error {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		k.sweep(ctx, k.ages(), time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-k.changed:
		}
	}
}

// sweep removes what is too old now. What fails is tried again by the next one.
func (k *keeper) sweep(ctx context.Context, keep config.KeepConfig, now time.Time) {
	before := func(d time.Duration) time.Time {
		if d <= 0 {
			return time.Time{}
		}
		return now.Add(-d)
	}
	var removed pipeline.Removed
	var notices, audit int64
	var errs [3]error
	// Also when none of these is kept for a time: what a killed sweep was at is finished.
	var heard int64
	if heard, errs[0] = k.bot.Heard(ctx); errs[0] == nil {
		removed, errs[0] = k.engine.Prune(ctx, pipeline.Ages{Runs: before(keep.Runs), Events: before(keep.Events), Timings: before(keep.Timings), Heard: heard})
	}
	if keep.Notices > 0 {
		notices, errs[1] = k.bot.Prune(ctx, before(keep.Notices))
	}
	if keep.Audit > 0 {
		audit, errs[2] = k.access.Prune(ctx, before(keep.Audit))
	}
	for _, err := range errs {
		if err != nil && ctx.Err() == nil {
			k.log.Error("what is older than keep says could not be removed; it is tried again within the hour", "err", err)
		}
	}
	args := []any{}
	for _, r := range []struct {
		of string
		n  int64
	}{{"runs", removed.Runs}, {"events", removed.Events}, {"timings", removed.Timings}, {"notices", notices}, {"audit", audit}} {
		if r.n > 0 {
			args = append(args, r.of, r.n)
			k.metrics.Removed(r.of, r.n)
		}
	}
	if len(args) > 0 {
		k.log.Info("removed what is older than keep says", append(args, "took", time.Since(now).Round(time.Millisecond).String())...)
	}
}
