package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/jarvisops/jarvis/provider"
)

// Calls says how libvirt does what every provider does. A machine boots its own kernel, by its own boot loader, and
// reboots itself.
func (w *Worker) Calls() provider.Calls {
	return provider.Calls{
		Module: "libvirt", Title: "libvirt", Place: "at " + w.host,
		Settle:  10 * time.Second,
		Needs:   []string{"guestid?"},
		Honours: honours, Defaults: w.cfg.Defaults, Account: w.cfg.Account,
		Find: w.find, Get: w.get, Plan: w.plan, Create: w.create, Finish: w.finish, Tag: w.tag, DiskAt: diskAt,
		Start: w.start, Stop: w.stop, Kill: w.kill, Delete: w.remove,
	}
}

// find also gives a machine that is only begun: its volumes are there, and its run died before the domain was.
func (w *Worker) find(ctx context.Context, q provider.Query) ([]provider.Machine, error) {
	var out []provider.Machine
	err := w.on(ctx, "look for the machine", func(l *golibvirt.Libvirt) error {
		list, _, err := l.ConnectListAllDomains(1, 0)
		if err != nil {
			return err
		}
		defined := false
		for _, dom := range list {
			defined = defined || q.Token != "" && dom.UUID == uuidOf(q.Token)
			m, err := machine(l, dom)
			if errors.Is(err, provider.ErrGone) {
				continue // it went meanwhile
			}
			if err != nil {
				return err
			}
			if q.Token != "" && m.Token == q.Token || q.Owner != "" && m.Owner == q.Owner || slices.Contains(q.Names, m.Name) {
				out = append(out, m)
			}
		}
		if q.Token == "" || defined {
			return nil
		}
		volumes, err := w.ours(l, w.cfg.Pool)
		if len(volumes[q.Token]) > 0 {
			out = append(out, begun(q.Token))
		}
		return err
	})
	return out, err
}

// begun is a machine of which only volumes are there: an earlier try came no further, or somebody undefined it since.
func begun(token string) provider.Machine {
	return provider.Machine{ID: text(uuidOf(token)), Mark: provider.Mark{Token: token}, State: provider.Begun, Doing: "not there, but for its disks"}
}

func (w *Worker) get(ctx context.Context, id string) (provider.Machine, error) {
	var out provider.Machine
	err := w.on(ctx, "read the machine "+id, func(l *golibvirt.Libvirt) error {
		u, err := uuid(id)
		if err != nil {
			return provider.ErrGone
		}
		dom, err := l.DomainLookupByUUID(u)
		if err == nil {
			if out, err = machine(l, dom); err != nil {
				return err
			}
			w.addresses(l, dom, &out)
			return nil
		}
		if !no(err, golibvirt.ErrNoDomain) {
			return err
		}
		volumes, err := w.ours(l, w.cfg.Pool)
		for token := range volumes {
			if text(uuidOf(token)) == id {
				out = begun(token)
				return nil
			}
		}
		if err != nil {
			return err
		}
		return provider.ErrGone
	})
	return out, err
}

// states of a domain. One that is paused answers nobody, and counts as off; Start goes on with it.
var states = map[golibvirt.DomainState]struct {
	state provider.State
	word  string
}{
	golibvirt.DomainNostate: {provider.Pending, "in no state"}, golibvirt.DomainRunning: {provider.Running, "running"}, golibvirt.DomainBlocked: {provider.Running, "running"},
	golibvirt.DomainPaused: {provider.Stopped, "paused"}, golibvirt.DomainShutdown: {provider.Stopping, "shutting down"}, golibvirt.DomainShutoff: {provider.Stopped, "off"},
	golibvirt.DomainCrashed: {provider.Stopped, "crashed"}, golibvirt.DomainPmsuspended: {provider.Stopped, "suspended by its guest"},
}

// machine reads what libvirt tells of a domain.
func machine(l *golibvirt.Libvirt, dom golibvirt.Domain) (provider.Machine, error) {
	d, err := describe(l, dom)
	if err == nil {
		var state, kept int32
		if state, _, err = l.DomainGetState(dom, 0); err == nil {
			kept, err = l.DomainIsPersistent(dom)
		}
		if err == nil {
			m := machineOf(d, golibvirt.DomainState(state))
			if kept == 0 {
				m.Loose = "undefined, and gone once it stops"
			}
			return m, nil
		}
	}
	if no(err, golibvirt.ErrNoDomain) {
		err = provider.ErrGone
	}
	return provider.Machine{}, err
}

func machineOf(d *libvirtxml.Domain, state golibvirt.DomainState) provider.Machine {
	m := provider.Machine{ID: d.UUID, Name: d.Name, State: states[state].state, Doing: states[state].word}
	if d.Metadata != nil {
		markOf(d.Metadata.XML, d.UUID).into(&m)
	}
	if d.Memory != nil && d.VCPU != nil {
		m.Size = provider.Shape(fmt.Sprintf("%d MB", mebibytes(d.Memory)), int(d.VCPU.Value))
	}
	if d.Devices != nil {
		for _, card := range d.Devices.Interfaces {
			if card.MAC != nil {
				m.MACs = append(m.MACs, card.MAC.Address)
			}
		}
	}
	return m
}

// mebibytes reads an amount of memory, which libvirt always tells in KiB.
func mebibytes(m *libvirtxml.DomainMemory) uint { return m.Value >> 10 }

