package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
)

// allowed is what the server may reach through an agent.
type allowed []reachable

type reachable struct {
	net  netip.Prefix
	port uint16
}

// parseAllowed reads networks and ports, as in 10.0.0.0/8:22 or [fd00::/8]:22.
func parseAllowed(list []string) (allowed, error) {
	var out allowed
	for _, word := range list {
		bad := fmt.Errorf("has %q; each entry is a network and a port, as in 10.0.0.0/8:22, 192.0.2.7:22 or [fd00::/8]:22", word)
		i := strings.LastIndexByte(word, ':')
		if i < 0 {
			return nil, bad
		}
		port, err := strconv.ParseUint(word[i+1:], 10, 16)
		if err != nil || port == 0 {
			return nil, bad
		}
		host := word[:i]
		if inner, ok := strings.CutPrefix(host, "["); ok {
			host = strings.TrimSuffix(inner, "]")
		}
		prefix, err := netip.ParsePrefix(host)
		if addr, aerr := netip.ParseAddr(host); aerr == nil {
			prefix, err = addr.Prefix(addr.BitLen())
		}
		if err == nil && prefix.Addr().Is4In6() { // an address is asked about in its IPv4 form
			prefix, err = prefix.Addr().Unmap().Prefix(prefix.Bits() - 96)
		}
		if err != nil {
			return nil, bad
		}
		out = append(out, reachable{prefix.Masked(), uint16(port)})
	}
	return out, nil
}

// has takes an IPv4 address that is written as IPv6 for what it is.
func (l allowed) has(a netip.AddrPort) bool {
	return slices.ContainsFunc(l, func(r reachable) bool { return r.port == a.Port() && r.net.Contains(a.Addr().Unmap()) })
}

const dialHost = 10 * time.Second

// dial connects the server with a host of the silo.
func (a *Agent) dial(ctx context.Context, l *link, to string) {
	c, err := a.connect(ctx, to)
	if err != nil {
		d := &dialled{Error: clip(plain.Line(err.Error()))}
		if errors.Is(err, ErrNotAllowed) {
			d.Kind = kindDenied
			a.Log.Warn("the server wants to reach what agent.dial does not allow", "address", plain.Line(to))
		}
		_ = l.send(frame{Dialled: d})
		return
	}
	defer func() { _ = c.Close() }()
	if l.send(frame{Dialled: &dialled{}}) != nil {
		return
	}
	_ = l.SetWriteDeadline(time.Time{})
	back := make(chan struct{})
	guard.Go(guard.Log(a.Log, "carry bytes to the server"), func() {
		defer close(back)
		_, _ = io.Copy(l.Conn, c)
		_ = l.Close() // says only that nothing more comes
	})
	_, _ = io.Copy(c, l.r)
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
	select {
	case <-back:
	case <-ctx.Done():
	case <-time.After(dialHost): // who has hung up over there wants nothing more
	}
	_ = c.Close()
	<-back
}

const kindDenied = "denied"

// ErrNotAllowed: the agent's configuration does not let the server reach this.
var ErrNotAllowed = errors.New("agent.dial does not allow it")

// connect dials what is allowed. A name is looked up here, and each of its addresses is asked about.
func (a *Agent) connect(ctx context.Context, to string) (net.Conn, error) {
	host, word, err := net.SplitHostPort(to)
	port, perr := strconv.ParseUint(word, 10, 16)
	if err != nil || perr != nil {
		return nil, fmt.Errorf("%q is no address", plain.Line(to))
	}
	ctx, cancel := context.WithTimeout(ctx, dialHost)
	defer cancel()
	var addrs []netip.Addr
	if addr, err := netip.ParseAddr(host); err == nil {
		addrs = []netip.Addr{addr}
	} else if addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, err
	}
	last := fmt.Errorf("%s: %w", to, ErrNotAllowed)
	for _, addr := range addrs {
		ap := netip.AddrPortFrom(addr.Unmap(), uint16(port))
		if !a.allowed.has(ap) {
			continue
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", ap.String())
		if err == nil {
			return c, nil
		}
		last = err
	}
	return nil, last
}

// Dial connects to a host through an agent of a silo. The error wraps ErrNoAgent when none is connected here.
func (h *Hub) Dial(ctx context.Context, silo, addr string) (net.Conn, error) {
	err := fmt.Errorf("%w: no agent of it has a line to this server; `nodes` says which servers one has a line to", ErrNoAgent)
	for _, p := range h.in(silo) {
		var c net.Conn
		if c, err = p.dial(ctx, addr); err == nil || ctx.Err() != nil {
			return c, err
		}
	}
	return nil, err
}

// ErrNoAgent: nobody is there through whom a host of a silo could be reached.
var ErrNoAgent = errors.New("it cannot be reached from here")

// in lists the agents of a silo that have a line.
func (h *Hub) in(silo string) (out []*peer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.peers {
		p.mu.Lock()
		if p.session != nil && p.silo == silo {
			out = append(out, p)
		}
		p.mu.Unlock()
	}
	return out
}

// dial reaches an address by the agent. ErrNoAgent is about the line alone; of a host that does not answer, the error
// has the agent's own words.
func (p *peer) dial(ctx context.Context, addr string) (net.Conn, error) {
	p.mu.Lock()
	session, name := p.session, p.name
	p.mu.Unlock()
	if session == nil {
		return nil, fmt.Errorf("%w: the agent %s is not connected", ErrNoAgent, name)
	}
	s, err := session.OpenStream()
	if err != nil {
		return nil, fmt.Errorf("%w: the line of the agent %s is cut", ErrNoAgent, name)
	}
	l := newLink(s)
	stop := context.AfterFunc(ctx, guard.Func(guard.Count, func() { _ = l.SetReadDeadline(time.Now()) }))
	err = l.send(frame{Dial: addr})
	var f frame
	if err == nil {
		f, err = l.receive()
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err != nil:
		err = fmt.Errorf("%w: the line of the agent %s is cut", ErrNoAgent, name)
	case f.Dialled == nil:
		err = fmt.Errorf("the agent %s does not answer in words that I know", name)
	case f.Dialled.Kind == kindDenied:
		err = fmt.Errorf("the agent %s does not let this server reach %s; its configuration says what it may, under agent.dial", name, addr)
	case f.Dialled.Error != "":
		err = fmt.Errorf("by the agent %s: %s", name, clip(plain.Line(f.Dialled.Error)))
	}
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	_ = l.SetDeadline(time.Time{})
	return &through{l}, nil
}

// through is a connection to a host by an agent's line.
type through struct{ *link }

func (t *through) Read(p []byte) (int, error) { return t.r.Read(p) }

// problemDetail gives what a server says in its form for errors (RFC 9457).
func problemDetail(b []byte) string {
	var p struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(b, &p) == nil && p.Detail != "" {
		return clip(plain.Line(p.Detail))
	}
	return "it does not say why"
}

// sorted makes offers comparable: Has is filled from a map.
func (o offered) sorted() offered {
	slices.Sort(o.Has)
	return o
}
