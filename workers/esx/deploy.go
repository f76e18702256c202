package esx

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/cloudinit"
	"github.com/jarvisops/jarvis/pipeline"
)

// deploy is stage 7.
func (w *Worker) deploy() pipeline.Step {
	return pipeline.Step{
		Name:    "esx:deploy",
		Doc:     "clones the template, hands over names and keys by cloud-init, powers the machine on",
		Needs:   append([]string{"guestid?", "size?"}, cloudinit.Needs...),
		Gives:   []string{"provider_id"},
		Timeout: 30 * time.Minute,
		Resume:  pipeline.Probe,
		Plan:    w.planDeploy,
		Do:      w.doDeploy,
		Undo:    w.undoDeploy,
	}
}

func (w *Worker) planDeploy(ctx context.Context, c *clipboard.Clipboard) (string, error) {
	in, err := c.Instance()
	if err != nil {
		return "", err
	}
	p, err := w.target(ctx)
	if err != nil {
		return "", err
	}
	if vm, err := w.child(ctx, p, in.Hostname); err != nil {
		return "", err
	} else if vm != nil {
		return "", fmt.Errorf("there is a machine %s on %s already", in.Hostname, w.url.Host)
	}
	_, name, err := w.template(ctx, p, c)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("would clone %s to %s in %s, pool %s, datastore %s", name, in.Hostname, p.folder.Name(), p.pool.Name(), p.datastore.Name()), nil
}

func (w *Worker) doDeploy(ctx context.Context, c *clipboard.Clipboard) error {
	in, err := c.Instance()
	if err != nil {
		return pipeline.Permanent(err)
	}
	token := pipeline.FactsOf(ctx).Token
	spec, err := w.configSpec(c, in, token)
	if err != nil {
		return pipeline.Permanent(err)
	}
	p, err := w.target(ctx)
	if err != nil {
		return err
	}
	vm, err := w.child(ctx, p, in.Hostname)
	if err != nil {
		return err
	}
	if vm != nil {
		note, err := w.note(ctx, vm)
		if err != nil {
			return err
		}
		if !hasToken(note, token) {
			return pipeline.Permanentf("there is a machine %s on %s already, and this run did not make it%s", in.Hostname, w.url.Host, madeBy(note))
		}
		pipeline.Progress(ctx, "the machine is there already; going on with it")
	} else if vm, err = w.clone(ctx, p, c, token); err != nil {
		return err
	}
	state, err := vm.PowerState(ctx)
	if err != nil {
		return w.say("read the machine's power state", err)
	}
	if state != types.VirtualMachinePowerStatePoweredOn {
		pipeline.Progress(ctx, "giving it its name and keys")
		task, err := vm.Reconfigure(ctx, spec)
		if err == nil {
			err = task.Wait(ctx)
		}
		if fault.Is(err, &types.DuplicateName{}) {
			return pipeline.Permanentf("there is a machine %s on %s already, and this run did not make it", in.Hostname, w.url.Host)
		}
		if err != nil {
			return w.say("configure the machine", err)
		}
		pipeline.Progress(ctx, "powering on")
		if _, err := w.power(ctx, "power the machine on", vm.PowerOn); err != nil {
			return err
		}
	}
	return c.Set("provider_id", vm.Reference().Value)
}

// clone makes the machine under the token as its name, or adopts the one of an earlier try.
func (w *Worker) clone(ctx context.Context, p *place, c *clipboard.Clipboard, token string) (*object.VirtualMachine, error) {
	vm, err := w.child(ctx, p, token)
	if err != nil || vm != nil {
		return vm, err
	}
	tmpl, name, err := w.template(ctx, p, c)
	if err != nil {
		return nil, err
	}
	if err := w.checkSpace(ctx, p, tmpl, name); err != nil {
		return nil, err
	}
	pool, store := p.pool.Reference(), p.datastore.Reference()
	pipeline.Progress(ctx, "cloning "+name)
	task, err := tmpl.Clone(ctx, p.folder, token, types.VirtualMachineCloneSpec{
		Location: types.VirtualMachineRelocateSpec{Pool: &pool, Datastore: &store},
	})
	var info *types.TaskInfo
	if err == nil {
		if info, err = task.WaitForResult(ctx, nil); ctx.Err() != nil {
			// Cancelled or out of time: vCenter would go on and leave a machine that an undo meanwhile has not found.
			end, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer done()
			if errors.Is(context.Cause(ctx), pipeline.ErrStopping) {
				return nil, ctx.Err() // the next start adopts it
			}
			_ = task.Cancel(end)
			return nil, ctx.Err()
		}
	}
	if fault.Is(err, &types.DuplicateName{}) {
		// An earlier try's clone, started before a crash, is still under way.
		return nil, pipeline.Wait(time.Second, "the clone of an earlier try is under way")
	}
	if err != nil {
		return nil, w.say("clone "+name, err)
	}
	ref, ok := info.Result.(types.ManagedObjectReference)
	if !ok {
		return nil, fmt.Errorf("clone %s: vCenter named no machine", name)
	}
	return object.NewVirtualMachine(p.client, ref), nil
}

