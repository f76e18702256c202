package lab

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/event"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// Template and Pool are the names in the lab's vSphere.
const (
	Template = "debian12-cloud"
	Pool     = "/DC0/host/DC0_H0/Resources"
)

// VSphere is govmomi's simulator, to which "power on" means a real SSH host: it reads the user-data from guestinfo as
// cloud-init would, and reports the address as VMware Tools would.
type VSphere struct {
	URL string
	// NetBoot says what DHCP tells a machine without a system that asks by its MAC address: install, or boot from disk.
	// nil: there is no network to boot from.
	NetBoot func(mac string) (install bool, err error)

	*Rack
	Faults Faults

	model  *simulator.Model
	server *simulator.Server
	client *govmomi.Client
	cancel context.CancelFunc
	done   chan struct{}

	front *httptest.Server
	task  chan struct{}     // held by the one call that changes machines
	addrs map[string]string // of machines that were brought up; watch's own, as is on
	on    map[string]bool
	items sync.Map // of content libraries: the machine that each is made of
}

// creating is held while a model is made: the simulator's objects share variables of their packages.
var creating sync.Mutex

// StartVSphere starts the simulator with one template. Hosts come up in the rack.
func StartVSphere(ctx context.Context, rack *Rack) (*VSphere, error) {
	v := &VSphere{Rack: rack, done: make(chan struct{}), task: make(chan struct{}, 1), addrs: map[string]string{}, on: map[string]bool{}}
	v.model = simulator.VPX()
	v.model.Cluster = 0
	v.model.Machine = 1
	creating.Lock()
	err := v.model.Create()
	creating.Unlock()
	if err != nil {
		return nil, fmt.Errorf("make the vSphere model: %w", err)
	}
	// The simulator's disk holds a hundred machines; a lab's should not be what a test stumbles over.
	v.SetFreeSpace(1 << 50)
	v.model.Service.RegisterEndpoints = true // those that a test adds to the simulator
	v.model.Service.TLS = new(tls.Config)    // with a certificate that nobody knows, as a vCenter's out of the box
	v.server = v.model.Service.NewServer()
	v.startFront()
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
	v.client.CloseIdleConnections()
	v.front.Close()
	v.server.Close()
	v.model.Remove()
}

// Machines lists the names of all machines but the template.
func (v *VSphere) Machines() []string {
	vms, err := v.list(context.Background(), "name")
	if err != nil {
		v.Fail(err)
	}
	var out []string
	for _, vm := range vms {
		if vm.Name != Template {
			out = append(out, vm.Name)
		}
	}
	return out
}

// Retag replaces a machine's notes, and takes its settings of ours away.
func (v *VSphere) Retag(id string, tags ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	vm := object.NewVirtualMachine(v.client.Client, types.ManagedObjectReference{Type: "VirtualMachine", Value: id})
	spec := types.VirtualMachineConfigSpec{Annotation: strings.Join(tags, " ") + " "}
	for _, k := range []string{"jarvis.token", "jarvis.owner", "jarvis.machine"} {
		spec.ExtraConfig = append(spec.ExtraConfig, &types.OptionValue{Key: k, Value: ""})
	}
	task, err := vm.Reconfigure(ctx, spec)
	if err == nil {
		err = task.Wait(ctx)
	}
	if err != nil {
		v.Fail(err)
	}
}

// Facts gives what vSphere has of the machine of that name.
func (v *VSphere) Facts(name string) string {
	ctx := context.Background()
	vms, err := v.list(ctx, "name", "config", "value")
	if err != nil {
		v.Fail(err)
	}
	fields, err := object.NewCustomFieldsManager(v.client.Client).Field(ctx)
	if err != nil {
		v.Fail(err)
	}
	for _, vm := range vms {
		if vm.Name != name || vm.Config == nil {
			continue
		}
		out := facts(vm.Config)
		for _, value := range vm.Value {
			if s, ok := value.(*types.CustomFieldStringValue); ok {
				out += fmt.Sprintf("attribute %s=%s\n", fields.ByKey(s.Key).Name, s.Value)
			}
		}
		return out
	}
	return ""
}

