package esx

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/cloudinit"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// fromNetwork reports whether the clipboard asks for a bare machine that boots from the network.
func fromNetwork(c *clipboard.Clipboard) (bool, error) {
	switch b := c.Get("boot"); b {
	case "", "disk", "template":
		return false, nil
	case "network":
		return true, nil
	default:
		return false, pipeline.Permanentf("\"boot\" is %q; write network, or leave it out to clone a template", b)
	}
}

func (w *Worker) plan(ctx context.Context, c *clipboard.Clipboard) (string, error) {
	in, err := c.Instance()
	if err != nil {
		return "", err
	}
	p, err := w.target(ctx)
	if err != nil {
		return "", err
	}
	bare, err := fromNetwork(c)
	if err != nil {
		return "", err
	}
	where := fmt.Sprintf("%s in %s, pool %s, datastore %s", in.Hostname, p.folder.Name(), p.pool.Name(), p.datastore.Name())
	if bare {
		spec, err := w.bareSpec(ctx, p, c)
		if err != nil {
			return "", err
		}
		if err := w.checkSpace(ctx, p, "the disk", diskBytes(c)); err != nil {
			return "", err
		}
		return fmt.Sprintf("would make a bare machine (%s, %d MB) that boots from the network: %s", spec.GuestId, spec.MemoryMB, where), nil
	}
	if _, err := memory(c); err != nil {
		return "", err
	}
	tmpl, name, err := w.template(ctx, p, c)
	if err != nil {
		return "", err
	}
	need, err := w.committed(ctx, tmpl)
	if err != nil {
		return "", err
	}
	if err := w.checkSpace(ctx, p, "the template "+name, need); err != nil {
		return "", err
	}
	return fmt.Sprintf("would clone %s to %s", name, where), nil
}

// create makes the machine under the token as its name, which is its mark until finish. A second one of that name vCenter refuses; then the first one
// is still under way.
func (w *Worker) create(ctx context.Context, c *clipboard.Clipboard, mark provider.Mark) (provider.Machine, error) {
	p, err := w.target(ctx)
	if err != nil {
		return provider.Machine{}, err
	}
	bare, err := fromNetwork(c)
	if err != nil {
		return provider.Machine{}, err
	}
	if _, err := memory(c); err != nil { // before anything is made
		return provider.Machine{}, err
	}
	var task *object.Task
	what := "make the machine"
	if bare {
		spec, err := w.bareSpec(ctx, p, c)
		if err != nil {
			return provider.Machine{}, err
		}
		if err := w.checkSpace(ctx, p, "the disk", diskBytes(c)); err != nil {
			return provider.Machine{}, err
		}
		spec.Name = mark.Token
		pipeline.Progress(ctx, "making a bare machine")
		task, err = p.folder.CreateVM(ctx, spec, p.pool, nil)
		if err != nil {
			return provider.Machine{}, w.say(what, err)
		}
	} else {
		tmpl, name, err := w.template(ctx, p, c)
		if err != nil {
			return provider.Machine{}, err
		}
		need, err := w.committed(ctx, tmpl)
		if err != nil {
			return provider.Machine{}, err
		}
		if err := w.checkSpace(ctx, p, "the template "+name, need); err != nil {
			return provider.Machine{}, err
		}
		what = "clone " + name
		pool, store := p.pool.Reference(), p.datastore.Reference()
		pipeline.Progress(ctx, "cloning "+name)
		task, err = tmpl.Clone(ctx, p.folder, mark.Token, types.VirtualMachineCloneSpec{
			Location: types.VirtualMachineRelocateSpec{Pool: &pool, Datastore: &store},
		})
		if err != nil {
			return provider.Machine{}, w.say(what, err)
		}
	}
	info, err := task.WaitForResult(ctx, nil)
	if ctx.Err() != nil {
		// Cancelled or out of time: vCenter would go on and leave a machine that an undo meanwhile has not found.
		if !errors.Is(context.Cause(ctx), pipeline.ErrStopping) { // the next start adopts it
			end, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer done()
			_ = task.Cancel(end)
		}
		return provider.Machine{}, ctx.Err()
	}
	if fault.Is(err, &types.DuplicateName{}) {
		// An earlier try, started before a crash, is still under way.
		return provider.Machine{}, pipeline.Wait(time.Second, "the machine of an earlier try is being made")
	}
	if err != nil {
		return provider.Machine{}, w.say(what, err)
	}
	ref, ok := info.Result.(types.ManagedObjectReference)
	if !ok {
		return provider.Machine{}, fmt.Errorf("%s: vCenter named no machine", what)
	}
	return provider.Machine{ID: ref.Value, Name: mark.Token, Mark: provider.Mark{Token: mark.Token}, State: provider.Stopped}, nil
}

