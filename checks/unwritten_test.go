package checks

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// tasks gives the tasks of what is there, and checks that each pair knows whether it is.
func (u *unwritten) tasks(t *testing.T, all []*pair) (out []string) {
	t.Helper()
	for _, f := range u.first(100) {
		out = append(out, f.p.Task)
	}
	for _, p := range all {
		if there := slices.Contains(out, p.Task); p.ended != there || (u.of(p) != nil) != there {
			t.Errorf("%s: ended is %t, it is there: %t", p.Task, p.ended, there)
		}
	}
	return out
}

// Results are written in the order in which they came; a batch stays what it was, whatever comes and goes while it is
// written.
func TestUnwrittenResultsAlone(t *testing.T) {
	u := newUnwritten()
	all := map[string]*pair{}
	var list []*pair
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		all[name] = namedPair(name)
		list = append(list, all[name])
	}
	want := func(names ...string) {
		t.Helper()
		if got := u.tasks(t, list); !slices.Equal(got, names) || u.len() != len(names) {
			t.Errorf("%q are there, want %q", got, names)
		}
	}
	want()
	for _, p := range list[:4] {
		u.add(finished{p: p, missed: p.Task == "b"})
	}
	want("a", "b", "c", "d")
	u.add(finished{p: all["e"]})
	batch := u.first(2)
	u.forget(all["c"])
	u.forget(all["c"]) // it is not there
	if len(batch) != 2 || batch[0].p != all["a"] || batch[1].p != all["b"] || len(u.came) != 1 {
		t.Errorf("the batch is %+v; woken %d times", batch, len(u.came))
	}
	want("a", "b", "d", "e")
	if got := u.drop(func(_ int, f *finished) bool { return f.missed }); len(got) != 1 || got[0] != all["b"] {
		t.Errorf("dropped: %v", got)
	}
	want("a", "d", "e")
	if batch[0].p != all["a"] || batch[1].p != all["b"] {
		t.Errorf("the batch is %+v", batch)
	}
	if got := u.written(2); !slices.Equal(got, []*pair{all["a"], all["d"]}) {
		t.Errorf("written: %v", got)
	}
	want("e")
	if got := u.written(0); got != nil {
		t.Errorf("none was written: %v", got)
	}
	want("e")
}

// Since when the database takes nothing is since the first time, whatever it says after that.
func TestSinceWhenTheDatabaseTakesNothing(t *testing.T) {
	u := newUnwritten()
	full, away := errors.New("full"), errors.New("away")
	for i, c := range []struct {
		err   error
		since time.Time
	}{{nil, time.Time{}}, {full, noon.Add(time.Second)}, {away, noon.Add(time.Second)}, {nil, time.Time{}}, {away, noon.Add(4 * time.Second)}} {
		u.took(c.err, noon.Add(time.Duration(i)*time.Second))
		if since, why := u.since(); !since.Equal(c.since) || why != c.err {
			t.Errorf("%d: since %s, %v", i, since, why)
		}
	}
}