// facts tells in lines what tests look for in a machine; guestinfo is decoded.
func facts(c *types.VirtualMachineConfigInfo) string {
	var b strings.Builder
	fmt.Fprintf(&b, "memory %d\ncpus %d\n", c.Hardware.MemoryMB, c.Hardware.NumCPU)
	for _, d := range c.Hardware.Device {
		switch d := d.(type) {
		case *types.VirtualDisk:
			fmt.Fprintf(&b, "disk %d MB\n", d.CapacityInKB>>10)
			if d.UnitNumber != nil {
				fmt.Fprintf(&b, "its unit %d\n", *d.UnitNumber)
			}
		case types.BaseVirtualEthernetCard:
			if back, ok := d.GetVirtualEthernetCard().Backing.(*types.VirtualEthernetCardNetworkBackingInfo); ok {
				fmt.Fprintf(&b, "network %s\n", back.DeviceName)
			} else if back, ok := d.GetVirtualEthernetCard().Backing.(*types.VirtualEthernetCardDistributedVirtualPortBackingInfo); ok {
				fmt.Fprintf(&b, "portgroup %s\n", back.Port.PortgroupKey)
			}
		}
	}
	for _, o := range c.ExtraConfig {
		kv := o.GetOptionValue()
		text := fmt.Sprint(kv.Value)
		if plain, err := base64.StdEncoding.DecodeString(text); err == nil && strings.HasPrefix(kv.Key, "guestinfo.") && !strings.HasSuffix(kv.Key, ".encoding") {
			text = string(plain)
			if _, config, ok := strings.Cut(text, "\nnetwork: "); ok {
				line, _, _ := strings.Cut(config, "\n")
				plain, _ := base64.StdEncoding.DecodeString(line)
				text += string(plain)
			}
		}
		fmt.Fprintf(&b, "%s: %s\n", kv.Key, text)
	}
	return b.String()
}

// Stranger clones the template to a machine of that name and powers it on, as somebody else would.
func (v *VSphere) Stranger(name string) (string, error) { return v.Copy(Template, name) }

// Copy clones a machine and powers the clone on, as an administrator would.
func (v *VSphere) Copy(from, name string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	v.task <- struct{}{}
	defer func() { <-v.task }()
	f := find.NewFinder(v.client.Client)
	dc, err := f.DefaultDatacenter(ctx)
	if err != nil {
		return "", err
	}
	f.SetDatacenter(dc)
	src, err := f.VirtualMachine(ctx, from)
	if err != nil {
		return "", err
	}
	folders, err := dc.Folders(ctx)
	if err != nil {
		return "", err
	}
	task, err := src.Clone(ctx, folders.VmFolder, name, types.VirtualMachineCloneSpec{})
	if err != nil {
		return "", err
	}
	info, err := task.WaitForResult(ctx)
	if err != nil {
		return "", err
	}
	ref := info.Result.(types.ManagedObjectReference)
	task, err = object.NewVirtualMachine(v.client.Client, ref).PowerOn(ctx)
	if err == nil {
		err = task.Wait(ctx)
	}
	return ref.Value, err
}

// Runs tells whether a machine is powered on.
func (v *VSphere) Runs(id string) bool {
	var m mo.VirtualMachine
	ref := types.ManagedObjectReference{Type: "VirtualMachine", Value: id}
	err := object.NewVirtualMachine(v.client.Client, ref).Properties(context.Background(), ref, []string{"runtime.powerState"}, &m)
	return err == nil && m.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn
}

// Config gives the lines for jarvis.yaml under workers.
func (v *VSphere) Config() string {
	return fmt.Sprintf("  esx: {url: %q, insecure: true, templates: {Debian 12: %s}, pool: %s, network: VM Network}\n", v.URL, Template, Pool)
}

// Chaos gives the faults that it plays.
func (v *VSphere) Chaos() *Faults { return &v.Faults }

var _ Cloud = (*VSphere)(nil)

// list waits for the task that runs: the simulator's views read what its tasks write.
func (v *VSphere) list(ctx context.Context, props ...string) ([]mo.VirtualMachine, error) {
	select {
	case v.task <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-v.task }()
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
			if vm.Name == Template {
				continue
			}
			id := vm.Self.Value
			seen[id] = true
			on := vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn
			_, known := v.addrs[id]
			switch {
			case on && !known:
				if err := v.bringUp(ctx, vm.Self, vm.Name); err != nil && ctx.Err() == nil {
					v.Fail(fmt.Errorf("bring up %s: %w", vm.Name, err))
				}
			case on && !v.on[id]:
				v.On("esx/" + id)
			case !on && v.on[id]:
				v.Off("esx/" + id)
			}
			v.on[id] = on
		}
		for id := range v.addrs {
			if !seen[id] {
				v.Remove("esx/" + id)
				delete(v.addrs, id)
				delete(v.on, id)
			}
		}
	}
}

