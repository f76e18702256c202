package checks

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// What a node has follows who lives: it takes what it should have, lets that end which another should have, and is not
// sure of what a transaction that was cut off may have written.
func TestOwnershipAlone(t *testing.T) {
	const us, a, b = "life 1", pinned + "a", pinned + "b"
	alone := []peer{{us, "a", ",,"}}
	both := append(slices.Clone(alone), peer{"life 2", "b", ",,"})
	another := []peer{{"life 3", "a", ",,"}}
	o := newOwnership()
	if o.looked() {
		t.Error("nobody has looked yet")
	}
	look := func(peers []peer, drains bool, want, take []string) {
		t.Helper()
		gotWant, gotTake := o.look(peers, us, []string{a, b}, drains, noon)
		if len(gotWant) != len(want) || slices.ContainsFunc(want, func(s string) bool { return !gotWant[s] }) || !slices.Equal(gotTake, take) {
			t.Errorf("it wants %v and takes %q", gotWant, gotTake)
		}
	}
	stands := func(runs bool, leaving ...string) {
		t.Helper()
		_, goes := o.goes(a)
		if got := o.leaving(nil); o.runs(a) != runs || goes != (len(leaving) > 0) || !slices.Equal(got, leaving) || len(o.leaving(map[string]bool{a: true})) > 0 {
			t.Errorf("a runs: %t, goes: %t; leaving: %q", o.runs(a), goes, got)
		}
	}
	stands(false)
	look(both, false, []string{a}, []string{a})
	stands(false) // the record does not say so yet
	if p, ok := o.whose(b); !ok || p.name != "b" || !o.looked() {
		t.Errorf("b is for %+v", p)
	}
	o.got(a)
	stands(true)
	look(both, false, []string{a}, nil)
	look(another, false, nil, nil) // somebody else has our name
	stands(false, a)
	look(alone, false, []string{a}, nil) // it is ours again, before it was given
	stands(true)
	o.doubt([]string{a}, noon)
	stands(false, a)
	look(alone, false, []string{a}, []string{a})
	o.got(a)
	stands(true)
	look(alone, true, nil, nil) // it drains
	stands(false, a)
	o.gave([]string{a})
	stands(false)
	o.got(a)
	if got := o.leave(noon); !slices.Equal(got, []string{a}) {
		t.Errorf("all is %q", got)
	}
	stands(false, a)
}

// On record a part is one node's, until that gives it back; whoever takes it then knows until when it was run.
func TestClaimsAlone(t *testing.T) {
	url := onPostgres(t)
	now := noon
	claim := func(name string) *claims {
		db, err := store.Open(t.Context(), store.Options{URL: url, Shared: true, Node: store.Node{Name: name}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		if err := db.Migrate(t.Context(), Migrations(true)); err != nil {
			t.Fatal(err)
		}
		return &claims{tools{db, func() time.Time { return now }, slog.New(slog.DiscardHandler)}}
	}
	a, b := claim("a"), claim("b")
	before := noon.Add(-time.Hour)
	takes := func(c *claims, alive time.Time, gently bool, list []string, want ...string) {
		t.Helper()
		got, err := c.take(t.Context(), list, before)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, x := range got {
			names = append(names, x.name)
			if !x.alive.Equal(alive) || x.gently != gently {
				t.Errorf("%s was run until %s, given gently: %t", x.name, x.alive, x.gently)
			}
		}
		if slices.Sort(names); !slices.Equal(names, want) {
			t.Errorf("taken: %q, want %q", names, want)
		}
	}
	takes(a, before, false, []string{"/1", "/2"}, "/1", "/2")
	takes(b, before, false, []string{"/2", "/3"}, "/3")
	now = noon.Add(time.Minute)
	if err := b.free(t.Context(), []string{"/1"}); err != nil { // which is not b's
		t.Fatal(err)
	}
	takes(b, before, false, []string{"/1"})
	if err := a.free(t.Context(), []string{"/1", "/2"}); err != nil {
		t.Fatal(err)
	}
	takes(b, now, true, []string{"/1", "/2"}, "/1", "/2")
	takes(a, before, false, []string{"/1", "/2", "/3"})
}
