package esx

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/jarvisops/jarvis/pipeline"
)

// A clipboard's tags are custom attributes: each has a name and a value, as they have. vSphere's own tags have a
// category in place of the name, which an administrator must make first.

// putTags writes them; what stands there already as it should is not written again.
func (w *Worker) putTags(ctx context.Context, vm *object.VirtualMachine, tags map[string]string) error {
	if len(tags) == 0 {
		return nil
	}
	var m mo.VirtualMachine
	if err := vm.Properties(ctx, vm.Reference(), []string{"value"}, &m); err != nil {
		return w.say("read the machine's custom attributes", err)
	}
	manager, err := object.GetCustomFieldsManager(vm.Client())
	if err != nil {
		return w.say("look for custom attributes", err)
	}
	fields, err := manager.Field(ctx)
	if err != nil {
		return w.say("list the custom attributes", err)
	}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		key, ok := field(fields, name)
		if !ok {
			pipeline.Log(ctx, fmt.Sprintf("vCenter gets a custom attribute %q of virtual machines", name))
			def, err := manager.Add(ctx, name, "VirtualMachine", nil, nil)
			if fault.Is(err, &types.DuplicateName{}) {
				return fmt.Errorf("add the custom attribute %q: somebody else did so meanwhile", name) // the next try sees it
			}
			if err != nil {
				return w.say(fmt.Sprintf("add the custom attribute %q", name), err)
			}
			key = def.Key
		}
		if value(m.Value, key) == tags[name] {
			continue
		}
		if err := manager.Set(ctx, vm.Reference(), key, tags[name]); err != nil {
			return w.say(fmt.Sprintf("set the custom attribute %q", name), err)
		}
	}
	return nil
}

// field finds the attribute of that name that a machine can have.
func field(fields []types.CustomFieldDef, name string) (int32, bool) {
	for _, f := range fields {
		if f.Name == name && (f.ManagedObjectType == "" || f.ManagedObjectType == "VirtualMachine") {
			return f.Key, true
		}
	}
	return 0, false
}

func value(list []types.BaseCustomFieldValue, key int32) string {
	for _, v := range list {
		if s, ok := v.(*types.CustomFieldStringValue); ok && s.Key == key {
			return s.Value
		}
	}
	return ""
}

// tagsOf reads a machine's custom attributes that have a value.
func (w *Worker) tagsOf(ctx context.Context, vm *object.VirtualMachine, m *mo.VirtualMachine) (map[string]string, error) {
	out := map[string]string{}
	if len(m.Value) == 0 {
		return out, nil
	}
	fields, err := object.NewCustomFieldsManager(vm.Client()).Field(ctx)
	if err != nil {
		return nil, w.say("list the custom attributes", err)
	}
	for _, f := range fields {
		if v := value(m.Value, f.Key); v != "" {
			out[f.Name] = v
		}
	}
	return out, nil
}
