package dns

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	godns "github.com/miekg/dns"
)

// Probe asks a signed question of the server of each zone that is configured, and of the one for all others, and
// changes nothing. Zones gives their names; "" is the one for all others.
func (w *Worker) Probe(ctx context.Context, zone string) (string, error) {
	s, name := w.rest, "."
	if zone != "" {
		s, name = w.at(zone), zone
	}
	m := new(godns.Msg)
	m.SetQuestion(godns.Fqdn(name), godns.TypeSOA)
	m.RecursionDesired = false
	r, err := s.exchange(ctx, m)
	if err != nil {
		return "", err
	}
	if zone != "" && (r.Rcode != godns.RcodeSuccess || !r.Authoritative) {
		return "", fmt.Errorf("%s does not serve the zone %s (%s)", s.addr, strings.TrimSuffix(zone, "."), godns.RcodeToString[r.Rcode])
	}
	said := s.addr + " answers"
	if s.key != "" {
		said += ", and knows the " + s.as()
	}
	return said, nil
}

// Zones lists the zones that are configured.
func (w *Worker) Zones() []string { return slices.Sorted(maps.Keys(w.zones)) }