// addresses adds a running machine's addresses: that of its forward, or else what the network's DHCP, the guest's agent
// or the hypervisor's ARP table tells of its own cards.
func (w *Worker) addresses(l *golibvirt.Libvirt, dom golibvirt.Domain, m *provider.Machine) {
	if m.State != provider.Running {
		return
	}
	d, err := describe(l, dom)
	if err != nil {
		return // it went meanwhile; the next look tells
	}
	if list := forwards(d); len(list) > 0 {
		m.V4, m.Port = list[0].Addr(), int(list[0].Port())
		return
	}
	for _, source := range []golibvirt.DomainInterfaceAddressesSource{golibvirt.DomainInterfaceAddressesSrcLease, golibvirt.DomainInterfaceAddressesSrcAgent, golibvirt.DomainInterfaceAddressesSrcArp} {
		cards, err := l.DomainInterfaceAddresses(dom, uint32(source), 0)
		if err != nil {
			continue // no agent (yet), or no network of libvirt's own
		}
		note(m, cards)
		if m.V4.IsValid() || m.V6.IsValid() {
			return
		}
	}
	m.Doing += ", and tells no address: its network gives none, and its guest agent does not answer"
}

// note takes the addresses of the machine's own cards: what the guest invented itself (docker0) nobody outside reaches.
func note(m *provider.Machine, cards []golibvirt.DomainInterface) {
	for _, card := range cards {
		if len(card.Hwaddr) == 0 || !slices.Contains(m.MACs, card.Hwaddr[0]) {
			continue
		}
		for _, said := range card.Addrs {
			a, err := netip.ParseAddr(said.Addr)
			switch {
			case err != nil || a.IsLinkLocalUnicast() || a.IsUnspecified():
			case a.Is4() && !m.V4.IsValid():
				m.V4 = a
			case a.Is6() && !m.V6.IsValid():
				m.V6 = a
			}
		}
	}
}

// with looks a domain up and does something with it.
func (w *Worker) with(ctx context.Context, what, id string, f func(*golibvirt.Libvirt, golibvirt.Domain) error) error {
	return w.on(ctx, what, func(l *golibvirt.Libvirt) error {
		u, err := uuid(id)
		if err != nil {
			return provider.ErrGone
		}
		dom, err := l.DomainLookupByUUID(u)
		if err != nil {
			return err
		}
		return f(l, dom)
	})
}

// in reports whether a domain is in one of the states.
func in(l *golibvirt.Libvirt, dom golibvirt.Domain, want ...golibvirt.DomainState) bool {
	s, _, err := l.DomainGetState(dom, 0)
	return err == nil && slices.Contains(want, golibvirt.DomainState(s))
}

func (w *Worker) start(ctx context.Context, id string) error {
	return w.with(ctx, "power the machine on", id, power)
}

// power gives no error for a machine that runs already.
func power(l *golibvirt.Libvirt, dom golibvirt.Domain) error {
	if in(l, dom, golibvirt.DomainPaused) {
		return l.DomainResume(dom)
	}
	err := l.DomainCreate(dom)
	if err != nil && in(l, dom, golibvirt.DomainRunning, golibvirt.DomainBlocked) {
		return nil
	}
	return err
}

func (w *Worker) stop(ctx context.Context, id string) error {
	return w.with(ctx, "shut the guest down", id, func(l *golibvirt.Libvirt, dom golibvirt.Domain) error { return l.DomainShutdown(dom) })
}

func (w *Worker) kill(ctx context.Context, id string) error {
	return w.with(ctx, "power the machine off", id, destroy)
}

// destroy gives no error for a machine that is off already.
func destroy(l *golibvirt.Libvirt, dom golibvirt.Domain) error {
	err := l.DomainDestroy(dom)
	if err != nil && in(l, dom, golibvirt.DomainShutoff, golibvirt.DomainCrashed) {
		return nil
	}
	return err
}

// remove powers a machine off and deletes it with the volumes that carry its token. The domain, which has the marks,
// goes last: whatever stops us before, the next try knows what is the machine's.
func (w *Worker) remove(ctx context.Context, id string) error {
	err := w.with(ctx, "delete the machine", id, func(l *golibvirt.Libvirt, dom golibvirt.Domain) error {
		d, err := describe(l, dom)
		if err != nil {
			return err
		}
		kept, err := l.DomainIsPersistent(dom)
		if err != nil {
			return err
		}
		if err := destroy(l, dom); err != nil && (kept != 0 || !no(err, golibvirt.ErrNoDomain)) {
			return err
		}
		if d.Metadata != nil {
			if m := markOf(d.Metadata.XML, d.UUID); m.volumes() != "" {
				if err := w.removeVolumes(l, m.Pool, m.volumes()); err != nil {
					return err
				}
			}
		}
		if kept == 0 {
			return nil // it went with its power
		}
		return l.DomainUndefineFlags(dom, golibvirt.DomainUndefineManagedSave|golibvirt.DomainUndefineSnapshotsMetadata|golibvirt.DomainUndefineNvram|golibvirt.DomainUndefineCheckpointsMetadata)
	})
	if !errors.Is(err, provider.ErrGone) {
		return err
	}
	return w.removeBegun(ctx, id)
}

// removeBegun removes the volumes of a machine that came no further. provider.ErrGone when there are none.
func (w *Worker) removeBegun(ctx context.Context, id string) error {
	return w.on(ctx, "delete the machine's disks", func(l *golibvirt.Libvirt) error {
		volumes, err := w.ours(l, w.cfg.Pool)
		if err != nil {
			return err
		}
		for token := range volumes {
			if text(uuidOf(token)) == id {
				return w.removeVolumes(l, w.cfg.Pool, token)
			}
		}
		return provider.ErrGone
	})
}