// bringUp does what cloud-init and VMware Tools would: a host with that user-data, and its address on the machine.
func (v *VSphere) bringUp(ctx context.Context, ref types.ManagedObjectReference, name string) error {
	vm := object.NewVirtualMachine(v.client.Client, ref)
	var m mo.VirtualMachine
	if err := vm.Properties(ctx, ref, []string{"config", "guest.ipAddress"}, &m); err != nil {
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
	if m.Config.GuestId != templateGuest { // made bare, not cloned
		if err := v.install(ctx, vm, m.Config.Hardware.Device); err != nil {
			return err
		}
	}
	if !strings.HasPrefix(user, "#cloud-config") {
		return fmt.Errorf("guestinfo.userdata is no #cloud-config")
	}
	ip := v.Address()
	v.addrs[ref.Value] = ip
	if err := v.Up("esx/"+ref.Value, name, ip, user); err != nil {
		return nil // the rack has noted it
	}
	// VMware Tools report the address.
	v.task <- struct{}{}
	defer func() { <-v.task }()
	task, err := vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "SET.guest.ipAddress", Value: ip}}})
	if err == nil {
		err = task.Wait(ctx)
	}
	return err
}

// templateGuest is the guest id of the simulator's own machines, and so of clones.
const templateGuest = "otherGuest"

// install is what a machine without a system does: it boots the installer from the network, reboots, and asks the
// network again, which must now say that it is to boot from its disk.
func (v *VSphere) install(ctx context.Context, vm *object.VirtualMachine, devices object.VirtualDeviceList) error {
	if v.NetBoot == nil {
		return errors.New("it has no system, and there is no network to boot from")
	}
	mac := ""
	for _, d := range devices.SelectByType((*types.VirtualEthernetCard)(nil)) {
		mac = d.(types.BaseVirtualEthernetCard).GetVirtualEthernetCard().MacAddress
	}
	yes, err := v.NetBoot(mac)
	if err != nil || !yes {
		return fmt.Errorf("it has no system, and DHCP tells %s to boot from its disk (%v)", mac, err)
	}
	ref := vm.Reference()
	err = event.NewManager(v.client.Client).PostEvent(ctx, &types.VmGuestRebootEvent{VmEvent: types.VmEvent{Event: types.Event{CreatedTime: time.Now(), Vm: &types.VmEventArgument{Vm: ref}, Host: &types.HostEventArgument{EntityEventArgument: types.EntityEventArgument{Name: "DC0_H0"}},
		Datacenter: &types.DatacenterEventArgument{EntityEventArgument: types.EntityEventArgument{Name: "DC0"}}}}})
	if err != nil {
		return err
	}
	for range 100 { // a BIOS takes seconds until it asks again
		time.Sleep(50 * time.Millisecond)
		if yes, err = v.NetBoot(mac); err != nil || !yes {
			return err
		}
	}
	return errors.New("DHCP had it install again and again")
}

// operation finds the SOAP call in a request.
var operation = pattern.New(`<Body[^>]*>\s*<([A-Za-z_]+)`)

// taskMade is the answer to a call that starts a task.
var taskMade = pattern.New(`<returnval[^>]*type="Task"[^>]*>([^<]+)<`)

// oneTask lets a call that changes machines in only when the task of the one before has ended: the simulator's tasks
// write to the same datastore without a lock. Who calls still gets the task at once, and sees it run.
func (v *VSphere) oneTask(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case v.task <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		go func() {
			defer func() { <-v.task }()
			if m := taskMade.FindSubmatch(rec.Body.Bytes()); m != nil {
				v.ended(types.ManagedObjectReference{Type: "Task", Value: string(m[1])})
			}
		}()
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
}

// ended waits until a task has ended, or is forgotten.
func (v *VSphere) ended(task types.ManagedObjectReference) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = object.NewTask(v.client.Client, task).Wait(ctx)
}

// startFront puts a proxy in front of the simulator that plays faults.
func (v *VSphere) startFront() {
	to := *v.server.URL
	user := to.User
	to.User = nil
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: to.Scheme, Host: to.Host})
	proxy.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 64} // the simulator's own certificate, in this process
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	v.front = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op := ""
		if m := operation.FindSubmatch(Body(r)); m != nil {
			op = string(m[1])
		}
		serve := http.Handler(v.withLibraries(proxy))
		if strings.HasSuffix(op, "_Task") {
			serve = v.oneTask(proxy)
		}
		v.Faults.At(op, false).Serve(w, r, serve.ServeHTTP, func(w http.ResponseWriter, _ Fault) {
			http.Error(w, "the service is not available", http.StatusServiceUnavailable)
		})
	}))
	v.front.Config.ErrorLog = log.New(io.Discard, "", 0) // a broken connection is what Lost is about
	v.front.StartTLS()
	u := to
	u.Scheme, u.Host, u.User = "https", v.front.Listener.Addr().String(), user
	v.URL = u.String()
}
