package checks

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Stats is how the checks go.
type Stats struct {
	Node      string `json:"node"`
	Hosts     int    `json:"hosts"`
	Down      int    `json:"down"`   // hosts that cannot be reached
	Ours      int    `json:"ours"`   // hosts that this server checks
	Nobody    int    `json:"nobody"` // hosts that no server checks: there is none of their silo
	Checks    int    `json:"checks"`
	Problems  int    `json:"problems"`
	Running   int    `json:"running"`
	Queued    int    `json:"queued"`    // due, and without a place
	Unwritten int    `json:"unwritten"` // results that are not committed
	// Of the last minute.
	Started int           `json:"started"`
	Written int           `json:"written"`
	Lag     time.Duration `json:"lag"` // from when it was due to when it began: the mean
	MaxLag  time.Duration `json:"max_lag"`
	Took    time.Duration `json:"took"` // the mean
	Trouble string        `json:"trouble,omitempty"`
	Idle    []string      `json:"idle,omitempty"` // host_tasks that stand for no host
	// Warnings are names that nothing has, and what else may not be as it was meant.
	Warnings []string `json:"warnings,omitempty"`
}

// stats counts by the second, over a minute.
type stats struct {
	mu      sync.Mutex
	seconds [60]slot
}

type slot struct {
	at      int64
	started int
	lag     time.Duration
	maxLag  time.Duration
	ended   int
	took    time.Duration
	written int
}

// at gives the slot of a second, empty if it held one of an earlier minute. The lock is held.
func (s *stats) at(now time.Time) *slot {
	t := now.Unix()
	x := &s.seconds[t%60]
	if x.at != t {
		*x = slot{at: t}
	}
	return x
}

// begun counts a run that began, lag after it was due. After a clock was set the lag may be below 0, and counts as
// none.
func (s *stats) begun(now time.Time, lag time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.at(now)
	x.started++
	lag = max(lag, 0)
	x.lag += lag
	x.maxLag = max(x.maxLag, lag)
}

func (s *stats) ended(now time.Time, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.at(now)
	x.ended++
	x.took += took
}

func (s *stats) committed(now time.Time, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at(now).written += n
}

// into sums up the last 60 seconds.
func (s *stats) into(out *Stats, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sum slot
	for _, x := range s.seconds {
		if now.Unix()-x.at >= 60 {
			continue
		}
		sum.started += x.started
		sum.lag += x.lag
		sum.maxLag = max(sum.maxLag, x.maxLag)
		sum.ended += x.ended
		sum.took += x.took
		sum.written += x.written
	}
	out.Started, out.Written, out.MaxLag = sum.started, sum.written, sum.maxLag
	if sum.started > 0 {
		out.Lag = sum.lag / time.Duration(sum.started)
	}
	if sum.ended > 0 {
		out.Took = sum.took / time.Duration(sum.ended)
	}
}

// Stats gives how the checks go.
func (m *Monitor) Stats(ctx context.Context) Stats {
	err := m.sync(ctx)
	warnings := m.catalog().Warnings() // which may read files
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Stats{Warnings: warnings, Node: m.name(), Running: m.due.taken(), Unwritten: m.done.len(), Trouble: m.trouble, Idle: m.cat.Idle}
	if n := len(m.left); n > 0 && s.Trouble == "" {
		d := m.left[0]
		s.Trouble = fmt.Sprintf("%s %s, made by %s, is left out: %s", d.Kind, d.Name, d.By, d.Trouble)
		if n > 1 {
			s.Trouble += fmt.Sprintf("; and %d more: `check defined` tells of them", n-1)
		}
	}
	if since, why := m.done.since(); why != nil {
		s.Trouble = "the database takes no results since " + plain.Time(since) + ": " + model.OneLine(why)
	}
	if err != nil && s.Trouble == "" {
		s.Trouble = "what other servers found cannot be read: " + model.OneLine(err)
	}
	if len(m.cat.Unclear) > 0 && s.Trouble == "" {
		s.Trouble = m.cat.Unclear[0]
	}
	for h := range m.roster.eachHost() {
		if !h.pair.live {
			continue
		}
		if _, err := m.runner(h.pair); err != nil {
			s.Nobody++
			if s.Trouble == "" && m.own.looked() {
				s.Trouble = err.Error()
			}
		} else if m.ours(h) {
			s.Ours++
		}
		s.Hosts++
		s.Queued += h.inLine()
		if h.down {
			s.Down++
		}
		if st := &h.pair.stand; h.by.Asked() && st.Status == model.Unknown && s.Trouble == "" {
			s.Trouble = "nobody knows whether " + h.name + " is up: " + st.Line
		}
	}
	for p := range m.roster.each() {
		if !p.live || p.Schedule.Never() && !p.passive() {
			continue
		}
		s.Checks++
		if p.stand.Status != model.OK {
			s.Problems++
		}
	}
	m.stats.into(&s, time.Now())
	return s
}
