package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// An address at a host's name is the host's when a run of this host wrote it, or found its machine at it. Every other
// is somebody else's, whatever the clipboard says: it is neither replaced nor removed. What was read is a prerequisite of
// what is written (RFC 2136 §2.4), so that nobody's write in between is lost.

// hostTypes are the types that are the host's at its own name.
var hostTypes = []uint16{godns.TypeA, godns.TypeAAAA, godns.TypeSSHFP}

// errChanged: something else stands there than was read. Read again, and decide again.
var errChanged = errors.New("the records changed meanwhile")

// changes bounds how often somebody else may be quicker in one call.
const changes = 4

// settle calls f again while the records change under it.
func settle(f func() error) error {
	var err error
	for range changes {
		if err = f(); !errors.Is(err, errChanged) {
			return err
		}
	}
	return err
}

// standing gives what stands at the host's name, by type.
func (w *Worker) standing(ctx context.Context, fqdn string) (map[uint16][]godns.RR, error) {
	have := map[uint16][]godns.RR{}
	for _, t := range hostTypes {
		rrs, err := w.records(ctx, fqdn, t)
		if err != nil {
			return nil, err
		}
		have[t] = rrs
	}
	return have, nil
}

// replace makes the records at the host's name what they shall be, provided that have is what stands there.
func (w *Worker) replace(ctx context.Context, zone, fqdn string, have, want map[uint16][]godns.RR) error {
	return w.update(ctx, zone, func(m *godns.Msg) {
		none := func(t uint16) []godns.RR {
			return []godns.RR{&godns.ANY{Hdr: godns.RR_Header{Name: godns.Fqdn(fqdn), Rrtype: t}}}
		}
		m.RRsetNotUsed(none(godns.TypeCNAME))
		for _, t := range hostTypes {
			if len(have[t]) == 0 {
				m.RRsetNotUsed(none(t))
			}
			m.Used(copies(have[t]))
			if !identical(have[t], want[t]) {
				m.RemoveRRset(none(t))
				m.Insert(copies(want[t]))
			}
		}
	})
}

// copies, for the library writes into what it is given.
func copies(rrs []godns.RR) []godns.RR {
	var out []godns.RR
	for _, rr := range rrs {
		out = append(out, godns.Copy(rr))
	}
	return out
}

func identical(a, b []godns.RR) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x godns.RR) bool {
		return !slices.ContainsFunc(b, func(y godns.RR) bool { return godns.IsDuplicate(x, y) && x.Header().Ttl == y.Header().Ttl })
	})
}

