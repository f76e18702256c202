package main

import (
	"context"
	"log/slog"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/pipeline"
)

// chronicle writes a line of the log for each event of a run, from the one after `after` on. Lines that steps write are
// for the level debug.
type chronicle struct {
	engine *pipeline.Engine
	log    *slog.Logger
	after  int64
	hosts  map[int64]string // by run
}

// logged are all kinds of events but the lines that steps write.
var logged = []pipeline.EventKind{pipeline.EvStarted, pipeline.EvPlanned, pipeline.EvBegins, pipeline.EvPostponed, pipeline.EvLapsed, pipeline.EvProposed, pipeline.EvApproved, pipeline.EvDenied, pipeline.EvStep, pipeline.EvDone, pipeline.EvWaiting, pipeline.EvRetrying,
	pipeline.EvResumed, pipeline.EvFailed, pipeline.EvAsking, pipeline.EvReleased, pipeline.EvReady, pipeline.EvAllReady, pipeline.EvCancelled, pipeline.EvRetried, pipeline.EvSkipped,
	pipeline.EvUndoStarted, pipeline.EvStepUndone, pipeline.EvStays, pipeline.EvUndoStuck, pipeline.EvUndone, pipeline.EvUndoFailed, pipeline.EvCancelAsked, pipeline.EvDrift, pipeline.EvDriftOver, pipeline.EvImported,
	pipeline.EvSiloAway, pipeline.EvSiloBack}

// maxHosts bounds what is remembered.
const maxHosts = 1000

// Run follows the record until ctx ends.
func (c *chronicle) Run(ctx context.Context) error {
	f := pipeline.Follower{After: c.after, Take: c.write, Failed: func(err error) { c.log.Error("follow events for the log", "err", err) }}
	f.Kinds = func() []pipeline.EventKind {
		if c.log.Enabled(ctx, slog.LevelDebug) {
			return nil
		}
		return logged
	}
	return guard.Loop(ctx, guard.Log(c.log, "write events to the log"), func(ctx context.Context) error { return f.Follow(ctx, c.engine) })
}

// write tells the level by the kind of the event: what a person should look at is a warning.
func (c *chronicle) write(ctx context.Context, ev pipeline.Event) {
	level := slog.LevelInfo
	switch ev.Kind {
	case pipeline.EvLog, pipeline.EvProgress, pipeline.EvKept:
		level = slog.LevelDebug
	case pipeline.EvFailed, pipeline.EvAsking, pipeline.EvUndoStuck, pipeline.EvUndoFailed, pipeline.EvRetrying, pipeline.EvDenied, pipeline.EvLapsed, pipeline.EvDrift, pipeline.EvSiloAway:
		level = slog.LevelWarn
	}
	if !c.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("event", string(ev.Kind)), slog.Int64("run", ev.Run), slog.String("host", c.host(ctx, ev.Run))}
	if ev.Step != "" {
		attrs = append(attrs, slog.Int("stage", ev.Stage+1), slog.String("step", ev.Step))
	}
	if ev.Took > 0 {
		attrs = append(attrs, slog.Duration("took", ev.Took))
	}
	if ev.Text != "" {
		attrs = append(attrs, slog.String("text", ev.Text))
	}
	c.log.LogAttrs(ctx, level, "run", attrs...)
}

// host keeps the names of runs, so that not each event costs a query; "" when the run cannot be read.
func (c *chronicle) host(ctx context.Context, run int64) string {
	if h, ok := c.hosts[run]; ok {
		return h
	}
	r, err := c.engine.Get(ctx, run)
	if err != nil {
		return ""
	}
	if c.hosts == nil || len(c.hosts) >= maxHosts {
		c.hosts = map[int64]string{}
	}
	c.hosts[run] = r.FQDN
	return r.FQDN
}