// finish gives the machine its name, its marks and its cloud-init data in one call, and powers it on, unless it is to
// boot from the network: then its MAC address must be known to DHCP first. Its name is the short one; when that belongs to
// another machine, which may be a host of another domain, the full one.
func (w *Worker) finish(ctx context.Context, c *clipboard.Clipboard, m provider.Machine, mark provider.Mark) error {
	if m.State == provider.Running {
		return nil
	}
	in, err := c.Instance()
	if err != nil {
		return pipeline.Permanent(err)
	}
	spec, err := w.configSpec(c, in, m.ID, mark)
	if err != nil {
		return pipeline.Permanent(err)
	}
	vm, err := w.vm(ctx, m.ID)
	if err != nil {
		return err
	}
	pipeline.Progress(ctx, "giving it its name and keys")
	reconfigure := func() error {
		task, err := vm.Reconfigure(ctx, spec)
		if err == nil {
			err = task.Wait(ctx)
		}
		return err
	}
	err = reconfigure()
	if fault.Is(err, &types.DuplicateName{}) && in.FQDN != in.Hostname {
		spec.Name = provider.Fit(in.FQDN, maxName)
		pipeline.Log(ctx, fmt.Sprintf("another machine is called %s: this one is %s", in.Hostname, spec.Name))
		err = reconfigure()
	}
	if fault.Is(err, &types.DuplicateName{}) {
		return provider.ErrTaken
	}
	if err != nil {
		return w.say("configure the machine", err)
	}
	if bare, err := fromNetwork(c); bare || err != nil {
		return err
	}
	pipeline.Progress(ctx, "powering on")
	return w.power("power the machine on", (*object.VirtualMachine).PowerOn)(ctx, m.ID)
}

// committed gives the size of a template in bytes.
func (w *Worker) committed(ctx context.Context, tmpl *object.VirtualMachine) (int64, error) {
	var vm mo.VirtualMachine
	if err := tmpl.Properties(ctx, tmpl.Reference(), []string{"summary.storage"}, &vm); err != nil {
		return 0, w.say("read the template's size", err)
	}
	if vm.Summary.Storage == nil {
		return 0, nil
	}
	return vm.Summary.Storage.Committed, nil
}

// checkSpace makes sure, before anything is made, that the datastore is there, on the LUN it should be on, and takes
// the machine.
func (w *Worker) checkSpace(ctx context.Context, p *place, what string, need int64) error {
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
			return pipeline.Permanentf("the datastore %s is not on the LUN %s (it is on %s)", ds.Summary.Name, w.cfg.LUN, orNone(luns))
		}
	}
	if ds.Summary.FreeSpace < need || ds.Summary.FreeSpace <= 0 {
		return pipeline.Permanentf("the datastore %s is full: %s needs %s and %s are free", ds.Summary.Name, what, bytes(need), bytes(ds.Summary.FreeSpace))
	}
	return nil
}

func bytes(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MB", n>>20)
}

// memory reads the size as megabytes; 0 when the clipboard names none.
func memory(c *clipboard.Clipboard) (int64, error) {
	size := c.Get("size")
	if size == "" {
		return 0, nil
	}
	mb, err := strconv.ParseInt(size, 10, 64)
	if err != nil || mb < 4 || mb > 6<<20 {
		return 0, pipeline.Permanentf("\"size\" is %q: on ESX it is megabytes of memory, as in 512", size)
	}
	return mb, nil
}

// maxName is how long a machine's name may be in vSphere, in characters.
const maxName = 80

// configSpec gives the machine its name, its marks and its cloud-init data, in one call. The guestinfo keys are those
// of cloud-init's VMware datasource.
func (w *Worker) configSpec(c *clipboard.Clipboard, in clipboard.Instance, id string, mark provider.Mark) (types.VirtualMachineConfigSpec, error) {
	user, err := cloudinit.UserData(c)
	if err != nil {
		return types.VirtualMachineConfigSpec{}, err
	}
	meta, err := cloudinit.MetaData(c, mark.Token)
	if err != nil {
		return types.VirtualMachineConfigSpec{}, err
	}
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	spec := types.VirtualMachineConfigSpec{
		Name:       in.Hostname,
		Annotation: fmt.Sprintf("%s made by jarvis: %s %s", in.FQDN, mark.Token, mark.Owner),
		ExtraConfig: []types.BaseOptionValue{
			&types.OptionValue{Key: keyToken, Value: mark.Token},
			&types.OptionValue{Key: keyOwner, Value: mark.Owner},
			&types.OptionValue{Key: keyMachine, Value: id},
			&types.OptionValue{Key: "guestinfo.userdata", Value: b64(user)},
			&types.OptionValue{Key: "guestinfo.userdata.encoding", Value: "base64"},
			&types.OptionValue{Key: "guestinfo.metadata", Value: b64(meta)},
			&types.OptionValue{Key: "guestinfo.metadata.encoding", Value: "base64"},
		},
	}
	spec.MemoryMB, err = memory(c)
	return spec, err
}
