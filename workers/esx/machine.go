package esx

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// honours is what of provider.Paths vSphere can do.
var honours = []string{"guestid", "size", "size.cpus", "disk", "disks", "disks.mount", "network.portgroup", "network.address", "network.gateway", "network.nameservers", "tags", "user_data", "login"}

// options are vSphere's own words.
var options = []provider.Option{
	{Name: "pool", Doc: "resource pool, or a cluster, whose own pool it then is"},
	{Name: "datastore", Doc: "datastore, or a datastore cluster, of which the one with most room is taken"},
	{Name: "linked", Doc: "a linked clone: fast, but bound to the template's snapshot", Values: []string{"true", "false"}},
}

// origin is the template that a machine is cloned from.
type origin struct {
	vm       *object.VirtualMachine
	name     string
	root     *types.VirtualDisk // its first disk; nil when it has none
	snapshot *types.ManagedObjectReference
	linked   bool
}

// origin finds the template and makes sure that the machine can be made of it: everything that a clone would find out
// late is found out here.
func (w *Worker) origin(ctx context.Context, p *place, s provider.Spec) (origin, error) {
	var o origin
	if p.client.ServiceContent.About.ApiType == "HostAgent" {
		return o, pipeline.Permanentf("%s is an ESXi host of its own, which cannot clone; give workers.esx.url a vCenter, or let the machine boot from the network (boot: network)", w.url.Host)
	}
	if err := fixed(s.Network); err != nil {
		return o, err
	}
	for i, d := range s.Disks {
		if d.Mount != "" && i >= maxMounted {
			return o, pipeline.Permanentf("disks: on vSphere only the first %d can have a mount", maxMounted)
		}
	}
	var err error
	if o.vm, o.name, err = w.template(ctx, p, s.Guest); err != nil {
		return o, err
	}
	var m mo.VirtualMachine
	if err := o.vm.Properties(ctx, o.vm.Reference(), []string{"config.hardware.device", "summary.storage", "snapshot"}, &m); err != nil {
		return o, w.say("read the template", err)
	}
	var need int64
	if m.Summary.Storage != nil {
		need = m.Summary.Storage.Committed
	}
	if m.Config != nil {
		devices := object.VirtualDeviceList(m.Config.Hardware.Device)
		o.root = rootDisk(devices)
		if err := checkLimits(s, len(devices.SelectByType((*types.VirtualDisk)(nil)))); err != nil {
			return o, err
		}
		if err := checkDevices(devices, o.name, o.root, s); err != nil {
			return o, err
		}
	}
	switch {
	case s.Disk > 0 && o.root == nil:
		return o, pipeline.Permanentf("the template %s has no disk that could become %s", o.name, s.Disk)
	case s.Disk > 0 && int64(s.Disk)<<10 < o.root.CapacityInKB:
		return o, pipeline.Permanentf("\"disk\" is %s, and that of the template %s has %s already", s.Disk, o.name, bytes(o.root.CapacityInKB<<10))
	case s.Disk > 0:
		need += int64(s.Disk)<<20 - o.root.CapacityInKB<<10
	}
	if o.linked = s.Options["linked"] == "true"; o.linked {
		if m.Snapshot == nil || m.Snapshot.CurrentSnapshot == nil {
			return o, pipeline.Permanentf("options: a linked clone needs a snapshot, and the template %s has none", o.name)
		}
		if s.Disk > 0 {
			return o, pipeline.Permanentf("options: the disk of a linked clone cannot grow; leave out `disk` or `linked`")
		}
		o.snapshot, need = m.Snapshot.CurrentSnapshot, 0
	}
	if s.Network.Portgroup != "" {
		if _, err := w.network(ctx, p, s.Network.Portgroup); err != nil {
			return o, err
		}
	}
	return o, w.checkSpace(ctx, p, s, "the template "+o.name, need+extra(s))
}

// fixed checks a fixed address, which the machine sets itself.
func fixed(n provider.Network) error {
	if n.Address == "" {
		if n.Gateway != "" || len(n.Nameservers) > 0 {
			return pipeline.Permanentf("network: gateway and nameservers belong to an address; without one DHCP gives them")
		}
		return nil
	}
	prefix, err := netip.ParsePrefix(n.Address)
	if err != nil {
		return pipeline.Permanentf("network: the address %q needs its length, as in 10.0.0.5/24", n.Address)
	}
	gateway, err := netip.ParseAddr(n.Gateway)
	if err != nil || !prefix.Contains(gateway) {
		return pipeline.Permanentf("network: the address %s needs a gateway in its network", n.Address)
	}
	return nil
}

