package esx

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/jarvisops/jarvis/cloudinit"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// fromNetwork reports whether the clipboard asks for a bare machine that boots from the network.
func fromNetwork(s provider.Spec) (bool, error) {
	switch s.Boot {
	case "", "disk", "template":
		return false, nil
	case "network":
		return true, nil
	default:
		return false, pipeline.Permanentf("\"boot\" is %q; write network, or leave it out to clone a template", s.Boot)
	}
}

func (w *Worker) plan(ctx context.Context, s provider.Spec) (string, error) {
	bare, err := fromNetwork(s)
	if err != nil {
		return "", err
	}
	p, err := w.target(ctx, s)
	if err != nil {
		return "", err
	}
	if len(s.Tags) > 0 && p.client.ServiceContent.CustomFieldsManager == nil {
		return "", pipeline.Permanentf("tags: they are custom attributes of a vCenter, and %s is an ESXi host of its own; leave them out", w.url.Host)
	}
	where := fmt.Sprintf("%s in %s, pool %s, datastore %s", s.Hostname, p.folder.Name(), p.pool.Name(), p.datastore.Name())
	if bare {
		spec, err := w.bareSpec(ctx, p, s)
		if err != nil {
			return "", err
		}
		if err := w.checkSpace(ctx, p, s, "the machine", bareDisk(s)+extra(s)); err != nil {
			return "", err
		}
		return fmt.Sprintf("would make a bare machine (%s, %d MB) that boots from the network: %s", spec.GuestId, spec.MemoryMB, where), nil
	}
	t, err := w.origin(ctx, p, s)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("would clone %s to %s%s", t.name, where, t.changes(s)), nil
}

// create makes the machine under the token as its name, which is its mark until finish. A second one of that name
// vCenter refuses; then the first one is still under way.
// Why not its real name from the start: docs/adr/0003-clones-are-born-under-the-token.md
func (w *Worker) create(ctx context.Context, s provider.Spec, mark provider.Mark) (provider.Machine, error) {
	bare, err := fromNetwork(s)
	if err != nil {
		return provider.Machine{}, err
	}
	p, err := w.target(ctx, s)
	if err != nil {
		return provider.Machine{}, err
	}
	var task *object.Task
	what := "make the machine"
	if bare {
		spec, err := w.bareSpec(ctx, p, s)
		if err != nil {
			return provider.Machine{}, err
		}
		if err := w.checkSpace(ctx, p, s, "the machine", bareDisk(s)+extra(s)); err != nil {
			return provider.Machine{}, err
		}
		spec.Name = mark.Token
		pipeline.Progress(ctx, "making a bare machine")
		task, err = p.folder.CreateVM(ctx, spec, p.pool, nil)
		if err != nil {
			return provider.Machine{}, w.say(what, err)
		}
	} else {
		t, err := w.origin(ctx, p, s)
		if err != nil {
			return provider.Machine{}, err
		}
		what = "clone " + t.name
		pipeline.Progress(ctx, "cloning "+t.name)
		task, err = t.vm.Clone(ctx, p.folder, mark.Token, t.cloneSpec(p, s))
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
// boot from the network: then its MAC address must be known to DHCP first. Its name is the short one; when that belongs
// to another machine, which may be a host of another domain, the full one.
func (w *Worker) finish(ctx context.Context, s provider.Spec, m provider.Machine, mark provider.Mark) error {
	if m.State == provider.Running {
		return nil
	}
	bare, err := fromNetwork(s)
	if err != nil {
		return err
	}
	// The marks come with all the rest, in one call: where they are, it has been made.
	if m.Owner == "" || m.Owner != mark.Owner {
		if err := w.configure(ctx, s, m, mark, bare); err != nil {
			return err
		}
	}
	vm, err := w.vm(ctx, m.ID)
	if err != nil {
		return err
	}
	if err := w.putTags(ctx, vm, s.Tags); err != nil || bare {
		return err
	}
	pipeline.Progress(ctx, "powering on")
	return w.power("power the machine on", (*object.VirtualMachine).PowerOn)(ctx, m.ID)
}

// configure makes a machine that was just cloned what it is to be.
func (w *Worker) configure(ctx context.Context, s provider.Spec, m provider.Machine, mark provider.Mark, bare bool) error {
	spec, err := w.configSpec(s, m.ID, mark)
	if err != nil {
		return pipeline.Permanent(err)
	}
	vm, err := w.vm(ctx, m.ID)
	if err != nil {
		return err
	}
	if !bare { // a bare machine has been made with them
		if spec.DeviceChange, err = w.devices(ctx, vm, s); err != nil {
			return err
		}
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
	if fault.Is(err, &types.DuplicateName{}) && s.FQDN != s.Hostname {
		spec.Name = provider.Fit(s.FQDN, maxName)
		pipeline.Log(ctx, fmt.Sprintf("another machine is called %s: this one is %s", s.Hostname, spec.Name))
		err = reconfigure()
	}
	if fault.Is(err, &types.DuplicateName{}) {
		return provider.ErrTaken
	}
	return w.say("configure the machine", err)
}

func bytes(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MB", n>>20)
}

// maxUserData: a guestinfo value has 64 KiB at most (GUESTMSG_MAX_IN_SIZE of open-vm-tools), and is base64 here.
const maxUserData = 48 << 10

// maxName is how long a machine's name may be in vSphere, in characters.
const maxName = 80

// configSpec gives the machine its name, its marks and its cloud-init data, in one call. The guestinfo keys are those
// of cloud-init's VMware datasource.
func (w *Worker) configSpec(s provider.Spec, id string, mark provider.Mark) (types.VirtualMachineConfigSpec, error) {
	meta, err := cloudinit.MetaData(s.Clipboard, mark.Token, network(s))
	if err != nil {
		return types.VirtualMachineConfigSpec{}, err
	}
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	return types.VirtualMachineConfigSpec{
		Name:       s.Hostname,
		Annotation: fmt.Sprintf("%s made by jarvis: %s %s", s.FQDN, mark.Token, mark.Owner),
		MemoryMB:   int64(s.Size.Memory),
		NumCPUs:    int32(s.Size.CPUs),
		ExtraConfig: []types.BaseOptionValue{
			&types.OptionValue{Key: keyToken, Value: mark.Token},
			&types.OptionValue{Key: keyOwner, Value: mark.Owner},
			&types.OptionValue{Key: keyMachine, Value: id},
			&types.OptionValue{Key: "guestinfo.userdata", Value: b64(s.UserData)},
			&types.OptionValue{Key: "guestinfo.userdata.encoding", Value: "base64"},
			&types.OptionValue{Key: "guestinfo.metadata", Value: b64(meta)},
			&types.OptionValue{Key: "guestinfo.metadata.encoding", Value: "base64"},
		},
	}, nil
}

// network gives the fixed address, for cloud-init to set; nil for DHCP.
func network(s provider.Spec) *cloudinit.Network {
	if s.Network.Address == "" {
		return nil
	}
	return &cloudinit.Network{Address: s.Network.Address, Gateway: s.Network.Gateway, Nameservers: s.Network.Nameservers}
}
