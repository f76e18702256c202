package esx

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// What a machine can have at most (https://configmax.broadcom.com, vSphere 8.0). A host may have less, which vCenter
// says when the machine is powered on.
const (
	maxMemory  = 24 << 20 // MB
	memoryStep = 4        // MB
	maxCPUs    = 768
	maxDisk    = 62 << 20 // MB
	maxDisks   = 15       // at one controller
)

// checkLimits says what no machine on vSphere can be. have is how many disks the template has.
func checkLimits(s provider.Spec, have int) error {
	switch {
	case s.Size.Own != "":
		return pipeline.Permanentf("\"size\" is %q: on ESX it is memory, as in 2GB or {memory: 2GB, cpus: 2}", s.Size.Said)
	case s.Size.Memory > maxMemory || s.Size.CPUs > maxCPUs:
		return pipeline.Permanentf("\"size\" is %q: a machine on vSphere has up to %d GB of memory and %d CPUs", s.Size.Said, maxMemory>>10, maxCPUs)
	case s.Size.Memory%memoryStep != 0:
		return pipeline.Permanentf("\"size\" is %q: memory on vSphere is a multiple of %d MB; write %d MB", s.Size.Said, memoryStep, s.Size.Memory+memoryStep-s.Size.Memory%memoryStep)
	case have+len(s.Disks) > maxDisks:
		return pipeline.Permanentf("the clipboard asks for %d more disks, and a machine's controller takes %d, with those that it has (%d)", len(s.Disks), maxDisks, have)
	case s.Disk > maxDisk || slices.ContainsFunc(s.Disks, func(d provider.Disk) bool { return d.Size > maxDisk }):
		return pipeline.Permanentf("disks: a disk has up to %d TB on vSphere", maxDisk>>20)
	}
	return nil
}

// checkDevices makes sure that a template has what its clone's changes are made to.
func checkDevices(devices object.VirtualDeviceList, name string, root *types.VirtualDisk, s provider.Spec) error {
	if s.Network.Portgroup != "" && len(devices.SelectByType((*types.VirtualEthernetCard)(nil))) == 0 {
		return pipeline.Permanentf("%s has no network card that could be in %s", name, s.Network.Portgroup)
	}
	if len(s.Disks) == 0 {
		return nil
	}
	if root == nil {
		return pipeline.Permanentf("%s has no disk, beside which there could be others", name)
	}
	controller, ok := devices.FindByKey(root.ControllerKey).(types.BaseVirtualController)
	if !ok {
		return pipeline.Permanentf("the disk of %s has no controller", name)
	}
	_, scsi := controller.(types.BaseVirtualSCSIController)
	if !scsi && slices.ContainsFunc(s.Disks, func(d provider.Disk) bool { return d.Mount != "" }) {
		return pipeline.Permanentf("disks: the first disk of %s is not at a SCSI controller, and only at one a disk can be found again to be mounted; leave out `mount`", name)
	}
	return nil
}

// checkSpace makes sure, before anything is made, that the datastore is there, on the LUN it should be on, and takes
// the machine.
func (w *Worker) checkSpace(ctx context.Context, p *place, s provider.Spec, what string, need int64) error {
	var ds mo.Datastore
	if err := p.datastore.Properties(ctx, p.datastore.Reference(), []string{"summary", "info"}, &ds); err != nil {
		return w.say("read the datastore's free space", err)
	}
	if !ds.Summary.Accessible {
		return pipeline.Permanentf("the datastore %s is not accessible", ds.Summary.Name)
	}
	if w.cfg.LUN != "" {
		var luns []string
		if vmfs, ok := ds.Info.(*types.VmfsDatastoreInfo); ok && vmfs.Vmfs != nil {
			for _, e := range vmfs.Vmfs.Extent {
				luns = append(luns, e.DiskName)
			}
		}
		if !slices.Contains(luns, w.cfg.LUN) {
			return pipeline.Permanentf("the datastore %s is not on the LUN %s (it is on %s)", ds.Summary.Name, w.cfg.LUN, cmp.Or(strings.Join(luns, ", "), "none"))
		}
	}
	free := ds.Summary.FreeSpace
	if free < need || free <= 0 {
		more, err := w.ofHost(ctx, p, s.Owner)
		if err != nil {
			return err
		}
		free += more
	}
	if free < need || free <= 0 {
		return pipeline.Permanentf("the datastore %s is full: %s needs %s and %s are free", ds.Summary.Name, what, bytes(need), bytes(free))
	}
	return nil
}

// ofHost gives how much of the datastore the host's own machine takes, in bytes: a redeploy frees it before it makes
// the other one.
func (w *Worker) ofHost(ctx context.Context, p *place, owner string) (int64, error) {
	if owner == "" {
		return 0, nil
	}
	list, err := w.findMachines(ctx, provider.Query{Mark: provider.Mark{Owner: owner}})
	if err != nil {
		return 0, err
	}
	sum := int64(0)
	for _, m := range list {
		if m.Owner != owner {
			continue
		}
		var vm mo.VirtualMachine
		ref := types.ManagedObjectReference{Type: "VirtualMachine", Value: m.ID}
		if err := property.DefaultCollector(p.client).RetrieveOne(ctx, ref, []string{"storage"}, &vm); err != nil {
			if fault.Is(err, &types.ManagedObjectNotFound{}) || errors.Is(err, provider.ErrGone) {
				continue // it went meanwhile
			}
			return 0, w.say("read the machine's disks", err)
		}
		if vm.Storage == nil {
			continue
		}
		for _, u := range vm.Storage.PerDatastoreUsage {
			if u.Datastore == p.datastore.Reference() {
				sum += u.Committed
			}
		}
	}
	return sum, nil
}
