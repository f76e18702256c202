package esx

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/jarvisops/jarvis/provider"
)

// Calls says how vSphere does what every provider does. A guest reboots itself: VMware Tools may not be there yet.
func (w *Worker) Calls() provider.Calls {
	return provider.Calls{
		Module: "esx", Title: "vCenter", Place: "on " + w.url.Host,
		Settle: 10 * time.Second, MaxTag: 200, MaxUserData: maxUserData,
		Needs:   []string{"guestid?", "boot?"},
		Honours: honours, Options: options, Defaults: w.defaults(), Account: w.cfg.Account,
		Find: w.findMachines, Get: w.get, Plan: w.plan, Create: w.create, Finish: w.finish, Tag: w.tag, DiskAt: diskAt,
		Start: w.power("power the machine on", (*object.VirtualMachine).PowerOn),
		Kill:  w.power("power the machine off", (*object.VirtualMachine).PowerOff),
		Stop: func(ctx context.Context, id string) error {
			vm, err := w.vm(ctx, id)
			if err != nil {
				return err
			}
			return w.say("shut the guest down", vm.ShutdownGuest(ctx))
		},
		Delete: w.remove,
	}
}

// properties of a machine that we read.
var properties = []string{"name", "config.annotation", "config.extraConfig", "config.createDate", "config.template", "config.hardware", "runtime.powerState", "guest", "value"}

// findMachines lists the folder's names first: a folder may hold thousands of machines, and the SearchIndex of
// govmomi's simulator panics while another machine is being cloned.
func (w *Worker) findMachines(ctx context.Context, q provider.Query) ([]provider.Machine, error) {
	p, err := w.find(ctx)
	if err != nil {
		return nil, err
	}
	fail := func(err error) ([]provider.Machine, error) { return nil, w.say("look for the machine", err) }
	pc := property.DefaultCollector(p.client)
	var f mo.Folder
	if err := pc.RetrieveOne(ctx, p.folder.Reference(), []string{"childEntity"}, &f); err != nil {
		return fail(err)
	}
	var refs []types.ManagedObjectReference
	for _, ref := range f.ChildEntity {
		if ref.Type == "VirtualMachine" {
			refs = append(refs, ref)
		}
	}
	if len(refs) == 0 {
		return nil, nil
	}
	var vms []mo.VirtualMachine
	if err := pc.Retrieve(ctx, refs, []string{"name", "config.annotation", "config.extraConfig"}, &vms); err != nil {
		return fail(err)
	}
	var out []provider.Machine
	for _, vm := range vms {
		note := ""
		if vm.Config != nil {
			note = vm.Config.Annotation
		}
		marked := slices.ContainsFunc(append(strings.Fields(note), extraOwner(vm.Config)), func(s string) bool { return s != "" && (s == q.Token || s == q.Owner) })
		if !marked && vm.Name != q.Token && !slices.Contains(q.Names, vm.Name) {
			continue
		}
		m, err := w.get(ctx, vm.Self.Value)
		if errors.Is(err, provider.ErrGone) {
			continue // it went meanwhile
		}
		if err != nil {
			return nil, err
		}
		if m.Owner == "" && q.Token != "" && m.Name == q.Token {
			m.Token = q.Token // also one that `jarvis step --token` chose
		}
		out = append(out, m)
	}
	return out, nil
}

// vm asks nothing: whether there is such a machine, the next call says.
func (w *Worker) vm(ctx context.Context, id string) (*object.VirtualMachine, error) {
	vc, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	return object.NewVirtualMachine(vc, types.ManagedObjectReference{Type: "VirtualMachine", Value: id}), nil
}

func (w *Worker) get(ctx context.Context, id string) (provider.Machine, error) {
	vm, err := w.vm(ctx, id)
	if err != nil {
		return provider.Machine{}, err
	}
	var m mo.VirtualMachine
	err = vm.Properties(ctx, vm.Reference(), properties, &m)
	if fault.Is(err, &types.ManagedObjectNotFound{}) {
		return provider.Machine{}, provider.ErrGone
	}
	if err != nil {
		return provider.Machine{}, w.say("read the machine "+id, err)
	}
	out := provider.Machine{ID: id, Name: m.Name, State: provider.Running, Doing: string(m.Runtime.PowerState)}
	if m.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
		out.State = provider.Stopped // suspended counts as off: it answers nobody
	}
	if out.Tags, err = w.tagsOf(ctx, vm, &m); err != nil {
		return out, err
	}
	if m.Config != nil {
		out.Mark = w.markOf(&m)
		out.Size = provider.Shape(fmt.Sprintf("%d MB", m.Config.Hardware.MemoryMB), int(m.Config.Hardware.NumCPU))
		out.Template = m.Config.Template || w.isTemplate(m.Name)
		if m.Config.CreateDate != nil {
			out.Created = *m.Config.CreateDate
		}
		for _, d := range object.VirtualDeviceList(m.Config.Hardware.Device).SelectByType((*types.VirtualEthernetCard)(nil)) {
			out.MACs = append(out.MACs, d.(types.BaseVirtualEthernetCard).GetVirtualEthernetCard().MacAddress)
		}
	}
	if m.Guest != nil && out.State == provider.Running {
		note := func(s string) {
			a, err := netip.ParseAddr(s)
			switch {
			case err != nil || a.IsLinkLocalUnicast() || a.IsUnspecified():
			case a.Is4() && !out.V4.IsValid():
				out.V4 = a
			case a.Is6() && !out.V6.IsValid():
				out.V6 = a
			}
		}
		for _, ip := range guestAddresses(m.Guest) {
			note(ip)
		}
	}
	return out, nil
}

