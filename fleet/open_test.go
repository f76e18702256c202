package fleet_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/remote"
)

// faults are hosts that cannot be reached, each after its time; one without never answers.
type faults map[string]time.Duration

func (f faults) Get(ctx context.Context, t remote.Target) (*remote.Client, func(), error) {
	if after, ok := f[t.Addr]; ok {
		time.Sleep(after)
		return nil, nil, errors.New("unreachable: connection refused")
	}
	<-ctx.Done()
	return nil, nil, context.Cause(ctx)
}

// Whoever is told that nothing was done hears of all that are down, and not of one after the other.
func TestAllThatAreDownAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		hosts []string
		want  string
	}{
		"alike":                {[]string{"web1", "web2"}, "web[1-2]: unreachable: connection refused"},
		"and one hangs":        {[]string{"web1", "db", "web2"}, "web[1-2]: unreachable: connection refused\nno answer was awaited of 1 more"},
		"one alone, the usual": {[]string{"web1"}, "web1: unreachable: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var hosts []fleet.Host
				for _, h := range c.hosts {
					hosts = append(hosts, fleet.Host{Name: h, Target: remote.Target{Addr: h}})
				}
				_, err := fleet.Open(t.Context(), hosts, fleet.Options{Connect: faults{"web1": 0, "web2": time.Second}})
				if err == nil || err.Error() != c.want {
					t.Errorf("%v\nwant %s", err, c.want)
				}
			})
		})
	}
}
