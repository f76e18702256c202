package dns

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	godns "github.com/miekg/dns"
)

// own gives the records that stand at the name itself. A server answers for a name that is not there with the records
// of a wildcard above it (RFC 4592 §3.3), and no mark tells them apart. Such records are nobody's at that name: they
// are gone once something is written there, and nothing can be removed from there.
//
// A name beside ours, at which nothing can stand, gets what the wildcard gives. Another answer than that is the name's
// own; the same answer may be either, and the server alone knows.
func (w *Worker) own(ctx context.Context, name string, kind uint16) ([]godns.RR, error) {
	have, err := w.records(ctx, name, kind)
	if len(have) == 0 || err != nil {
		return nil, err
	}
	if beside := sibling(name); beside != "" {
		theirs, err := w.records(ctx, beside, kind)
		if err != nil {
			return nil, err
		}
		theirs = copies(theirs)
		for _, rr := range theirs {
			rr.Header().Name = have[0].Header().Name
		}
		if !identical(have, theirs) {
			return have, nil
		}
	}
	zone, err := w.zone(ctx, name)
	if err != nil {
		return nil, w.noZone(name, err)
	}
	if stands, err := w.at(name).stands(ctx, zone, name, kind); !stands || err != nil {
		return nil, err
	}
	return have, nil
}

// sibling makes up a name beside another; "" when there is no room for one.
func sibling(name string) string {
	_, parent, ok := strings.Cut(strings.TrimSuffix(name, "."), ".")
	var b [10]byte
	_, _ = rand.Read(b[:]) // it never fails
	beside := "jarvis-" + hex.EncodeToString(b[:]) + "." + parent
	if _, fits := godns.IsDomainName(godns.Fqdn(beside)); !ok || !fits {
		return ""
	}
	return beside
}

// stands asks whether records of a type are at the name itself: a prerequisite looks at the name alone (RFC 2136
// §2.4.1), and with nothing to write nothing is changed.
func (s *server) stands(ctx context.Context, zone, name string, kind uint16) (bool, error) {
	m := new(godns.Msg)
	m.SetUpdate(zone)
	m.RRsetUsed(set(name, kind))
	r, err := s.exchange(ctx, m)
	if err != nil {
		return false, err
	}
	switch r.Rcode {
	case godns.RcodeSuccess:
		return true, nil
	case godns.RcodeNXRrset:
		return false, nil
	case godns.RcodeServerFailure:
		return false, fmt.Errorf("%s could not look into the zone %s (SERVFAIL)", s.addr, zone)
	}
	return false, refusef("%s does not tell whether %s of %s is the name's own or a wildcard's, for it takes no update of the zone %s (%s, %s)",
		s.addr, godns.TypeToString[kind], strings.TrimSuffix(name, "."), strings.TrimSuffix(zone, "."), godns.RcodeToString[r.Rcode], s.as())
}

// set names all records of a type at a name, as updates and prerequisites do.
func set(name string, kind uint16) []godns.RR {
	return []godns.RR{&godns.ANY{Hdr: godns.RR_Header{Name: godns.Fqdn(name), Rrtype: kind}}}
}
