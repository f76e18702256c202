package checks

import (
	"context"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/guard"
)

// Run runs what is due until ctx ends. What runs then is ended on its host, has no result, and is due again at the next
// start.
func (m *Monitor) Run(ctx context.Context) error {
	var wg guard.Group
	for _, l := range []struct {
		what string
		f    func(context.Context)
	}{{"start checks", m.loop}, {"write results", m.write}, {"run what is asked for", m.runAsked}, {"follow what is declared", m.watch},
		{"share checks with other nodes", m.share}, {"hear of checks from other nodes", m.listen},
		{"do what follows on results", m.inRole(roleActions, m.doer.run, m.notices.run, m.letters.run)}, {"look after results", m.inRole(roleRecords, m.ledger.rollUp, m.followSpans, m.forget, m.graphites)}} {
		caught := guard.Log(m.Log, l.what)
		wg.Go(caught, func() {
			_ = guard.Loop(ctx, caught, func(ctx context.Context) error { l.f(ctx); return nil })
		})
	}
	wg.Wait()
	m.runs.Wait()
	m.writeRest()
	m.giveAll()
	return nil
}

// What one node does for all.
const (
	roleActions = "check actions" // what follows on results, and the notices: one voice
	roleRecords = "check records" // the roll-ups, Graphite, retention
)

// inRole does some things while this node has a role.
func (m *Monitor) inRole(role string, all ...func(context.Context)) func(context.Context) {
	return func(ctx context.Context) {
		err := m.DB.InRole(ctx, role, func(ctx context.Context) error {
			var wg guard.Group
			for _, f := range all {
				caught := guard.Log(m.Log, "do the work of a role", "role", role)
				wg.Go(caught, func() {
					_ = guard.Loop(ctx, caught, func(ctx context.Context) error { f(ctx); return nil })
				})
			}
			wg.Wait()
			return nil
		})
		if err != nil && ctx.Err() == nil {
			m.Log.Error("do the work of a role", "role", role, "err", err)
		}
	}
}

// loop starts what is due. It wakes at least once a second: a clock that is set says nothing.
func (m *Monitor) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	clock := m.newClock()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.due.woken:
		case <-timer.C:
		}
		timer.Reset(m.beginDue(ctx, clock))
	}
}

// beginDue begins what is due, and gives when to look again.
func (m *Monitor) beginDue(ctx context.Context, clock *clock) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if step := clock.step(now); step < -smallStep {
		m.Log.Warn("the clock was set back", "by", -step)
		m.afterStepBack(now)
	} else if step > smallStep {
		m.Log.Warn("the clock was set forward, or this machine slept", "by", step)
	}
	if !m.DB.Proven() { // another node may begin them in a moment
		for h := range m.roster.eachHost() {
			h.cancel()
		}
		return time.Second
	}
	for p := m.due.next(now); p != nil; p = m.due.next(now) {
		m.begin(ctx, p, now)
	}
	return m.due.wait(now, time.Second)
}

// clock finds steps of the wall clock beside the monotonic one.
type clock struct {
	began time.Time // with the monotonic clock
	wall  time.Time
}

func (m *Monitor) newClock() *clock { return &clock{time.Now(), m.now()} }

// step gives by how much the wall clock was set since the last call; less than 0: back.
func (c *clock) step(now time.Time) time.Duration {
	passed := time.Since(c.began)
	step := now.Sub(c.wall) - passed
	c.began, c.wall = c.began.Add(passed), now
	return step
}

// afterStepBack moves what would now be due too late. mu is held.
func (m *Monitor) afterStepBack(now time.Time) {
	m.due.bringForward(func(p *pair) time.Time {
		if p.Task == model.HostAnswers {
			return now.Add(m.conf().Host.Retry)
		}
		return p.next(now)
	})
}

