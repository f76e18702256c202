package esx

import (
	"context"
	"net/netip"
	"time"

	"github.com/vmware/govmomi/vim25/mo"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// getPubIP is stage 8: the address that VMware Tools report.
func (w *Worker) getPubIP() pipeline.Step {
	return pipeline.Step{
		Name:    "esx:get_pub_ip",
		Doc:     "waits for the machine's address",
		Needs:   []string{"provider_id", "hostname"},
		Gives:   []string{"ipaddress", "ip6address"},
		Timeout: 15 * time.Minute,
		Resume:  pipeline.Again,
		Plan: func(context.Context, *clipboard.Clipboard) (string, error) {
			return "would wait until VMware Tools report an address", nil
		},
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			vm, err := w.machine(ctx, c)
			if err != nil {
				return err
			}
			if vm == nil {
				return pipeline.Permanentf("the machine %s is gone", c.Get("provider_id"))
			}
			var m mo.VirtualMachine
			if err := vm.Properties(ctx, vm.Reference(), []string{"guest"}, &m); err != nil {
				return w.say("read the machine's address", err)
			}
			var v4, v6 netip.Addr
			note := func(s string) {
				a, err := netip.ParseAddr(s)
				if err != nil || a.IsLinkLocalUnicast() || a.IsUnspecified() {
					return
				}
				if a.Is4() && !v4.IsValid() {
					v4 = a
				}
				if a.Is6() && !v6.IsValid() {
					v6 = a
				}
			}
			if m.Guest != nil {
				note(m.Guest.IpAddress)
				for _, nic := range m.Guest.Net {
					for _, ip := range nic.IpAddress {
						note(ip)
					}
				}
			}
			if !v4.IsValid() && !v6.IsValid() {
				return pipeline.Wait(min(max(pipeline.FactsOf(ctx).Waited/8, 300*time.Millisecond), 15*time.Second), "no address yet (VMware Tools report none)")
			}
			if v6.IsValid() {
				if err := c.Set("ip6address", v6.String()); err != nil {
					return err
				}
			}
			if !v4.IsValid() {
				v4 = v6
			}
			pipeline.Progress(ctx, v4.String())
			return c.Set("ipaddress", v4.String())
		},
	}
}
