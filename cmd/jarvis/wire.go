package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/agent"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/keyring"
	"github.com/jarvisops/jarvis/pages"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/reach"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
	"github.com/jarvisops/jarvis/tasklog"
	"github.com/jarvisops/jarvis/web"
	"github.com/jarvisops/jarvis/workers/all"
)

// app is everything wired together. Services run in the order of their list, and are ended in reverse.
type app struct {
	conf    *config.Config
	log     *slog.Logger
	db      *store.DB
	workers *all.Set
	engine  *pipeline.Engine
	access  *access.Access
	limiter *access.Limiter
	metrics *web.Metrics
	pages   *web.Pages
	site    *pages.Site
	listens atomic.Value // string: where the API and the pages are served; nothing until then
	pool    *remote.Pool
	finder  *reach.Finder
	tasks   *tasklog.Log
	hub     *agent.Hub
	checks  *checks.Monitor
	table   *command.Table
	keeper  *keeper
	known   *keyring.Known // nil: workers.ssh.known_hosts is no file that is kept

	beside []func(context.Context) error               // services of `jarvis serve` alone
	reload func(context.Context) (web.Reloaded, error) // reads the configuration again; nil: it cannot be

	lists map[string]map[string][]string // the configuration's own pipelines; changes with the table alone

	newDatabase bool // --new-database: what an earlier one left is no reason to refuse
	stuck       bool // the services did not end: nothing may wait for them

	readFile func(name string) ([]byte, error) // what the console's `deploy FILE` reads; the demo knows one file more
}

// newApp opens what the configuration names. Close it.
func newApp(ctx context.Context, conf *config.Config, log *slog.Logger) (*app, error) {
	return openApp(ctx, &app{conf: conf, log: log})
}

