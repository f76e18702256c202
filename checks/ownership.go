package checks

import (
	"maps"
	"slices"
	"time"
)

// ownership is which parts of the hosts this node has, as far as it knows, and who should have each. It owns that, and
// needs nothing: it is told who lives, and what became of each part on record. It has no lock of its own: who has it
// (Monitor.mu) lets one in at a time.
type ownership struct {
	held  map[string]bool      // true: we run them; false: they are to go, and what runs ends
	going map[string]time.Time // since when
	// unsure: nobody knows whether the record says that we have it, because a transaction was cut off.
	unsure map[string]bool
	plot   *plot // nil: nobody has looked who lives
}

func newOwnership() ownership {
	return ownership{held: map[string]bool{}, going: map[string]time.Time{}, unsure: map[string]bool{}}
}

// look decides by who lives which parts of those that are there we should have, has those go that another should, and
// gives those that are to be taken. A node that drains should have none.
func (o *ownership) look(peers []peer, us string, there []string, drains bool, now time.Time) (want map[string]bool, take []string) {
	if o.plot == nil || !slices.Equal(o.plot.peers, peers) {
		o.plot = newPlot(peers)
	}
	want = map[string]bool{}
	for _, s := range there {
		if p, ok := o.plot.wants(s); ok && p.holder == us && !drains {
			want[s] = true
		}
	}
	for s := range want {
		if _, ours := o.held[s]; !ours || o.unsure[s] {
			take = append(take, s)
		} else {
			o.held[s] = true // it was to go, and is not now
			delete(o.going, s)
		}
	}
	for s := range o.held {
		if p, ok := o.plot.wants(s); o.held[s] && (ok && p.holder != us || drains) {
			o.held[s], o.going[s] = false, now
		}
	}
	return want, take
}

// runs reports whether a part is ours, and stays.
func (o *ownership) runs(share string) bool { return o.held[share] }

// goes tells since when a part is to go.
func (o *ownership) goes(share string) (since time.Time, yes bool) {
	since, yes = o.going[share]
	return since, yes
}

// leaving gives the parts that are to go and are not busy.
func (o *ownership) leaving(busy map[string]bool) (out []string) {
	for s := range o.going {
		if !busy[s] {
			out = append(out, s)
		}
	}
	return out
}

// leave has all go, and gives them.
func (o *ownership) leave(now time.Time) []string {
	for s := range o.held {
		o.held[s], o.going[s] = false, now
	}
	return slices.Collect(maps.Keys(o.held))
}

// got notes that a part is ours on record.
func (o *ownership) got(share string) {
	o.held[share] = true
	delete(o.going, share)
	delete(o.unsure, share)
}

// gave notes that parts are free on record.
func (o *ownership) gave(list []string) {
	for _, s := range list {
		delete(o.held, s)
		delete(o.going, s)
		delete(o.unsure, s)
	}
}

// doubt notes parts that the record may say are ours: they are taken again, or given back.
func (o *ownership) doubt(list []string, now time.Time) {
	for _, s := range list {
		o.held[s], o.going[s], o.unsure[s] = false, now, true
	}
}

// looked reports whether it is known who lives.
func (o *ownership) looked() bool { return o.plot != nil }

// whose gives who should have a part, and false when there is nobody.
func (o *ownership) whose(share string) (peer, bool) { return o.plot.wants(share) }
