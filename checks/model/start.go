package model

import (
	"slices"

	"github.com/jarvisops/jarvis/internal/mistake"
)

// A server that runs keeps what ran before when a file of checks.dir is broken. One that starts has nothing before
// that: it starts with all that is right, for checks are not all that it does, and says what it left out.

// CheckStart is Check for a server that starts: what is wrong in files of Dir, and a plugin that is not there, does not
// keep it from that.
func (c *Config) CheckStart() error {
	var wrong mistake.List
	c.checkSettings(&wrong)
	all, broken := c.loadEach(func(string) bool { return false })
	faults := all.faultsWith(looksFor{plugins: c.Plugins})
	if len(broken) == 0 && !slices.ContainsFunc(faults, func(f fault) bool { return !all.place(f.kind, f.index).own }) {
		for _, f := range faults {
			wrong.Add(all.told(f))
		}
	}
	return wrong.Err()
}

// LoadStart is Load for a server that starts. left is what is wrong with the files that cannot be read, and with each
// definition that is not right beside the others: all that does not count.
func (c *Config) LoadStart() (all *Defs, left []error) {
	all, left = c.loadEach(func(string) bool { return false })
	for {
		faults := all.faults(c.Plugins)
		if len(faults) == 0 {
			return all, left
		}
		for _, f := range faults {
			left = append(left, all.told(f))
		}
		all.drop(faults) // others may have named them
	}
}

// drop takes away what is wrong.
func (d *Defs) drop(faults []fault) {
	gone := map[string]map[int]bool{}
	for _, f := range faults {
		if gone[f.kind] == nil {
			gone[f.kind] = map[int]bool{}
		}
		gone[f.kind][f.index] = true
	}
	for kind := range gone {
		if d.places != nil {
			d.places[kind] = but(d.places[kind], gone[kind])
		}
	}
	d.Hosts = but(d.Hosts, gone[KindHost])
	d.Tasks = but(d.Tasks, gone[KindTask])
	d.Schedules = but(d.Schedules, gone[KindSchedule])
	d.Periods = but(d.Periods, gone[KindPeriod])
	d.HostTasks = but(d.HostTasks, gone[KindHostTask])
	d.Downtimes = but(d.Downtimes, gone[KindDowntime])
	d.Actions = but(d.Actions, gone[KindAction])
	d.Contacts = but(d.Contacts, gone[KindContact])
	d.Nodes = but(d.Nodes, gone[KindNode])
}

// but gives all except those at the indexes in gone.
func but[T any](all []T, gone map[int]bool) []T {
	var out []T
	for i, x := range all {
		if !gone[i] {
			out = append(out, x)
		}
	}
	return out
}

// count gives how many of a kind there are.
func (d *Defs) count(kind string) int {
	switch kind {
	case KindHost:
		return len(d.Hosts)
	case KindTask:
		return len(d.Tasks)
	case KindSchedule:
		return len(d.Schedules)
	case KindPeriod:
		return len(d.Periods)
	case KindHostTask:
		return len(d.HostTasks)
	case KindDowntime:
		return len(d.Downtimes)
	case KindAction:
		return len(d.Actions)
	case KindContact:
		return len(d.Contacts)
	}
	return len(d.Nodes)
}
