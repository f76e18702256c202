package provider

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// orderly is how long a guest may take to shut down before its plug is pulled.
const orderly = 2 * time.Minute

// getPubIP waits for the address by which the host is to be known. A machine that was made a moment ago may not be
// shown yet.
func (p Calls) getPubIP() pipeline.Step {
	return pipeline.Step{
		Name:    p.Module + ":get_pub_ip",
		Doc:     "waits for the machine's address, and notes the port of its SSH where the provider chose that",
		Needs:   []string{"provider_id", "provider_asked?", "hostname", "network?"},
		Gives:   []string{"ipaddress", "ip6address", "ssh_port"},
		Timeout: 15 * time.Minute,
		Resume:  pipeline.Again,
		Drift:   p.driftAddress,
		Plan: func(context.Context, *clipboard.Clipboard) (string, error) {
			return "would wait until " + p.Title + " tells the machine's address", nil
		},
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			m, err := p.byID(ctx, c, c.Get("provider_id"))
			_, fresh := p.asked(c)
			switch {
			case errors.Is(err, ErrGone) && fresh:
				return pipeline.Wait(Pause(ctx), fmt.Sprintf("%s does not show %s yet", p.Title, c.Get("provider_id")))
			case errors.Is(err, ErrGone):
				return pipeline.Permanentf("the machine %s is gone", c.Get("provider_id"))
			case err != nil:
				return err
			case m.State == Gone, m.State == Deleting, m.State == Begun:
				return pipeline.Permanentf("the machine %s is gone: %s", m.ID, m.Doing)
			}
			s, err := p.Spec(c)
			if err != nil {
				return err
			}
			if s.wantsIP6() && !m.V6.IsValid() {
				return pipeline.Wait(Pause(ctx), "no IPv6 address yet (the machine is "+m.Doing+")")
			}
			addr := s.address(*m)
			if !addr.IsValid() {
				return pipeline.Wait(Pause(ctx), "no address yet (the machine is "+m.Doing+")")
			}
			port := ""
			if m.Port > 0 {
				port = strconv.Itoa(m.Port)
			}
			if c.Get("ssh_port") == port && c.Get("ipaddress") == addr.String() && (!m.V6.IsValid() || c.Get("ip6address") == m.V6.String()) {
				pipeline.Progress(ctx, "nothing to do: it is "+addr.String())
				return nil
			}
			if m.V6.IsValid() {
				if err := c.Set("ip6address", m.V6.String()); err != nil {
					return err
				}
			}
			if port == "" {
				pipeline.Progress(ctx, addr.String())
				return errors.Join(c.Delete("ssh_port"), c.Set("ipaddress", addr.String()))
			}
			pipeline.Progress(ctx, addr.String()+", SSH on port "+port)
			return errors.Join(c.Set("ssh_port", port), c.Set("ipaddress", addr.String()))
		},
	}
}

// startup powers the machine on.
func (p Calls) startup() pipeline.Step {
	return pipeline.Step{
		Name:    p.Module + ":startup",
		Doc:     "powers the machine on",
		Needs:   []string{"hostname", "provider_id?", "provider_asked?", "powering_on?"},
		Gives:   []string{"powering_on"},
		Timeout: 10 * time.Minute,
		Resume:  pipeline.Again,
		Plan:    p.plan("power on"),
		Drift:   p.driftStartup,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			m, err := p.Machine(ctx, c)
			if err != nil {
				return err
			}
			switch m.State {
			case Running:
				if c.Get("powering_on") == m.ID {
					pipeline.Progress(ctx, m.ID+" is on")
				} else {
					pipeline.Progress(ctx, "nothing to do: it is on")
				}
				return c.Delete("powering_on")
			case Stopped:
				if err := keep(ctx, c, "powering_on", m.ID); err != nil {
					return err
				}
				if err := p.Start(ctx, m.ID); err != nil {
					return err
				}
			}
			return pipeline.Wait(Pause(ctx), "the machine is "+m.Doing)
		},
	}
}

