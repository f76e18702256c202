package tasklog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/pipeline"
)

// Status is where a repository stands.
type Status struct {
	Name    string    `json:"name"`
	Repo    string    `json:"repo"`
	Env     string    `json:"env"`
	Looked  time.Time `json:"looked,omitzero"`   // when it was fetched last
	Trouble string    `json:"trouble,omitempty"` // why nothing runs
	// Notes is what is odd in the newest list, and keeps nothing from running.
	Notes []string `json:"notes,omitempty"`
	// Elsewhere says that another server has the next task.
	Elsewhere string        `json:"elsewhere,omitempty"`
	Pending   []Pending     `json:"pending"`
	Started   []Started     `json:"started"` // newest first
	Run       *pipeline.Run `json:"run,omitempty"`
}

// Started is a task that was begun here.
type Started struct {
	ID     string    `json:"id"`
	Name   string    `json:"name"`
	Author string    `json:"author"`
	Run    int64     `json:"run"`
	Signer string    `json:"signer,omitempty"` // who of `people` signed it; known where it needs an approval
	At     time.Time `json:"at"`
	// Outcome is how it ended, where it counts as done: "exit 0", or with what it failed and who went on without it.
	Outcome string `json:"outcome,omitempty"`
	GoesOn  bool   `json:"-"` // when it fails it is passed over
}

// Short is the ID for people.
func (s *Started) Short() string {
	commit, pos, _ := strings.Cut(s.ID, "-")
	return commit[:min(8, len(commit))] + "-" + pos
}

// Status tells, as the last fetch saw it. At most limit started tasks are given.
func (r *Repo) Status(ctx context.Context, limit int) (Status, error) {
	r.mu.Lock()
	s := Status{Name: r.cfg.Name, Repo: hideSecret(r.cfg.Repo), Env: r.cfg.Env, Looked: r.looked}
	if r.trouble != nil {
		s.Trouble = r.trouble.Error()
	}
	if r.last != nil {
		s.Pending, s.Notes = append(s.Pending, r.last.pending...), r.last.notes
	}
	if len(s.Pending) > 0 {
		s.Elsewhere = r.elsewhere
	}
	r.mu.Unlock()
	if run, err := r.newest(ctx); err == nil {
		s.Run = &run
	} else if !errors.Is(err, pipeline.ErrNotFound) {
		return s, err
	}
	rows, err := r.log.world.DB.Query(ctx, "SELECT commit_id, position, name, author, run, at FROM tasks WHERE repo = ? AND env = ? ORDER BY id DESC LIMIT ?", r.cfg.Name, r.cfg.Env, limit)
	if err != nil {
		return s, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var t Started
		var commit string
		var pos, at int64
		if err := rows.Scan(&commit, &pos, &t.Name, &t.Author, &t.Run, &at); err != nil {
			return s, err
		}
		t.ID, t.At = fmt.Sprintf("%s-%d", commit, pos), time.UnixMilli(at)
		s.Started = append(s.Started, t)
	}
	return s, rows.Err()
}

// IsTask reports whether a run is of a repository of tasks.
func IsTask(r pipeline.Run) bool { return r.Verb == pipeline.VerbTask }

// IsCheck reports whether a run only says what is wrong with a repository.
func IsCheck(r pipeline.Run) bool { return r.Kind == checkKind }

// Of tells which task a run is of.
func Of(ctx context.Context, e *pipeline.Engine, r pipeline.Run) (Started, error) {
	s, err := specOf(ctx, e, r.ID)
	return Started{ID: s.ID, Name: s.Name, Author: s.Author, Signer: s.Signer, Run: r.ID, At: r.Started, GoesOn: s.GoOn}, err
}

// Show gives the tasks, waiting or started here, that an ID means: the beginning of one, or that of its commit and its
// position.
func (r *Repo) Show(ctx context.Context, id string) ([]Pending, error) {
	var out []Pending
	seen := map[string]bool{}
	add := func(p Pending) {
		if !seen[p.ID()] {
			seen[p.ID()] = true
			out = append(out, p)
		}
	}
	r.mu.Lock()
	if r.last != nil {
		for _, p := range r.last.pending {
			if means(id, p.ID()) {
				add(p)
			}
		}
	}
	r.mu.Unlock()
	s, err := r.Status(ctx, 1000)
	if err != nil {
		return nil, err
	}
	for _, t := range s.Started {
		if !means(id, t.ID) || seen[t.ID] || t.Run == 0 {
			continue
		}
		sp, err := r.spec(ctx, t.Run)
		if err != nil {
			return nil, err
		}
		add(Pending{Task: sp.Task, Commit: sp.Commit, Position: pendingOf(t.ID).Position, File: sp.File, Line: sp.Line, Author: sp.Author, At: t.At})
	}
	return out, nil
}

