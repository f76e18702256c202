package checks

import (
	"slices"
	"testing"

	"github.com/jarvisops/jarvis/checks/model"
)

// names gives the tasks of pairs, in the order of their names.
func names(seq func(func(*pair) bool)) (out []string) {
	seq(func(p *pair) bool { out = append(out, p.Task); return true })
	slices.Sort(out)
	return out
}

// A pair is found by its key and by its number, however often the record gives it another one, and stands at one host.
func TestRosterAlone(t *testing.T) {
	r := newRoster()
	up, disk := model.Key{Task: model.HostAnswers, Host: "loki"}, model.Key{Task: "disk", Host: "loki"}
	a := &pair{Plan: model.Plan{Key: up}, id: 1}
	r.add(a)
	h := r.addHost("loki")
	if r.host("loki") != h || h.pair != a || a.where != h || !h.pairs[a] {
		t.Error("a host is not found, or has not its own pair")
	}
	b := r.take(state{Key: disk, id: 2, rev: 5, stand: Standing{Line: "fine"}})
	if b == nil || r.pair(disk) != b || r.byID(2) != b || !b.known || b.stand.Line != "fine" || r.size() != 2 {
		t.Fatalf("%+v", b)
	}
	b.loaded = true
	if r.take(state{Key: disk, id: 2, rev: 5}) != nil || !b.loaded {
		t.Error("it stands as before, and is taken over")
	}
	if r.take(state{Key: disk, id: 2, rev: 6, stand: Standing{Line: "full"}}) != b || b.loaded || b.stand.Line != "full" {
		t.Error("another node changed it, and it is not taken over")
	}
	if r.take(state{Key: disk, id: 9, rev: 0}) != b || r.byID(2) != nil || r.byID(9) != b { // it was forgotten, and made again
		t.Error("it has another number, and is found by the old one")
	}
	for range 2 {
		if r.place(b, h) || !h.pairs[b] {
			t.Error("it ran nowhere before, or at this host")
		}
	}
	r.add(&pair{Plan: model.Plan{Key: model.Key{Task: model.HostAnswers, Host: "odin"}}, id: 3})
	other := r.addHost("odin")
	if !r.place(b, other) || h.pairs[b] || !other.pairs[b] || b.where != other {
		t.Error("it runs at another host, and is not there alone")
	}
	r.watch(a, true)
	r.watch(b, true)
	r.watch(b, true)
	r.watch(a, false)
	if got := names(r.watching()); !slices.Equal(got, []string{"disk"}) {
		t.Errorf("watched: %q", got)
	}
	r.remove(b)
	if r.pair(disk) != nil || r.byID(9) != nil || other.pairs[b] || len(names(r.watching())) > 0 || r.host("odin") == nil {
		t.Error("it was forgotten, and is still there; or its host is not")
	}
	r.remove(a)
	if ids := r.allIDs(); r.host("loki") != nil || !slices.Equal(ids, []int64{3}) || !slices.Equal(names(r.each()), []string{model.HostAnswers}) {
		t.Errorf("what says whether a host answers was forgotten; left: %v", ids)
	}
}
