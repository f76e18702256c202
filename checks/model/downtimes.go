package model

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/checks/calendar"
)

// RecurringDowntime is a time that comes again and again, in which nothing is told of some checks. They run all the
// same.
type RecurringDowntime struct {
	Name    string   `yaml:"name" json:"name" doc:"what people call it"`
	Hosts   []string `yaml:"hosts,omitempty" json:"hosts,omitempty" doc:"of these hosts, as in host_tasks; empty: all"`
	Tasks   []string `yaml:"tasks,omitempty" json:"tasks,omitempty" doc:"of these tasks, * and ? allowed; empty: all"`
	Period  string   `yaml:"period" json:"period" doc:"one of periods: when it is"`
	Because string   `yaml:"because,omitempty" json:"because,omitempty" doc:"why, for who asks"`
}

// checkDowntime says what is wrong with one.
func (d *Defs) checkDowntime(x *RecurringDowntime) error {
	if x.Period == "" {
		return errors.New("it names no period; one that is once is said as in `check silence web1 from 22:00 for 2h`")
	}
	var wrong sentence
	wrong.err(d.knowsPeriod(x.Period))
	for _, t := range x.Tasks {
		wrong.err(Glob(t))
	}
	for _, h := range x.Hosts {
		wrong.err(checkHostWord(h))
	}
	return wrong.all()
}

// Quiet is a RecurringDowntime with its hosts expanded.
type Quiet struct {
	*RecurringDowntime
	When  *calendar.Period
	hosts map[string]bool // nil: all
}

// Covers reports whether it is one of a pair at a moment.
func (q *Quiet) Covers(k Key, now time.Time) bool { return q.Concerns(k) && q.When.Within(now) }

// Concerns reports whether it is one of a pair, when its time comes.
func (q *Quiet) Concerns(k Key) bool {
	if q.hosts != nil && !q.hosts[k.Host] {
		return false
	}
	return len(q.Tasks) == 0 || slices.ContainsFunc(q.Tasks, func(p string) bool { return Match(p, k.Task) })
}

// quiets expands the downtimes; hostsOf gives the hosts that words stand for.
func (c *Catalog) quiets(hostsOf func([]string) []string) {
	for i := range c.Defs.Downtimes {
		x := &c.Defs.Downtimes[i]
		q := &Quiet{RecurringDowntime: x, When: c.periods[x.Period]}
		if q.When == nil {
			continue // it was checked
		}
		if len(x.Hosts) > 0 {
			q.hosts = map[string]bool{}
			for _, h := range hostsOf(x.Hosts) {
				q.hosts[h] = true
			}
			if len(q.hosts) == 0 {
				c.Idle = append(c.Idle, "the downtime "+x.Name)
			}
		}
		if q.When.Begin(time.Now()).IsZero() {
			c.Unclear = append(c.Unclear, fmt.Sprintf("the period %s of the downtime %s is over: it does not come again", x.Period, x.Name))
		}
		c.Quiets = append(c.Quiets, q)
	}
}
