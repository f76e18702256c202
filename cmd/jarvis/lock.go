package main

import (
	"context"

	"github.com/jarvisops/jarvis/fleet"
)

type lockCmd struct {
	manyFlags

	Root string `short:"r" placeholder:"DIR" help:"Lock this directory alone, as sync and upload with the same --root do; others may work elsewhere on the host, but not on the whole of it."`
}

// Help is shown under --help.
func (lockCmd) Help() string {
	return "Holds the lock until Ctrl-C. Meanwhile every other exec, sync and upload on these hosts is refused, but those with --no-lock or a --lock-file of their own.\n\nExample: jarvis lock -o 'web[1-20]'"
}

// Run is called by kong.
func (c *lockCmd) Run(ctx context.Context, t *term) error {
	var err error
	if c.lockDir, err = there(c.Root); err != nil {
		return err
	}
	return c.on(ctx, t, "lock", func(ctx context.Context, f crew, _ *resolver, p *printer) ([]fleet.Result, error) {
		p.say("locked: %s; Ctrl-C lets go", hosts(len(f.Reached())))
		<-ctx.Done()
		return nil, nil
	})
}
