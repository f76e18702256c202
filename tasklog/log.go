package tasklog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/fleet"
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

	mu        sync.Mutex
	last      *plan
	trouble   error
	elsewhere string // who else has the next task
	looked    time.Time
}

// New checks the configuration; data is the folder for copies and jobs.
func New(cfg []Config, data string) (*Log, error) {
	data, err := filepath.Abs(data)
	if err != nil {
		return nil, err
	}
	l := &Log{}
	for _, c := range cfg {
		if err := c.complete(); err != nil {
			return nil, err
		}
		if l.find(c.Name) != nil {
			return nil, fmt.Errorf("two entries of `tasks` are called %s; set `name`", c.Name)
		}
		r := &Repo{cfg: c, log: l, dir: filepath.Join(data, "tasks", c.Name), poke: make(chan struct{}, 1)}
		r.git = &git{cfg: &r.cfg, dir: filepath.Join(r.dir, "git")}
		r.running = r.runs
		l.repos = append(l.repos, r)
	}
	return l, nil
}

// Open makes the table; then Run may be called.
func (l *Log) Open(ctx context.Context, w World) error {
	l.world = w
	if w.Log == nil {
		l.world.Log = slog.New(slog.DiscardHandler)
	}
	return w.DB.Migrate(ctx, []store.Migration{{Name: "tasklog/1", SQL: `
CREATE TABLE tasks (
	id {{id}},
	repo TEXT NOT NULL, env TEXT NOT NULL, commit_id TEXT NOT NULL, position BIGINT NOT NULL,
	name TEXT NOT NULL, author TEXT NOT NULL, run BIGINT NOT NULL, at BIGINT NOT NULL
);

CREATE UNIQUE INDEX tasks_once ON tasks (repo, env, commit_id, position)`}})
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
	var wg sync.WaitGroup
	for _, r := range l.repos {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r.follow(ctx)
		}()
	}
	wg.Wait()
	<-ctx.Done()
	return nil
}

// Poke fetches at once.
func (r *Repo) Poke() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// Name gives what people call it.
func (r *Repo) Name() string { return r.cfg.Name }

// follow looks into the repository at its times, when it is poked, and when a run of it has ended.
func (r *Repo) follow(ctx context.Context) {
	changed, done := r.log.world.Engine.Changed()
	defer done()
	var state pipeline.State
	said := ""
	for {
		err := r.look(ctx)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err == nil && said != "":
			r.log.world.Log.Info("tasks can be looked for again", "repo", r.cfg.Name)
			said = ""
		case err != nil && err.Error() != said: // once, not every minute
			said = err.Error()
			r.log.world.Log.Error("look for tasks", "repo", r.cfg.Name, "err", err)
		}
		if run, err := r.newest(ctx); err == nil {
			state = run.State
		}
		next := time.NewTimer(r.cfg.every)
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				next.Stop()
				return
			case <-next.C:
				waiting = false
			case <-r.poke:
				waiting = false
			case <-changed:
				// A busy engine changes thousands of times a second.
				select {
				case <-ctx.Done():
				case <-time.After(breath):
				}
				run, err := r.newest(ctx)
				waiting = err != nil || run.State == state || run.State.Moving()
				if err == nil {
					state = run.State
				}
			}
		}
		next.Stop()
	}
}

// breath is how long we wait before we look what an event was about.
const breath = 100 * time.Millisecond

// newest gives the newest run of the repository.
func (r *Repo) newest(ctx context.Context) (pipeline.Run, error) {
	return r.log.world.Engine.Find(ctx, r.fqdn())
}

// runs gives the id of the task that runs now, or whose outcome nobody knows. A failed one may be changed by a commit.
func (r *Repo) runs(ctx context.Context) string {
	run, err := r.newest(ctx)
	if err != nil || run.Pipeline != taskPipeline || !run.State.Live() || run.State == pipeline.Failed && run.Step() != "task:done" || run.State == pipeline.Proposed {
		return ""
	}
	s, err := r.spec(ctx, run.ID)
	if err != nil {
		return ""
	}
	return s.ID
}

// fqdn is under what the engine knows the repository: no host of the world has the domain "task".
func (r *Repo) fqdn() string { return r.cfg.Name + ".task" }