// openApp fills in an app whose conf and log are set. What it has opened when something fails is closed again.
func openApp(ctx context.Context, a *app) (_ *app, err error) {
	a.readFile = os.ReadFile
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	key, err := a.openRecord(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.openWork(ctx, key); err != nil {
		return nil, err
	}
	if err := a.openReach(ctx); err != nil {
		return nil, err
	}
	if err := a.openTable(); err != nil {
		return nil, err
	}
	return a, nil
}

// openRecord opens the database and the key of what is sealed in it.
func (a *app) openRecord(ctx context.Context) (*clipboard.Key, error) {
	conf := a.conf
	if err := os.MkdirAll(conf.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	if err := letThrough(conf); err != nil {
		return nil, err
	}
	if err := a.openDatabase(ctx); err != nil {
		return nil, err
	}
	return a.openKey(ctx)
}

// openWork makes what runs: workers, tasks, checks, the engine, and the hub of agents elsewhere.
func (a *app) openWork(ctx context.Context, key *clipboard.Key) (err error) {
	conf, log := a.conf, a.log
	w := conf.Workers
	if w.SSH, err = a.openRing(ctx, key); err != nil {
		return err
	}
	if w.External != nil { // a copy: the configuration is compared with the file's when it is read again
		x := *w.External
		x.Log, w.External = log, &x
		if conf.Database != "" {
			x.Silence = store.GiveUp
		}
	}
	if a.workers, err = all.Build(w, conf.Data); err != nil {
		return conf.Wrong(err)
	}
	if a.tasks, err = tasklog.New(conf.Tasks, conf.Data); err != nil {
		return conf.Wrong(err)
	}
	if a.checks, err = checks.New(conf.Checks); err != nil {
		return conf.Wrong(err)
	}
	if err := conf.Drift.Check(); err != nil {
		return conf.Wrong(err)
	}
	a.workers.Registry.Add(a.tasks.Steps()...)
	if a.engine, err = pipeline.New(ctx, pipeline.Config{DB: a.db, Registry: a.workers.Registry, Key: key, Log: log, Workers: conf.Runs,
		Drain: conf.Drain, Grace: conf.Workers.Grace(), Dir: filepath.Join(conf.Data, "outcomes"), Drift: conf.Drift,
		Silos: conf.Silos.Modules(), Offered: a.offered, MayBegin: a.mayBegin, GoesOn: agent.Record{DB: a.db}.GoesOn}); err != nil {
		return err
	}
	// For `jarvis step`, which does not open the database: what it makes and finds is this server's.
	if err := os.WriteFile(installationFile(conf.Data), []byte(a.engine.Installation()+"\n"), 0o600); err != nil {
		return fmt.Errorf("note which installation this is: %w", err)
	}
	calls := agent.Record{DB: a.db}
	if err := calls.Open(ctx); err != nil {
		return err
	}
	a.hub = agent.NewHub(agent.HubConfig{Engine: a.engine, Key: key, Ledger: calls, Version: version, Log: log})
	return nil
}

// openReach opens who may do what, and the ways to hosts, and gives both to tasks and checks.
func (a *app) openReach(ctx context.Context) (err error) {
	conf, log := a.conf, a.log
	if a.access, err = access.New(ctx, conf.Persons(), a.db); err != nil {
		return err
	}
	a.access.SetOIDC(conf.HTTP.OIDC)
	a.limiter = access.NewLimiter(conf.Limit)
	a.pool = remote.NewPool(remote.PoolConfig{Caught: guard.Log(a.log, "keep connections to hosts")})
	a.finder = reach.New(reach.Config{Record: a.engine, Keys: a.workers.SSH, Pool: a.pool, Through: a.through, Log: log})
	if err := a.tasks.Open(ctx, tasklog.World{DB: a.db, Engine: a.engine, Pool: a.pool, Hosts: a.finder.Named, Known: func(name string) bool { return a.access.Person(name).Name != "" }, Log: log}); err != nil {
		return err
	}
	if err := a.checks.Open(ctx, checks.World{DB: a.db, Engine: a.engine, Pool: a.pool, Target: a.finder.Target, Through: a.through, Do: a.do, Mail: conf.Mail, Log: log}); err != nil {
		return err
	}
	a.metrics = web.NewMetrics(a.engine, version, log)
	if a.pages, err = web.NewPages(ctx, a.db, conf.HTTP.URL); err != nil {
		return err
	}
	conf.Zone.Apply()
	return nil
}

// openTable makes the verbs, and the pages over them.
func (a *app) openTable() (err error) {
	conf, log := a.conf, a.log
	a.lists = conf.Pipelines
	fetch, err := command.NewFetch(conf.Sources.URLs)
	if err != nil {
		return conf.Wrong(err)
	}
	if a.site, err = pages.New(pages.Config{Engine: a.engine, Access: a.access, Checks: a.checks, URL: conf.HTTP.URL, TLS: conf.HTTP.TLS.Cert != "", Name: conf.Name, Version: version, Node: a.nodeShown(), Log: log}); err != nil {
		return conf.Wrong(err)
	}
	env := &command.Env{Name: conf.Name, Version: version, Engine: a.engine, Pipelines: pipelines(a.lists, a.workers.Registry), Fetch: fetch,
		ReadFile: func(name string) ([]byte, error) { return a.readFile(name) }, Exec: a.finder.Exec, PublicKeyAt: a.workers.SSH.PublicKeyAt(), Access: a.access, Limiter: a.limiter, Tasks: a.tasks, Checks: a.checks, Approvals: conf.Approvals, Freeze: conf.Freeze, Zone: conf.Zone, Observe: a.metrics.Command, Log: log}
	if k := conf.Workers.Keys; k != nil {
		env.Repos = k.GitHub.Repos
	}
	if a.workers.LDAP != nil {
		env.InDirectory = a.workers.LDAP.InProduction
		env.LDAP = func(ctx context.Context, cn string) ([]byte, error) {
			return a.workers.LDAP.ReadClipboard(ctx, conf.Sources.LDAP.Base, cn)
		}
	}
	env.ForgetKeys = func(ctx context.Context, h pipeline.Standing) error {
		return a.workers.SSH.ForgetKeys(ctx, h.Host, h.FQDN, h.Reach.Addr, h.Reach.Login)
	}
	env.Pages = a.pagesAt
	a.table = command.NewTable(env)
	a.site.Table = a.table
	return nil
}

// pipelines gives the built-in lists with those of the configuration in their place.
func pipelines(own map[string]map[string][]string, reg *pipeline.Registry) map[string]map[string][]string {
	out := all.Pipelines(reg)
	for verb, byProvider := range own {
		if out[verb] == nil {
			out[verb] = map[string][]string{}
		}
		for p, steps := range byProvider {
			out[verb][strings.ToLower(p)] = steps
		}
	}
	return out
}

// offered makes the pipelines again, of the steps that silos elsewhere have now. The engine calls it while it runs.
func (a *app) offered() {
	a.table.Change(func(e *command.Env) { e.Pipelines = pipelines(a.lists, a.workers.Registry) })
}

// mayBegin says what speaks against a planned run. The engine calls it while it runs.
func (a *app) mayBegin(ctx context.Context, r pipeline.Run) (pipeline.Objection, error) {
	return a.table.MayBegin(ctx, r)
}

// do runs a command for an action of the checks. The key says whether it ran already: a run that it started is one.
func (a *app) do(ctx context.Context, line, key string) error {
	_, err := a.table.Do(ctx, command.Call{Words: command.SplitWords(line), Person: access.Person{Name: "checks", Roles: []string{access.Deploy}}, Asker: "checks", Via: "checks", Origin: pipeline.Everybody, Free: true, Key: key})
	return err
}

// asked finds the hosts that a client of the API names.
func (a *app) asked(ctx context.Context, list []web.ExecHost) ([]fleet.Host, error) {
	words := make([]reach.Word, len(list))
	for i, h := range list {
		words[i] = reach.Word{Name: h.Name, Addr: h.Addr, User: h.User, Keys: h.Keys}
	}
	return a.finder.Hosts(ctx, words)
}

// close may be called for an app that is half open, and leaves everything open when the services hang.
func (a *app) close() {
	if a.stuck {
		return // what hangs would hang this, too; the process ends, and with it all that it holds
	}
	if a.pool != nil {
		a.pool.Close()
	}
	if a.finder != nil {
		a.finder.Close()
	}
	if a.workers != nil {
		a.workers.Close()
	}
	if a.db != nil {
		if err := a.db.Close(); err != nil {
			a.log.Error("close the database", "err", err)
		}
	}
}

// frontends makes those of the configuration.
func (a *app) frontends() ([]bot.Frontend, error) {
	var out []bot.Frontend
	for _, ch := range a.conf.Chat {
		f, err := ch.Settings().Open(a.conf.Name, a.log)
		if err != nil {
			return nil, a.conf.Wrong(err)
		}
		out = append(out, f)
	}
	return out, nil
}

// serve runs the engine, the socket and the bot until ctx ends or one of them does.
func (a *app) serve(ctx context.Context, fronts []bot.Frontend, ready func()) error {
	conf := bot.Config{Name: a.conf.Name, Unnamed: !a.conf.Has("name"), Table: a.table, Engine: a.engine, DB: a.db, Access: a.access, Frontends: fronts, Routes: a.conf.Notices, Mail: a.conf.Mail, Checks: a.checks, Pages: strings.TrimSuffix(a.conf.HTTP.URL, "/"), Log: a.log}
	if a.conf.HTTP.URL != "" {
		conf.Page = a.pages.Put
	}
	b, err := bot.New(ctx, conf)
	if wrong := (*mistake.One)(nil); errors.As(err, &wrong) {
		return a.conf.Wrong(err)
	} else if err != nil {
		return err
	}
	// The bot is the last that migrates, and nothing works yet.
	if err := a.db.CheckSchema(ctx); errors.Is(err, store.ErrNewer) {
		return &exitError{exitUsage, err.Error()}
	} else if err != nil {
		return err
	}
	if err := a.settleRestored(ctx, b); err != nil {
		return err
	}
	if err := a.settleFailover(ctx, b); err != nil {
		return err
	}
	a.keeper = newKeeper(a, b)
	for _, f := range fronts {
		a.measureChat(b, f)
	}
	a.metrics.Gauge("jarvis_database_damaged", "1 when pages of the database are known to be broken.", nil, func() float64 {
		if a.db.Damage() != nil {
			return 1
		}
		return 0
	})
	a.metrics.Gauge("jarvis_database_bytes", "How much the database takes on disk.", nil, func() float64 {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		n, err := a.db.Size(ctx)
		if err != nil {
			return -1
		}
		return float64(n)
	})
	a.metrics.Gauge("jarvis_notices_waiting", "Notices that no chat server has taken yet.", nil, b.NoticesWaiting)
	a.metrics.Gauge("jarvis_notices_late_seconds", "How long the oldest notice for a webhook or a mail waits that was not taken at its first try.", nil, b.NoticesLate)
	a.metrics.Gauge("jarvis_notices_dropped", "Notices that no webhook or mail server took in two days, and that were given up in the last week.", nil, b.NoticesDropped)
	srv, err := web.New(web.Config{Socket: a.conf.Socket, Listen: a.conf.Listen, HTTP: a.conf.HTTP, Table: a.table, Engine: a.engine, Access: a.access,
		Limiter: a.limiter, Metrics: a.metrics, Pages: a.pages, Hosts: a.asked, Pool: a.pool, Checks: a.checks, Hook: a.tasks.Hook(), Agents: a.hub, Reload: a.reload, Site: a.site, Version: version, Log: a.log, Healthy: a.ready,
		Listened: func(addr string) {
			a.listens.Store(addr)
			a.log.Info("the API is served", "address", addr)
		}})
	if err != nil {
		return a.conf.Wrong(err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	services := []func(context.Context) error{a.engine.Run, srv.Run, a.site.Run, a.metrics.Run, a.hub.Run, a.tasks.Run, a.checks.Run, a.keeper.run, a.notePrimary, b.Run}
	services = append(services, a.beside...)
	if a.known != nil {
		services = append(services, a.known.Run)
	}
	errs := make([]error, len(services))
	var wg guard.Group
	for i, f := range services {
		bug := func(p *guard.Panic) {
			guard.Log(a.log, "run a service")(p)
			errs[i] = fmt.Errorf("a part of the server has ended, and the server with it: %w; the stack is in the log", p)
		}
		wg.Go(bug, func() {
			defer cancel(nil) // the first to return stops the rest
			errs[i] = f(ctx)
		})
	}
	if ready != nil {
		guard.Go(guard.Log(a.log, "say that the server is ready"), func() {
			if waitSocket(ctx, a.conf.Socket.Path) {
				ready()
			}
		})
	}
	ended := make(chan struct{})
	guard.Go(guard.Log(a.log, "wait for the services"), func() {
		defer close(ended)
		wg.Wait()
	})
	return a.outlive(ctx, cancel, ended, func() error { return errors.Join(errs...) })
}

// waitSocket waits until the socket answers.
func waitSocket(ctx context.Context, path string) bool {
	for ctx.Err() == nil {
		c, err := net.Dial("unix", path)
		if err == nil {
			_ = c.Close()
			return true
		}
		if !sleep(ctx, pollSocket) {
			return false
		}
	}
	return false
}
