package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/pipeline"
)

// place is where the pointers of an address stand.
type place struct{ name, zone string }

// noReverse says that nobody here serves the pointers of an address, and who was asked.
type noReverse string

func (n noReverse) Error() string { return string(n) }

func isNoReverse(err error) bool {
	var n noReverse
	return errors.As(err, &n)
}

// maxAliases bounds a chain of aliases: a delegation has one (RFC 2317 §4), and a loop has no end.
const maxAliases = 8

// reverse finds where the pointers of an address stand. A network smaller than a whole zone is delegated by aliases:
// the name of the address is an alias for one in the zone of whom the network is given to (RFC 2317).
func (w *Worker) reverse(ctx context.Context, a netip.Addr) (place, error) {
	name, err := godns.ReverseAddr(a.String())
	if err != nil {
		return place{}, err
	}
	said := a.String()
	for range maxAliases {
		zone, err := w.zone(ctx, name)
		if errors.Is(err, errNoZone) {
			return place{}, noReverse(fmt.Sprintf("%s has no reverse zone for %s", w.at(name).addr, said))
		} else if err != nil {
			return place{}, err
		}
		alias, err := w.own(ctx, name, godns.TypeCNAME)
		if err != nil {
			return place{}, err
		}
		if len(alias) == 0 {
			return place{name, zone}, nil
		}
		name = strings.ToLower(alias[0].(*godns.CNAME).Target)
		said = fmt.Sprintf("%s, whose name is an alias for %s", a, strings.TrimSuffix(name, "."))
	}
	return place{}, pipeline.Permanentf("the reverse name of %s is an alias of an alias, %d times and more, so no PTR can be written; look for a loop of CNAMEs at %s", a, maxAliases, w.at(name).addr)
}

func pointer(at place, fqdn string, ttl uint32) *godns.PTR {
	return &godns.PTR{Hdr: godns.RR_Header{Name: at.name, Rrtype: godns.TypePTR, Class: godns.ClassINET, Ttl: ttl}, Ptr: godns.Fqdn(fqdn)}
}

// pointed is what stands at the reverse name of one of the host's addresses.
type pointed struct {
	at    place
	have  []godns.RR
	ours  *godns.PTR
	there bool       // ours is
	stale []godns.RR // to names that no longer have the address
	also  []string   // names that have it too
}

// right: our pointer is there, and no stale one.
func (p *pointed) right() bool { return p.there && len(p.stale) == 0 }

// look reads the pointers of an address. A pointer to another name is stale when that name no longer has the address;
// otherwise it belongs to somebody else and stays, beside ours.
func (j *job) look(ctx context.Context, a netip.Addr) (*pointed, error) {
	at, err := j.reverse(ctx, a)
	if err != nil {
		return nil, err
	}
	p := &pointed{at: at, ours: pointer(at, j.fqdn, j.wish.ttl)}
	if p.have, err = j.own(ctx, at.name, godns.TypePTR); err != nil {
		return nil, err
	}
	for _, rr := range p.have {
		target := rr.(*godns.PTR).Ptr
		if strings.EqualFold(target, p.ours.Ptr) {
			p.there = true
			continue
		}
		uses, err := j.uses(ctx, target, a)
		switch {
		case err != nil:
			return nil, err
		case uses:
			p.also = append(p.also, strings.TrimSuffix(target, "."))
		default:
			p.stale = append(p.stale, rr)
		}
	}
	return p, nil
}

// setPTR points the address back at the host.
func (j *job) setPTR(ctx context.Context, a netip.Addr) (changed bool, err error) {
	p, err := j.look(ctx, a)
	if err != nil {
		return false, err
	}
	for _, name := range p.also {
		pipeline.Log(ctx, fmt.Sprintf("%s is also %s, by PTR and address: left as it is", a, name))
	}
	if p.right() {
		return false, nil
	}
	return true, j.point(ctx, p.at, func(m *godns.Msg) {
		if len(p.stale) > 0 {
			m.Remove(copies(p.stale))
		}
		if !p.there {
			m.Insert([]godns.RR{p.ours})
		}
	})
}

