package main

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// The fault: a stop ended after 25 seconds, whatever `drain` said (30 s without it), so a step that may not be repeated
// was killed, and a person was asked. A database that is silent or lost must still not hold the stop.
func TestAStopWaitsAsLongAsItMay(t *testing.T) {
	const never = time.Hour
	for name, c := range map[string]struct {
		ends, silent, lost time.Duration // since the stop
		least, most        time.Duration
		want               bool
	}{
		"all end at once":                       {0, never, never, 0, 0, true},
		"a step takes nearly the drain time":    {299 * time.Second, never, never, 299 * time.Second, 299 * time.Second, true},
		"something never ends":                  {never, never, never, 330 * time.Second, 330 * time.Second, false},
		"the database is silent from the start": {never, 0, never, endWhenSilent, endWhenSilent, false},
		"it falls silent in the middle":         {never, 100 * time.Second, never, 100 * time.Second, 109 * time.Second, false},
		"it is lost before":                     {never, never, 0, endWhenLost, endWhenLost, false},
		"it is lost in the middle":              {never, never, 100 * time.Second, 103 * time.Second, 103 * time.Second, false},
		"it is silent, and then lost":           {never, 0, 7 * time.Second, endWhenSilent, endWhenSilent, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				after := func(d time.Duration) <-chan struct{} {
					ch := make(chan struct{})
					if d == never {
						return ch
					}
					time.AfterFunc(d, func() { close(ch) })
					return ch
				}
				e := ending{ended: after(c.ends), lost: after(c.lost), limit: 330 * time.Second, healthy: func() error {
					if time.Since(began) < c.silent {
						return nil
					}
					time.Sleep(time.Second) // so long it is asked
					return errors.New("silent")
				}}
				got := e.wait()
				if took := time.Since(began); got != c.want || took < c.least || took > c.most+time.Second {
					t.Errorf("ended %t after %s", got, took)
				}
			})
		})
	}
}
