package tasklog

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
)

// Log is the repositories of tasks of this server.
type Log struct {
	repos []*Repo
	world World
}

// World is what a Log works with.
type World struct {
	DB     *store.DB
	Engine *pipeline.Engine
	Pool   *remote.Pool
	// Hosts finds hosts by their names on record, @CLUSTER too.
	Hosts func(ctx context.Context, names []string) ([]fleet.Host, error)
	// Known reports whether one of `people` is called so; nil: nobody is.
	Known func(name string) bool
	Log   *slog.Logger
}

// Repo is one repository.
type Repo struct {
	cfg  Config
	dir  string // of its files
	git  *git
	log  *Log
	poke chan struct{}
	busy sync.Mutex // one at a time works with the copy

	running func(ctx context.Context) string // the id of the task that runs now, or may; "" when none does
	past    past
	parsed  map[string]*listed // task lists by place and hash; who holds busy has it
	wrote   map[string]wrote   // of the commits that are looked at; who holds busy has it

	mu        sync.Mutex
	last      *plan
	trouble   error
	refused   func(ctx context.Context) error // what the git server refused, to be tried again; nil: nothing
	elsewhere string                          // what the next task waits for, that no run says: who else has it, or a person
	looked    time.Time
	warned    map[string]bool
	told      map[string]int // lines of the jobs on hosts that are on record already
}

// past is what is on record of a task.
type past interface {
	// begun says where it has run; "" when it has not.
	begun(ctx context.Context, t *Pending) (string, error)
	// newestBegun gives the ID of the newest task that has begun here; "" when none has.
	newestBegun(ctx context.Context) (string, error)
	// decided reports whether a person said that an edited one shall run.
	decided(ctx context.Context, t *Pending) (bool, error)
}

// New checks the configuration; data is the folder for copies and jobs.
func New(cfg []Config, data string) (*Log, error) {
	data, err := filepath.Abs(data)
	if err != nil {
		return nil, err
	}
	l := &Log{}
	var wrong mistake.List
	for i, c := range cfg {
		at := fmt.Sprintf("tasks[%d]", i)
		if err := c.complete(at); err != nil {
			wrong.Add(err)
			continue
		}
		if l.find(c.Name) != nil {
			wrong.At(at, ": two entries are called %s; set `name`", c.Name)
			continue
		}
		for _, o := range l.repos {
			if sameRepo(o.cfg.Repo, c.Repo) && (o.cfg.Done == c.Done || o.cfg.Env == c.Env) {
				wrong.At(at, ": %s and %s share the branch %s or the environment %s of %s, so that what one runs would count as done for the other; give each its own `env` and `done`", o.cfg.Name, c.Name, c.Done, c.Env, hideSecret(c.Repo))
			}
		}
		r := &Repo{cfg: c, log: l, dir: filepath.Join(data, "tasks", c.Name), poke: make(chan struct{}, 1)}
		r.git = &git{cfg: &r.cfg, dir: filepath.Join(r.dir, "git")}
		r.running, r.past = r.runs, r
		l.repos = append(l.repos, r)
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	return l, nil
}

// sameRepo reports whether two ways to write a repository mean one, as far as that can be read off them.
func sameRepo(a, b string) bool {
	plainly := func(s string) string { return strings.TrimSuffix(strings.TrimRight(s, "/"), ".git") }
	return plainly(a) == plainly(b)
}

// Open makes the table; then Run may be called.
func (l *Log) Open(ctx context.Context, w World) error {
	l.world = w
	if w.Log == nil {
		l.world.Log = slog.New(slog.DiscardHandler)
	}
	return w.DB.Migrate(ctx, Migrations(w.DB.Postgres() != nil))
}

// Migrations of the table of tasks; it is the same on both databases.
func Migrations(bool) []store.Migration {
	return []store.Migration{{Name: "tasklog/1", Stmts: []string{
		`CREATE TABLE tasks (
	id {{id}},
	repo TEXT NOT NULL, env TEXT NOT NULL, commit_id TEXT NOT NULL, position BIGINT NOT NULL,
	name TEXT NOT NULL, author TEXT NOT NULL, run BIGINT NOT NULL, at BIGINT NOT NULL
)`,
		`CREATE UNIQUE INDEX tasks_once ON tasks (repo, env, commit_id, position)`,
	}}}
}

func (l *Log) find(name string) *Repo {
	for _, r := range l.repos {
		if r.cfg.Name == name {
			return r
		}
	}
	return nil
}

// Names lists the repositories.
func (l *Log) Names() []string {
	var out []string
	for _, r := range l.repos {
		out = append(out, r.cfg.Name)
	}
	return out
}

// alone does something with the copy while nobody else does.
func (r *Repo) alone(f func() error) error {
	r.busy.Lock()
	defer r.busy.Unlock()
	return f()
}

// Find gives a repository by its name; with one alone, "" means that.
func (l *Log) Find(name string) (*Repo, error) {
	if name == "" && len(l.repos) == 1 {
		return l.repos[0], nil
	}
	if r := l.find(name); r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("there is no repository of tasks %q; there is %s", name, strings.Join(l.Names(), ", "))
}

// Run follows the repositories until ctx ends.
func (l *Log) Run(ctx context.Context) error {
	var wg guard.Group
	for _, r := range l.repos {
		caught := guard.Log(l.world.Log, "follow a repository of tasks", "repo", r.cfg.Name)
		wg.Go(caught, func() {
			_ = guard.Loop(ctx, caught, func(ctx context.Context) error {
				return l.world.DB.InRole(ctx, "tasks "+r.cfg.Name, func(ctx context.Context) error { r.follow(ctx); return nil })
			})
		})
	}
	wg.Go(guard.Log(l.world.Log, "hear of pushes"), func() { l.listen(ctx) })
	wg.Wait()
	<-ctx.Done()
	return nil
}

// Name gives what people call it.
func (r *Repo) Name() string { return r.cfg.Name }
