package checks

import (
	"iter"
	"maps"
	"slices"

	"github.com/jarvisops/jarvis/checks/model"
)

// roster is all pairs and hosts that are known, also those that are no longer declared, until the record has nothing of
// them. It owns how they are found, which pair runs where (pair.where, host.pairs), and which may have something to
// tell although they do not run. It needs nothing, and has no lock of its own: who has it (Monitor.mu) lets one in at a
// time.
type roster struct {
	pairs   map[model.Key]*pair
	ids     map[int64]*pair
	hosts   map[string]*host
	watched map[*pair]bool
}

func newRoster() roster {
	return roster{pairs: map[model.Key]*pair{}, ids: map[int64]*pair{}, hosts: map[string]*host{}, watched: map[*pair]bool{}}
}

// pair gives one; nil: there is none.
func (r *roster) pair(k model.Key) *pair { return r.pairs[k] }

// byID gives one by its number on record; nil: there is none.
func (r *roster) byID(id int64) *pair { return r.ids[id] }

// host gives one; nil: nothing runs there.
func (r *roster) host(name string) *host { return r.hosts[name] }

func (r *roster) size() int { return len(r.pairs) }

func (r *roster) each() iter.Seq[*pair] { return maps.Values(r.pairs) }

func (r *roster) eachHost() iter.Seq[*host] { return maps.Values(r.hosts) }

// allIDs gives the numbers of all that are on record.
func (r *roster) allIDs() []int64 { return slices.Collect(maps.Keys(r.ids)) }

// add puts a pair among the others, or in the place of the one that was there.
func (r *roster) add(p *pair) { r.pairs[p.Key], r.ids[p.id] = p, p }

// take takes over how a pair stands on record, and gives it; nil: so it stood before.
func (r *roster) take(s state) *pair {
	p := r.pairs[s.Key]
	if p == nil {
		p = &pair{Plan: model.Plan{Key: s.Key}, known: true}
	} else if p.id == s.id && p.rev == s.rev {
		return nil
	}
	delete(r.ids, p.id)
	p.id, p.rev, p.stand, p.known, p.loaded = s.id, s.rev, s.stand, true, false
	r.add(p)
	return p
}

// remove forgets a pair that is no longer on record; with the one that says whether a host answers goes the host.
func (r *roster) remove(p *pair) {
	delete(r.pairs, p.Key)
	delete(r.ids, p.id)
	delete(r.watched, p)
	if h := p.where; h != nil {
		delete(h.pairs, p)
		if p == h.pair {
			delete(r.hosts, h.name)
		}
	}
}

// addHost puts a host among the others, whose own pair is there.
func (r *roster) addHost(name string) *host {
	h := &host{name: name, pair: r.pairs[model.Key{Task: model.HostAnswers, Host: name}], pairs: map[*pair]bool{}}
	r.place(h.pair, h)
	r.hosts[name] = h
	return h
}

// place has a pair run on a host, and reports whether it ran on another.
func (r *roster) place(p *pair, h *host) (moved bool) {
	was := p.where
	if was == h {
		return false
	}
	if was != nil {
		delete(was.pairs, p)
	}
	p.where, h.pairs[p] = h, true
	return was != nil
}

// watch notes whether a pair may have something to tell although it does not run.
func (r *roster) watch(p *pair, yes bool) {
	if yes {
		r.watched[p] = true
	} else {
		delete(r.watched, p)
	}
}

// watching gives those.
func (r *roster) watching() iter.Seq[*pair] { return maps.Keys(r.watched) }
