package checks

import (
	"context"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/pipeline"
)

// refresh reads what is declared, and what is on record, and has the heap follow. What runs goes on.
func (m *Monitor) refresh(ctx context.Context) error { return m.refreshBy(ctx, m.defs.rightFiles) }

// refreshBy is refresh with what is read gives of files.
func (m *Monitor) refreshBy(ctx context.Context, read func() (*model.Defs, error)) error {
	m.commit.Lock()
	defer m.commit.Unlock()
	files, err := read()
	if err != nil {
		return err
	}
	defs, left, err := m.defs.declared(ctx, files)
	if err != nil {
		return err
	}
	defer func() { m.leave(left) }()
	all, err := m.readRecord(ctx, defs)
	if err != nil {
		return err
	}
	if err := m.count(ctx, defs, all.record(), func(*host) bool { return true }); err != nil {
		return err
	}
	m.onRecord = all
	return nil
}

// count makes definitions and a record those that count. Hosts that moved are looked for again. commit is held.
func (m *Monitor) count(ctx context.Context, defs *model.Defs, rec model.Record, moved func(*host) bool) error {
	if err := m.readChanged(ctx); err != nil {
		return err
	}
	ours := m.name()
	if !m.alone { // one record for all: what is another's is known here as well
		ours = ""
	}
	cat, err := model.NewCatalog(defs, rec, ours)
	if err != nil {
		return err
	}
	var fresh []model.Key
	m.mu.Lock()
	for k := range cat.Plans {
		if m.roster.pair(k) == nil {
			fresh = append(fresh, k)
		}
		if hk := (model.Key{Task: model.HostAnswers, Host: cat.WhereOf(k)}); m.roster.pair(hk) == nil {
			fresh = append(fresh, hk)
		}
	}
	for name := range cat.Asked {
		if hk := (model.Key{Task: model.HostAnswers, Host: name}); m.roster.pair(hk) == nil {
			fresh = append(fresh, hk)
		}
	}
	m.mu.Unlock()
	slices.SortFunc(fresh, func(a, b model.Key) int { return model.CompareKeys(a, b) })
	made, err := m.ledger.addPairs(ctx, slices.Compact(fresh))
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range made {
		m.roster.add(p)
	}
	m.adopt(cat, rec, moved)
	poke(m.moving)
	return nil
}

// leave notes what does not count, and says it once.
func (m *Monitor) leave(left []model.Definition) {
	m.mu.Lock()
	was := m.left
	m.left = left
	m.mu.Unlock()
	for _, d := range left {
		if !slices.ContainsFunc(was, func(o model.Definition) bool { return d.Is(o) && d.Trouble == o.Trouble }) {
			m.Log.Error("a definition is left out", "kind", d.Kind, "name", d.Name, "by", d.By, "err", d.Trouble)
		}
	}
}

// adopt makes a catalog the one that counts. mu is held.
func (m *Monitor) adopt(cat *model.Catalog, rec model.Record, moved func(*host) bool) {
	now := m.now()
	m.cat, m.rec = cat, rec
	for h := range m.roster.eachHost() {
		if moved(h) {
			m.prober.forget(h)
		}
	}
	live := map[*host]bool{}
	for k, plan := range cat.Plans {
		p := m.roster.pair(k)
		was, before := p.live, p.Schedule
		p.Plan, p.live = plan, true
		h := m.host(cat.WhereOf(k))
		if m.roster.place(p, h) {
			m.due.remove(p)
		}
		live[h] = true
		if p.busy || !m.ours(h) || was && before.Same(plan.Schedule) {
			continue
		}
		alive, heard := m.alive, m.began
		if !m.alone {
			alive, heard = h.alive, h.taken
		}
		m.due.at(p, m.firstOf(p, now, alive, heard))
	}
	for name := range cat.Asked {
		live[m.host(name)] = true
	}
	for p := range m.roster.each() {
		if _, ok := cat.Plans[p.Key]; !ok && p.Task != model.HostAnswers {
			p.live = false
			m.due.remove(p)
		}
	}
	for h := range m.roster.eachHost() {
		h.pair.live = live[h]
		m.moveHost(h)
		was := h.pair.Schedule
		h.by, h.pair.Attempts, h.pair.Schedule = cat.AliveOf(h.name), m.conf().Host.Attempts, model.Schedule{}
		if _, asked := cat.Asked[h.name]; asked {
			h.pair.Schedule = m.askedEvery()
		}
		switch {
		case !h.pair.live, !was.Never() && h.pair.Schedule.Never() && !h.down:
			m.due.remove(h.pair)
		case h.down && !h.pair.busy && !h.pair.queued() && m.ours(h):
			m.due.at(h.pair, now)
		case !h.down && !h.pair.busy && m.ours(h) && (!h.pair.queued() || !was.Same(h.pair.Schedule)):
			m.due.at(h.pair, h.pair.first(now, m.alive, model.Skip))
		}
	}
	m.watchWithheld()
	m.due.wake()
}

// moveHost finds the part of a host. Where that is another than before, what runs ends: another node may begin it now.
// mu is held.
func (m *Monitor) moveHost(h *host) {
	share := shareOf(m.cat, h.name)
	if m.alone || share == h.share {
		return
	}
	was := m.own.runs(h.share)
	h.share = share
	if now := m.own.runs(share); was && !now {
		h.held = false
		m.pause(h)
		h.cancel()
	} else if now && !was {
		h.alive, h.taken, h.gently, h.held = m.now(), m.now(), false, true
		m.resume(h)
	}
}