// extra is what the disks beside the first take, in bytes.
func extra(s provider.Spec) int64 {
	n := int64(0)
	for _, d := range s.Disks {
		n += int64(d.Size) << 20
	}
	return n
}

// changes says in a plan what the machine has that its template has not.
func (o origin) changes(s provider.Spec) string {
	var out []string
	if s.Size.Memory > 0 {
		out = append(out, s.Size.Memory.String())
	}
	if s.Size.CPUs > 0 {
		out = append(out, fmt.Sprintf("%d CPUs", s.Size.CPUs))
	}
	if s.Disk > 0 {
		out = append(out, "a disk of "+s.Disk.String())
	}
	for _, d := range s.Disks {
		out = append(out, "one more disk of "+d.Size.String())
	}
	if s.Network.Portgroup != "" {
		out = append(out, "network "+s.Network.Portgroup)
	}
	if s.Network.Address != "" {
		out = append(out, s.Network.Address)
	}
	if o.linked {
		out = append(out, "linked")
	}
	if len(out) == 0 {
		return ""
	}
	return ", with " + strings.Join(out, ", ")
}

// cloneSpec makes a linked clone of the snapshot, or one with a disk of its own.
func (o origin) cloneSpec(p *place, _ provider.Spec) types.VirtualMachineCloneSpec {
	pool, store := p.pool.Reference(), p.datastore.Reference()
	spec := types.VirtualMachineCloneSpec{Location: types.VirtualMachineRelocateSpec{Pool: &pool, Datastore: &store}}
	if o.linked {
		spec.Snapshot = o.snapshot
		spec.Location.DiskMoveType = string(types.VirtualMachineRelocateDiskMoveOptionsCreateNewChildDiskBacking)
	}
	return spec
}

// rootDisk is the first disk of a machine.
func rootDisk(devices []types.BaseVirtualDevice) *types.VirtualDisk {
	for _, d := range devices {
		if disk, ok := d.(*types.VirtualDisk); ok {
			return disk
		}
	}
	return nil
}

// devices says how a clone's disks and network differ from its template's.
func (w *Worker) devices(ctx context.Context, vm *object.VirtualMachine, s provider.Spec) ([]types.BaseVirtualDeviceConfigSpec, error) {
	if s.Disk == 0 && len(s.Disks) == 0 && s.Network.Portgroup == "" {
		return nil, nil
	}
	list, err := vm.Device(ctx)
	if err != nil {
		return nil, w.say("read the machine's devices", err)
	}
	var out []types.BaseVirtualDeviceConfigSpec
	root := rootDisk(list)
	if err := checkDevices(list, vm.Reference().Value, root, s); err != nil {
		return nil, err
	}
	if s.Disk > 0 && root != nil && int64(s.Disk)<<10 > root.CapacityInKB {
		root.CapacityInKB, root.CapacityInBytes = int64(s.Disk)<<10, int64(s.Disk)<<20
		out = append(out, &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: root})
	}
	if s.Network.Portgroup != "" {
		card, err := w.card(ctx, list, s.Network.Portgroup)
		if err != nil {
			return nil, err
		}
		out = append(out, &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: card})
	}
	for i, d := range s.Disks {
		controller := list.FindByKey(root.ControllerKey).(types.BaseVirtualController)
		disk := list.CreateDisk(controller, types.ManagedObjectReference{}, "")
		if d.Mount != "" {
			disk.UnitNumber = types.NewInt32(unit(i))
		}
		disk.CapacityInKB = int64(d.Size) << 10
		disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo).Datastore = nil // beside the machine
		list = append(list, disk)
		out = append(out, &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationAdd, FileOperation: types.VirtualDeviceConfigSpecFileOperationCreate, Device: disk})
	}
	return out, nil
}

// unit of the i-th further disk at its SCSI controller, which has 7 for itself and others for the template's own disks.
func unit(i int) int32 { return int32(8 + i) }

// maxMounted is how many disks have such a place.
const maxMounted = 8

func diskAt(_ provider.Spec, i int, _ provider.Mark) []string {
	return []string{fmt.Sprintf("scsi:%d", unit(i))}
}

// card gives the machine's first network card, in the portgroup.
func (w *Worker) card(ctx context.Context, list object.VirtualDeviceList, portgroup string) (types.BaseVirtualDevice, error) {
	p, err := w.find(ctx)
	if err != nil {
		return nil, err
	}
	cards := list.SelectByType((*types.VirtualEthernetCard)(nil))
	network, err := w.network(ctx, p, portgroup)
	if err != nil {
		return nil, err
	}
	backing, err := network.EthernetCardBackingInfo(ctx)
	if err != nil {
		return nil, w.say("read the network "+portgroup, err)
	}
	cards[0].GetVirtualDevice().Backing = backing
	return cards[0], nil
}
