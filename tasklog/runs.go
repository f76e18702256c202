package tasklog

import (
	"context"
	"errors"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// newest gives the run that says where the repository stands: the last one, or a task's that goes on although one came
// after it that only looked.
func (r *Repo) newest(ctx context.Context) (pipeline.Run, error) {
	run, err := r.log.world.Engine.Newest(ctx, r.fqdn())
	if err != nil || !IsCheck(run) || run.State.Live() {
		return run, err
	}
	var id int64
	if err := r.log.world.DB.QueryRow(ctx, "SELECT run FROM tasks WHERE repo = ? AND env = ? AND run > 0 ORDER BY id DESC LIMIT 1", r.cfg.Name, r.cfg.Env).Scan(&id); errors.Is(err, store.ErrNoRows) {
		return run, nil
	} else if err != nil {
		return run, err
	}
	if task, err := r.log.world.Engine.Get(ctx, id); err != nil || task.State.Live() {
		return task, err
	}
	return run, nil
}

// runs gives the id of the task that runs now, or whose outcome nobody knows. A failed one may be changed by a commit.
func (r *Repo) runs(ctx context.Context) string {
	run, err := r.newest(ctx)
	if err != nil || run.Kind != taskKind || !run.State.Live() || run.State == pipeline.Failed && run.Step() != "task:done" || run.State == pipeline.Proposed {
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

// is reports whether a run is that of a task.
func (r *Repo) is(ctx context.Context, run pipeline.Run, t *Pending) bool {
	s, err := r.spec(ctx, run.ID)
	return err == nil && s.ID == t.ID()
}

// Kinds of runs: of a task, and of what only says what is wrong with a repository.
var (
	taskKind  = pipeline.Kind{Verb: pipeline.VerbTask}
	checkKind = pipeline.Kind{Verb: pipeline.VerbTask, Variant: pipeline.VariantCheck}
)

// spec is what a run's clipboard says of its task.
type spec struct {
	Repo   string `yaml:"repo" json:"repo"`
	ID     string `yaml:"id,omitempty" json:"id,omitempty"`
	Commit string `yaml:"commit,omitempty" json:"commit,omitempty"`
	File   string `yaml:"file,omitempty" json:"file,omitempty"`
	Line   int    `yaml:"line,omitempty" json:"line,omitempty"`
	Author string `yaml:"author,omitempty" json:"author,omitempty"`
	// Signer is who of `people` signed the commit. Author is what the commit says, and anybody may write that.
	Signer string `yaml:"signer,omitempty" json:"signer,omitempty"`
	// Earlier is the runs of it before it was edited, newest first.
	Earlier []int64 `yaml:"earlier,omitempty" json:"earlier,omitempty"`
	// Refused: it tells of what the git server did not take.
	Refused bool `yaml:"refused,omitempty" json:"refused,omitempty"`
	// GoOn: when it fails it is passed over.
	GoOn bool `yaml:"go_on,omitempty" json:"go_on,omitempty"`
	Task `yaml:",inline"`
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

// clip gives what a run's task is, and what is on record of it.
func (r *Repo) clip(ctx context.Context, run int64) (s spec, c *clipboard.Clipboard, err error) {
	text, err := r.log.world.Engine.Clipboard(ctx, run)
	if err != nil {
		return s, nil, err
	}
	if c, err = clipboard.Parse([]byte(text)); err != nil {
		return s, nil, err
	}
	return s, c, c.Decode("task", &s)
}

// request makes a run's request.
func (r *Repo) request(s spec, kind pipeline.Kind, steps ...string) (pipeline.Request, error) {
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
	q := pipeline.Request{Clipboard: c, Kind: kind, Steps: steps, By: by, Origin: pipeline.Everybody}
	if s.Signer != "" {
		q.Behind = []string{s.Signer}
	}
	return q, err
}
