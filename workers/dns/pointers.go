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
var errNoTransfer = errors.New("no zone transfer")

// transfer reads a whole zone (RFC 5936).
func (w *Worker) transfer(ctx context.Context, zone string) ([]godns.RR, error) {
	m := new(godns.Msg)
	m.SetAxfr(zone)
	t := &godns.Transfer{DialTimeout: callTimeout, ReadTimeout: callTimeout, WriteTimeout: callTimeout}
	if w.cfg.TSIG.Name != "" {
		key := godns.Fqdn(strings.ToLower(w.cfg.TSIG.Name))
		t.TsigSecret = map[string]string{key: string(w.cfg.TSIG.Secret)}
		m.SetTsig(key, w.algo, 300, time.Now().Unix())
	}
	envelopes, err := t.In(m, w.cfg.Server)
	if err != nil {
		return nil, fmt.Errorf("ask the DNS server %s: %w", w.cfg.Server, err)
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
		return nil, errNoTransfer
	case err != nil:
		return nil, fmt.Errorf("read the zone %s from %s: %w", zone, w.cfg.Server, err)
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
		names, err := c.Strings("services")
		if err != nil {
			return nil, pipeline.Permanent(err)
		}
		for _, n := range names {
			if err := clipboard.CheckName(strings.TrimLeft(strings.TrimSuffix(n, "."), "_")); err != nil && !strings.Contains(n, "._") {
				return nil, pipeline.Permanentf("services: %v", err)
			}
			for _, kind := range []uint16{godns.TypeCNAME, godns.TypeA, godns.TypeAAAA, godns.TypeSRV, godns.TypeMX} {
				rrs, err := w.records(ctx, n, kind)
				if err != nil {
					return nil, err
				}
				all = append(all, rrs...)
			}
		}
	}
	var out []godns.RR
	for _, rr := range all {
		if strings.EqualFold(rr.Header().Name, host) || slices.ContainsFunc(out, func(o godns.RR) bool { return godns.IsDuplicate(o, rr) }) {
			continue
		}
		if a := addrOf(rr); strings.EqualFold(target(rr), host) || a.IsValid() && contains(addrs, a) {
			out = append(out, rr)
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

// noTransfer tells what to do about errNoTransfer.
func (w *Worker) noTransfer(err error) error {
	if errors.Is(err, errNoTransfer) {
		return pipeline.Permanentf("nobody can tell what points at the host: %s refuses to transfer the zone; allow it for the key %q, or list the names under `services` in the clipboard", w.cfg.Server, w.cfg.TSIG.Name)
	}
	return err
}
