package all

import (
	"context"
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/provider"
)

// Probe is a try of one thing that the configuration names. It reads, and changes nothing.
type Probe struct {
	Key string // of the configuration
	Do  func(context.Context) (string, error)
}

// Probes lists what can be tried.
func (s *Set) Probes() []Probe {
	out := s.probes
	for _, c := range s.Machines {
		key := "workers." + c.Module
		if c.Account != "" {
			key += " (" + c.Account + ")"
		}
		out = append(out, Probe{key, func(ctx context.Context) (string, error) {
			list, err := c.Find(ctx, provider.Query{Names: []string{"jarvis-check.invalid"}})
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%s answers, and shows machines (%d of ours by the name it was asked for)", c.Title, len(list)), nil
		}})
	}
	return out
}

// asks adds what is tried of a worker.
func (s *Set) asks(key string, do func(context.Context) (string, error)) {
	s.probes = append(s.probes, Probe{key, do})
}

// dnsKey is where jarvis.yaml names a zone's server; "" is the zone of all others.
func dnsKey(zone string) string {
	if zone == "" {
		return "workers.dns"
	}
	return "workers.dns.zones." + strings.TrimSuffix(zone, ".")
}