// guestAddresses lists what the guest says of its addresses, those of the machine's own cards first. A card without a
// device is the guest's own invention (docker0), whose address nobody outside reaches; vSphere may name it all the same
// as the guest's ipAddress.
func guestAddresses(g *types.GuestInfo) []string {
	var own, invented []string
	for _, nic := range g.Net {
		if nic.DeviceConfigId > 0 {
			own = append(own, nic.IpAddress...)
		} else {
			invented = append(invented, nic.IpAddress...)
		}
	}
	switch {
	case slices.Contains(own, g.IpAddress):
		return append([]string{g.IpAddress}, own...)
	case len(own) > 0 || slices.Contains(invented, g.IpAddress):
		return own
	}
	return []string{g.IpAddress} // the tools tell of no cards (yet)
}

// Where a machine's marks are, and for which machine they were written. A clone has the settings and the notes of what
// it was cloned from, but an id of its own: to it they mean nothing.
const (
	keyToken   = "jarvis.token"
	keyOwner   = "jarvis.owner"
	keyMachine = "jarvis.machine"
)

// extraOwner gives the owner in a machine's settings, whoever they were written for.
func extraOwner(c *types.VirtualMachineConfigInfo) string {
	if c == nil {
		return ""
	}
	for _, o := range c.ExtraConfig {
		if kv := o.GetOptionValue(); kv.Key == keyOwner {
			owner, _ := kv.Value.(string)
			return owner
		}
	}
	return ""
}

// markOf counts a mark only beside the machine's own id: a clone has what its template carries.
func (w *Worker) markOf(m *mo.VirtualMachine) provider.Mark {
	have := map[string]string{}
	for _, o := range m.Config.ExtraConfig {
		kv := o.GetOptionValue()
		have[kv.Key], _ = kv.Value.(string)
	}
	switch {
	case have[keyMachine] == m.Self.Value:
		return provider.Mark{Token: have[keyToken], Owner: have[keyOwner]}
	case provider.IsToken(m.Name): // it was just made, and has no marks of its own yet
		return provider.Mark{Token: m.Name}
	}
	return provider.Mark{Token: tokenIn(m.Config.Annotation)} // as earlier versions noted it
}

// tag writes our settings into a machine, for itself, or empties them.
func (w *Worker) tag(ctx context.Context, id string, mark provider.Mark) error {
	vm, err := w.vm(ctx, id)
	if err != nil {
		return err
	}
	machine := id
	if mark == (provider.Mark{}) {
		machine = ""
	}
	task, err := vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{ExtraConfig: []types.BaseOptionValue{
		&types.OptionValue{Key: keyToken, Value: mark.Token},
		&types.OptionValue{Key: keyOwner, Value: mark.Owner},
		&types.OptionValue{Key: keyMachine, Value: machine},
	}})
	if err == nil {
		err = task.Wait(ctx)
	}
	return w.say("note in the machine whose it is", err)
}

// isTemplate reports whether the name is that of a configured template, which may be given with its folder.
func (w *Worker) isTemplate(name string) bool {
	is := func(t string) bool { return t != "" && path.Base(t) == name }
	for _, t := range w.cfg.Templates {
		if is(t) {
			return true
		}
	}
	return is(w.cfg.Template)
}

// tokenIn finds the run's token in a machine's notes.
func tokenIn(note string) string {
	for _, word := range strings.Fields(note) {
		if provider.IsToken(word) {
			return word
		}
	}
	return ""
}

// power gives a call that waits for a power task; being in that state already is fine.
func (w *Worker) power(what string, f func(*object.VirtualMachine, context.Context) (*object.Task, error)) func(context.Context, string) error {
	return func(ctx context.Context, id string) error {
		vm, err := w.vm(ctx, id)
		if err != nil {
			return err
		}
		task, err := f(vm, ctx)
		if err == nil {
			err = task.Wait(ctx)
		}
		switch {
		case fault.Is(err, &types.InvalidPowerState{}):
			return nil
		case fault.Is(err, &types.ManagedObjectNotFound{}):
			return provider.ErrGone
		}
		return w.say(what, err)
	}
}

// remove powers a machine off and deletes it with its disks.
func (w *Worker) remove(ctx context.Context, id string) error {
	if err := w.power("power the machine off", (*object.VirtualMachine).PowerOff)(ctx, id); err != nil {
		return err
	}
	vm, err := w.vm(ctx, id)
	if err != nil {
		return err
	}
	task, err := vm.Destroy(ctx)
	if err == nil {
		err = task.Wait(ctx)
	}
	if fault.Is(err, &types.ManagedObjectNotFound{}) {
		return provider.ErrGone
	}
	return w.say("delete the machine", err)
}
