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
		s.Pending = append(s.Pending, r.last.pending...)
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
	return Started{ID: s.ID, Name: s.Name, Author: s.Author, Signer: s.Signer, Run: r.ID, At: r.Started}, err
}

// hideSecret takes a password out of a URL.
func hideSecret(repo string) string {
	scheme, rest, ok := strings.Cut(repo, "://")
	if !ok {
		return repo
	}
	if who, at, ok := strings.Cut(rest, "@"); ok {
		if user, _, secret := strings.Cut(who, ":"); secret {
			return scheme + "://" + user + ":•••@" + at
		}
	}
	return repo
}

// Show gives one task by the beginning of its ID, waiting or started here.
func (r *Repo) Show(ctx context.Context, id string) (Pending, error) {
	var out []Pending
	r.mu.Lock()
	if r.last != nil {
		for _, p := range r.last.pending {
			if strings.HasPrefix(p.ID(), id) || strings.HasPrefix(p.Short(), id) {
				out = append(out, p)
			}
		}
	}
	r.mu.Unlock()
	s, err := r.Status(ctx, 1000)
	if err != nil {
		return Pending{}, err
	}
	for _, t := range s.Started {
		if (strings.HasPrefix(t.ID, id) || strings.HasPrefix(t.Short(), id)) && (len(out) == 0 || out[len(out)-1].ID() != t.ID) {
			sp, err := r.spec(ctx, t.Run)
			if err != nil {
				continue
			}
			p := Pending{Task: sp.Task, Commit: sp.Commit, File: sp.File, Line: sp.Line, Author: sp.Author, At: t.At}
			_, _ = fmt.Sscanf(strings.TrimPrefix(t.ID, sp.Commit), "-%d", &p.Position)
			out = append(out, p)
		}
	}
	switch len(out) {
	case 0:
		return Pending{}, fmt.Errorf("%s has no task %q", r.cfg.Name, id)
	case 1:
		return out[0], nil
	}
	return Pending{}, fmt.Errorf("%d tasks of %s begin with %q", len(out), r.cfg.Name, id)
}

// Retry runs what failed, or whose outcome nobody knows, again.
func (r *Repo) Retry(ctx context.Context, by string) (pipeline.Run, error) {
	run, err := r.current(ctx)
	if err != nil {
		return run, err
	}
	return r.log.world.Engine.Retry(ctx, run.ID, "", by)
}

// Done says that the task which failed, or whose outcome nobody knows, is done: git hears of it, and the next one runs.
func (r *Repo) Done(ctx context.Context, by string) (pipeline.Run, error) {
	e := r.log.world.Engine
	run, err := r.current(ctx)
	if err != nil {
		return run, err
	}
	s, err := r.spec(ctx, run.ID)
	if err != nil {
		return run, err
	}
	if s.ID == "" || run.State != pipeline.Failed && run.State != pipeline.Asking && run.State != pipeline.Cancelled && run.State != pipeline.Undone {
		return run, &pipeline.StateError{Run: run, Want: "call done the task of", Why: "no task of it failed, asks or was given up"}
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