// shutdown asks the guest to shut down, and pulls the plug when that takes longer than orderly.
func (p Calls) shutdown() pipeline.Step {
	return pipeline.Step{
		Name:    p.Module + ":shutdown",
		Doc:     "shuts the machine down, and powers it off when it does not within two minutes",
		Needs:   []string{"hostname", "provider_id?", "provider_asked?", "powering_off?", "powered_off?"},
		Gives:   []string{"powering_off", "powered_off"},
		Timeout: 10 * time.Minute,
		Resume:  pipeline.Again,
		Plan:    p.plan("shut down"),
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			m, err := p.machine(ctx, c)
			if err != nil {
				return err
			}
			if m == nil || m.State == Gone || m.State == Begun {
				said := "nothing to do: there is no such machine"
				if id := c.Get("powering_off"); id != "" { // what was taken out of the provider's list while it ran goes with its power
					said = id + " is off, and gone"
				}
				pipeline.Progress(ctx, said)
				return nil
			}
			if m.State == Stopped {
				if c.Get("powering_off") != m.ID {
					pipeline.Progress(ctx, "nothing to do: it is off")
					return nil
				}
				pipeline.Progress(ctx, m.ID+" is off")
				return errors.Join(c.Set("powered_off", m.ID), c.Delete("powering_off"))
			}
			if c.Get("powering_off") != m.ID {
				// On record before it happens: an undo powers on what we powered off, and nothing else.
				if err := keep(ctx, c, "powering_off", m.ID); err != nil {
					return err
				}
			}
			waited := pipeline.FactsOf(ctx).Waited
			switch {
			case waited >= orderly:
			case m.State == Stopping:
				return pipeline.Wait(Pause(ctx), "the guest is shutting down")
			case m.State == Pending: // it is on its way up, and takes no word until it is there
				return pipeline.Wait(Pause(ctx), "the machine is "+m.Doing)
			default:
				// A guest that cannot be asked (no tools in it) is not waited for.
				if err := p.Stop(ctx, m.ID); err == nil {
					return pipeline.Wait(Pause(ctx), "the guest is shutting down")
				} else if _, _, slow := pipeline.AsWait(err); slow {
					return err
				}
			}
			if err := p.Kill(ctx, m.ID); err != nil && !errors.Is(err, ErrGone) {
				return err
			}
			return pipeline.Wait(Pause(ctx), "the machine is being powered off")
		},
		Undo: func(ctx context.Context, c *clipboard.Clipboard) error {
			id := c.Get("powered_off")
			if id == "" {
				id = c.Get("powering_off")
			}
			if id == "" {
				return nil
			}
			done := func() error { return errors.Join(c.Delete("powered_off"), c.Delete("powering_off")) }
			m, err := p.byID(ctx, c, id)
			switch {
			case errors.Is(err, ErrGone), err == nil && (m.State == Gone || m.State == Deleting || m.State == Begun):
				if err := done(); err != nil {
					return err
				}
				return pipeline.Stays("the machine " + id + " is off, for it is gone")
			case err != nil:
				return err
			case m.State == Running:
				pipeline.Progress(ctx, id+" is on again")
				return done()
			case m.State == Stopped:
				if err := p.Start(ctx, id); err != nil {
					return err
				}
			}
			return pipeline.Wait(Pause(ctx), "powering "+id+" on again")
		},
	}
}

// destroy keeps the machine's id on record before it deletes: once the provider shows nothing, only that tells what is
// gone.
func (p Calls) destroy() pipeline.Step {
	return pipeline.Step{
		Name:    p.Module + ":destroy",
		Doc:     "deletes the machine and its disks",
		Needs:   []string{"hostname", "provider_id?", "provider_asked?", "destroying?", "destroyed?"},
		Gives:   []string{"destroying", "destroyed", "provider_account"},
		Timeout: 15 * time.Minute,
		Resume:  pipeline.Again,
		Plan:    p.plan("delete"),
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			m, err := p.machine(ctx, c)
			if err != nil {
				return err
			}
			if m == nil {
				id := c.Get("destroying")
				if id == "" {
					pipeline.Progress(ctx, "nothing to do: there is no such machine")
					return errors.Join(c.Delete("provider_id"), c.Delete("provider_asked"))
				}
				pipeline.Progress(ctx, "deleted "+id)
				return errors.Join(c.Set("destroyed", id), c.Delete("destroying"), c.Delete("provider_id"), c.Delete("provider_asked"))
			}
			if m.State != Deleting {
				if p.Account != "" { // what comes after it in a redeploy is made where this one was
					if err := c.Set("provider_account", p.Account); err != nil {
						return err
					}
				}
				if err := keep(ctx, c, "destroying", m.ID); err != nil {
					return err
				}
				if err := p.Delete(ctx, m.ID); err != nil && !errors.Is(err, ErrGone) {
					return err
				}
				// Whatever is not shown from now on is gone.
				if err := c.Delete("provider_asked"); err != nil {
					return err
				}
				if err := pipeline.Keep(ctx, c); err != nil {
					return err
				}
			}
			return pipeline.Wait(min(Pause(ctx), 5*time.Second), "the machine "+m.ID+" is being deleted")
		},
		Undo: func(_ context.Context, c *clipboard.Clipboard) error {
			id := c.Get("destroyed")
			if id == "" {
				id = c.Get("destroying")
			}
			if id != "" {
				return pipeline.Stays("the machine " + id + " is deleted for good")
			}
			return nil
		},
	}
}

