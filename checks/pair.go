package checks

import (
	"context"
	"maps"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

// Standing is what is known of a pair, as it is on record.
type Standing struct {
	model.State
	Made time.Time     `json:"made,omitzero"` // when the check was first declared
	At   time.Time     `json:"at,omitzero"`   // when it ran last
	Due  time.Time     `json:"due,omitzero"`  // and when it should have
	Took time.Duration `json:"took"`
	Exit int           `json:"exit"` // -1: it did not end by itself, or did not run
	Line string        `json:"line"`
	Perf string        `json:"perf,omitempty"` // performance data, as the plugin wrote it
	// Heard is when the last result of a passive check was delivered; At counts those that were missed, too.
	Heard time.Time `json:"heard,omitzero"`
	// Down: it did not run, because its host could not be reached.
	Down bool `json:"down,omitempty"`
	Ack  *Ack `json:"ack,omitempty"`
	// Known is since when its problem is told; zero: it has no problem, or an older Jarvis told it.
	Known time.Time `json:"known,omitzero"`
	// Listeners is what those were told last, by their names. It is not changed, but replaced.
	Listeners map[string]model.Heard `json:"listeners,omitempty"`
}

// tellAgain has a problem be told again to all.
func (st *Standing) tellAgain() {
	st.TellAgain()
	st.Listeners = maps.Clone(st.Listeners)
	for name, h := range st.Listeners {
		h.Told = model.OK
		st.Listeners[name] = h
	}
}

// known gives since when its problem is told.
func (st *Standing) known() time.Time {
	switch {
	case !st.Known.IsZero():
		return st.Known
	case !st.Bad.IsZero():
		return st.Bad
	}
	return st.Since
}

// Ack says that a person knows of a problem. It ends with the problem.
type Ack struct {
	By    string    `json:"by"`
	At    time.Time `json:"at"`
	Until time.Time `json:"until,omitzero"` // zero: as long as the problem lasts
	Why   string    `json:"why,omitempty"`
}

// pair is a task on a host. Monitor.mu guards it; Standing is changed by whoever holds Monitor.commit as well.
type pair struct {
	model.Plan
	id    int64
	rev   int64 // of stand, on record
	live  bool  // it is declared
	where *host // that runs it: its own, or the task's From
	stand Standing

	ticket
	busy  bool // waits for a place, runs, or its result is not committed
	ended bool // its result is not committed
	known bool // it was on record when this server started
	cut   bool // it ran when the last server died: what that started may still run on the host
	again bool // somebody asked for it while it was busy

	askedFor time.Time // since when it was the problem for which others were asked

	owed    []outboxRow     // of actions that ask for a run, which wait while the host is down; each has a run of its own
	asks    []int64         // rows of people at other nodes, who are told of any result
	waiters []chan struct{} // people who do

	recent []Brief // the newest last
	loaded bool    // recent has what the record has
}

// Brief is one of the last results of a pair.
type Brief struct {
	At     time.Time     `json:"at"`
	Status model.Status  `json:"status"`
	Took   time.Duration `json:"took"`
	Line   string        `json:"line"`
}

// host is where checks run.
type host struct {
	name  string
	pair  *pair          // whether it answers at all
	pairs map[*pair]bool // all that run there, with that

	share  string    // its part of all hosts
	held   bool      // that part is ours
	alive  time.Time // until when it is known to have been checked, before we took it
	taken  time.Time // and when we took it
	gently bool      // by a node that ended all that ran

	runs context.Context    // of what runs
	end  context.CancelFunc // of that

	reached
	lane
	by   model.Alive
	down bool
	upAt time.Time // when it was down last; zero: not since this server started
	why  string    // of down
}

// context gives the context of what begins on a host. Monitor.mu is held.
func (h *host) context(ctx context.Context) context.Context {
	if h.runs == nil || h.runs.Err() != nil {
		h.runs, h.end = context.WithCancel(ctx)
	}
	return h.runs
}

// cancel ends what runs on a host; it has no result. Monitor.mu is held.
func (h *host) cancel() {
	if h.end != nil {
		h.end()
	}
}

const (
	// smallStep of a clock: nothing is done about it, neither forwards (what was due meanwhile runs now) nor backwards
	// (what ran does not run again).
	smallStep = time.Minute
	// largestStep back for which what has a fixed hour waits until that comes a second time.
	largestStep = 25 * time.Hour
	// soon is the time over which a server's start, or a host's return, spreads what is to run at once.
	soon = 30 * time.Second
)

// onDemand reports whether only an action, or a person who names it, has a check run.
func (p *pair) onDemand() bool {
	return p.Task != model.HostAnswers && !p.passive() && p.Schedule.Never()
}

// next gives when a pair is due after it ran, or after the clock stepped.
func (p *pair) next(now time.Time) time.Time {
	if p.passive() {
		return p.staleAt(now)
	}
	if p.Def != nil && p.Def.Retry > 0 && p.stand.Status != model.OK && p.stand.Soft() && !p.stand.Down {
		if n, again := p.Schedule.Next(now, p.String()), now.Add(p.Def.Retry); p.Schedule.May(again) && (n.IsZero() || again.Before(n)) {
			return again
		}
	}
	from := now
	if ahead := p.stand.Due.Sub(now); ahead > 0 && (ahead < smallStep || p.Schedule.Fixed() && ahead < largestStep) {
		from = p.stand.Due
	}
	return p.Schedule.Next(from, p.String())
}

// first gives when a pair is due after a start. alive is when the server was last known to work: what was due before
// that, or just after it, had begun and was not acknowledged, or may have.
func (p *pair) first(now, alive time.Time, policy string) time.Time {
	if p.stand.Due.IsZero() {
		p.cut = p.known
		if p.known && p.Schedule.ByClock() && !p.stand.Made.IsZero() { // it may have run, and died before its first result
			return p.missed(p.Schedule.Next(p.stand.Made, p.String()), now, alive, policy)
		}
		n := p.Schedule.Next(now, p.String())
		if p.Schedule.Every() > 0 { // every so often: the first time soon
			if s := now.Add(p.spread(soon)); s.Before(n) && p.Schedule.May(s) {
				return s
			}
		}
		return n
	}
	if p.stand.Due.After(now) {
		return p.next(now)
	}
	due := p.Schedule.Next(p.stand.Due, p.String())
	p.cut = !due.IsZero() && mayHaveBegun(due, alive)
	return p.missed(due, now, alive, policy)
}

// mayHaveBegun reports whether what was due then may have begun before nothing ran any more. alive is noted now and
// then, so it may be that old when a server dies.
func mayHaveBegun(due, alive time.Time) bool { return !due.After(alive.Add(2 * alivePeriod)) }

// missed says when a pair runs that was due while nothing ran.
func (p *pair) missed(due, now, alive time.Time, policy string) time.Time {
	switch {
	case due.IsZero(), due.After(now):
		return due
	case mayHaveBegun(due, alive), now.Sub(due) < smallStep:
		return p.soonest(now)
	case policy == model.Once:
		return p.soonest(now.Add(p.spread(soon)))
	}
	return p.Schedule.Next(now, p.String())
}

// soonest gives t, or the next time that is due when t is outside of the task's period.
func (p *pair) soonest(t time.Time) time.Time {
	if p.Schedule.May(t) {
		return t
	}
	return p.Schedule.Next(t, p.String())
}

// spread gives each pair its own part of d, always the same.
func (p *pair) spread(d time.Duration) time.Duration {
	return time.Duration(model.Part(p.String()) * float64(d))
}