// begin has a pair run, or says why it does not. mu is held.
func (m *Monitor) begin(ctx context.Context, p *pair, now time.Time) {
	if !p.live || p.busy || !m.ours(p.where) {
		return
	}
	if m.skipped(p) {
		m.skip(p, now)
		return
	}
	if p.passive() {
		m.beginMissed(p, now)
		return
	}
	if late := now.Sub(p.due()); late > smallStep && p.Task != model.HostAnswers {
		// Only a clock that was set, or a machine that slept, makes the loop so late.
		if due := p.missed(p.due(), now, time.Time{}, m.policy(p)); due.After(now) {
			m.due.at(p, due)
			return
		}
	}
	p.busy = true
	h := p.where
	if h.down && p.Task != model.HostAnswers {
		m.done.add(finished{p: p, due: p.due(), at: now, out: outcome{unreachable: true, text: h.why}})
		return
	}
	m.due.lineUp(h, p)
	m.dispatch(ctx, h)
}

// dispatch starts what a host has room for. mu is held.
func (m *Monitor) dispatch(ctx context.Context, h *host) {
	for {
		p := m.due.begin(h, m.conf().PerHost, m.conf().AtOnce)
		if p == nil {
			return
		}
		if !p.live || !m.ours(h) || !m.DB.Proven() {
			m.due.end(h)
			p.busy = false
			if p.live && m.ours(h) {
				m.due.at(p, m.now().Add(time.Second))
			}
			continue
		}
		j := job{Key: p.Key, where: h, alive: h.by, cut: p.cut}
		if p.Def != nil {
			j.task, j.vars, j.lacks = *p.Def, p.Vars, p.MissingText()
		}
		due, owed := p.due(), p.owed[:min(1, len(p.owed))]
		p.owed = p.owed[len(owed):]
		if len(owed) > 0 {
			j.about = &owed[0]
		}
		run := h.context(ctx)
		m.runs.Go(guard.Log(m.Log, "take in a result", "check", p.Key.String()), func() {
			began := m.now()
			m.stats.begun(time.Now(), began.Sub(due))
			out := m.runGuarded(run, j)
			m.stats.ended(time.Now(), out.took)
			m.ended(ctx, h, finished{p: p, due: due, at: began, out: out, owed: owed}, run.Err() != nil)
		})
	}
}

// runGuarded runs a job; a panic is the result of this run alone.
func (m *Monitor) runGuarded(ctx context.Context, j job) (out outcome) {
	if j.lacks != "" {
		return outcome{text: j.lacks}
	}
	if p := guard.Do(func() { out = m.run(ctx, j) }); p != nil {
		guard.Log(m.Log, "run a check", "check", j.Key.String())(p)
		return outcome{text: bugText}
	}
	return out
}

// bugText is the result of a check on which we have a bug.
const bugText = "a bug in Jarvis, not in what is checked; the stack is in its log"

// noWayAgain is when a check is tried again to whose silo no way led.
const noWayAgain = 5 * time.Second

// ended takes in what a run gave, and lets the next have its place. One that was cancelled gave nothing.
func (m *Monitor) ended(ctx context.Context, h *host, f finished, cancelled bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.due.end(h)
	if ctx.Err() != nil {
		return // it runs again at the next start
	}
	p := f.p
	noWay := f.out.noWay && !m.alone // a lone server has a result of it, for there is no other
	if cancelled || noWay {
		p.busy, p.owed, p.cut = false, slices.Concat(f.owed, p.owed), true
		if p.live && m.ours(p.where) {
			at := m.now()
			if noWay { // another server may have a way, and is given the host then
				at = at.Add(noWayAgain/2 + p.spread(noWayAgain))
			}
			m.due.at(p, at)
			m.due.wake()
		} else {
			m.disown(p)
			poke(m.moving)
		}
		m.dispatchWaiting(ctx)
		return
	}
	p.cut = p.cut && f.out.unreachable
	m.sshOnly(&f, h)
	switch {
	case f.out.unreachable:
		p.owed, f.owed = slices.Concat(f.owed, p.owed), nil // they wait for the host
		if !h.down {
			h.down = true
			m.prober.forget(h)
			if p.Task != model.HostAnswers && !h.pair.busy { // one attempt, and one result that says so
				h.pair.busy = true
				m.done.add(finished{p: h.pair, due: f.due, at: f.at, out: f.out})
			}
			for _, q := range m.due.leave(h) {
				m.done.add(finished{p: q, due: q.due(), at: f.at, out: outcome{unreachable: true, text: f.out.text}})
			}
		}
		h.why = f.out.text
	case h.down && p.Task == model.HostAnswers && f.out.text == "":
		h.down, h.why, h.upAt = false, "", m.now()
		m.returned(h)
	}
	m.done.add(f)
	m.dispatch(ctx, h)
	m.dispatchWaiting(ctx)
}