// setKernel has the boot id on record before it reboots: another one means, to a later try too, that it is over.
func (p Calls) setKernel(h Host) pipeline.Step {
	return pipeline.Step{
		Name:    p.Module + ":set_kernel",
		Doc:     "has the machine boot its own, newest kernel: sets it at the provider, reboots when that is needed, waits",
		Needs:   []string{"hostname", "provider_id?", "provider_asked?", "ipaddress", "hostkeys", "login?", "ssh_port?", "reboot_needed?", "reboot_from?", "reboot_asked?"},
		Gives:   []string{"reboot_needed", "reboot_from", "reboot_asked"},
		Timeout: 20 * time.Minute,
		Resume:  pipeline.Probe,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			if c.Get("reboot_from") == "" {
				m, err := p.Machine(ctx, c)
				if err != nil {
					return err
				}
				if err := p.setOwnKernel(ctx, c, m.ID); err != nil {
					return err
				}
				if c.Get("reboot_needed") != "yes" {
					pipeline.Progress(ctx, "nothing to do: it runs its own, newest kernel")
					return nil
				}
				id, err := h.BootID(ctx, c)
				if err != nil {
					return err
				}
				// On record before the reboot: from now on another boot id means that it is over.
				if err := keep(ctx, c, "reboot_from", id); err != nil {
					return err
				}
			}
			now, err := h.BootID(ctx, c)
			if err != nil {
				return err
			}
			if now != c.Get("reboot_from") {
				pipeline.Progress(ctx, "rebooted")
				return errors.Join(c.Delete("reboot_from"), c.Delete("reboot_needed"), c.Delete("reboot_asked"))
			}
			// Asked once a minute at most: a second reboot would hit the steps after this one.
			if t, err := time.Parse(time.RFC3339, c.Get("reboot_asked")); err == nil && time.Since(t) < time.Minute {
				return pipeline.Wait(max(Pause(ctx), 500*time.Millisecond), "the host is rebooting")
			}
			if err := keep(ctx, c, "reboot_asked", time.Now().UTC().Format(time.RFC3339)); err != nil {
				return err
			}
			if p.Reboot == nil {
				err = h.Reboot(ctx, c)
			} else {
				var m *Machine
				if m, err = p.Machine(ctx, c); err == nil {
					err = p.Reboot(ctx, m.ID)
				}
			}
			if err != nil {
				return err
			}
			return pipeline.Wait(500*time.Millisecond, "the host is rebooting")
		},
	}
}

// setOwnKernel sets the kernel at the provider; that a reboot is due is on record before.
func (p Calls) setOwnKernel(ctx context.Context, c *clipboard.Clipboard, id string) error {
	if p.Kernel == nil {
		return nil
	}
	due, err := p.Kernel(ctx, id, false)
	if err != nil || !due {
		return err
	}
	if err := keep(ctx, c, "reboot_needed", "yes"); err != nil {
		return err
	}
	_, err = p.Kernel(ctx, id, true)
	return err
}

// keep sets a key and stores the clipboard now.
func keep(ctx context.Context, c *clipboard.Clipboard, key, value string) error {
	if err := c.Set(key, value); err != nil {
		return err
	}
	return pipeline.Keep(ctx, c)
}
