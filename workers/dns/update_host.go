package dns

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	godns "github.com/miekg/dns"
	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// updateHost is stage 10.
func (w *Worker) updateHost() pipeline.Step {
	return pipeline.Step{
		Name:    "dns:update_host",
		Doc:     "writes the host's A, AAAA, PTR and SSHFP records",
		Needs:   []string{"hostname", "fqdn", "ipaddress", "ip6address?", "hostkeys?", "dns_before?", "dns_written?"},
		Gives:   []string{"dns_before", "dns_written"},
		Timeout: 5 * time.Minute,
		Resume:  pipeline.Again,
		Plan: func(ctx context.Context, c *clipboard.Clipboard) (string, error) {
			in, err := c.Instance()
			if err != nil {
				return "", err
			}
			zone, err := w.zone(ctx, in.FQDN)
			if err != nil {
				return "", w.noZone(in.FQDN, err)
			}
			return fmt.Sprintf("would write A, PTR and SSHFP of %s in the zone %s at %s", in.FQDN, strings.TrimSuffix(zone, "."), w.cfg.Server), nil
		},
		Do:   w.doUpdate,
		Undo: w.undoUpdate,
	}
}

func (w *Worker) noZone(name string, err error) error {
	if errors.Is(err, errNoZone) {
		return pipeline.Permanentf("%s has no zone for %s", w.cfg.Server, name)
	}
	return err
}

// wanted gives the records that the clipboard asks for at the host's own name, by type.
func (w *Worker) wanted(c *clipboard.Clipboard, fqdn string) (map[uint16][]godns.RR, []netip.Addr, error) {
	hdr := func(t uint16) godns.RR_Header {
		return godns.RR_Header{Name: godns.Fqdn(fqdn), Rrtype: t, Class: godns.ClassINET, Ttl: w.cfg.TTL}
	}
	want := map[uint16][]godns.RR{}
	var addrs []netip.Addr
	for _, key := range []string{"ipaddress", "ip6address"} {
		if key == "ip6address" && !c.Has(key) {
			continue
		}
		a, err := c.Addr(key)
		if err != nil {
			return nil, nil, pipeline.Permanent(err)
		}
		if contains(addrs, a) {
			continue // a host with IPv6 only has it under both keys
		}
		addrs = append(addrs, a)
		if a.Is4() {
			want[godns.TypeA] = append(want[godns.TypeA], &godns.A{Hdr: hdr(godns.TypeA), A: a.AsSlice()})
		} else {
			want[godns.TypeAAAA] = append(want[godns.TypeAAAA], &godns.AAAA{Hdr: hdr(godns.TypeAAAA), AAAA: a.AsSlice()})
		}
	}
	if c.Has("hostkeys") {
		lines, err := c.Strings("hostkeys")
		if err != nil {
			return nil, nil, pipeline.Permanent(err)
		}
		for _, l := range lines {
			rrs, err := sshfp(hdr(godns.TypeSSHFP), l)
			if err != nil {
				return nil, nil, pipeline.Permanent(err)
			}
			want[godns.TypeSSHFP] = append(want[godns.TypeSSHFP], rrs...)
		}
	}
	return want, addrs, nil
}

// sshfp gives the fingerprint records of one host key: RFC 4255, RFC 6594 (ECDSA, SHA-256), RFC 7479 (Ed25519).
func sshfp(hdr godns.RR_Header, line string) ([]godns.RR, error) {
	k, _, _, _, err := gossh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return nil, fmt.Errorf("%q in hostkeys is not a host key", line)
	}
	var algo uint8
	switch {
	case k.Type() == gossh.KeyAlgoRSA:
		algo = 1
	case strings.HasPrefix(k.Type(), "ecdsa-"):
		algo = 3
	case k.Type() == gossh.KeyAlgoED25519:
		algo = 4
	default:
		return nil, nil // SSHFP has no number for it
	}
	s1, s256 := sha1.Sum(k.Marshal()), sha256.Sum256(k.Marshal())
	return []godns.RR{
		&godns.SSHFP{Hdr: hdr, Algorithm: algo, Type: 1, FingerPrint: hex.EncodeToString(s1[:])},
		&godns.SSHFP{Hdr: hdr, Algorithm: algo, Type: 2, FingerPrint: hex.EncodeToString(s256[:])},
	}, nil
}

