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
// is somebody else's, whatever the clipboard says: it is neither replaced nor removed. What was read is a prerequisite
// of what is written (RFC 2136 §2.4), so that nobody's write in between is lost.

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

// standing gives what stands at the host's own name, by type; what a wildcard answers there is not among it.
func (w *Worker) standing(ctx context.Context, fqdn string) (map[uint16][]godns.RR, error) {
	have := map[uint16][]godns.RR{}
	for _, t := range hostTypes {
		rrs, err := w.own(ctx, fqdn, t)
		if err != nil {
			return nil, err
		}
		have[t] = rrs
	}
	return have, nil
}

// replace makes the records at the host's name what they shall be, provided that have is what stands there.
func (w *Worker) replace(ctx context.Context, zone, fqdn string, have, want map[uint16][]godns.RR) error {
	var kinds []string
	for _, t := range hostTypes {
		if !identical(have[t], want[t]) {
			kinds = append(kinds, godns.TypeToString[t])
		}
	}
	return w.at(fqdn).update(ctx, zone, strings.Join(kinds, " and ")+" of "+fqdn, func(m *godns.Msg) {
		m.RRsetNotUsed(set(fqdn, godns.TypeCNAME))
		for _, t := range hostTypes {
			if len(have[t]) == 0 {
				m.RRsetNotUsed(set(fqdn, t))
			}
			m.Used(copies(have[t]))
			if !identical(have[t], want[t]) {
				m.RemoveRRset(set(fqdn, t))
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

// identical compares sets of records: their order means nothing, and their TTL counts.
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

// ours lists the addresses that the record says are the host's: what its runs wrote here, and where they found its
// machine. By hand there is no record; then the clipboard is asked for dns_written and the keys in byHand.
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

// strangers gives the fingerprints that stand at the host's name and are somebody else's: where no address of the host
// stands, and no run of it ever wrote the name, they are not the host's.
func (j *job) strangers(ctx context.Context, c *clipboard.Clipboard, have map[uint16][]godns.RR, mine []netip.Addr) ([]godns.RR, error) {
	prints := have[godns.TypeSSHFP]
	if len(prints) == 0 || len(mine) > 0 {
		return nil, nil
	}
	written, known, err := pipeline.Given(ctx, "update_host", "dns_written")
	if err != nil || len(written) > 0 || !known && c.Has("dns_written") {
		return nil, err
	}
	return prints, nil
}

// foreignPrints refuses to replace fingerprints that are not the host's.
func (j *job) foreignPrints(ctx context.Context, c *clipboard.Clipboard, have map[uint16][]godns.RR) error {
	if j.wish.sshfp == off {
		return nil
	}
	prints, err := j.strangers(ctx, c, have, addresses(have))
	if err != nil || len(prints) == 0 {
		return err
	}
	return pipeline.Permanentf("%s has SSHFP in DNS already, without an address, and no run of this host wrote that: nothing is written; if it is not needed, remove it at %s, or else give the host another name, or write `dns: {sshfp: off}` to leave it there",
		j.fqdn, j.at(j.fqdn).addr)
}

// foreign refuses to touch addresses that are not the host's; own are those of the host that stand beside them. early
// says that the machine has no address yet.
func (w *Worker) foreign(fqdn string, list, own []netip.Addr, early bool) error {
	hint, beside := "", ""
	if len(own) > 0 {
		beside = " (beside " + strings.ReplaceAll(words(own), " ", " and ") + ", which is the host's own)"
	}
	if early {
		hint = fmt.Sprintf(", or, if the machine will have that address, say so in the clipboard: `ipaddress: %s`", list[0])
	}
	that := strings.ReplaceAll(words(list), " ", " and ")
	return pipeline.Permanentf("%s is %s in DNS already%s, and no run of this host wrote that: nothing is written; if %s is not needed, remove it at %s, or else give the host another name%s",
		fqdn, that, beside, that, w.at(fqdn).addr, hint)
}

// remember puts on record what stood there before this run wrote anything, and which addresses it writes. An address
// that somebody else wrote does not become ours because we want the same.
func (j *job) remember(ctx context.Context, c *clipboard.Clipboard, have map[uint16][]godns.RR, want, ours []netip.Addr) error {
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
			if j.wish.reverse == off {
				break // they are nobody's affair here, and not Undo's either
			}
			rrs, err := j.pointersOf(ctx, a)
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
