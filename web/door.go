package web

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Connections over the address, in all and from one place. The socket has no door: only those of this machine can open
// it whom its mode lets. Those on which a request of somebody known is under way, as the stream of an open page, are
// not among them: each person has a bound of their own.
const (
	doorAll  = 256
	doorEach = 128
)

// doorGrace is how long who was let in may take to show a token, before somebody from as full a place is let in
// instead.
const doorGrace = 500 * time.Millisecond

// door bounds the open connections before a byte of them is read, so before the handshake of TLS. When it is full, who
// comes is let in, and the oldest connection of the fullest place on which nobody has shown a good token makes room:
// whoever holds connections for nothing loses them, and cannot keep out who has something to say. A connection with a
// request of somebody known under way is never closed, and one that has just come only for somebody from a place with
// fewer. When there are only such, the newcomer is closed.
type door struct {
	net.Listener
	all, each int
	exempt    func(netip.Addr) bool // proxies: they speak for many

	mu   sync.Mutex
	open map[*guest]struct{} // on which no request of somebody known is under way
	by   map[string]int      // of them
}

// newDoor puts one before a listener. A quarter of the files that the process may open is the most it lets in.
func newDoor(l net.Listener, exempt func(netip.Addr) bool) *door {
	d := &door{Listener: l, all: doorAll, each: doorEach, exempt: exempt, open: map[*guest]struct{}{}, by: map[string]int{}}
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) == nil && lim.Cur/4 < doorAll {
		d.all = max(int(lim.Cur/4), 16)
		d.each = min(d.each, max(d.all/2, 8))
	}
	return d
}

// Accept is net.Listener.
func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if g := d.admit(c); g != nil {
			return g, nil
		}
		_ = c.Close()
	}
}

// admit gives the guest that a connection is; nil when there is no room.
func (d *door) admit(c net.Conn) *guest {
	addr := addrOf(c.RemoteAddr().String())
	g := &guest{Conn: c, door: d, place: place(addr), since: time.Now()}
	d.mu.Lock()
	var out []*guest
	fits := true
	if d.by[g.place] >= d.each && !d.exempt(addr) {
		out, fits = d.makeRoom(out, g, true)
	}
	if fits && len(d.open) >= d.all {
		out, fits = d.makeRoom(out, g, false)
	}
	if fits {
		d.count(g)
	}
	d.mu.Unlock()
	for _, o := range out {
		_ = o.Conn.Close() // its goroutine sees that, and ends
	}
	if !fits {
		return nil
	}
	return g
}

// makeRoom takes the guest that is needed least out of the count, for another; of the same place, or of all.
func (d *door) makeRoom(out []*guest, newcomer *guest, samePlace bool) ([]*guest, bool) {
	var worst *guest
	for g := range d.open {
		if (!samePlace || g.place == newcomer.place) && (worst == nil || d.lessNeeded(g, worst)) {
			worst = g
		}
	}
	if worst == nil || newcomer.since.Sub(worst.since) < doorGrace && d.by[worst.place] <= d.by[newcomer.place] {
		return out, false
	}
	d.forget(worst)
	return append(out, worst), true
}

// lessNeeded: who never showed a good token, then who has many connections, then who came first.
func (d *door) lessNeeded(a, b *guest) bool {
	if a.known != b.known {
		return !a.known
	}
	if na, nb := d.by[a.place], d.by[b.place]; na != nb {
		return na > nb
	}
	return a.since.Before(b.since)
}

func (d *door) count(g *guest) {
	d.open[g] = struct{}{}
	d.by[g.place]++
}

// forget may be called for a guest that was forgotten already. mu is held.
func (d *door) forget(g *guest) {
	if _, ok := d.open[g]; !ok {
		return
	}
	delete(d.open, g)
	if d.by[g.place]--; d.by[g.place] == 0 {
		delete(d.by, g.place)
	}
}

// guest is a connection that the door has let in.
type guest struct {
	net.Conn
	door  *door
	place string
	since time.Time

	busy   int  // requests of somebody known that are under way; door.mu
	known  bool // a good token was shown on it; door.mu
	closed bool // door.mu
}

// Close is net.Conn.
func (g *guest) Close() error {
	g.door.mu.Lock()
	g.closed = true
	g.door.forget(g)
	g.door.mu.Unlock()
	return g.Conn.Close()
}

// CloseWrite is what net/http looks for, to let the other side read the last answer.
func (g *guest) CloseWrite() error {
	if c, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// serving says that somebody known asks for something; call what it gives when that is done.
func (g *guest) serving() (done func()) {
	g.door.mu.Lock()
	g.door.forget(g)
	g.busy++
	g.known = true
	g.door.mu.Unlock()
	return func() {
		g.door.mu.Lock()
		if g.busy--; g.busy == 0 && !g.closed {
			g.door.count(g)
		}
		g.door.mu.Unlock()
	}
}

type guestKey struct{}

// withGuest notes on which connection a request came.
func withGuest(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if g, ok := c.(*guest); ok {
		return context.WithValue(ctx, guestKey{}, g)
	}
	return ctx
}
