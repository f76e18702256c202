package dns

import (
	"context"
	"errors"
	"fmt"
	"strings"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/pipeline"
)

// records gives what the name's server answers for a type; none for a name that does not exist. A wildcard may have
// made the answer: own tells.
func (w *Worker) records(ctx context.Context, name string, kind uint16) ([]godns.RR, error) {
	s := w.at(name)
	r, err := s.query(ctx, name, kind)
	if err != nil {
		return nil, err
	}
	if r.Rcode != godns.RcodeSuccess && r.Rcode != godns.RcodeNameError {
		return nil, fmt.Errorf("ask %s for %s: %s", s.addr, name, godns.RcodeToString[r.Rcode])
	}
	var out []godns.RR
	for _, rr := range r.Answer {
		if rr.Header().Rrtype == kind && strings.EqualFold(rr.Header().Name, godns.Fqdn(name)) {
			out = append(out, rr)
		}
	}
	return out, nil
}

// errNoZone: the server is not authoritative for any zone above the name.
var errNoZone = errors.New("no zone here")

// zone finds the zone of a name by its SOA: in the answer when the name is the zone's apex, otherwise in the
// authority section of a negative answer.
func (w *Worker) zone(ctx context.Context, name string) (string, error) {
	r, err := w.at(name).query(ctx, name, godns.TypeSOA)
	if err != nil {
		return "", err
	}
	if r.Rcode == godns.RcodeRefused || r.Rcode == godns.RcodeNotAuth || !r.Authoritative {
		return "", errNoZone
	}
	// A name that is an alias gives what it is an alias for, and that one's zone; its own zone is its parent's.
	if len(r.Answer) > 0 && r.Answer[0].Header().Rrtype != godns.TypeSOA {
		if _, parent, ok := strings.Cut(strings.TrimSuffix(name, "."), "."); ok {
			return w.zone(ctx, parent)
		}
		return "", errNoZone
	}
	for _, rr := range append(r.Answer, r.Ns...) {
		if soa, ok := rr.(*godns.SOA); ok && godns.IsSubDomain(soa.Hdr.Name, godns.Fqdn(name)) {
			return soa.Hdr.Name, nil
		}
	}
	return "", errNoZone
}

// noZone makes that error permanent, and leaves others as they are.
func (w *Worker) noZone(name string, err error) error {
	if errors.Is(err, errNoZone) {
		return pipeline.Permanentf("%s has no zone for %s", w.at(name).addr, strings.TrimSuffix(name, "."))
	}
	return err
}