func (w *Worker) doUpdate(ctx context.Context, c *clipboard.Clipboard) error {
	in, err := c.Instance()
	if err != nil {
		return pipeline.Permanent(err)
	}
	want, addrs, err := w.wanted(c, in.FQDN)
	if err != nil {
		return err
	}
	zone, err := w.zone(ctx, in.FQDN)
	if err != nil {
		return w.noZone(in.FQDN, err)
	}
	if cname, err := w.records(ctx, in.FQDN, godns.TypeCNAME); err != nil {
		return err
	} else if len(cname) > 0 {
		return pipeline.Permanentf("%s is an alias for %s in DNS; remove the CNAME or give the host another name", in.FQDN, strings.TrimSuffix(cname[0].(*godns.CNAME).Target, "."))
	}
	changed := false
	err = settle(func() error {
		have, err := w.standing(ctx, in.FQDN)
		if err != nil {
			return err
		}
		ours, _, err := w.ours(ctx, c)
		if err != nil {
			return err
		}
		there := addresses(have)
		if others := without(without(there, ours), addrs); len(others) > 0 {
			return w.foreign(in.FQDN, others)
		}
		// Before the write: should its answer be lost, the next try knows it for ours.
		if err := w.remember(ctx, c, have, addrs, ours); err != nil {
			return err
		}
		next := map[uint16][]godns.RR{}
		write := false
		for _, t := range hostTypes {
			next[t] = have[t]
			if !sameSet(have[t], want[t], w.cfg.TTL) {
				// The type at the host's own name is the host's: all of it is replaced. Other types stay.
				next[t], write = want[t], true
			}
		}
		if !write {
			return nil
		}
		changed = true
		return w.replace(ctx, zone, in.FQDN, have, next)
	})
	if err != nil {
		return err
	}
	for t, rrs := range want {
		have, err := w.records(ctx, in.FQDN, t)
		if err != nil {
			return err
		}
		if !sameSet(have, rrs, w.cfg.TTL) {
			return fmt.Errorf("%s took the update of %s, but does not show the %s records", w.cfg.Server, in.FQDN, godns.TypeToString[t])
		}
	}
	was, _, err := before(c, in.FQDN)
	if err != nil {
		return err
	}
	for _, a := range without(append(addresses(was), parse(c.Get("dns_written"))...), addrs) { // what the host had until now
		if err := w.dropPTR(ctx, a, in.FQDN); err != nil {
			return err
		}
	}
	for _, a := range addrs {
		did, err := w.setPTR(ctx, a, in.FQDN)
		if err != nil {
			return err
		}
		changed = changed || did
	}
	if changed {
		pipeline.Progress(ctx, in.FQDN+" is "+addrs[0].String())
	} else {
		pipeline.Progress(ctx, "nothing to do: "+in.FQDN+" is right already")
	}
	return nil
}

func contains(list []netip.Addr, a netip.Addr) bool {
	for _, x := range list {
		if x == a {
			return true
		}
	}
	return false
}

func addrOf(rr godns.RR) netip.Addr {
	switch rr := rr.(type) {
	case *godns.A:
		a, _ := netip.AddrFromSlice(rr.A.To4())
		return a
	case *godns.AAAA:
		a, _ := netip.AddrFromSlice(rr.AAAA.To16())
		return a
	}
	return netip.Addr{}
}

// sameSet compares record sets by data and TTL, whatever their order.
func sameSet(a, b []godns.RR, ttl uint32) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		found := false
		for _, y := range b {
			found = found || godns.IsDuplicate(x, y)
		}
		if !found || x.Header().Ttl != ttl {
			return false
		}
	}
	return true
}

// setPTR points the address back at the host. A pointer to another name is stale when that name no longer has the
// address; otherwise it belongs to somebody else and stays, beside ours.
func (w *Worker) setPTR(ctx context.Context, a netip.Addr, fqdn string) (changed bool, err error) {
	name, err := godns.ReverseAddr(a.String())
	if err != nil {
		return false, err
	}
	zone, err := w.zone(ctx, name)
	if errors.Is(err, errNoZone) {
		pipeline.Log(ctx, fmt.Sprintf("%s has no reverse zone for %s: no PTR written", w.cfg.Server, a))
		return false, nil
	} else if err != nil {
		return false, err
	}
	have, err := w.records(ctx, name, godns.TypePTR)
	if err != nil {
		return false, err
	}
	ours := &godns.PTR{Hdr: godns.RR_Header{Name: name, Rrtype: godns.TypePTR, Class: godns.ClassINET, Ttl: w.cfg.TTL}, Ptr: godns.Fqdn(fqdn)}
	there := false
	var stale []godns.RR
	for _, rr := range have {
		target := rr.(*godns.PTR).Ptr
		if strings.EqualFold(target, ours.Ptr) {
			there = true
			continue
		}
		uses, err := w.uses(ctx, target, a)
		if err != nil {
			return false, err
		}
		if uses {
			pipeline.Log(ctx, fmt.Sprintf("%s is also %s, by PTR and address: left as it is", a, strings.TrimSuffix(target, ".")))
		} else {
			stale = append(stale, rr)
		}
	}
	if there && len(stale) == 0 {
		return false, nil
	}
	return true, w.update(ctx, zone, func(m *godns.Msg) {
		if len(stale) > 0 {
			m.Remove(stale)
		}
		if !there {
			m.Insert([]godns.RR{ours})
		}
	})
}

