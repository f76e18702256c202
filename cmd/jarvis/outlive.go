package main

import (
	"context"
	"fmt"
	"time"
)

// How long the services may take to end. When the database is lost another server may begin the same steps ten seconds
// after our last proof, and six of them are gone when we know; when it is a person who stops us, systemd and people
// wait a little longer.
const (
	endWhenLost    = 3 * time.Second
	endWhenStopped = 8 * time.Second
	// A step that takes its time to end is let end, when its outcome can be written.
	endWhenHealthy = 25 * time.Second
)

// outlive waits until the services have ended, and bounds that wait by what ended them: a database that is silent must
// not keep us, and one that is lost must not see us work on. result gives what they returned, once they have.
func (a *app) outlive(ctx context.Context, cancel context.CancelCauseFunc, ended <-chan struct{}, result func() error) error {
	said := func() error {
		if why := a.db.Why(); why != nil {
			return &exitError{exitFailed, why.Error()}
		}
		return result()
	}
	lost := a.db.Lost()
	select {
	case <-ended:
		return said()
	case <-lost:
		cancel(a.db.Why())
	case <-ctx.Done():
	}
	began := time.Now()
	deadline := began.Add(endWhenStopped)
	for left := endWhenStopped; left > 0; left = time.Until(deadline) {
		t := time.NewTimer(left)
		select {
		case <-ended:
			t.Stop()
			return said()
		case <-lost: // now, or while we were ending: then the shorter time counts from now
			lost = nil
			if d := time.Now().Add(endWhenLost); d.Before(deadline) {
				deadline = d
			}
		case <-t.C:
			if lost != nil && time.Since(began) < endWhenHealthy && a.db.Healthy(context.WithoutCancel(ctx)) == nil {
				deadline = began.Add(endWhenHealthy)
			}
		}
		t.Stop()
	}
	a.stuck = true
	if why := a.db.Why(); why != nil {
		return &exitError{exitFailed, why.Error()}
	}
	return &exitError{exitFailed, fmt.Sprintf("not everything ended within %s, because the database or a step does not answer; stopped all the same, and what was under way is looked at when jarvis starts again", time.Since(began).Round(time.Second))}
}
