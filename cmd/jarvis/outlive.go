package main

import (
	"context"
	"fmt"
	"time"
)

// How long the services may take to end. When the database is lost another server may begin the same steps ten seconds
// after our last proof, and six of them are gone when we know; when it is a person who stops us, and the database says
// nothing, systemd and people wait a little longer. While the database is well, steps that may not be repeated have the
// drain time (config.Config.Drain), programs their grace, and the record what is left.
const (
	endWhenLost   = 3 * time.Second
	endWhenSilent = 8 * time.Second
	endRecord     = 20 * time.Second
	// askHealth is how often the database is asked meanwhile.
	askHealth = 2 * time.Second
)

// ending waits for services that were told to end.
type ending struct {
	ended, lost <-chan struct{}
	healthy     func() error
	limit       time.Duration // while the database is well
}

// wait reports whether they ended in time.
func (e ending) wait() bool {
	began := time.Now()
	deadline := began.Add(endWhenSilent)
	ask := time.NewTicker(askHealth)
	defer ask.Stop()
	for left := endWhenSilent; left > 0; left = time.Until(deadline) {
		t := time.NewTimer(left)
		select {
		case <-e.ended:
			t.Stop()
			return true
		case <-e.lost: // now, or while we were ending: then the shorter time counts from now
			e.lost = nil
			ask.Stop()
			if d := time.Now().Add(endWhenLost); d.Before(deadline) {
				deadline = d
			}
		case <-ask.C:
			if e.lost == nil || e.healthy() != nil {
				break
			}
			if deadline = time.Now().Add(endWhenSilent); deadline.After(began.Add(e.limit)) {
				deadline = began.Add(e.limit)
			}
		case <-t.C:
		}
		t.Stop()
	}
	return false
}

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
	e := ending{ended, lost, func() error { return a.db.Healthy(context.WithoutCancel(ctx)) }, a.conf.Drain + a.conf.Workers.Grace() + endRecord}
	if e.wait() {
		return said()
	}
	a.stuck = true
	if why := a.db.Why(); why != nil {
		return &exitError{exitFailed, why.Error()}
	}
	return &exitError{exitFailed, fmt.Sprintf("not everything ended within %s, because the database or a step does not answer; stopped all the same, and what was under way is looked at when jarvis starts again", time.Since(began).Round(time.Second))}
}
