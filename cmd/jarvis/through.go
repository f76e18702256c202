package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/jarvisops/jarvis/agent"
	"github.com/jarvisops/jarvis/remote"
)

// through has a target be reached through an agent of a silo, unless this server stands there itself.
func (a *app) through(t *remote.Target, silo string) {
	if silo == "" || silo == a.conf.Node.Silo || t.Jump != nil {
		return
	}
	t.Way = "silo " + silo
	t.Through = func(ctx context.Context, addr string) (net.Conn, error) {
		c, err := a.hub.Dial(ctx, silo, addr)
		if errors.Is(err, agent.ErrNoAgent) {
			err = fmt.Errorf("%w: %w", remote.ErrNoWay, err)
		}
		if err != nil {
			return nil, fmt.Errorf("through the silo %s: %w", silo, err)
		}
		return c, nil
	}
}