// means reports whether what somebody typed is an ID, its beginning, or the beginning of its commit, a dash and its
// position.
func means(typed, id string) bool {
	commit, position, exact := strings.Cut(typed, "-")
	has, at, _ := strings.Cut(id, "-")
	return commit != "" && strings.HasPrefix(has, commit) && (!exact || at == position)
}

// User is who tasks without hosts run as on this machine; "": the server's own user.
func (r *Repo) User() string { return r.cfg.User }

// Env is the environment.
func (r *Repo) Env() string { return r.cfg.Env }

// Timeout is how long it may take.
func (p *Pending) Timeout() time.Duration { return p.Task.timeout() }

// OtherError is why a task was not retried or called done: the one that stopped is another than the one that was meant.
type OtherError struct{ Meant, Is, Name string }

// Error implements error.
func (e *OtherError) Error() string {
	return fmt.Sprintf("the task that stopped is %s by now (%s), and not %s; nothing was done", e.Name, e.Is, e.Meant)
}

// isMeant is an error when the task that a person decides about is not the one that was meant; "" means any. One that
// was edited after it ran has two IDs: what it is now, and what ran.
func (r *Repo) isMeant(ctx context.Context, meant string, run pipeline.Run, held *Pending) error {
	if meant == "" || held != nil && means(meant, held.ID()) {
		return nil
	}
	s, err := r.spec(ctx, run.ID)
	if err != nil || means(meant, s.ID) {
		return err
	}
	if held != nil {
		s.ID, s.Task = held.ID(), held.Task
	}
	return &OtherError{Meant: meant, Is: s.ID, Name: s.Task.Name}
}

// aboutWhich gives the task about which a person decides: its run, or held when it was edited after it ran.
func (r *Repo) aboutWhich(ctx context.Context, meant string) (run pipeline.Run, held *Pending, err error) {
	if held, err = r.held(ctx); err != nil {
		return run, nil, err
	}
	if run, err = r.current(ctx); err != nil {
		return run, held, err
	}
	return run, held, r.isMeant(ctx, meant, run, held)
}

// Retry runs what failed, or whose outcome nobody knows, again. meant is the ID of the task, or its beginning; "" is
// any.
func (r *Repo) Retry(ctx context.Context, by, meant string) (pipeline.Run, error) {
	run, held, err := r.aboutWhich(ctx, meant)
	if err != nil {
		return run, err
	}
	if held != nil {
		if err := r.decide(ctx, held); err != nil {
			return run, err
		}
		r.Poke()
		if !IsCheck(run) || run.State != pipeline.Failed {
			return run, nil // the next look ends what ran before, and begins it
		}
	}
	return r.log.world.Engine.Retry(ctx, run.ID, "", by)
}

// held gives the task that was edited after it ran, and waits for a person, as it is in git now.
func (r *Repo) held(ctx context.Context) (*Pending, error) {
	if run, err := r.newest(ctx); err == nil && run.State.Live() && run.State != pipeline.Failed {
		return nil, nil
	}
	p, err := r.refresh(ctx)
	var trouble *Trouble
	if err != nil && !errors.As(err, &trouble) || p == nil {
		return nil, err
	}
	return p.held, nil
}

// Done says that the task which failed, or whose outcome nobody knows, is done: git hears of it, and the next one runs.
// meant is the ID of the task, or its beginning; "" is any.
func (r *Repo) Done(ctx context.Context, by, meant string) (pipeline.Run, error) {
	e := r.log.world.Engine
	run, held, err := r.aboutWhich(ctx, meant)
	if err != nil {
		return run, err
	}
	if held != nil {
		err := r.markDone(ctx, spec{ID: held.ID(), Task: held.Task}, "said to be done by "+by)
		r.Poke()
		return run, err
	}
	s, err := r.spec(ctx, run.ID)
	if err != nil {
		return run, err
	}
	if s.ID == "" || run.State != pipeline.Failed && run.State != pipeline.Asking && run.State != pipeline.Cancelled && run.State != pipeline.Undone {
		return run, &pipeline.StateError{Run: run, Want: "call done the task of", Why: "nothing of it has failed, or was given up by a person; `task` says what it waits for"}
	}
	if run.State.Live() && run.Step() == "task:run" {
		return e.Skip(ctx, run.ID, by)
	}
	if err := r.markDone(ctx, s, "said to be done by "+by); err != nil {
		return run, err
	}
	r.Poke()
	if !run.State.Live() {
		return run, nil
	}
	return e.Cancel(ctx, run.ID, pipeline.Who{Name: by + ", who says that it is done"})
}
