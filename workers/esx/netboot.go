package esx

import (
	"context"
	"fmt"
	"strconv"
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

func diskBytes(c *clipboard.Clipboard) int64 {
	gb, err := strconv.ParseInt(c.Get("disk"), 10, 64)
	if err != nil {
		gb = bareDiskGB
	}
	return gb << 30
}

// bareSpec describes a machine without a system: one disk, one network card that boots first.
func (w *Worker) bareSpec(ctx context.Context, p *place, c *clipboard.Clipboard) (types.VirtualMachineConfigSpec, error) {
	var spec types.VirtualMachineConfigSpec
	guest, err := guestID(c.Get("guestid"))
	if err != nil {
		return spec, err
	}
	mb, err := memory(c)
	if err != nil {
		return spec, err
	}
	if mb == 0 {
		mb = bareMemoryMB
	}
	if d := c.Get("disk"); d != "" {
		if gb, err := strconv.Atoi(d); err != nil || gb < 1 || gb > 62<<10 {
			return spec, pipeline.Permanentf("\"disk\" is %q: it is gigabytes, as in 20", d)
		}
	}
	network, err := p.finder.NetworkOrDefault(ctx, w.cfg.Network)
	if err != nil {
		return spec, w.say(named("find the network", w.cfg.Network), err)
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
	disk := devices.CreateDisk(scsi.(types.BaseVirtualController), store, "")
	disk.CapacityInKB = diskBytes(c) >> 10
	devices = append(devices, card, disk)
	changes, err := devices.ConfigSpec(types.VirtualDeviceConfigSpecOperationAdd)
	if err != nil {
		return spec, fmt.Errorf("describe the machine: %w", err)
	}
	return types.VirtualMachineConfigSpec{
		GuestId: guest, MemoryMB: mb, NumCPUs: 1, DeviceChange: changes,
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
	id, err := provider.Word("guestid", said, guestIDs, "vSphere")
	return id, err
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
			m, err := w.calls().Machine(ctx, c)
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
			m, err := w.calls().Machine(ctx, c)
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
