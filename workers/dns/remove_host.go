package dns

import (
	"context"
	"fmt"
	"slices"
	"time"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// removeHost is for hosts that are destroyed.
func (w *Worker) removeHost() pipeline.Step {
	return pipeline.Step{
		Name:    "dns:remove_host",
		Doc:     "removes the host's A, AAAA, SSHFP and PTR records; addresses that no run of the host wrote stay",
		Needs:   []string{"hostname", "fqdn", "ipaddress?", "ip6address?", "dns_written?"},
		Timeout: 5 * time.Minute,
		Resume:  pipeline.Again,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			in, err := c.Instance()
			if err != nil {
				return pipeline.Permanent(err)
			}
			zone, err := w.zone(ctx, in.FQDN)
			if err != nil {
				return w.noZone(in.FQDN, err)
			}
			return settle(func() error { return w.remove(ctx, c, zone, in.FQDN) })
		},
	}
}

func (w *Worker) remove(ctx context.Context, c *clipboard.Clipboard, zone, fqdn string) error {
	have, err := w.standing(ctx, fqdn)
	if err != nil {
		return err
	}
	ours, _, err := w.ours(ctx, c, "ipaddress", "ip6address")
	if err != nil {
		return err
	}
	there := addresses(have)
	others := without(there, ours)
	mine := without(there, others)
	switch {
	case len(there)+len(have[godns.TypeSSHFP]) == 0:
		pipeline.Progress(ctx, "nothing to do: "+fqdn+" has no records")
		return nil
	case len(others) > 0 && len(mine) == 0:
		pipeline.Progress(ctx, fmt.Sprintf("nothing to do: %s is %s in DNS, and no run of this host wrote that: left as it is", fqdn, words(others)))
		return nil
	}
	// The pointers first: without the addresses a repeat would not know where they are.
	for _, a := range mine {
		if err := w.dropPTR(ctx, a, fqdn); err != nil {
			return err
		}
	}
	rest := map[uint16][]godns.RR{}
	if len(others) > 0 {
		rest[godns.TypeSSHFP] = have[godns.TypeSSHFP] // whose it is, nobody can tell
		for _, t := range []uint16{godns.TypeA, godns.TypeAAAA} {
			rest[t] = slices.DeleteFunc(slices.Clone(have[t]), func(rr godns.RR) bool { return contains(mine, addrOf(rr)) })
		}
	}
	if err := w.replace(ctx, zone, fqdn, have, rest); err != nil {
		return err
	}
	said := "removed the records of " + fqdn
	if len(others) > 0 {
		said += "; " + words(others) + ", which no run of this host wrote, is left as it is"
	}
	pipeline.Progress(ctx, said)
	return nil
}