// refresh fetches and plans.
func (r *Repo) refresh(ctx context.Context) (*plan, error) {
	r.busy.Lock()
	defer r.busy.Unlock()
	err := r.git.fetch(ctx)
	var p *plan
	if err == nil {
		p, err = r.plan(ctx, r.running(ctx))
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.trouble, r.looked = p, err, time.Now()
	return p, err
}

// look starts what is to be started, if anything.
func (r *Repo) look(ctx context.Context) error {
	run, err := r.newest(ctx)
	if err != nil && !errors.Is(err, pipeline.ErrNotFound) {
		return err
	}
	if err == nil && run.State.Live() && run.State != pipeline.Failed {
		return nil
	}
	failed := err == nil && run.State == pipeline.Failed
	p, perr := r.refresh(ctx)
	var trouble *Trouble
	if perr != nil && !errors.As(perr, &trouble) {
		return perr // the server is away, or the like: the next look may see more
	}
	if failed {
		return r.unblock(ctx, run, p, trouble)
	}
	if trouble != nil {
		return r.report(ctx, trouble)
	}
	if len(p.pending) == 0 {
		if merge := p.passed(); merge != "" {
			return r.catchUp(ctx, p, merge)
		}
		return nil
	}
	next := p.pending[0]
	if _, begun, err := r.runOf(ctx, &next); begun || err != nil {
		return err // it was given up, and holds the others until a person decides
	}
	return r.begin(ctx, next)
}

// runOf gives the run of a task that was begun here.
func (r *Repo) runOf(ctx context.Context, t *Pending) (run pipeline.Run, begun bool, err error) {
	var id int64
	err = r.log.world.DB.QueryRow(ctx, "SELECT run FROM tasks WHERE repo = ? AND env = ? AND commit_id = ? AND position = ? AND run > 0", r.cfg.Name, r.cfg.Env, t.Commit, t.Position).Scan(&id)
	if errors.Is(err, store.ErrNoRows) {
		return run, false, nil
	} else if err != nil {
		return run, false, err
	}
	run, err = r.log.world.Engine.Get(ctx, id)
	return run, err == nil, err
}

// current gives the run that a person means: what holds the repository now, or the first that waits, or the newest.
func (r *Repo) current(ctx context.Context) (pipeline.Run, error) {
	run, err := r.newest(ctx)
	if err == nil && run.State.Live() {
		return run, nil
	}
	r.mu.Lock()
	p := r.last
	r.mu.Unlock()
	if p != nil && len(p.pending) > 0 {
		if first, begun, ferr := r.runOf(ctx, &p.pending[0]); begun || ferr != nil {
			return first, ferr
		}
	}
	return run, err
}

// unblock lets a failed run go when what failed is no longer so.
func (r *Repo) unblock(ctx context.Context, run pipeline.Run, p *plan, trouble *Trouble) error {
	e := r.log.world.Engine
	if run.Pipeline == checkPipeline {
		if trouble != nil && trouble.Error() == run.Error {
			return nil
		}
		_, err := e.Retry(ctx, run.ID, "", "jarvis")
		return err
	}
	if trouble != nil {
		return nil // `task list` shows it; one thing after the other
	}
	if !slices.ContainsFunc(p.pending, func(t Pending) bool { return r.is(ctx, run, &t) }) {
		// Reviewed away, or said to be done in git.
		_, err := e.Cancel(ctx, run.ID, "a commit that takes it back")
		return err
	}
	if run.Step() == "task:check" { // it has not begun
		_, err := e.Retry(ctx, run.ID, "", "jarvis")
		return err
	}
	if r.cfg.Failed == goOn && run.Step() == "task:run" {
		_, err := e.Skip(ctx, run.ID, "jarvis, as after_failure says")
		return err
	}
	return nil
}

// is reports whether a run is that of a task.
func (r *Repo) is(ctx context.Context, run pipeline.Run, t *Pending) bool {
	s, err := r.spec(ctx, run.ID)
	return err == nil && s.ID == t.ID()
}

// The names under which times are compared.
const (
	taskPipeline  = "task"
	checkPipeline = "task/check"
)

// spec is what a run's clipboard says of its task.
type spec struct {
	Repo   string `yaml:"repo" json:"repo"`
	ID     string `yaml:"id,omitempty" json:"id,omitempty"`
	Commit string `yaml:"commit,omitempty" json:"commit,omitempty"`
	File   string `yaml:"file,omitempty" json:"file,omitempty"`
	Line   int    `yaml:"line,omitempty" json:"line,omitempty"`
	Author string `yaml:"author,omitempty" json:"author,omitempty"`
	Task   `yaml:",inline"`
}

func (r *Repo) spec(ctx context.Context, run int64) (spec, error) {
	return specOf(ctx, r.log.world.Engine, run)
}

func specOf(ctx context.Context, e *pipeline.Engine, run int64) (spec, error) {
	var s spec
	text, err := e.Clipboard(ctx, run)
	if err != nil {
		return s, err
	}
	c, err := clipboard.Parse([]byte(text))
	if err != nil {
		return s, err
	}
	return s, c.Decode("task", &s)
}

// request makes a run's request.
func (r *Repo) request(s spec, name string, steps ...string) (pipeline.Request, error) {
	s.Repo = r.cfg.Name
	text, err := yaml.Marshal(map[string]any{"instance": map[string]any{"hostname": r.cfg.Name, "fqdn": r.fqdn(), "provider": "task", "task": s}})
	if err != nil {
		return pipeline.Request{}, err
	}
	c, err := clipboard.Parse(text)
	by := "git"
	if s.Author != "" {
		by = s.Author
	}
	return pipeline.Request{Clipboard: c, Pipeline: name, Steps: steps, By: by, Origin: pipeline.Everybody}, err
}

// report starts a run that fails with what is wrong.
func (r *Repo) report(ctx context.Context, t *Trouble) error {
	if run, err := r.newest(ctx); err == nil && run.Pipeline == checkPipeline && run.State == pipeline.Cancelled {
		if old, err := r.spec(ctx, run.ID); err == nil && old.Name == t.Error() {
			return nil // somebody has seen it, and put it away
		}
	}
	q, err := r.request(spec{Task: Task{Name: t.Error(), Shell: "-"}}, checkPipeline, "task:check")
	if err != nil {
		return err
	}
	_, err = r.log.world.Engine.Start(ctx, q)
	return busyIsFine(err)
}

func busyIsFine(err error) error {
	var busy *pipeline.BusyError
	if errors.As(err, &busy) {
		return nil
	}
	return err
}

// begin claims a task and starts its run.
func (r *Repo) begin(ctx context.Context, t Pending) error {
	me := r.me()
	r.busy.Lock()
	by, err := r.git.claim(ctx, t.ID(), me)
	r.busy.Unlock()
	if err != nil {
		return fmt.Errorf("claim %s: %w", t.Short(), err)
	}
	r.mu.Lock()
	r.elsewhere = ""
	if by != me {
		r.elsewhere = fmt.Sprintf("“%s” (%s) is run by another server, %s; if that one is gone for good, `git push %s :%s` frees the task", t.Task.Name, t.Short(), by, hideSecret(r.cfg.Repo), r.git.claimRef(t.ID()))
	}
	r.mu.Unlock()
	if by != me {
		return nil
	}
	// A claim is taken away in the push that moves done; so what we saw before may be old.
	p, err := r.refresh(ctx)
	if err != nil || len(p.pending) == 0 || p.pending[0].ID() != t.ID() {
		return err
	}
	s := spec{ID: t.ID(), Commit: t.Commit, File: t.File, Line: t.Line, Author: t.Author, Task: t.Task}
	q, err := r.request(s, taskPipeline, "task:check", "task:run", "task:done")
	if err != nil {
		return r.report(ctx, &Trouble{fmt.Sprintf("%q (%s, line %d) can not be run: %v", t.Task.Name, t.File, t.Line, err)})
	}
	q.Key = strings.Join([]string{"task", r.cfg.Name, r.cfg.Env, t.ID()}, ":")
	if t.Task.NeedsApproval {
		q.Approval = &pipeline.NeedApproval{Why: fmt.Sprintf("the task “%s” says so", t.Task.Name), For: r.cfg.approval}
	}
	w := r.log.world
	row := []any{r.cfg.Name, r.cfg.Env, t.Commit, t.Position, t.Task.Name, t.Author, time.Now().UnixMilli()}
	if err := w.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO tasks (repo, env, commit_id, position, name, author, run, at) VALUES (?, ?, ?, ?, ?, ?, 0, ?) ON CONFLICT DO NOTHING", row...)
		return err
	}); err != nil {
		return err
	}
	run, err := w.Engine.Start(ctx, q)
	if err != nil {
		return busyIsFine(err)
	}
	return w.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE tasks SET run = ? WHERE repo = ? AND env = ? AND commit_id = ? AND position = ?", run.ID, r.cfg.Name, r.cfg.Env, t.Commit, t.Position)
		return err
	})
}

// me names this installation; two servers never share it.
func (r *Repo) me() string {
	token, _, _ := strings.Cut(strings.TrimPrefix(r.log.world.Engine.Token(0), "jarvis-"), "-")
	return "jarvis " + token
}

// catchUp merges commits that bring no tasks.
func (r *Repo) catchUp(ctx context.Context, p *plan, merge string) error {
	r.busy.Lock()
	defer r.busy.Unlock()
	err := r.git.moveDone(ctx, p.done, merge, fmt.Sprintf("Merge %.8s: no tasks for %s\n", merge, r.cfg.Env), nil)
	if errors.Is(err, errMoved) {
		return nil
	}
	return err
}