// addresses lists those of the records.
func addresses(have map[uint16][]godns.RR) []netip.Addr {
	var out []netip.Addr
	for _, t := range hostTypes {
		for _, rr := range have[t] {
			if a := addrOf(rr); a.IsValid() && !contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// without gives the addresses of a that are not in b.
func without(a, b []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(a), func(x netip.Addr) bool { return contains(b, x) })
}

func words(list []netip.Addr) string {
	var out []string
	for _, a := range list {
		out = append(out, a.String())
	}
	return strings.Join(out, " ")
}

// parse reads what words wrote.
func parse(text string) []netip.Addr {
	var out []netip.Addr
	for _, f := range strings.Fields(text) {
		if a, err := netip.ParseAddr(f); err == nil && !contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// ours lists the addresses that the record says are the host's: what its runs wrote here, and where they found its machine.
// By hand there is no record; then the clipboard is asked for dns_written and the keys in byHand.
func (w *Worker) ours(ctx context.Context, c *clipboard.Clipboard, byHand ...string) (list []netip.Addr, known bool, err error) {
	var values []string
	for _, from := range [][2]string{{"update_host", "dns_written"}, {"get_pub_ip", "ipaddress"}, {"get_pub_ip", "ip6address"}} {
		var given []string
		if given, known, err = pipeline.Given(ctx, from[0], from[1]); err != nil {
			return nil, known, err
		}
		values = append(values, given...)
	}
	if !known {
		for _, key := range append(byHand, "dns_written") {
			values = append(values, c.Get(key))
		}
	}
	return parse(strings.Join(values, " ")), known, nil
}

// foreign refuses to touch addresses that are not the host's.
func (w *Worker) foreign(fqdn string, list []netip.Addr) error {
	return pipeline.Permanentf("%s is %s in DNS already, and no run of this host wrote that: nothing is written; if it is not needed, remove it at %s, or else give the host another name",
		fqdn, strings.ReplaceAll(words(list), " ", " and "), w.cfg.Server)
}

// remember puts on record what stood there before this run wrote anything, and which addresses it writes. An address that
// somebody else wrote does not become ours because we want the same.
func (w *Worker) remember(ctx context.Context, c *clipboard.Clipboard, have map[uint16][]godns.RR, want, ours []netip.Addr) error {
	old := c.Get("dns_written")
	var written []netip.Addr
	first := !c.Has("dns_before")
	if first {
		var lines []string
		for _, t := range hostTypes {
			for _, rr := range have[t] {
				lines = append(lines, rr.String())
			}
		}
		there := addresses(have)
		for _, a := range append(there, without(want, there)...) {
			rrs, err := w.pointersOf(ctx, a)
			if err != nil {
				return err
			}
			for _, rr := range rrs {
				lines = append(lines, rr.String())
			}
		}
		if len(lines) == 0 {
			lines = []string{"none"}
		}
		if err := c.Set("dns_before", lines); err != nil {
			return err
		}
	} else {
		// A person may have written it; only what the record knows counts.
		written = parse(old)
		written = without(written, without(written, ours))
	}
	written = append(without(without(want, without(addresses(have), ours)), written), written...)
	var err error
	switch text := words(written); {
	case text == old && !first:
		return nil
	case text == "":
		err = c.Delete("dns_written")
	default:
		err = c.Set("dns_written", text)
	}
	return errors.Join(err, pipeline.Keep(ctx, c))
}

// pointersOf gives the pointers of an address; none when its reverse zone is not here.
func (w *Worker) pointersOf(ctx context.Context, a netip.Addr) ([]godns.RR, error) {
	name, err := godns.ReverseAddr(a.String())
	if err != nil {
		return nil, err
	}
	if _, err := w.zone(ctx, name); errors.Is(err, errNoZone) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return w.records(ctx, name, godns.TypePTR)
}

// before reads dns_before: what stood at the host's name, and the pointers. Nothing else may be in it.
func before(c *clipboard.Clipboard, fqdn string) (map[uint16][]godns.RR, []godns.RR, error) {
	lines, err := c.Strings("dns_before")
	if err != nil {
		return nil, nil, pipeline.Permanent(err)
	}
	was := map[uint16][]godns.RR{}
	var pointers []godns.RR
	for _, l := range lines {
		if l == "none" {
			continue
		}
		rr, err := godns.NewRR(l)
		switch {
		case err != nil || rr == nil:
			return nil, nil, pipeline.Permanentf("dns_before holds %q, which is no record", l)
		case rr.Header().Rrtype == godns.TypePTR:
			pointers = append(pointers, rr)
		case slices.Contains(hostTypes, rr.Header().Rrtype) && strings.EqualFold(rr.Header().Name, godns.Fqdn(fqdn)):
			was[rr.Header().Rrtype] = append(was[rr.Header().Rrtype], rr)
		default:
			return nil, nil, pipeline.Permanentf("dns_before holds %q, which is not a record of %s", l, fqdn)
		}
	}
	return was, pointers, nil
}

// giveBack puts back the pointers that stood there before, at the given addresses, and takes away ours.
func (w *Worker) giveBack(ctx context.Context, fqdn string, at []netip.Addr, was []godns.RR, named bool) error {
	for _, a := range at {
		name, err := godns.ReverseAddr(a.String())
		if err != nil {
			return err
		}
		have, err := w.pointersOf(ctx, a)
		if err != nil {
			return err
		}
		mine := false
		var missing []godns.RR
		for _, rr := range was {
			if !strings.EqualFold(rr.Header().Name, name) {
				continue
			}
			isMine := strings.EqualFold(rr.(*godns.PTR).Ptr, godns.Fqdn(fqdn))
			mine = mine || isMine
			if !slices.ContainsFunc(have, func(h godns.RR) bool { return godns.IsDuplicate(h, rr) }) && (named || !isMine) {
				missing = append(missing, rr)
			}
		}
		if !mine {
			if err := w.dropPTR(ctx, a, fqdn); err != nil {
				return err
			}
		}
		if len(missing) == 0 {
			continue
		}
		zone, err := w.zone(ctx, name)
		if errors.Is(err, errNoZone) {
			continue
		} else if err != nil {
			return err
		}
		if err := w.update(ctx, zone, func(m *godns.Msg) { m.Insert(copies(missing)) }); err != nil {
			return fmt.Errorf("give back the pointers of %s: %w", a, err)
		}
	}
	return nil
}
