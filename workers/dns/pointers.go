package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// errNoTransfer: the server does not let us read the whole zone.
var errNoTransfer = errors.New("nobody can tell what points at the host")

// transfer reads a whole zone (RFC 5936).
func (w *Worker) transfer(ctx context.Context, zone string) ([]godns.RR, error) {
	s := w.at(zone)
	m := new(godns.Msg)
	m.SetAxfr(zone)
	t := &godns.Transfer{DialTimeout: callTimeout, ReadTimeout: callTimeout, WriteTimeout: callTimeout}
	if s.key != "" {
		t.TsigSecret = map[string]string{s.key: s.secret}
		m.SetTsig(s.key, s.algo, 300, time.Now().Unix())
	}
	envelopes, err := t.In(m, s.addr)
	if err != nil {
		return nil, fmt.Errorf("ask the DNS server %s: %w", s.addr, err)
	}
	var out []godns.RR
	for e := range envelopes { // to its end: the library's goroutine waits for us
		if e.Error != nil {
			err = e.Error
			continue
		}
		out = append(out, e.RR...)
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && (strings.Contains(err.Error(), "bad xfr rcode") || errors.Is(err, godns.ErrAuth) || errors.Is(err, godns.ErrNoSig)):
		return nil, pipeline.Permanentf("%w: %s refuses to transfer the zone %s (%s); allow it for the key, or list the names under `services` in the clipboard", errNoTransfer, s.addr, strings.TrimSuffix(zone, "."), s.as())
	case err != nil:
		return nil, fmt.Errorf("read the zone %s from %s: %w", zone, s.addr, err)
	}
	return out, nil
}

// target gives the name that a record points at; "" for one that points at none.
func target(rr godns.RR) string {
	switch rr := rr.(type) {
	case *godns.CNAME:
		return rr.Target
	case *godns.SRV:
		return rr.Target
	case *godns.MX:
		return rr.Mx
	}
	return ""
}

// pointers lists the records under other names that point at the host: by name (CNAME, SRV, MX) or by address. They are
// read from the host's zone, and from the names that the clipboard lists under services. With neither a transfer nor a
// list nobody can know them, and that is errNoTransfer.
func (w *Worker) pointers(ctx context.Context, c *clipboard.Clipboard) ([]godns.RR, error) {
	in, err := c.Instance()
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	host := godns.Fqdn(in.FQDN)
	zone, err := w.zone(ctx, in.FQDN)
	if err != nil {
		return nil, w.noZone(in.FQDN, err)
	}
	var addrs []netip.Addr
	for _, kind := range []uint16{godns.TypeA, godns.TypeAAAA} {
		rrs, err := w.records(ctx, in.FQDN, kind)
		if err != nil {
			return nil, err
		}
		for _, rr := range rrs {
			addrs = append(addrs, addrOf(rr))
		}
	}
	all, err := w.transfer(ctx, zone)
	if err != nil && !(errors.Is(err, errNoTransfer) && c.Has("services")) {
		return nil, err
	}
	if c.Has("services") {
		listed, err := w.listed(ctx, c, func(rr godns.RR) bool { return pointsAt(rr, host, addrs) })
		if err != nil {
			return nil, err
		}
		all = append(all, listed...)
	}
	var out []godns.RR
	for _, rr := range all {
		if strings.EqualFold(rr.Header().Name, host) || slices.ContainsFunc(out, func(o godns.RR) bool { return godns.IsDuplicate(o, rr) }) {
			continue
		}
		if pointsAt(rr, host, addrs) {
			out = append(out, rr)
		}
	}
	return out, nil
}

func pointsAt(rr godns.RR, host string, addrs []netip.Addr) bool {
	a := addrOf(rr)
	return strings.EqualFold(target(rr), host) || a.IsValid() && contains(addrs, a)
}

// listed gives the records that count at the names that the clipboard lists under services. A name that only a wildcard
// makes is refused: nothing at that name could be moved or removed.
func (w *Worker) listed(ctx context.Context, c *clipboard.Clipboard, counts func(godns.RR) bool) ([]godns.RR, error) {
	names, err := c.Strings("services")
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	var out []godns.RR
	for _, n := range names {
		plain := strings.TrimLeft(strings.TrimSuffix(strings.TrimPrefix(n, "*."), "."), "_")
		if err := clipboard.CheckName(plain); err != nil && !strings.Contains(n, "._") {
			return nil, pipeline.Permanentf("services: %v", err)
		}
		for _, kind := range []uint16{godns.TypeCNAME, godns.TypeA, godns.TypeAAAA, godns.TypeSRV, godns.TypeMX} {
			rrs, err := w.records(ctx, n, kind)
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(rrs, counts) {
				continue
			}
			own, err := w.own(ctx, n, kind)
			if err != nil {
				return nil, err
			}
			if len(own) == 0 {
				return nil, pipeline.Permanentf("services: %s is what it is by a wildcard above it; list the wildcard, as in *.example.org, in its place", n)
			}
			out = append(out, own...)
		}
	}
	return out, nil
}

// Pointers says in words what points at the host, for the directory's check. known is false when nobody can know.
func (w *Worker) Pointers(ctx context.Context, c *clipboard.Clipboard) (list []string, known bool, err error) {
	rrs, err := w.pointers(ctx, c)
	if errors.Is(err, errNoTransfer) {
		return nil, false, nil
	}
	for _, rr := range rrs {
		list = append(list, describe(rr))
	}
	return list, err == nil, err
}

func describe(rr godns.RR) string {
	return fmt.Sprintf("%s (%s)", strings.TrimSuffix(rr.Header().Name, "."), godns.TypeToString[rr.Header().Rrtype])
}
