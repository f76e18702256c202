package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/store"
)

const pollSocket = 10 * time.Millisecond

// sleep gives false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// lostEvery is how often a server looks for what others did that are gone.
const lostEvery = 10 * time.Second

// endLost writes the end of what servers did that are gone, at once and then now and then.
func endLost(ctx context.Context, a *access.Access, log *slog.Logger) {
	for failing := false; ; {
		n, err := a.AuditLost(ctx)
		switch {
		case err != nil && ctx.Err() == nil && !failing:
			log.Error("audit", "err", err)
		case n > 0:
			log.Warn("a server went away while it worked on hosts; the audit record says so", "commands", n)
		}
		if failing = err != nil; !sleep(ctx, lostEvery) {
			return
		}
	}
}

type serveCmd struct {
	Verbose     bool `help:"Log more." short:"v"`
	NewDatabase bool `help:"Begin a new database although files of an earlier one are in the data folder." name:"new-database"`
}

// Run is called by kong.
func (c *serveCmd) Run(ctx context.Context, t *term) error {
	file := t.file()
	conf, err := t.load(config.VerifyStart)
	if err != nil {
		return err
	}
	j := newJournal(t.err, conf, c.Verbose)
	m := newManager(j.Logger)
	m.say("STATUS=starting")
	for _, e := range conf.Exposed() {
		j.Warn("a secret can be read by everybody on this machine", "err", e)
	}
	a, err := openApp(ctx, &app{conf: conf, log: j.Logger, newDatabase: c.NewDatabase})
	if errors.Is(err, store.ErrInUse) {
		return &exitError{exitFailed, err.Error() + "; stop that one first"}
	}
	if err != nil {
		return err
	}
	defer a.close()
	fronts, err := a.frontends()
	if err != nil {
		return err
	}
	if len(fronts) == 0 {
		j.Info("no chat is configured; the command line works all the same")
	}
	if text := conf.Untold(); text != "" {
		j.Warn(text)
	}
	r := &reloader{a: a, j: j, file: file, m: m, inUse: conf, empty: conf.Empty()}
	a.reload = r.reload
	after, err := a.engine.LastEvent(ctx)
	if err != nil {
		return err
	}
	asked := takeHangups(ctx)
	a.beside = []func(context.Context) error{
		(&chronicle{engine: a.engine, log: j.Logger, after: after}).Run,
		func(ctx context.Context) error { return r.run(ctx, asked) },
		func(ctx context.Context) error { return m.watchdog(ctx, a.db.Healthy) },
		tendHeap,
		func(ctx context.Context) error { endLost(ctx, a.access, j.Logger); return nil },
	}
	stopping := context.AfterFunc(ctx, guard.Func(guard.Log(j.Logger, "say that the server stops"), func() {
		m.say("STOPPING=1", "STATUS=stopping")
		j.Info("stopping")
	}))
	defer stopping()
	err = a.serve(ctx, fronts, func() {
		j.Info("ready", "socket", conf.Socket.Path, "version", version)
		m.say("READY=1", "STATUS=ready", fmt.Sprintf("MAINPID=%d", os.Getpid()))
	})
	if ctx.Err() != nil && err == nil {
		_, _ = fmt.Fprintln(t.err, "stopped; what was under way goes on at the next start")
		return nil
	}
	if ctx.Err() != nil { // the exit code is that of an interrupt, and says nothing else
		_, _ = fmt.Fprintln(t.err, "jarvis:", err)
	}
	return err
}