// checkSpace makes sure, before anything is made, that the datastore takes the clone.
func (w *Worker) checkSpace(ctx context.Context, p *place, tmpl *object.VirtualMachine, name string) error {
	var ds mo.Datastore
	if err := p.datastore.Properties(ctx, p.datastore.Reference(), []string{"summary"}, &ds); err != nil {
		return w.say("read the datastore's free space", err)
	}
	var vm mo.VirtualMachine
	if err := tmpl.Properties(ctx, tmpl.Reference(), []string{"summary.storage"}, &vm); err != nil {
		return w.say("read the template's size", err)
	}
	if !ds.Summary.Accessible {
		return pipeline.Permanentf("the datastore %s is not accessible", ds.Summary.Name)
	}
	var need int64
	if vm.Summary.Storage != nil {
		need = vm.Summary.Storage.Committed
	}
	if ds.Summary.FreeSpace < need || ds.Summary.FreeSpace <= 0 {
		return pipeline.Permanentf("the datastore %s is full: the template %s needs %s and %s are free", ds.Summary.Name, name, bytes(need), bytes(ds.Summary.FreeSpace))
	}
	return nil
}

func bytes(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MB", n>>20)
}

// configSpec gives the machine its name, its note and its cloud-init data, in one call. The guestinfo keys are those
// of cloud-init's VMware datasource.
func (w *Worker) configSpec(c *clipboard.Clipboard, in clipboard.Instance, token string) (types.VirtualMachineConfigSpec, error) {
	user, err := cloudinit.UserData(c)
	if err != nil {
		return types.VirtualMachineConfigSpec{}, err
	}
	meta, err := cloudinit.MetaData(c, token)
	if err != nil {
		return types.VirtualMachineConfigSpec{}, err
	}
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	spec := types.VirtualMachineConfigSpec{
		Name:       in.Hostname,
		Annotation: fmt.Sprintf("%s made by jarvis: %s", in.FQDN, token),
		ExtraConfig: []types.BaseOptionValue{
			&types.OptionValue{Key: "guestinfo.userdata", Value: b64(user)},
			&types.OptionValue{Key: "guestinfo.userdata.encoding", Value: "base64"},
			&types.OptionValue{Key: "guestinfo.metadata", Value: b64(meta)},
			&types.OptionValue{Key: "guestinfo.metadata.encoding", Value: "base64"},
		},
	}
	if size := c.Get("size"); size != "" {
		mb, err := strconv.ParseInt(size, 10, 64)
		if err != nil || mb < 4 || mb > 6<<20 {
			return spec, fmt.Errorf("\"size\" is %q: on ESX it is megabytes of memory, as in 512", size)
		}
		spec.MemoryMB = mb
	}
	return spec, nil
}

func hasToken(note, token string) bool {
	for _, word := range strings.Fields(note) {
		if word == token {
			return true
		}
	}
	return false
}

func madeBy(note string) string {
	if i := strings.Index(note, "jarvis-"); i >= 0 {
		word, _, _ := strings.Cut(note[i:], " ")
		return fmt.Sprintf(" (its notes name %s; `undo` that run first)", word)
	}
	return ""
}

// undoDeploy deletes the machine that this run made, and no other.
func (w *Worker) undoDeploy(ctx context.Context, c *clipboard.Clipboard) error {
	in, err := c.Instance()
	if err != nil {
		return pipeline.Permanent(err)
	}
	p, err := w.find(ctx)
	if err != nil {
		return err
	}
	token := pipeline.FactsOf(ctx).Token
	removed := false
	for _, name := range []string{in.Hostname, token} {
		vm, err := w.child(ctx, p, name)
		if err != nil {
			return err
		}
		if vm == nil {
			continue
		}
		if name != token {
			note, err := w.note(ctx, vm)
			if err != nil {
				return err
			}
			if !hasToken(note, token) {
				continue
			}
		}
		if err := w.remove(ctx, vm); err != nil {
			return err
		}
		removed = true
	}
	if removed {
		pipeline.Progress(ctx, "removed the machine "+in.Hostname)
	} else {
		pipeline.Progress(ctx, "no machine of this run was there")
	}
	return c.Delete("provider_id")
}

// remove powers a machine off and deletes it.
func (w *Worker) remove(ctx context.Context, vm *object.VirtualMachine) error {
	if _, err := w.power(ctx, "power the machine off", vm.PowerOff); err != nil {
		return err
	}
	task, err := vm.Destroy(ctx)
	if err == nil {
		err = task.Wait(ctx)
	}
	if fault.Is(err, &types.ManagedObjectNotFound{}) {
		return nil
	}
	return w.say("delete the machine", err)
}
