package esx

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vapi/library"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/vcenter"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// inLibrary begins the name of a template that is an item of a content library: library:LIBRARY/ITEM.
const inLibrary = "library:"

// fromLibrary finds the machine that such an item stands for: vCenter keeps a VM template as one, and it is cloned like
// any other. Content libraries are spoken to over another API with a session of its own, which ends here.
func (w *Worker) fromLibrary(ctx context.Context, p *place, said string) (*object.VirtualMachine, error) {
	shelf, name, ok := strings.Cut(strings.TrimPrefix(said, inLibrary), "/")
	if !ok || shelf == "" || name == "" {
		return nil, pipeline.Permanentf("workers.esx names the template %q; write library:LIBRARY/ITEM", said)
	}
	rc := rest.NewClient(p.client)
	if err := rc.Login(ctx, w.url.User); err != nil {
		return nil, w.sayREST("log in to the content libraries", err)
	}
	defer func() { _ = rc.Logout(context.WithoutCancel(ctx)) }()
	m := library.NewManager(rc)
	id, err := w.libraryID(ctx, m, shelf)
	if err != nil {
		return nil, err
	}
	items, err := m.GetLibraryItems(ctx, id)
	if err != nil {
		return nil, w.sayREST("list what is in the content library "+shelf, err)
	}
	var have []string
	for _, i := range items {
		switch {
		case i.Name != name:
			have = append(have, i.Name)
		case i.Type != library.ItemTypeVMTX:
			return nil, pipeline.Permanentf("the item %s of the content library %s is of the type %s, and only a VM template can be cloned; deploy it once, and clone that to the library as a VM template", name, shelf, i.Type)
		default:
			info, err := vcenter.NewManager(rc).GetLibraryTemplateInfo(ctx, i.ID)
			if err != nil {
				return nil, w.sayREST("read the item "+name+" of the content library "+shelf, err)
			}
			if info.VmTemplate == "" {
				return nil, fmt.Errorf("vCenter does not say which machine the item %s of the content library %s is", name, shelf)
			}
			return object.NewVirtualMachine(p.client, types.ManagedObjectReference{Type: "VirtualMachine", Value: info.VmTemplate}), nil
		}
	}
	return nil, provider.Unknown("item", name, have, "the content library "+shelf)
}

// libraryID finds a library by its name, which two may have.
func (w *Worker) libraryID(ctx context.Context, m *library.Manager, name string) (string, error) {
	all, err := m.GetLibraries(ctx)
	if err != nil {
		return "", w.sayREST("list the content libraries", err)
	}
	var have, ids []string
	for _, l := range all {
		if have = append(have, l.Name); l.Name == name {
			ids = append(ids, l.ID)
		}
	}
	switch len(ids) {
	case 1:
		return ids[0], nil
	case 0:
		return "", provider.Unknown("content library", name, have, w.url.Host)
	}
	return "", pipeline.Permanentf("%s has %d content libraries %q; give one of them another name", w.url.Host, len(ids), name)
}

// sayREST tells a right that is missing by the status of HTTP: the REST API gives no fault as SOAP does.
func (w *Worker) sayREST(what string, err error) error {
	if rest.IsStatusError(err, http.StatusUnauthorized) || rest.IsStatusError(err, http.StatusForbidden) {
		return pipeline.Permanentf("%s: the user has no permission for it", what)
	}
	return w.say(what, err)
}
