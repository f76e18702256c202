package libvirt

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/jarvisops/jarvis/provider"
)

// emulatorCache bounds what an emulated machine takes beside its memory: without it qemu grows by a gigabyte.
const emulatorCache = 64 // MB

// define makes the domain. Asked again it makes the same one.
func (w *Worker) define(l *golibvirt.Libvirt, s provider.Spec, o order, m provider.Mark) (golibvirt.Domain, error) {
	w.choosing.Lock()
	defer w.choosing.Unlock()
	id := uuidOf(m.Token)
	k := mark{For: text(id), Token: m.Token, Owner: m.Owner, Created: time.Now().UTC().Format(time.RFC3339), Pool: w.cfg.Pool}
	for _, name := range slices.Sorted(maps.Keys(s.Tags)) {
		k.Tags = append(k.Tags, tag{name, s.Tags[name]})
	}
	if o.wire.port > 0 {
		addr, err := w.freeAddress(l, id, netip.Addr{})
		if err != nil {
			return golibvirt.Domain{}, err
		}
		k.Forward = net.JoinHostPort(addr.String(), strconv.Itoa(o.wire.port))
	}
	d, err := w.domain(l, s.FQDN, id, o, k)
	if err != nil {
		return golibvirt.Domain{}, err
	}
	desc, err := d.Marshal()
	if err != nil {
		return golibvirt.Domain{}, fmt.Errorf("describe the machine: %w", err)
	}
	return l.DomainDefineXMLFlags(desc, golibvirt.DomainDefineValidate)
}

// domain describes the machine.
func (w *Worker) domain(l *golibvirt.Libvirt, name string, id golibvirt.UUID, o order, k mark) (*libvirtxml.Domain, error) {
	meta, err := xml.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("write the machine's marks: %w", err)
	}
	pool, err := w.pool(l, w.cfg.Pool)
	if err != nil {
		return nil, err
	}
	d := &libvirtxml.Domain{
		Type: w.cfg.Type, Name: name, UUID: text(id),
		Metadata:   &libvirtxml.DomainMetadata{XML: string(meta)},
		Memory:     &libvirtxml.DomainMemory{Value: uint(o.memory), Unit: "MiB"},
		VCPU:       &libvirtxml.DomainVCPU{Value: uint(o.cpus)},
		OS:         &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Arch: "x86_64", Machine: "q35", Type: "hvm"}},
		Features:   &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}, APIC: &libvirtxml.DomainFeatureAPIC{}},
		CPU:        &libvirtxml.DomainCPU{Mode: "host-passthrough"},
		Clock:      &libvirtxml.DomainClock{Offset: "utc"},
		OnPoweroff: "destroy", OnReboot: "restart", OnCrash: "restart",
		Devices: &libvirtxml.DomainDeviceList{
			Serials:  []libvirtxml.DomainSerial{{Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}}}},
			Channels: []libvirtxml.DomainChannel{{Source: &libvirtxml.DomainChardevSource{UNIX: &libvirtxml.DomainChardevSourceUNIX{}}, Target: &libvirtxml.DomainChannelTarget{VirtIO: &libvirtxml.DomainChannelTargetVirtIO{Name: "org.qemu.guest_agent.0"}}}},
			RNGs:     []libvirtxml.DomainRNG{{Model: "virtio", Backend: &libvirtxml.DomainRNGBackend{Random: &libvirtxml.DomainRNGBackendRandom{Device: "/dev/urandom"}}}},
		},
	}
	if w.cfg.Type == "qemu" {
		d.CPU = &libvirtxml.DomainCPU{Mode: "maximum"}
		d.Features.TCG = &libvirtxml.DomainFeatureTCG{TBCache: &libvirtxml.DomainFeatureTCGTBCache{Unit: "MiB", Size: emulatorCache}}
	}
	names := []string{rootName(k.Token)}
	for i := range o.disks {
		names = append(names, diskName(k.Token, i))
	}
	for i, volume := range append(names, seedName(k.Token)) {
		disk, err := diskOn(l, pool, volume, fmt.Sprintf("vd%c", 'a'+i))
		if err != nil {
			return nil, err
		}
		if i > 0 && i <= len(o.disks) {
			disk.Serial = serial(i - 1)
		}
		d.Devices.Disks = append(d.Devices.Disks, disk)
	}
	connectTo(d, id, o.wire, k)
	return d, nil
}

// serial is how a machine knows the i-th of its further disks: virtio takes 20 characters.
func serial(i int) string { return fmt.Sprintf("jarvis-disk%d", i+1) }

func diskAt(_ provider.Spec, i int, _ provider.Mark) []string {
	return []string{"path:/dev/disk/by-id/virtio-" + serial(i)}
}

// diskOn describes a disk on one of the machine's volumes.
func diskOn(l *golibvirt.Libvirt, pool golibvirt.StoragePool, volume, dev string) (libvirtxml.DomainDisk, error) {
	var none libvirtxml.DomainDisk
	vol, err := l.StorageVolLookupByName(pool, volume)
	if err != nil {
		return none, err
	}
	path, err := l.StorageVolGetPath(vol)
	if err != nil {
		return none, err
	}
	disk := libvirtxml.DomainDisk{Device: "disk", Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}},
		Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: "qcow2", Discard: "unmap"}, Target: &libvirtxml.DomainDiskTarget{Dev: dev, Bus: "virtio"}}
	if volume == seedName(tokenOf(volume)) {
		disk.Driver, disk.ReadOnly = &libvirtxml.DomainDiskDriver{Name: "qemu", Type: "raw"}, &libvirtxml.DomainDiskReadOnly{}
	}
	return disk, nil
}

// connectTo gives the machine its network card. libvirt has no word for qemu's forwarding, but for its command line.
func connectTo(d *libvirtxml.Domain, id golibvirt.UUID, to wire, k mark) {
	if k.Forward != "" {
		d.QEMUCommandline = &libvirtxml.DomainQEMUCommandline{}
		for _, arg := range []string{"-netdev", "user,id=jarvis0,hostfwd=tcp:" + k.Forward + "-:22", "-device", "virtio-net-pci,netdev=jarvis0,bus=pcie.0,addr=0x10,mac=" + mac(id)} {
			d.QEMUCommandline.Args = append(d.QEMUCommandline.Args, libvirtxml.DomainQEMUCommandlineArg{Value: arg})
		}
		return
	}
	source := &libvirtxml.DomainInterfaceSource{User: &libvirtxml.DomainInterfaceSourceUser{}}
	switch {
	case to.network != "":
		source = &libvirtxml.DomainInterfaceSource{Network: &libvirtxml.DomainInterfaceSourceNetwork{Network: to.network}}
	case to.bridge != "":
		source = &libvirtxml.DomainInterfaceSource{Bridge: &libvirtxml.DomainInterfaceSourceBridge{Bridge: to.bridge}}
	}
	d.Devices.Interfaces = []libvirtxml.DomainInterface{{MAC: &libvirtxml.DomainInterfaceMAC{Address: mac(id)}, Model: &libvirtxml.DomainInterfaceModel{Type: "virtio"}, Source: source}}
}

// describe reads what a domain is by its stored description.
func describe(l *golibvirt.Libvirt, dom golibvirt.Domain) (*libvirtxml.Domain, error) {
	desc, err := l.DomainGetXMLDesc(dom, 0)
	if err != nil {
		return nil, err
	}
	d := &libvirtxml.Domain{}
	if err := d.Unmarshal(desc); err != nil {
		return nil, fmt.Errorf("libvirt describes the machine %s in a way that we cannot read: %w", dom.Name, err)
	}
	return d, nil
}
