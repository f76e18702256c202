package dns

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// checkUpdate says before anything is made what would stop dns:update_host after the machine is there.
func (w *Worker) checkUpdate(ctx context.Context, c *clipboard.Clipboard) error {
	j, err := w.job(ctx, c)
	if err != nil {
		return err
	}
	return settle(func() error { return j.survey(ctx, c, known(c), nil) })
}

// planUpdate surveys as doUpdate does, so that it refuses what that would refuse.
func (w *Worker) planUpdate(ctx context.Context, c *clipboard.Clipboard) (string, error) {
	j, err := w.job(ctx, c)
	if err != nil {
		return "", err
	}
	addrs := known(c)
	if err := settle(func() error { return j.survey(ctx, c, addrs, nil) }); err != nil {
		return "", err
	}
	kinds := "A"
	if j.wish.reverse != off {
		if len(addrs) == 0 || len(j.noPTR) < len(addrs) {
			kinds += ", PTR"
		}
		if len(addrs) == 0 {
			j.left = append(j.left, "its PTR can be checked once the address is known")
		}
	}
	if j.wish.sshfp != off {
		kinds += ", SSHFP"
	}
	if i := strings.LastIndex(kinds, ", "); i > 0 {
		kinds = kinds[:i] + " and " + kinds[i+2:]
	}
	said := fmt.Sprintf("would write %s of %s in the zone %s at %s", kinds, j.fqdn, strings.TrimSuffix(j.zone, "."), w.at(j.fqdn).addr)
	return strings.Join(append([]string{said}, j.left...), "; "), nil
}

// known gives the addresses that the clipboard has already; before a machine is made there is often none.
func known(c *clipboard.Clipboard) []netip.Addr {
	var out []netip.Addr
	for _, key := range []string{"ipaddress", "ip6address"} {
		if a, err := c.Addr(key); err == nil && !contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// survey looks whether what is wished can be written, and changes nothing: the zone is there, the name is free or the
// host's, and the key has the right to each kind. want is nil before the records are known; what stands as wanted is
// not asked about.
func (j *job) survey(ctx context.Context, c *clipboard.Clipboard, addrs []netip.Addr, want map[uint16][]godns.RR) error {
	if cname, err := j.own(ctx, j.fqdn, godns.TypeCNAME); err != nil {
		return err
	} else if len(cname) > 0 {
		return pipeline.Permanentf("%s is an alias for %s in DNS; remove the CNAME or give the host another name", j.fqdn, strings.TrimSuffix(cname[0].(*godns.CNAME).Target, "."))
	}
	have, err := j.standing(ctx, j.fqdn)
	if err != nil {
		return err
	}
	ours, _, err := j.ours(ctx, c)
	if err != nil {
		return err
	}
	if others := without(without(addresses(have), ours), addrs); len(others) > 0 {
		return j.foreign(j.fqdn, others, without(addresses(have), others), len(addrs) == 0)
	}
	if want == nil || !sameSet(have[godns.TypeSSHFP], want[godns.TypeSSHFP], j.wish.ttl) {
		if err := j.foreignPrints(ctx, c, have); err != nil {
			return err
		}
	}
	if err := j.mayAddress(ctx, have, addrs, want); err != nil {
		return err
	}
	if err := j.maySSHFP(ctx, have, want); err != nil {
		return err
	}
	if j.wish.reverse == off {
		return nil
	}
	for _, a := range addrs {
		if err := j.mayPTR(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// mayAddress asks for the right to A and AAAA as they are needed. While no address is known, the right to one will do.
func (j *job) mayAddress(ctx context.Context, have map[uint16][]godns.RR, addrs []netip.Addr, want map[uint16][]godns.RR) error {
	if len(addrs) == 0 {
		err := j.may(ctx, j.zone, j.fqdn, have[godns.TypeA], set(j.fqdn, godns.TypeA)[0])
		if isRefusal(err) && j.may(ctx, j.zone, j.fqdn, have[godns.TypeAAAA], set(j.fqdn, godns.TypeAAAA)[0]) == nil {
			return nil
		}
		return err
	}
	for _, kind := range []uint16{godns.TypeA, godns.TypeAAAA} {
		needed := slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Is4() == (kind == godns.TypeA) })
		if !needed || want != nil && sameSet(have[kind], want[kind], j.wish.ttl) {
			continue
		}
		if err := j.may(ctx, j.zone, j.fqdn, have[kind], set(j.fqdn, kind)[0]); err != nil {
			return err
		}
	}
	return nil
}

// maySSHFP asks for the right to write SSHFP records that are not right yet. Where the wish allows it, they are left
// out and the run goes on.
func (j *job) maySSHFP(ctx context.Context, have, want map[uint16][]godns.RR) error {
	if j.wish.sshfp == off || want != nil && sameSet(have[godns.TypeSSHFP], want[godns.TypeSSHFP], j.wish.ttl) {
		return nil
	}
	what := "no SSHFP"
	if len(have[godns.TypeSSHFP]) > 0 {
		what = "the SSHFP there is stays, and ssh may warn of it"
	}
	passed, err := j.pass(ctx, "sshfp", j.wish.sshfp, what, j.may(ctx, j.zone, j.fqdn, have[godns.TypeSSHFP], set(j.fqdn, godns.TypeSSHFP)[0]))
	if passed {
		j.wish.sshfp = off // for the rest of this call
	}
	return err
}

// mayPTR asks the same for the pointer of an address.
func (j *job) mayPTR(ctx context.Context, a netip.Addr) error {
	p, err := j.look(ctx, a)
	if err == nil && p.right() {
		return nil
	}
	if err == nil {
		err = j.may(ctx, p.at.zone, p.at.name, p.have, p.ours)
	}
	passed, err := j.pass(ctx, "reverse", j.wish.reverse, "no PTR", err)
	if passed {
		j.noPTR = append(j.noPTR, a)
	}
	return err
}

// may asks the server whether our key may write records of a type at a name. It cannot be asked in so many words; the
// answer comes to an update that changes nothing, for servers look at the right to each record of an update (RFC 2136
// §3.3). What was read is its prerequisite. rr says the name's type, and the record to be written when it is known.
func (w *Worker) may(ctx context.Context, zone, name string, have []godns.RR, rr godns.RR) error {
	kind := rr.Header().Rrtype
	what := godns.TypeToString[kind] + " of " + strings.TrimSuffix(name, ".")
	at := slices.IndexFunc(have, func(h godns.RR) bool { return godns.IsDuplicate(h, rr) })
	_, unknown := rr.(*godns.ANY)
	return w.at(name).update(ctx, zone, what, func(m *godns.Msg) {
		if len(have) == 0 {
			m.RRsetNotUsed(set(name, kind))
		}
		m.Used(copies(have))
		switch {
		// BIND judges the removal of PTR by those that are there, which may be none. So it is added and removed again,
		// in this order (RFC 2136 §3.4.2), in one update: nobody sees it, and the zone's serial stays.
		case !unknown && at < 0:
			m.Insert(copies([]godns.RR{rr}))
			m.Remove(copies([]godns.RR{rr}))
		case len(have) == 0:
			m.RemoveRRset(set(name, kind))
		default: // it is there: add it
			m.Insert(copies(have[max(at, 0) : max(at, 0)+1]))
		}
	})
}
