package checks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
)

// World is what checks work with.
type World struct {
	DB     *store.DB
	Engine *pipeline.Engine // its hosts and clusters are known here, and its deployments quiet their own hosts; may be nil
	Pool   *remote.Pool
	// Target says how a host is reached, by its name on record, or by an address [user@]host[:port].
	Target func(ctx context.Context, word string) (remote.Target, error)
	// Do runs a command of the bot for an action. The same key is given again when it is not known whether it ran.
	Do  func(ctx context.Context, line, key string) error
	Now func() time.Time // nil: time.Now
	Log *slog.Logger
}

// Monitor runs checks. It is safe for concurrent use.
type Monitor struct {
	World
	cfg Config
	run func(ctx context.Context, p *pair, t Task) outcome // tests put their own here

	// commit is held by whoever changes Standings: it computes, writes, and then takes over what is written. It is taken
	// before mu, never after.
	commit sync.Mutex
	noted  time.Time // when it was written last that this server works; commit guards it

	defining sync.Mutex // one Define or Remove at a time; taken before commit

	mu        sync.Mutex
	cat       *catalog
	rec       record
	pairs     map[Key]*pair
	byID      map[int64]*pair
	hosts     map[string]*host
	due       dueHeap
	waiting   []*host // that have something to run, while all places are taken
	running   int
	done      []finished // results that are not committed
	withheld  map[*pair]bool
	acting    map[int64]bool // rows of the outbox whose task is to run
	swept     time.Time
	downtimes []Downtime
	deploying map[string]quiet
	stats     stats
	trouble   string    // why what is declared now is not what runs
	stuck     error     // why results are not committed
	stuckAt   time.Time // since when
	alive     time.Time // when this server was last known to work, before it started
	runs      sync.WaitGroup

	wake      chan struct{} // the heap has changed
	results   chan struct{} // done has some
	outbox    chan struct{} // something is to be done
	gathering chan struct{} // something is to be said
	changed   chan struct{} // what is declared may have changed
	news      fan           // notices were written
}

// New checks the configuration.
func New(cfg Config) (*Monitor, error) {
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("checks: %w", err)
	}
	cfg.defaults()
	m := &Monitor{cfg: cfg, pairs: map[Key]*pair{}, byID: map[int64]*pair{}, hosts: map[string]*host{}, withheld: map[*pair]bool{}, acting: map[int64]bool{}, deploying: map[string]quiet{},
		wake: make(chan struct{}, 1), results: make(chan struct{}, 1), outbox: make(chan struct{}, 1), gathering: make(chan struct{}, 1)}
	m.run = m.overSSH
	return m, nil
}

// Open reads the record. Run does the work.
func (m *Monitor) Open(ctx context.Context, w World) error {
	m.World = w
	if m.Now == nil {
		m.Now = time.Now
	}
	if m.Log == nil {
		m.Log = slog.New(slog.DiscardHandler)
	}
	if err := m.DB.Migrate(ctx, migrations); err != nil {
		return err
	}
	if err := m.readPairs(ctx); err != nil {
		return err
	}
	if err := m.readDowntimes(ctx); err != nil {
		return err
	}
	alive, err := m.mark(ctx, markAlive)
	if err != nil {
		return err
	}
	m.alive = time.UnixMilli(alive)
	return m.refresh(ctx)
}

// now gives the wall clock alone: what is due is due by it, whatever became of it meanwhile.
func (m *Monitor) now() time.Time { return m.Now().Round(0) }

func (m *Monitor) readPairs(ctx context.Context) error {
	rows, err := m.DB.Query(ctx, "SELECT id, task, host, state FROM check_pairs")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		p := &pair{index: notQueued}
		var state string
		if err := rows.Scan(&p.id, &p.Task, &p.Host, &state); err != nil {
			return err
		}
		if state != "" {
			if err := json.Unmarshal([]byte(state), &p.stand); err != nil {
				return fmt.Errorf("the state of %s on record: %w", p.Key, err)
			}
		}
		m.pairs[p.Key], m.byID[p.id] = p, p
	}
	return rows.Err()
}

// The marks of table check_marks.
const (
	markAlive  = "alive"   // when this server was last known to work
	markRollUp = "roll-up" // the last result that the roll-ups have
	// The range that is being added ends with this result, and the pairs up to this one have it.
	markRollUpTo   = "roll-up to"
	markRollUpPair = "roll-up pair"
)

func (m *Monitor) mark(ctx context.Context, name string) (v int64, err error) {
	err = m.DB.QueryRow(ctx, "SELECT value FROM check_marks WHERE name = ?", name).Scan(&v)
	if errors.Is(err, store.ErrNoRows) {
		return 0, nil
	}
	return v, err
}