// dispatchWaiting lets hosts have the places that are free. mu is held.
func (m *Monitor) dispatchWaiting(ctx context.Context) {
	for h := m.due.turn(m.conf().AtOnce); h != nil; h = m.due.turn(m.conf().AtOnce) {
		m.dispatch(ctx, h)
	}
}

// returned has the checks of a host that is back run soon, if they have not run since. mu is held.
func (m *Monitor) returned(h *host) {
	now := m.now()
	for p := range h.pairs {
		if p.live && p.Task != model.HostAnswers && !p.busy && (p.stand.Down || len(p.owed) > 0) {
			if t := p.soonest(now.Add(p.spread(soon / 3))); !p.queued() || t.Before(p.due()) {
				m.due.at(p, t)
			}
		}
	}
	m.due.wake()
}

// reschedule puts a pair whose result is committed back into the heap. mu is held.
func (m *Monitor) reschedule(p *pair) {
	p.busy = false
	if !p.live || !m.ours(p.where) {
		poke(m.moving) // it may be the last of its part
		return
	}
	now := m.now()
	switch {
	case p.Task == model.HostAnswers:
		switch {
		case p.again:
			m.due.at(p, now)
		case p.where.down:
			m.due.at(p, now.Add(m.conf().Host.Retry))
		case !p.Schedule.Never():
			m.due.at(p, p.next(now))
		}
	case p.again, len(p.owed) > 0 && !p.where.down:
		m.due.at(p, now)
	case p.stand.Down && !p.where.down: // the host came back meanwhile
		m.due.at(p, p.soonest(now.Add(p.spread(soon/3))))
	default:
		m.due.at(p, p.next(now))
	}
	p.again = false
	m.due.wakeFor(p)
}

// RunNow has a check run now, beside its schedule, wherever it is run. The channel is closed when there is a result;
// that of a run which is under way counts.
func (m *Monitor) RunNow(ctx context.Context, k model.Key) (<-chan struct{}, error) {
	m.mu.Lock()
	p := m.roster.pair(k)
	if p == nil || !p.live {
		m.mu.Unlock()
		return nil, &NoCheckError{Key: k}
	}
	if p.passive() {
		m.mu.Unlock()
		return nil, &PassiveError{k}
	}
	if !m.ours(p.where) {
		_, err := m.runner(p)
		m.mu.Unlock()
		if err != nil && err != errLooking { // who has just begun does not know yet who does
			return nil, err
		}
		done, err := m.outbox.ask(ctx, k)
		if err == nil {
			m.town.tell(newsDo)
		}
		return done, err
	}
	defer m.mu.Unlock()
	done := make(chan struct{})
	p.waiters = append(p.waiters, done)
	if !p.busy {
		m.soon(p)
	}
	return done, nil
}

// soon has a pair run now, or when it no longer does. mu is held.
func (m *Monitor) soon(p *pair) {
	if p.busy {
		p.again = true
		return
	}
	m.due.at(p, m.now())
	m.due.wake()
}
