package checks

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
)

// deployments is on which hosts a run of the engine works, and has just ended: nothing is told of those. It owns what
// was seen of the runs; who has it says what goes on now. It needs nothing.
type deployments struct {
	mu    sync.Mutex // taken after every other
	hosts map[string]quiet
}

// quiet is why nothing is told of a host while it is deployed.
type quiet struct {
	run   int64
	until time.Time // zero: the run goes on
}

// settleDown is how long a host has after a deployment until problems are told: services come up.
const settleDown = 2 * time.Minute

// saw takes over which run works on each host now.
func (d *deployments) saw(moving map[string]int64, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hosts == nil {
		d.hosts = map[string]quiet{}
	}
	for host, run := range moving {
		d.hosts[host] = quiet{run: run}
	}
	for host, q := range d.hosts {
		switch _, moves := moving[host]; {
		case moves:
		case q.until.IsZero():
			q.until = now.Add(settleDown)
			d.hosts[host] = q
		case !now.Before(q.until):
			delete(d.hosts, host)
		}
	}
}

// why says why nothing is told of a host; "": no run is the reason.
func (d *deployments) why(host string, now time.Time) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	q, ok := d.hosts[host]
	switch {
	case !ok, !q.until.IsZero() && !now.Before(q.until):
		return ""
	case !q.until.IsZero():
		return fmt.Sprintf("run %d has just ended on it; problems are told from %s on", q.run, plain.Time(q.until))
	}
	return fmt.Sprintf("run %d works on it", q.run)
}

// readDeploying asks the engine which hosts are worked on.
func (m *Monitor) readDeploying(ctx context.Context) error {
	runs, err := m.Engine.Live(ctx, maxRecord)
	if err != nil {
		return err
	}
	moving := map[string]int64{}
	for _, r := range runs {
		if r.State.Moving() {
			moving[r.Host] = r.ID
		}
	}
	m.deployed.saw(moving, m.now())
	return nil
}
