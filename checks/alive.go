package checks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	probing "github.com/prometheus-community/pro-bing"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/remote"
)

const (
	alivePings  = 3 // one answer is enough
	aliveWithin = 5 * time.Second
)

// askAlive finds out whether a host is up that says by what: a ping, or a port.
func (b *prober) askAlive(ctx context.Context, j job) outcome {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, aliveWithin)
	defer cancel()
	out := b.askAt(ctx, j)
	out.took = time.Since(began)
	return out
}

// askAt asks a host by a ping or a port. One that nobody is to ask (alive: none) counts as up.
func (b *prober) askAt(ctx context.Context, j job) outcome {
	if j.alive.By == model.ByNothing {
		return outcome{stdout: "nobody asks whether it is up (alive: none)"}
	}
	target, err := b.way(ctx, j.where)
	if err != nil {
		return outcome{unreachable: true, text: model.OneLine(err)}
	}
	address, _, err := net.SplitHostPort(target.Addr)
	if err != nil {
		address = target.Addr
	}
	if j.alive.By == model.ByTCP {
		return connects(ctx, target, net.JoinHostPort(address, j.alive.Port))
	}
	if target.Through != nil {
		return outcome{text: "no ping goes through the agent of its silo; say alive: tcp:PORT, or let a server of that silo check it"}
	}
	return pings(ctx, address)
}

// connects opens a TCP connection, and closes it.
func connects(ctx context.Context, target remote.Target, addr string) outcome {
	dial := target.Through
	if dial == nil {
		dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}
	}
	c, err := dial(ctx, addr)
	if err != nil {
		return outcome{unreachable: true, noWay: errors.Is(err, remote.ErrNoWay), text: model.OneLine(plain.Error(err))}
	}
	_ = c.Close()
	return outcome{stdout: "it takes connections at " + addr}
}

// pings sends echo requests. As an ordinary user first: that is what most systems allow, and needs no rights.
func pings(ctx context.Context, address string) outcome {
	got, err := echo(ctx, address, false)
	if errors.Is(err, os.ErrPermission) {
		got, err = echo(ctx, address, true)
	}
	switch {
	case errors.Is(err, os.ErrPermission):
		return outcome{text: noPing}
	case err != nil:
		return outcome{unreachable: true, text: model.OneLine(fmt.Errorf("ping %s: %w", address, plain.Error(err)))}
	case got == nil || got.PacketsRecv == 0:
		return outcome{unreachable: true, text: fmt.Sprintf("%s answers none of %d pings", address, alivePings)}
	}
	return outcome{stdout: fmt.Sprintf("it answers pings in %s|rta=%.3fms pl=%.0f%%", got.AvgRtt.Round(10*time.Microsecond), float64(got.AvgRtt)/float64(time.Millisecond), got.PacketLoss)}
}

// noPing says what to do where the kernel lets this program send none.
const noPing = "this server may send no pings: let it, by `sysctl -w net.ipv4.ping_group_range='0 2147483647'` or CapabilityBoundingSet=CAP_NET_RAW and AmbientCapabilities=CAP_NET_RAW in its unit; or say alive: tcp:PORT"

// echo sends the requests, and gives what came back.
func echo(ctx context.Context, address string, raw bool) (*probing.Statistics, error) {
	p := probing.New(address)
	p.SetPrivileged(raw)
	p.SetLogger(&probing.NoopLogger{})
	p.Count, p.Interval, p.Timeout = alivePings, 200*time.Millisecond, aliveWithin-time.Second
	p.OnRecv = func(*probing.Packet) { p.Stop() }
	if err := p.RunWithContext(ctx); err != nil {
		return nil, err
	}
	return p.Statistics(), nil
}

// hostDown reports whether a host was down when its check `host` stood so.
func hostDown(st *Standing, a model.Alive) bool {
	return st.Status == model.Critical || a.By == model.BySSH && st.Status != model.OK
}

// sshOnly makes the failure of SSH one of the check alone, where something else says whether the host is up. mu is
// held.
func (m *Monitor) sshOnly(f *finished, h *host) {
	if f.p.Task == model.HostAnswers || h.by.By == model.BySSH || !f.out.unreachable {
		return
	}
	f.out.unreachable, f.out.text = false, "SSH does not answer: "+f.out.text
	if h.by.Asked() && m.ours(h) {
		m.soon(h.pair) // it may be down since
	}
}

// linked reports whether any check depends on another.
func (m *Monitor) linked() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cat.Linked()
}

// askedEvery gives the schedule of a host that is asked by the clock.
func (m *Monitor) askedEvery() model.Schedule {
	s, _ := model.ParseSchedule("@every "+m.conf().Host.Every.String(), 0) // shorter than a second: never
	return s
}
