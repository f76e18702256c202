package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"

	"github.com/vmware/govmomi/vapi/library"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/vcenter"
)

// Library makes a content library with two items: a VM template, made of the template that there is, and an OVF without
// files. The simulator must have its endpoints for it (govmomi's vapi/simulator).
func (v *VSphere) Library(ctx context.Context, name, template, ovf string) error {
	rc := rest.NewClient(v.client.Client)
	if err := rc.Login(ctx, v.server.URL.User); err != nil {
		return fmt.Errorf("log in to the content libraries: %w", err)
	}
	defer func() { _ = rc.Logout(ctx) }()
	m := library.NewManager(rc)
	ds := v.model.Map().Any("Datastore").Reference().Value
	id, err := m.CreateLibrary(ctx, library.Library{Name: name, Type: "LOCAL", Storage: []library.StorageBacking{{DatastoreID: ds, Type: "DATASTORE"}}})
	if err != nil {
		return fmt.Errorf("make the content library %s: %w", name, err)
	}
	if _, err := m.CreateLibraryItem(ctx, library.Item{Name: ovf, Type: library.ItemTypeOVF, LibraryID: id}); err != nil {
		return fmt.Errorf("make the item %s: %w", ovf, err)
	}
	vms, err := v.list(ctx, "name", "resourcePool", "parent")
	if err != nil {
		return err
	}
	for _, vm := range vms {
		if vm.Name != Template {
			continue
		}
		item, err := vcenter.NewManager(rc).CreateTemplate(ctx, vcenter.Template{Name: template, Library: id, SourceVM: vm.Self.Value,
			Placement: &vcenter.Placement{Folder: vm.Parent.Value, ResourcePool: vm.ResourcePool.Value}})
		if err != nil {
			return fmt.Errorf("make the item %s: %w", template, err)
		}
		return v.shelve(ctx, item, template)
	}
	return fmt.Errorf("there is no %s", Template)
}

// shelve notes which machine an item is made of.
func (v *VSphere) shelve(ctx context.Context, item, name string) error {
	vms, err := v.list(ctx, "name")
	if err != nil {
		return err
	}
	for _, vm := range vms {
		if vm.Name == name {
			v.items.Store(item, vm.Self.Value)
			return nil
		}
	}
	return fmt.Errorf("the item %s has no machine", name)
}

// withLibraries answers what an item is made of, which the simulator leaves empty
// (https://developer.broadcom.com/xapis/vsphere-automation-api/latest/vcenter/rest/vcenter/vm-template/library-items/template_library_item/get/).
func (v *VSphere) withLibraries(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		vm, ok := v.items.Load(path.Base(r.URL.Path))
		if !ok || r.Method != http.MethodGet || path.Base(path.Dir(path.Dir(r.URL.Path))) != "vm-template" {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"value": map[string]any{"guest_OS": "DEBIAN_12_64", "vm_template": vm}})
	})
}
