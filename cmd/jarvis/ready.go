package main

import (
	"context"
	"errors"
)

// ready is what /readyz asks: whether people should be sent to this server.
func (a *app) ready(ctx context.Context) error {
	select {
	case <-a.db.Draining():
		return errors.New("this server drains: it begins nothing any more, so ask another one")
	default:
		return a.db.Healthy(ctx)
	}
}
