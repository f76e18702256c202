package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/jarvisops/jarvis/store"
)

const pollSocket = 10 * time.Millisecond

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

type serveCmd struct {
	Verbose     bool `help:"Log more." short:"v"`
	NewDatabase bool `help:"Begin a new database although files of an earlier one are in the data folder." name:"new-database"`
}

// gcPercent: the live heap of a server is a few megabytes, and at Go's default it is collected hundreds of times a
// second under load. Five times that heap is still little, and half as much again in speed (docs/performance.md).
const gcPercent = 400

// Run is called by kong.
func (c *serveCmd) Run(ctx context.Context, t *term) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	conf, err := t.load()
	if err != nil {
		return err
	}
	log := newLog(t.err, c.Verbose)
	a, err := openApp(ctx, &app{conf: conf, log: log, newDatabase: c.NewDatabase})
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
		log.Info("no chat is configured; the command line works all the same")
	}
	err = a.serve(ctx, fronts, func() { log.Info("ready", "socket", conf.Socket(), "version", version) })
	if ctx.Err() != nil && err == nil {
		_, _ = fmt.Fprintln(t.err, "stopped; what was under way goes on at the next start")
		return nil
	}
	if ctx.Err() != nil { // the exit code is that of an interrupt, and says nothing else
		_, _ = fmt.Fprintln(t.err, "jarvis:", err)
	}
	return err
}
