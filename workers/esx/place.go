package esx

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// place is where machines are made.
type place struct {
	client    *vim25.Client
	finder    *find.Finder
	folder    *object.Folder
	pool      *object.ResourcePool
	datastore *object.Datastore
}

// find resolves the configured names. A name that is not there is an error that says what there is; nothing is picked
// for it.
func (w *Worker) find(ctx context.Context) (*place, error) {
	vc, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	p := &place{client: vc, finder: find.NewFinder(vc, true)}
	dc, err := p.finder.DatacenterOrDefault(ctx, w.cfg.Datacenter)
	if err != nil {
		return nil, w.missing(ctx, err, "datacenter", w.cfg.Datacenter, names(p.finder.DatacenterList))
	}
	p.finder.SetDatacenter(dc)
	folder := w.cfg.Folder
	if folder == "" {
		folder = "vm"
	}
	if p.folder, err = p.finder.FolderOrDefault(ctx, folder); err != nil {
		return nil, w.missing(ctx, err, "folder", folder, names(p.finder.FolderList))
	}
	return p, nil
}

// target also resolves what only a new machine needs.
func (w *Worker) target(ctx context.Context, s provider.Spec) (*place, error) {
	p, err := w.find(ctx)
	if err != nil {
		return nil, err
	}
	pool, store := s.Options["pool"], s.Options["datastore"]
	if pool == "" {
		pool = w.cfg.Pool
	}
	if store == "" {
		store = w.cfg.Datastore
	}
	if p.pool, err = w.findPool(ctx, p, pool); err != nil {
		return nil, err
	}
	p.datastore, err = w.findDatastore(ctx, p, store)
	return p, err
}

// findPool finds a resource pool by its name, or by that of a cluster or host, whose own pool it then is: DRS chooses
// the host.
func (w *Worker) findPool(ctx context.Context, p *place, said string) (*object.ResourcePool, error) {
	pool, err := p.finder.ResourcePoolOrDefault(ctx, said)
	var none *find.NotFoundError
	if !errors.As(err, &none) || said == "" {
		return pool, w.say(named("find the resource pool", said), err)
	}
	c, cerr := p.finder.ComputeResource(ctx, said)
	if cerr == nil {
		if pool, err = c.ResourcePool(ctx); err == nil {
			pool.InventoryPath = c.InventoryPath + "/Resources"
		}
		return pool, w.say("find the pool of "+said, err)
	}
	return nil, w.missing(ctx, err, "pool", said, names(p.finder.ComputeResourceList), names(p.finder.ResourcePoolList))
}

// findDatastore finds a datastore by its name, or by that of a datastore cluster, of which the one with most room is
// taken.
func (w *Worker) findDatastore(ctx context.Context, p *place, said string) (*object.Datastore, error) {
	ds, err := p.finder.DatastoreOrDefault(ctx, said)
	var none *find.NotFoundError
	if !errors.As(err, &none) || said == "" {
		return ds, w.say(named("find the datastore", said), err)
	}
	pod, perr := p.finder.DatastoreCluster(ctx, said)
	if perr != nil {
		return nil, w.missing(ctx, err, "datastore", said, names(p.finder.DatastoreList), names(p.finder.DatastoreClusterList))
	}
	var folder mo.StoragePod
	pc := property.DefaultCollector(p.client)
	if err := pc.RetrieveOne(ctx, pod.Reference(), []string{"childEntity"}, &folder); err != nil {
		return nil, w.say("read the datastore cluster "+said, err)
	}
	var list []mo.Datastore
	if len(folder.ChildEntity) > 0 {
		if err := pc.Retrieve(ctx, folder.ChildEntity, []string{"summary"}, &list); err != nil {
			return nil, w.say("read the datastore cluster "+said, err)
		}
	}
	best := -1
	for i, d := range list {
		if d.Summary.Accessible && d.Summary.MaintenanceMode == string(types.DatastoreSummaryMaintenanceModeStateNormal) &&
			(best < 0 || d.Summary.FreeSpace > list[best].Summary.FreeSpace || d.Summary.FreeSpace == list[best].Summary.FreeSpace && d.Summary.Name < list[best].Summary.Name) {
			best = i
		}
	}
	if best < 0 {
		return nil, pipeline.Permanentf("the datastore cluster %s has no datastore that can be used now", said)
	}
	return p.finder.Datastore(ctx, list[best].Summary.Name)
}

