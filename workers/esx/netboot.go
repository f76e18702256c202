package esx

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vmware/govmomi/event"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// defaults of a bare machine.
const (
	bareMemoryMB = 1024
	bareDiskGB   = 16
)

// bareDisk is the size of a bare machine's first disk, in bytes.
func bareDisk(s provider.Spec) int64 {
	if s.Disk > 0 {
		return int64(s.Disk) << 20
	}
	return bareDiskGB << 30
}

// bareSpec describes a machine without a system: its disks, and one network card that boots first.
func (w *Worker) bareSpec(ctx context.Context, p *place, s provider.Spec) (types.VirtualMachineConfigSpec, error) {
	var spec types.VirtualMachineConfigSpec
	guest, err := guestID(s.Guest)
	if err != nil {
		return spec, err
	}
	if err := checkLimits(s, 1); err != nil {
		return spec, err
	}
	switch {
	case slices.ContainsFunc(s.Disks, func(d provider.Disk) bool { return d.Mount != "" }):
		return spec, pipeline.Permanentf("disks: what boots from the network is installed by others, who mount its disks; leave out `mount`")
	case s.Network.Address != "":
		return spec, pipeline.Permanentf("network: what boots from the network has its address from DHCP; leave out `address`")
	}
	mb := int64(s.Size.Memory)
	if mb == 0 {
		mb = bareMemoryMB
	}
	network, err := w.network(ctx, p, s.Network.Portgroup)
	if err != nil {
		return spec, err
	}
	backing, err := network.EthernetCardBackingInfo(ctx)
	if err != nil {
		return spec, w.say("read the network", err)
	}
	var devices object.VirtualDeviceList
	scsi, err := devices.CreateSCSIController("pvscsi")
	if err != nil {
		return spec, fmt.Errorf("describe the disk: %w", err)
	}
	devices = append(devices, scsi)
	card, err := devices.CreateEthernetCard("vmxnet3", backing)
	if err != nil {
		return spec, fmt.Errorf("describe the network card: %w", err)
	}
	store := p.datastore.Reference()
	devices = append(devices, card)
	sizes := []int64{bareDisk(s) >> 10}
	for _, d := range s.Disks {
		sizes = append(sizes, int64(d.Size)<<10)
	}
	for _, kb := range sizes {
		disk := devices.CreateDisk(scsi.(types.BaseVirtualController), store, "")
		disk.CapacityInKB = kb
		devices = append(devices, disk)
	}
	changes, err := devices.ConfigSpec(types.VirtualDeviceConfigSpecOperationAdd)
	if err != nil {
		return spec, fmt.Errorf("describe the machine: %w", err)
	}
	return types.VirtualMachineConfigSpec{
		GuestId: guest, MemoryMB: mb, NumCPUs: int32(max(s.Size.CPUs, 1)), DeviceChange: changes,
		Files: &types.VirtualMachineFileInfo{VmPathName: fmt.Sprintf("[%s]", p.datastore.Name())},
	}, nil
}

// guestIDs are vSphere's names (VirtualMachineGuestOsIdentifier) for what people say.
var guestIDs = map[string]string{
	"debian 11": "debian11_64Guest", "debian 12": "debian12_64Guest", "debian": "debian12_64Guest",
	"ubuntu": "ubuntu64Guest", "ubuntu 22.04": "ubuntu64Guest", "ubuntu 24.04": "ubuntu64Guest",
	"rocky 9": "rockylinux_64Guest", "alma 9": "almalinux_64Guest", "centos 9": "centos9_64Guest",
	"red hat 8": "rhel8_64Guest", "red hat 9": "rhel9_64Guest",
}

func guestID(said string) (string, error) {
	return provider.Word("guestid", said, "vSphere", guestIDs)
}

// getMACAddrs tells DHCP's other half, ldap:dhcp_install, who will ask.
func (w *Worker) getMACAddrs() pipeline.Step {
	return pipeline.Step{
		Name:    "esx:get_macaddrs",
		Doc:     "reads the MAC addresses of the machine's network cards",
		Needs:   []string{"hostname", "provider_id", "provider_asked?"},
		Gives:   []string{"macaddrs"},
		Timeout: 5 * time.Minute,
		Resume:  pipeline.Again,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			m, err := w.Calls().Machine(ctx, c)
			if err != nil {
				return err
			}
			if len(m.MACs) == 0 || m.MACs[0] == "" {
				return pipeline.Wait(provider.Pause(ctx), "the machine has no MAC address yet")
			}
			pipeline.Progress(ctx, strings.Join(m.MACs, ", "))
			return c.Set("macaddrs", m.MACs)
		},
	}
}

// waitForReboot waits until the installer is done: it reboots the machine, or powers it off.
func (w *Worker) waitForReboot() pipeline.Step {
	return pipeline.Step{
		Name:    "esx:wait_for_reboot",
		Doc:     "waits until the system that booted from the network reboots the machine, or powers it off",
		Needs:   []string{"hostname", "provider_id", "provider_asked?"},
		Timeout: 2 * time.Hour,
		Resume:  pipeline.Again,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			m, err := w.Calls().Machine(ctx, c)
			if err != nil {
				return err
			}
			if m.State == provider.Stopped {
				pipeline.Progress(ctx, "it is powered off: the installer is done")
				return nil
			}
			vc, err := w.connect(ctx)
			if err != nil {
				return err
			}
			events, err := event.NewManager(vc).QueryEvents(ctx, types.EventFilterSpec{
				Entity:      &types.EventFilterSpecByEntity{Entity: types.ManagedObjectReference{Type: "VirtualMachine", Value: m.ID}, Recursion: types.EventFilterSpecRecursionOptionSelf},
				EventTypeId: []string{"VmGuestRebootEvent", "VmResettingEvent"},
			})
			if err != nil {
				return w.say("read the machine's events", err)
			}
			if len(events) == 0 {
				return pipeline.Wait(provider.Pause(ctx), "it has not rebooted yet")
			}
			pipeline.Progress(ctx, "it has rebooted")
			return nil
		},
	}
}