func setMark(ctx context.Context, tx store.Tx, name string, v int64) error {
	_, err := tx.Exec(ctx, "INSERT INTO check_marks (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, v)
	return err
}

// refresh reads what is declared, and what is on record, and has the heap follow. What runs goes on.
func (m *Monitor) refresh(ctx context.Context) error {
	m.commit.Lock()
	defer m.commit.Unlock()
	defs, err := m.declared(ctx)
	if err != nil {
		return err
	}
	rec, err := m.readRecord(ctx, defs)
	if err != nil {
		return err
	}
	cat, err := newCatalog(defs, rec, m.cfg.Node)
	if err != nil {
		return err
	}
	var fresh []Key
	m.mu.Lock()
	for k := range cat.plans {
		if m.pairs[k] == nil {
			fresh = append(fresh, k)
		}
		if hk := (Key{hostTask, cat.whereOf(k)}); m.pairs[hk] == nil {
			fresh = append(fresh, hk)
		}
	}
	m.mu.Unlock()
	slices.SortFunc(fresh, func(a, b Key) int { return cmpKeys(a, b) })
	made, err := m.addPairs(ctx, slices.Compact(fresh))
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range made {
		m.pairs[p.Key], m.byID[p.id] = p, p
	}
	m.adopt(cat, rec)
	return nil
}

// addPairs gives pairs their numbers.
func (m *Monitor) addPairs(ctx context.Context, keys []Key) ([]*pair, error) {
	var out []*pair
	for part := range slices.Chunk(keys, 1000) {
		var list []*pair
		err := m.DB.Write(ctx, func(tx store.Tx) error {
			list = list[:0]
			for _, k := range part {
				p := &pair{plan: plan{Key: k}, index: notQueued}
				if err := tx.QueryRow(ctx, "INSERT INTO check_pairs (task, host, state) VALUES (?, ?, '') RETURNING id", k.Task, k.Host).Scan(&p.id); err != nil {
					return err
				}
				list = append(list, p)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

func (c *catalog) whereOf(k Key) string {
	if p := c.plans[k]; p.task.From != "" {
		return p.task.From
	}
	return k.Host
}

// adopt makes a catalog the one that counts. mu is held.
func (m *Monitor) adopt(cat *catalog, rec record) {
	now := m.now()
	m.cat, m.rec = cat, rec
	for _, h := range m.hosts {
		h.target = nil
	}
	live := map[*host]bool{}
	for k, plan := range cat.plans {
		p := m.pairs[k]
		was, before := p.live, p.schedule
		p.plan, p.live = plan, true
		p.where = m.host(cat.whereOf(k))
		live[p.where] = true
		if p.busy || was && before.same(plan.schedule) {
			continue
		}
		m.due.at(p, p.first(now, m.alive, m.policy(p)))
	}
	for k, p := range m.pairs {
		if _, ok := cat.plans[k]; !ok && k.Task != hostTask {
			p.live = false
			m.due.remove(p)
		}
	}
	for _, h := range m.hosts {
		h.pair.live = live[h]
		h.pair.attempts = m.cfg.Host.Attempts
		switch {
		case !h.pair.live:
			m.due.remove(h.pair)
		case h.down && !h.pair.busy && h.pair.index == notQueued:
			m.due.at(h.pair, now)
		}
	}
	m.watchWithheld()
	poke(m.wake)
}

// host gives one, as the record left it. mu is held.
func (m *Monitor) host(name string) *host {
	h := m.hosts[name]
	if h == nil {
		h = &host{name: name, pair: m.pairs[Key{hostTask, name}], plugins: map[string]bool{}}
		h.pair.where = h
		h.down, h.why = h.pair.stand.Status != OK, h.pair.stand.Line
		m.hosts[name] = h
	}
	return h
}

func (m *Monitor) policy(p *pair) string {
	if p.task != nil && p.task.CatchUp != "" {
		return p.task.CatchUp
	}
	return m.cfg.CatchUp
}

// watchWithheld notes which pairs may have something to tell although they do not run. mu is held.
func (m *Monitor) watchWithheld() {
	clear(m.withheld)
	for _, p := range m.pairs {
		if p.mayTell() {
			m.withheld[p] = true
		}
	}
}

func (p *pair) mayTell() bool {
	return p.live && (p.stand.Hard != p.stand.Told || p.stand.Ack != nil)
}

// readRecord asks the engine for hosts with an address, and for clusters.
func (m *Monitor) readRecord(ctx context.Context, defs *Defs) (record, error) {
	rec := record{clusters: map[string][]string{}}
	if m.Engine == nil || len(defs.HostTasks) == 0 {
		return rec, nil
	}
	runs, err := m.Engine.Hosts(ctx, maxRecord)
	if err != nil {
		return rec, err
	}
	names := map[int64]string{}
	for _, r := range runs {
		if r.State == pipeline.Undone || m.Engine.Value(r, "ipaddress") == "" || !defName.MatchString(r.Host) {
			continue
		}
		rec.hosts = append(rec.hosts, r.Host)
		if r.Cluster == 0 {
			continue
		}
		if _, ok := names[r.Cluster]; !ok {
			cl, err := m.Engine.ClusterOf(ctx, r)
			if err != nil {
				return rec, err
			}
			names[r.Cluster] = cl.Name
		}
		rec.clusters[names[r.Cluster]] = append(rec.clusters[names[r.Cluster]], r.Host)
	}
	return rec, nil
}

// maxRecord is how many hosts of the record are known.
const maxRecord = 100_000

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// fan wakes whoever follows.
type fan struct {
	mu   sync.Mutex
	subs map[chan struct{}]bool
}

func (f *fan) follow() (<-chan struct{}, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ch := make(chan struct{}, 1)
	if f.subs == nil {
		f.subs = map[chan struct{}]bool{}
	}
	f.subs[ch] = true
	return ch, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.subs, ch)
	}
}

func (f *fan) poke() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ch := range f.subs {
		poke(ch)
	}
}