// point writes pointers, and looks that no alias took the name meanwhile: a server would say yes and write nothing.
func (w *Worker) point(ctx context.Context, at place, build func(*godns.Msg)) error {
	return w.at(at.name).update(ctx, at.zone, "PTR of "+strings.TrimSuffix(at.name, "."), func(m *godns.Msg) {
		m.RRsetNotUsed(set(at.name, godns.TypeCNAME))
		build(m)
	})
}

// uses reports whether name has the address, as its server knows. A name that no server here tells us of may have it.
// A name that has it from a wildcard counts: that pointer works, and is not ours to take.
func (w *Worker) uses(ctx context.Context, name string, a netip.Addr) (bool, error) {
	if _, err := w.zone(ctx, name); errors.Is(err, errNoZone) || isRefusal(err) {
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
func (j *job) dropPTR(ctx context.Context, a netip.Addr) error {
	if j.wish.reverse == off {
		return nil
	}
	at, err := j.reverse(ctx, a)
	if isNoReverse(err) {
		return nil
	} else if err != nil {
		return j.ptrStays(ctx, a, err)
	}
	have, err := j.own(ctx, at.name, godns.TypePTR)
	if err != nil {
		return err
	}
	mine := func(rr godns.RR) bool { return strings.EqualFold(rr.(*godns.PTR).Ptr, godns.Fqdn(j.fqdn)) }
	if !slices.ContainsFunc(have, mine) {
		return nil
	}
	return j.ptrStays(ctx, a, j.point(ctx, at, func(m *godns.Msg) { m.Remove([]godns.RR{pointer(at, j.fqdn, 0)}) }))
}

// ptrStays notes that a pointer could not be deleted; nil where the wish allows that.
func (j *job) ptrStays(ctx context.Context, a netip.Addr, err error) error {
	_, err = j.pass(ctx, "reverse", j.wish.reverse, "the PTR of "+a.String()+" stays as it is", err)
	return err
}

// pointersOf gives the pointers of an address; none when its reverse zone is not here.
func (j *job) pointersOf(ctx context.Context, a netip.Addr) ([]godns.RR, error) {
	at, err := j.reverse(ctx, a)
	if isNoReverse(err) || isRefusal(err) && j.wish.reverse != must {
		return nil, nil // survey has said so
	} else if err != nil {
		return nil, err
	}
	return j.own(ctx, at.name, godns.TypePTR)
}

// giveBack puts back the pointers that stood there before, at the given addresses, and takes away ours.
func (j *job) giveBack(ctx context.Context, addrs []netip.Addr, was []godns.RR, named bool) error {
	for _, a := range addrs {
		if j.wish.reverse == off {
			return nil
		}
		at, err := j.reverse(ctx, a)
		if isNoReverse(err) {
			continue
		} else if err != nil {
			if err = j.ptrStays(ctx, a, err); err != nil {
				return err
			}
			continue
		}
		have, err := j.own(ctx, at.name, godns.TypePTR)
		if err != nil {
			return err
		}
		mine := false
		var missing []godns.RR
		for _, rr := range was {
			if !strings.EqualFold(rr.Header().Name, at.name) {
				continue
			}
			isMine := strings.EqualFold(rr.(*godns.PTR).Ptr, godns.Fqdn(j.fqdn))
			mine = mine || isMine
			if !slices.ContainsFunc(have, func(h godns.RR) bool { return godns.IsDuplicate(h, rr) }) && (named || !isMine) {
				missing = append(missing, rr)
			}
		}
		if !mine {
			if err := j.dropPTR(ctx, a); err != nil {
				return err
			}
		}
		if len(missing) == 0 {
			continue
		}
		err = j.point(ctx, at, func(m *godns.Msg) { m.Insert(copies(missing)) })
		if err = j.ptrStays(ctx, a, err); err != nil {
			return fmt.Errorf("give back the pointers of %s: %w", a, err)
		}
	}
	return nil
}