// host gives one, as the record left it. mu is held.
func (m *Monitor) host(name string) *host {
	h := m.roster.host(name)
	if h == nil {
		h = m.roster.addHost(name)
		h.by = m.cat.AliveOf(name)
		h.down, h.why = hostDown(&h.pair.stand, h.by), h.pair.stand.Line
	}
	return h
}

// firstOf gives when a pair is due after a start: nothing ran, and nobody listened, from alive until began. mu is held.
func (m *Monitor) firstOf(p *pair, now, alive, began time.Time) time.Time {
	if p.passive() {
		return p.firstStale(now, alive, began)
	}
	return p.first(now, alive, m.policy(p))
}

// policy says what becomes of runs that were missed while the server was down: the task's word, else that of
// checks.catch_up.
func (m *Monitor) policy(p *pair) string {
	if p.Def != nil && p.Def.CatchUp != "" {
		return p.Def.CatchUp
	}
	return m.conf().CatchUp
}

// watchWithheld notes which pairs may have something to tell although they do not run. mu is held.
func (m *Monitor) watchWithheld() {
	for p := range m.roster.each() {
		m.roster.watch(p, m.mayTell(p) && m.ours(p.where))
	}
}

// mayTell reports whether a pair may have something to tell although it does not run. mu is held.
func (m *Monitor) mayTell(p *pair) bool {
	st := &p.stand
	if !p.live || st.Untold() || st.Ack != nil || len(st.Listeners) > 0 {
		return p.live
	}
	return (st.Hard != model.OK || st.Flapping) && slices.ContainsFunc(m.cat.Listeners, func(l *model.Listener) bool { return l.Rule.Covers(p.Key) })
}

// watch follows the files, and the engine's record.
func (m *Monitor) watch(ctx context.Context) {
	var moved <-chan struct{}
	var after int64
	if m.Engine != nil {
		ch, done := m.Engine.Changed()
		defer done()
		moved = ch
		var err error
		if after, err = m.Engine.LastEvent(ctx); err != nil && ctx.Err() == nil {
			m.Log.Error("follow the record", "err", err)
		}
		if err := m.readDeploying(ctx); err != nil && ctx.Err() == nil {
			m.Log.Error("look for deployments", "err", err)
		}
	}
	look := time.NewTicker(lookPeriod)
	defer look.Stop()
	files := m.defs.stamp()
	var rest, whole <-chan time.Time // until the next reading; until all is read again, since something has happened
	waits := false
	for {
		again, live := false, false
		select {
		case <-ctx.Done():
			return
		case <-moved:
			if !m.declares() {
				continue // a server without checks has other things to do
			}
			news, err := m.Engine.Events(ctx, pipeline.EventFilter{After: after, Kinds: recordChanges, Limit: 1000})
			if err != nil && ctx.Err() == nil {
				m.Log.Error("follow the record", "err", err)
			}
			if len(news) > 0 {
				after, live = news[len(news)-1].ID, true
				if again = !m.takes(ctx, news); !again && whole == nil {
					whole = time.After(wholePeriod)
				}
			}
		case <-whole:
			again, whole = true, nil
		case <-m.redo:
			again = true
		case <-rest:
			rest, again, waits = nil, waits, false
		case <-look.C:
			live = true // two minutes after a deployment are over at some time
			if now := m.defs.stamp(); now != files {
				files, again = now, true
			}
		}
		if live && m.Engine != nil {
			if err := m.readDeploying(ctx); err != nil && ctx.Err() == nil {
				m.Log.Error("look for deployments", "err", err)
			}
		}
		switch {
		case again && rest != nil:
			waits = true
		case again:
			began := time.Now()
			m.again(ctx)
			if took := time.Since(began); took > longReading {
				rest = time.After(min(4*took, time.Minute))
			}
		}
	}
}

// wholePeriod is how long what has gone without an event that we follow, as a host that was forgotten, may still count.
const wholePeriod = 5 * time.Minute

// longReading is how long it may take to read all again for each thing that happens. With very many checks it takes
// more, and is done for several together.
const longReading = 100 * time.Millisecond

// declares reports whether there is anything to check.
func (m *Monitor) declares() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.cat.Defs.HostTasks) > 0 || len(m.cat.Asked) > 0
}

// recordChanges are the events after which hosts may be there, or be gone.
var recordChanges = []pipeline.EventKind{pipeline.EvStarted, pipeline.EvFailed, pipeline.EvAsking, pipeline.EvReady, pipeline.EvCancelled, pipeline.EvRetried, pipeline.EvUndone, pipeline.EvUndoFailed, pipeline.EvUndoStarted, pipeline.EvImported}

// lookPeriod is how often files are looked at.
const lookPeriod = 5 * time.Second

// again reads everything again. What is wrong now leaves what ran before.
func (m *Monitor) again(ctx context.Context) {
	err := m.refresh(ctx)
	if ctx.Err() != nil {
		return
	}
	m.mu.Lock()
	was := m.trouble
	m.trouble = ""
	if err != nil {
		m.trouble = model.OneLine(err)
	}
	now := m.trouble
	m.mu.Unlock()
	if now != "" && now != was {
		m.Log.Error("what is declared cannot be used; what ran before runs on", "err", err)
	}
}
