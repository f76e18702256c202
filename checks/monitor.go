package checks

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/post"
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
	// Through has a target be reached through a silo; nil: every host is reached from here.
	Through func(t *remote.Target, silo string)
	// Do runs a command of the bot for an action. The same key is given again when it is not known whether it ran.
	Do   func(ctx context.Context, line, key string) error
	Mail post.MailConfig  // of contacts that are told by mail; SetMail changes it
	Now  func() time.Time // nil: time.Now
	Log  *slog.Logger
}

// Monitor runs checks. It is safe for concurrent use. It has its parts act together, each of which owns what it touches
// (docs/design/monitor.md).
// Why not a lock or a goroutine for each part: docs/adr/0016-the-monitor-in-parts.md
type Monitor struct {
	World
	cfg   atomic.Pointer[model.Config]
	alone bool                               // there are no other nodes: everything is ours; Open says so
	run   func(context.Context, job) outcome // tests put their own here

	// These are safe for concurrent use by themselves.
	claims    claims
	town      town
	prober    prober
	defs      definitions
	outbox    *outbox
	doer      doer
	notices   notices
	letters   letters
	downtimes downtimes
	deployed  deployments
	stats     stats
	runs      guard.Group

	// commit is held by whoever changes Standings: it computes, writes, and then takes over what is written. It is
	// taken before mu, never after.
	commit   sync.Mutex
	ledger   ledger
	onRecord onRecord // the hosts of the record

	mu        sync.Mutex
	roster    roster
	due       schedule
	done      unwritten
	own       ownership
	cat       *model.Catalog
	rec       model.Record
	lostPairs bool // some that are declared were taken off the record by another node
	swept     time.Time
	left      []model.Definition // made by the API, and not right now
	trouble   string             // why what is declared now is not what runs

	// Open writes these, and nobody after it.
	alive time.Time // when this server was last known to work, before it started
	began time.Time // and when that was
	known string    // begins what runs on hosts carry to be known again

	redo   chan struct{} // what is declared is to be read again
	moving chan struct{} // who has which part may change
}

// New checks the configuration. What is wrong in files of its folder is no error: Open leaves it out.
func New(cfg model.Config) (*Monitor, error) {
	if err := cfg.CheckStart(); err != nil {
		return nil, err
	}
	cfg.Defaults()
	m := &Monitor{alone: true, town: newTown(), outbox: newOutbox(), roster: newRoster(), due: newSchedule(), done: newUnwritten(), own: newOwnership(),
		redo: make(chan struct{}, 1), moving: make(chan struct{}, 1)}
	m.cfg.Store(&cfg)
	m.prober.conf, m.prober.catalog, m.prober.known = m.conf, m.catalog, func() string { return m.known }
	m.run = m.prober.run
	m.defs.conf, m.defs.count, m.defs.tell = m.conf, m.refresh, m.telling(newsDefs)
	m.downtimes.tell = m.telling(newsQuiet)
	m.doer = doer{box: m.outbox, catalog: m.catalog, askable: m.askable, asked: m.telling(newsDo)}
	m.notices.box, m.notices.catalog, m.notices.written = m.outbox, m.catalog, m.telling(newsNotices)
	m.notices.gather = func() time.Duration { return m.conf().Gather }
	m.letters.box, m.letters.catalog, m.letters.of = m.outbox, m.catalog, m.lettersOf
	return m, nil
}

// telling gives a function that has other nodes look at something.
func (m *Monitor) telling(what string) func() { return func() { m.town.tell(what) } }

func (m *Monitor) conf() *model.Config { return m.cfg.Load() }

// catalog gives what is declared now. It is not changed, but replaced.
func (m *Monitor) catalog() *model.Catalog {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cat
}

// name gives that of this server, as host_tasks have it.
func (m *Monitor) name() string { return cmp.Or(m.conf().Node, m.DB.Node().Name) }

// Reload takes another configuration; with an error the one there is stays. What runs goes on, and what a check has
// seen stays on record.
func (m *Monitor) Reload(ctx context.Context, cfg model.Config) error {
	if err := cfg.Check(); err != nil {
		return err
	}
	cfg.Defaults()
	was := m.cfg.Swap(&cfg)
	if err := m.refresh(ctx); err != nil {
		m.cfg.Store(was)
		return err
	}
	m.mu.Lock()
	m.trouble = ""
	m.mu.Unlock()
	return nil
}

// Open reads the record. Run does the work.
func (m *Monitor) Open(ctx context.Context, w World) error {
	m.World = w
	m.SetMail(w.Mail)
	if m.Now == nil {
		m.Now = time.Now
	}
	if m.Log == nil {
		m.Log = slog.New(slog.DiscardHandler)
	}
	t := tools{m.DB, m.now, m.Log}
	m.ledger.tools, m.claims.tools, m.town.tools, m.defs.tools, m.outbox.tools, m.downtimes.tools = t, t, t, t, t, t
	m.doer.command = m.Do
	m.prober.pool, m.prober.reach, m.prober.through = m.Pool, m.Target, m.Through
	if err := m.DB.Migrate(ctx, Migrations(m.DB.Postgres() != nil)); err != nil {
		return err
	}
	m.ledger.shared = m.DB.Shared()
	m.alone = !m.ledger.shared
	m.town.alone = m.alone
	if own := m.DB.Node().Name; !m.alone && m.name() != own {
		m.Log.Warn("host_tasks for the node checks.node are not run: the other servers know this one as node.name", "checks.node", m.name(), "node.name", own)
	}
	if err := m.readPairs(ctx); err != nil {
		return err
	}
	if err := m.nameRuns(ctx); err != nil {
		return err
	}
	if err := m.downtimes.read(ctx); err != nil {
		return err
	}
	alive, err := m.ledger.mark(ctx, markAlive)
	if err != nil {
		return err
	}
	m.alive, m.began = time.UnixMilli(alive), m.now()
	return m.firstRefresh(ctx)
}

// firstRefresh is refresh at the start: nothing ran before that could run on, so what is not right is left out, and
// said.
func (m *Monitor) firstRefresh(ctx context.Context) error {
	files, left := m.conf().LoadStart()
	if err := m.refreshBy(ctx, func() (*model.Defs, error) { return files, nil }); err != nil || len(left) == 0 {
		return err
	}
	for _, err := range left {
		m.Log.Error("what is declared here is left out until it is right", "err", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trouble = "left out at the start: " + model.OneLine(left[0])
	if n := len(left) - 1; n > 0 {
		m.trouble += fmt.Sprintf("; and %d more: `jarvis config check` tells of them", n)
	}
	return nil
}

// now gives the wall clock alone: what is due is due by it, whatever became of it meanwhile.
func (m *Monitor) now() time.Time { return m.Now().Round(0) }

// readPairs reads how all pairs stand; beside other nodes, what they wrote since the last time.
func (m *Monitor) readPairs(ctx context.Context) error {
	m.commit.Lock()
	defer m.commit.Unlock()
	if m.alone {
		list, err := m.ledger.states(ctx, "")
		if err == nil {
			m.takeStates(list)
		}
		return err
	}
	return m.readChanged(ctx)
}

// poke never blocks: one value in the channel is enough.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
