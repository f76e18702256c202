package lab

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// Machine is a host that a power-on brought up.
type Machine interface{ Stop() }

// Boot brings up a host with its user-data on an address (host:port).
type Boot func(addr, userData string) (Machine, error)

// Template and Pool are the names in the lab's vSphere.
const (
	Template = "debian12-cloud"
	Pool     = "/DC0/host/DC0_H0/Resources"
)

// VSphere is govmomi's simulator, to which "power on" means a real SSH host: it reads the user-data from guestinfo as
// cloud-init would, and reports the address as VMware Tools would.
type VSphere struct {
	URL string

	boot   Boot
	port   int
	block  int // second byte of the hosts' addresses: 127.BLOCK.x.y
	model  *simulator.Model
	server *simulator.Server
	client *govmomi.Client
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	machines map[string]Machine // by managed object id
	booted   map[string]int     // by machine name: how often it was brought up
	errs     []error
	next     int
}

// StartVSphere starts the simulator with one template. Hosts come up on 127.block.x.y:port.
func StartVSphere(ctx context.Context, block, port int, boot Boot) (*VSphere, error) {
	v := &VSphere{boot: boot, block: block, port: port, machines: map[string]Machine{}, booted: map[string]int{}, done: make(chan struct{}), next: 10}
	v.model = simulator.VPX()
	v.model.Cluster = 0
	v.model.Machine = 1
	if err := v.model.Create(); err != nil {
		return nil, fmt.Errorf("make the vSphere model: %w", err)
	}
	// The simulator's disk holds a hundred machines; a lab's should not be what a test stumbles over.
	v.SetFreeSpace(1 << 50)
	v.model.Service.TLS = new(tls.Config) // with a certificate that nobody knows, as a vCenter's out of the box
	v.server = v.model.Service.NewServer()
	v.URL = v.server.URL.String()
	var err error
	if v.client, err = govmomi.NewClient(ctx, v.server.URL, true); err != nil {
		return nil, fmt.Errorf("connect to the simulator: %w", err)
	}
	f := find.NewFinder(v.client.Client)
	dc, err := f.DefaultDatacenter(ctx)
	if err != nil {
		return nil, err
	}
	f.SetDatacenter(dc)
	vm, err := f.VirtualMachine(ctx, "DC0_H0_VM0")
	if err != nil {
		return nil, err
	}
	if task, err := vm.PowerOff(ctx); err == nil {
		_ = task.Wait(ctx)
	}
	task, err := vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{Name: Template})
	if err == nil {
		err = task.Wait(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("name the template: %w", err)
	}
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	v.cancel = cancel
	go func() {
		defer close(v.done)
		v.watch(watch)
	}()
	return v, nil
}

// SetFreeSpace sets what the datastore has free, in bytes. Call it while nothing is being made.
func (v *VSphere) SetFreeSpace(n int64) {
	ds := v.model.Map().Any("Datastore").(*simulator.Datastore)
	ds.Summary.FreeSpace, ds.Info.GetDatastoreInfo().FreeSpace = n, n
}

// Stop powers everything off.
func (v *VSphere) Stop() {
	v.cancel()
	<-v.done
	v.mu.Lock()
	for _, m := range v.machines {
		m.Stop()
	}
	v.mu.Unlock()
	v.client.CloseIdleConnections()
	v.server.Close()
	v.model.Remove()
}

// Machines lists the names of all machines but the template.
func (v *VSphere) Machines(ctx context.Context) ([]string, error) {
	vms, err := v.list(ctx, "name")
	var out []string
	for _, vm := range vms {
		if vm.Name != Template {
			out = append(out, vm.Name)
		}
	}
	return out, err
}

// Booted tells how often a machine of each name was brought up, and what went wrong in that.
func (v *VSphere) Booted() (map[string]int, []error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := map[string]int{}
	for k, n := range v.booted {
		out[k] = n
	}
	return out, v.errs
}

// Each calls f for every machine that is up.
func (v *VSphere) Each(f func(Machine)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, m := range v.machines {
		f(m)
	}
}

func (v *VSphere) list(ctx context.Context, props ...string) ([]mo.VirtualMachine, error) {
	m := view.NewManager(v.client.Client)
	cv, err := m.CreateContainerView(ctx, v.client.ServiceContent.RootFolder, []string{"VirtualMachine"}, true)
	if err != nil {
		return nil, err
	}
	defer func() { _ = cv.Destroy(ctx) }()
	var vms []mo.VirtualMachine
	return vms, cv.Retrieve(ctx, []string{"VirtualMachine"}, props, &vms)
}

// watch brings hosts up and down with their machines.
func (v *VSphere) watch(ctx context.Context) {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		vms, err := v.list(ctx, "name", "runtime.powerState")
		if err != nil {
			continue
		}
		seen := map[string]bool{}
		for _, vm := range vms {
			id := vm.Self.Value
			on := vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn
			seen[id] = on
			v.mu.Lock()
			up := v.machines[id] != nil
			v.mu.Unlock()
			if on && !up && vm.Name != Template {
				if err := v.bringUp(ctx, vm.Self, vm.Name); err != nil && ctx.Err() == nil {
					v.mu.Lock()
					v.errs = append(v.errs, fmt.Errorf("bring up %s: %w", vm.Name, err))
					v.mu.Unlock()
				}
			}
		}
		v.mu.Lock()
		for id, m := range v.machines {
			if !seen[id] {
				m.Stop()
				delete(v.machines, id)
			}
		}
		v.mu.Unlock()
	}
}

func (v *VSphere) bringUp(ctx context.Context, ref types.ManagedObjectReference, name string) error {
	vm := object.NewVirtualMachine(v.client.Client, ref)
	var m mo.VirtualMachine
	if err := vm.Properties(ctx, ref, []string{"config.extraConfig", "guest.ipAddress"}, &m); err != nil {
		return err
	}
	user := ""
	for _, o := range m.Config.ExtraConfig {
		if kv := o.GetOptionValue(); kv.Key == "guestinfo.userdata" {
			b, err := base64.StdEncoding.DecodeString(fmt.Sprint(kv.Value))
			if err != nil {
				return fmt.Errorf("guestinfo.userdata is not base64: %w", err)
			}
			user = string(b)
		}
	}
	if !strings.HasPrefix(user, "#cloud-config") {
		return fmt.Errorf("guestinfo.userdata is no #cloud-config")
	}
	v.mu.Lock()
	n := v.next
	v.next++
	v.mu.Unlock()
	ip := fmt.Sprintf("127.%d.%d.%d", v.block, n/250, n%250+1)
	host, err := v.boot(fmt.Sprintf("%s:%d", ip, v.port), user)
	if err != nil {
		return err
	}
	v.mu.Lock()
	v.machines[ref.Value] = host
	v.booted[name]++
	v.mu.Unlock()
	// VMware Tools report the address.
	task, err := vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "SET.guest.ipAddress", Value: ip}}})
	if err == nil {
		err = task.Wait(ctx)
	}
	return err
}
