package provider

import (
	"context"
	"slices"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
)

// The same for a machine that was made: its size would stay on record of a host that has none.
func TestAnUndoneDeploymentLeavesNothingOfTheMachine(t *testing.T) {
	c, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n  provider_id: m1\n  provider_account: eu\n  provider_size: small\n  provider_tags: {a: b}\n"))
	if err != nil {
		t.Fatal(err)
	}
	p := Calls{Module: "x", Get: func(context.Context, string) (Machine, error) { return Machine{}, ErrGone },
		Find: func(context.Context, Query) ([]Machine, error) { return nil, nil }}
	if err := p.undoDeploy(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	left := slices.DeleteFunc([]string{"provider_id", "provider_account", "provider_size", "provider_tags"}, func(k string) bool { return !c.Has(k) })
	if len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

// What an undo takes out of the clipboard does not depend on whether the machine is still there: a provider_id that
// stays names a machine that is gone.
func TestAnUndoneAdoptionLeavesNothingOfTheMachine(t *testing.T) {
	for name, get := range map[string]func(context.Context, string) (Machine, error){
		"the machine is there":      func(context.Context, string) (Machine, error) { return Machine{ID: "m1"}, nil },
		"it is gone":                func(context.Context, string) (Machine, error) { return Machine{}, ErrGone },
		"it is listed, and gone":    func(context.Context, string) (Machine, error) { return Machine{ID: "m1", State: Gone}, nil },
		"it carries another's mark": func(context.Context, string) (Machine, error) { return Machine{ID: "m1", Mark: Mark{Owner: "x"}}, nil },
	} {
		c, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n  adopt_id: m1\n  adopt_before: none\n  provider_id: m1\n  provider_account: eu\n  provider_size: small\n"))
		if err != nil {
			t.Fatal(err)
		}
		if err := (Calls{Module: "x", Get: get}).undoAdopt(t.Context(), c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		left := slices.DeleteFunc([]string{"adopt_before", "provider_id", "provider_account", "provider_size"}, func(k string) bool { return !c.Has(k) })
		if len(left) > 0 {
			t.Errorf("%s: %v are left", name, left)
		}
	}
}