// uses reports whether name has the address, as this server knows. A name that it does not serve may have it.
func (w *Worker) uses(ctx context.Context, name string, a netip.Addr) (bool, error) {
	if _, err := w.zone(ctx, name); errors.Is(err, errNoZone) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	kind := godns.TypeA
	if a.Is6() {
		kind = godns.TypeAAAA
	}
	rrs, err := w.records(ctx, name, kind)
	for _, rr := range rrs {
		if addrOf(rr) == a {
			return true, nil
		}
	}
	return false, err
}

// dropPTR removes the pointer from an address that the host no longer has.
func (w *Worker) dropPTR(ctx context.Context, a netip.Addr, fqdn string) error {
	name, err := godns.ReverseAddr(a.String())
	if err != nil {
		return err
	}
	zone, err := w.zone(ctx, name)
	if errors.Is(err, errNoZone) {
		return nil
	} else if err != nil {
		return err
	}
	return w.update(ctx, zone, func(m *godns.Msg) {
		m.Remove([]godns.RR{&godns.PTR{Hdr: godns.RR_Header{Name: name, Rrtype: godns.TypePTR, Class: godns.ClassINET}, Ptr: godns.Fqdn(fqdn)}})
	})
}

// undoUpdate gives back what stood there before this run, when what stands there is what it wrote.
func (w *Worker) undoUpdate(ctx context.Context, c *clipboard.Clipboard) error {
	in, err := c.Instance()
	if err != nil {
		return pipeline.Permanent(err)
	}
	if !c.Has("dns_before") {
		return w.undoWanted(ctx, c, in)
	}
	was, pointers, err := before(c, in.FQDN)
	if err != nil {
		return err
	}
	zone, err := w.zone(ctx, in.FQDN)
	if err != nil {
		return w.noZone(in.FQDN, err)
	}
	ours, _, err := w.ours(ctx, c)
	if err != nil {
		return err
	}
	written, had := parse(c.Get("dns_written")), addresses(was)
	written = without(written, without(written, ours))
	var left string
	err = settle(func() error {
		left = ""
		have, err := w.standing(ctx, in.FQDN)
		if err != nil {
			return err
		}
		there := addresses(have)
		// An address that stood there before and stands there still is nobody's affair.
		switch others := without(there, written); {
		case len(others) > 0 && len(without(others, had))+len(without(had, there)) > 0:
			left = fmt.Sprintf("%s is %s in DNS by now, which this run did not write: left as it is", in.FQDN, words(others))
			return nil
		case len(there) == 0 && len(had) > 0:
			left = fmt.Sprintf("somebody has removed the address of %s from DNS: left as it is", in.FQDN)
			return nil
		}
		return w.replace(ctx, zone, in.FQDN, have, was)
	})
	if err != nil {
		return err
	}
	if err := w.giveBack(ctx, in.FQDN, append(written, without(had, written)...), pointers, left == ""); err != nil {
		return err
	}
	switch {
	case left != "":
		return pipeline.Stays(left)
	case len(had) > 0:
		pipeline.Progress(ctx, in.FQDN+" is "+words(had)+" again")
	default:
		pipeline.Progress(ctx, "removed the records of "+in.FQDN)
	}
	return nil
}

// undoWanted is for runs that have nothing on record, as those of an earlier version: it removes exactly the records that
// this clipboard asks for, unless the record knows nothing of their addresses.
func (w *Worker) undoWanted(ctx context.Context, c *clipboard.Clipboard, in clipboard.Instance) error {
	if !c.Has("ipaddress") {
		return nil
	}
	want, addrs, err := w.wanted(c, in.FQDN)
	if err != nil {
		return err
	}
	ours, known, err := w.ours(ctx, c)
	if err != nil {
		return err
	}
	if known && len(without(addrs, ours)) > 0 {
		pipeline.Progress(ctx, "nothing to do: no run of this host wrote "+in.FQDN)
		return nil
	}
	zone, err := w.zone(ctx, in.FQDN)
	if err != nil {
		return w.noZone(in.FQDN, err)
	}
	err = w.update(ctx, zone, func(m *godns.Msg) {
		for _, rrs := range want {
			m.Remove(rrs)
		}
	})
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if err := w.dropPTR(ctx, a, in.FQDN); err != nil {
			return err
		}
	}
	pipeline.Progress(ctx, "removed the records of "+in.FQDN)
	return nil
}