// network finds a portgroup, or the configured network.
func (w *Worker) network(ctx context.Context, p *place, said string) (object.NetworkReference, error) {
	if said == "" {
		said = w.cfg.Network
	}
	n, err := p.finder.NetworkOrDefault(ctx, said)
	if err != nil {
		return nil, w.missing(ctx, err, "network", said, func(ctx context.Context) []string {
			list, _ := p.finder.NetworkList(ctx, "*")
			var out []string
			for _, n := range list {
				out = append(out, path.Base(n.GetInventoryPath()))
			}
			return out
		})
	}
	return n, nil
}

// names gives a function that lists the names there are, for an error.
func names[T interface{ Name() string }](list func(context.Context, string) ([]T, error)) func(context.Context) []string {
	return func(ctx context.Context) []string {
		all, err := list(ctx, "*")
		if err != nil {
			return nil
		}
		var out []string
		for _, one := range all {
			out = append(out, one.Name())
		}
		return out
	}
}

// missing says that something configured or asked for is not there, with what there is.
func (w *Worker) missing(ctx context.Context, err error, key, said string, lists ...func(context.Context) []string) error {
	var none *find.NotFoundError
	if !errors.As(err, &none) || said == "" {
		return w.say(named("find the "+key, said), err)
	}
	var have []string
	for _, l := range lists {
		have = append(have, l(ctx)...)
	}
	return provider.Unknown(key, said, have, w.url.Host)
}

func named(what, name string) string {
	if name == "" {
		return what
	}
	return fmt.Sprintf("%s %q", what, name)
}

// template finds the template for a guestid.
func (w *Worker) template(ctx context.Context, p *place, guest string) (*object.VirtualMachine, string, error) {
	name := w.cfg.Template
	if len(w.cfg.Templates) > 0 && (guest != "" || name == "") {
		var err error
		if name, err = provider.Word("guestid", guest, "workers.esx.templates", w.cfg.Templates); err != nil {
			return nil, "", err
		}
	}
	if name == "" {
		return nil, "", pipeline.Permanentf("no template is configured; set workers.esx.template")
	}
	var vm *object.VirtualMachine
	var err error
	if strings.HasPrefix(name, inLibrary) {
		vm, err = w.fromLibrary(ctx, p, name)
		if err != nil {
			return nil, name, err
		}
	} else if vm, err = p.finder.VirtualMachine(ctx, name); err != nil {
		var notFound *find.NotFoundError
		if errors.As(err, &notFound) {
			return nil, name, pipeline.Permanentf("the template %q is not on %s", name, w.url.Host)
		}
		return nil, name, w.say(named("find the template", name), err)
	}
	if len(w.cfg.Templates) == 0 && guest != "" {
		return vm, name, w.matches(ctx, vm, name, guest)
	}
	return vm, name, nil
}

// matches makes sure that the only template is what the clipboard asks for: its name says so, or the guest that vCenter
// knows it for.
func (w *Worker) matches(ctx context.Context, vm *object.VirtualMachine, name, guest string) error {
	if provider.Holds(path.Base(name), guest) {
		return nil
	}
	var m mo.VirtualMachine
	if err := vm.Properties(ctx, vm.Reference(), []string{"config.guestId", "config.guestFullName"}, &m); err != nil {
		return w.say("read the template", err)
	}
	if m.Config != nil {
		if id, err := guestID(guest); err == nil && strings.EqualFold(id, m.Config.GuestId) || provider.Holds(m.Config.GuestFullName, guest) {
			return nil
		}
	}
	return pipeline.Permanentf("the clipboard asks for %q, and the only template is %s; name one for it under workers.esx.templates, or leave out guestid", guest, name)
}
