package checks

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/pipeline"
)

// onRecord is what the engine knows of hosts, by their full names.
type onRecord map[string]recorded

// recorded is a host as the engine knows it.
type recorded struct {
	host, silo, cluster string
	groups              []string
	way                 string // how it is reached: two that are equal are reached the same way
}

// same reports whether two mean the same for what is checked where.
func (r recorded) same(o recorded) bool {
	return r.host == o.host && r.silo == o.silo && r.cluster == o.cluster && slices.Equal(r.groups, o.groups)
}

// record gives what the catalog has to know.
func (o onRecord) record() model.Record {
	rec := model.Record{Clusters: map[string][]string{}, Silos: map[string]string{}}
	grouped := map[string][]string{}
	for _, fqdn := range slices.Sorted(maps.Keys(o)) {
		r := o[fqdn]
		rec.Hosts = append(rec.Hosts, r.host)
		if r.silo != "" {
			rec.Silos[r.host] = r.silo
		}
		for _, g := range r.groups {
			grouped[g] = append(grouped[g], r.host)
		}
		if r.cluster != "" {
			rec.Clusters[r.cluster] = append(rec.Clusters[r.cluster], r.host)
		}
	}
	for g, list := range grouped {
		if rec.Clusters[g] == nil { // @NAME means the cluster first, as everywhere
			rec.Clusters[g] = list
		}
	}
	return rec
}

// reader reads hosts of the record.
type reader struct {
	engine *pipeline.Engine
	groups map[string][]string // by full name
	names  map[int64]string    // of clusters
}

// readRecord asks the engine for hosts with an address, and for clusters and groups.
func (m *Monitor) readRecord(ctx context.Context, defs *model.Defs) (onRecord, error) {
	all := onRecord{}
	if m.Engine == nil || len(defs.HostTasks) == 0 {
		return all, nil
	}
	hosts, err := m.Engine.Hosts(ctx, "", maxRecord)
	if err != nil {
		return nil, err
	}
	groups, err := m.Engine.Groups(ctx)
	if err != nil {
		return nil, err
	}
	r := reader{engine: m.Engine, groups: map[string][]string{}, names: map[int64]string{}}
	for _, g := range slices.Sorted(maps.Keys(groups)) {
		for _, fqdn := range groups[g] {
			r.groups[fqdn] = append(r.groups[fqdn], g)
		}
	}
	for _, h := range hosts {
		if err := r.read(ctx, h, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// maxRecord is how many hosts of the record are known.
const maxRecord = 100_000

// read puts a host among the others, or takes it away.
func (r *reader) read(ctx context.Context, h pipeline.Standing, into onRecord) error {
	if h.Reach.Addr == "" || !model.IsName(h.Host) {
		delete(into, h.FQDN)
		return nil
	}
	out := recorded{host: h.Host, silo: h.Silo(), groups: r.groups[h.FQDN], way: fmt.Sprint(h.Reach.Addr, h.Reach.Login, strings.Join(h.Reach.Keys, "\n"))}
	if h.Cluster != 0 {
		if _, ok := r.names[h.Cluster]; !ok {
			cl, err := r.engine.ClusterOf(ctx, h.Run)
			if err != nil {
				return err
			}
			r.names[h.Cluster] = cl.Name
		}
		out.cluster = r.names[h.Cluster]
	}
	into[h.FQDN] = out
	return nil
}

// maxFollowed is of how many runs the hosts are read by themselves; beyond that all are read again.
const maxFollowed = 100

// takes reads the hosts of runs to which something happened, and has the heap follow where that matters. It reports
// whether all there is to know of them is known now.
func (m *Monitor) takes(ctx context.Context, news []pipeline.Event) bool {
	runs := map[int64]bool{}
	for _, ev := range news {
		runs[ev.Run] = true
	}
	if len(runs) > maxFollowed {
		return false
	}
	err := m.followRuns(ctx, slices.Sorted(maps.Keys(runs)))
	if err != nil && ctx.Err() == nil {
		m.Log.Error("follow the record", "err", err)
	}
	return err == nil
}

// followRuns reads the hosts of these runs again. Only when a host came, went or changed what is declared for it, all
// checks are worked out again.
func (m *Monitor) followRuns(ctx context.Context, runs []int64) error {
	m.commit.Lock()
	defer m.commit.Unlock()
	hosts, err := m.Engine.StandingBy(ctx, runs)
	if err != nil {
		return err
	}
	r := reader{engine: m.Engine, groups: map[string][]string{}, names: map[int64]string{}}
	all, moved, other := maps.Clone(m.onRecord), map[string]bool{}, false
	for _, h := range hosts {
		if r.groups[h.FQDN], err = m.Engine.GroupsOf(ctx, h.FQDN); err != nil {
			return err
		}
		was, had := all[h.FQDN]
		if err := r.read(ctx, h, all); err != nil {
			return err
		}
		now, has := all[h.FQDN]
		moved[h.Host] = moved[h.Host] || was.way != now.way
		other = other || had != has || !was.same(now)
	}
	if !other {
		m.onRecord = all
		m.mu.Lock()
		defer m.mu.Unlock()
		for name := range moved {
			if h := m.roster.host(name); h != nil && moved[name] {
				m.prober.forget(h)
			}
		}
		return nil
	}
	m.mu.Lock()
	defs := m.cat.Defs
	m.mu.Unlock()
	if err := m.count(ctx, defs, all.record(), func(h *host) bool { return moved[h.name] }); err != nil {
		return err
	}
	m.onRecord = all
	return nil
}
