package dns

import (
	"context"
	"net/netip"
	"time"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// removeHost is for hosts that are destroyed.
func (w *Worker) removeHost() pipeline.Step {
	return pipeline.Step{
		Name:    "dns:remove_host",
		Doc:     "removes the host's A, AAAA, SSHFP and PTR records",
		Needs:   []string{"hostname", "fqdn"},
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
			var addrs []netip.Addr
			found := false
			kinds := []uint16{godns.TypeA, godns.TypeAAAA, godns.TypeSSHFP}
			for _, kind := range kinds {
				rrs, err := w.records(ctx, in.FQDN, kind)
				if err != nil {
					return err
				}
				found = found || len(rrs) > 0
				for _, rr := range rrs {
					if a := addrOf(rr); a.IsValid() {
						addrs = append(addrs, a)
					}
				}
			}
			if !found {
				pipeline.Progress(ctx, "nothing to do: "+in.FQDN+" has no records")
				return nil
			}
			// The pointers first: without the addresses a repeat would not know where they are.
			for _, a := range addrs {
				if err := w.dropPTR(ctx, a, in.FQDN); err != nil {
					return err
				}
			}
			err = w.update(ctx, zone, func(m *godns.Msg) {
				for _, kind := range kinds {
					m.RemoveRRset([]godns.RR{&godns.ANY{Hdr: godns.RR_Header{Name: godns.Fqdn(in.FQDN), Rrtype: kind}}})
				}
			})
			if err == nil {
				pipeline.Progress(ctx, "removed the records of "+in.FQDN)
			}
			return err
		},
	}
}
