package tasklog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

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

// refresh fetches and plans.
func (r *Repo) refresh(ctx context.Context) (*plan, error) {
	r.busy.Lock()
	defer r.busy.Unlock()
	err := r.git.fetch(ctx)
	if err == nil {
		err = r.git.inherit(ctx)
	}
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
	if p != nil {
		for _, n := range p.notes {
			if !r.warned[n] && r.log.world.Log != nil {
				r.log.world.Log.Warn("a list of tasks is odd", "repo", r.cfg.Name, "what", n)
			}
		}
		r.warned = map[string]bool{}
		for _, n := range p.notes {
			r.warned[n] = true
		}
	}
	return p, err
}

// look starts what is to be started, if anything.
func (r *Repo) look(ctx context.Context) error {
	run, err := r.newest(ctx)
	if err != nil && !errors.Is(err, pipeline.ErrNotFound) {
		return err
	}
	if err == nil {
		if err := r.adopt(ctx, run); err != nil {
			return err
		}
	}
	if err == nil && run.State.Live() && run.State != pipeline.Failed {
		return nil
	}
	failed := err == nil && run.State == pipeline.Failed
	p, perr := r.refresh(ctx)
	var trouble *Trouble
	if perr == nil {
		perr = r.pushAgain(ctx)
	}
	if perr != nil && !errors.As(perr, &trouble) {
		return perr // the server is away, or the like: the next look may see more
	}
	if failed {
		return r.unblock(ctx, run, p, trouble)
	}
	if trouble != nil {
		return r.report(ctx, trouble, false)
	}
	if len(p.pending) == 0 {
		if merge := p.passed(); merge != "" {
			return r.pushes(ctx, func(ctx context.Context) error { return r.catchUp(ctx, p, merge) })
		}
		return nil
	}
	next := p.pending[0]
	if was, begun, err := r.runOf(ctx, &next); err != nil {
		return err
	} else if begun && was.State == pipeline.Ready { // done went back, by hand or with its server
		return r.markDone(ctx, spec{ID: next.ID(), Task: next.Task}, fmt.Sprintf("done before, as run %d says", was.ID))
	} else if begun {
		// It was given up, and holds the others until a person decides.
		r.holds(fmt.Sprintf("“%s” (%s) waits for a person: run %d of it was given up, and it stands in the list as it was; `task retry %s` runs it again, `task done %s` goes on without it", next.Task.Name, next.Short(), was.ID, r.cfg.Name, r.cfg.Name))
		return nil
	}
	return r.pushes(ctx, func(ctx context.Context) error { return r.begin(ctx, next) })
}

// pushes does what pushes. When the git server refuses, we say so, and try again at each look.
func (r *Repo) pushes(ctx context.Context, do func(context.Context) error) error {
	err := do(ctx)
	var no *Trouble
	if !errors.As(err, &no) {
		return err
	}
	r.mu.Lock()
	r.refused, r.trouble = do, no
	r.mu.Unlock()
	return r.report(ctx, no, true)
}

// pushAgain tries what was refused; the error is a *Trouble while it still is.
func (r *Repo) pushAgain(ctx context.Context) error {
	r.mu.Lock()
	do := r.refused
	r.mu.Unlock()
	if do == nil {
		return nil
	}
	err := do(ctx)
	var no *Trouble
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.As(err, &no) {
		r.trouble = no
	} else {
		r.refused = nil
	}
	return err
}

// unblock lets a failed run go when what failed is no longer so.
func (r *Repo) unblock(ctx context.Context, run pipeline.Run, p *plan, trouble *Trouble) error {
	e := r.log.world.Engine
	if IsCheck(run) {
		if trouble != nil && sameText(run.Error, trouble.Error()) {
			return nil // said once
		}
		_, err := e.Retry(ctx, run.ID, "", "jarvis")
		return err
	}
	if run.Step() == "task:done" && p != nil { // only its mark is missing
		s, c, err := r.clip(ctx, run.ID)
		if err == nil {
			err = r.markDone(ctx, s, s.outcome(c))
		}
		var no *Trouble
		if errors.As(err, &no) {
			return nil // it is refused still
		}
		if err == nil {
			_, err = e.Retry(ctx, run.ID, "", "jarvis")
		}
		return err
	}
	if trouble != nil && (p == nil || p.held == nil) {
		return nil // `task list` shows it; one thing after the other
	}
	if !slices.ContainsFunc(p.pending, func(t Pending) bool { return r.is(ctx, run, &t) }) {
		// Reviewed away, or said to be done in git.
		_, err := e.Cancel(ctx, run.ID, pipeline.Who{Name: "a commit that edits it or takes it back"})
		return err
	}
	if trouble != nil {
		return nil
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

// report starts a run that fails with what is wrong. What was refused is no trouble that a look would find.
func (r *Repo) report(ctx context.Context, t *Trouble, refused bool) error {
	if run, err := r.newest(ctx); err == nil && IsCheck(run) && run.State == pipeline.Cancelled {
		if old, err := r.spec(ctx, run.ID); err == nil && old.Name == t.Error() {
			return nil // somebody has seen it, and put it away
		}
	}
	q, err := r.request(spec{Refused: refused, Task: Task{Name: t.Error(), Shell: "-"}}, checkKind, "task:check")
	if err != nil {
		return err
	}
	_, err = r.log.world.Engine.Start(ctx, q)
	return busyIsFine(err)
}

// busyIsFine gives nil where a run is under way already: the next look comes after it.
func busyIsFine(err error) error {
	var busy *pipeline.BusyError
	if errors.As(err, &busy) {
		return nil
	}
	return err
}

// holds notes for Status what the first task waits for, that nothing else says.
func (r *Repo) holds(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.elsewhere = why
}

// begin claims a task and starts its run.
func (r *Repo) begin(ctx context.Context, t Pending) error {
	me := r.me()
	var by string
	err := r.alone(func() (err error) {
		by, err = r.git.claim(ctx, t.ID(), me)
		return err
	})
	if err != nil {
		return fmt.Errorf("claim %s: %w", t.Short(), err)
	}
	r.holds("")
	if by != me {
		r.holds(fmt.Sprintf("“%s” (%s) is run by another server, %s; if that one is gone for good, `git push %s :%s` frees the task", t.Task.Name, t.Short(), by, hideSecret(r.cfg.Repo), r.git.claimRef(t.ID())))
	}
	if by != me {
		return nil
	}
	// A claim is taken away in the push that moves done; so what we saw before may be old.
	p, err := r.refresh(ctx)
	if err != nil || len(p.pending) == 0 || p.pending[0].ID() != t.ID() {
		return err
	}
	s := spec{ID: t.ID(), Commit: t.Commit, File: t.File, Line: t.Line, Author: t.Author, Task: t.Task, GoOn: r.cfg.Failed == goOn}
	if t.Task.NeedsApproval {
		s.Signer = r.signer(ctx, t.Commit)
	}
	if s.Earlier, err = r.earlier(ctx, &t); err != nil {
		return err
	}
	q, err := r.request(s, taskKind, "task:check", "task:run", "task:done")
	if err != nil {
		return r.report(ctx, &Trouble{fmt.Sprintf("%q (%s, line %d) cannot be run: %v", t.Task.Name, t.File, t.Line, err)}, false)
	}
	q.Key = strings.Join([]string{"task", r.cfg.Name, r.cfg.Env, t.ID()}, ":")
	if t.Task.NeedsApproval {
		why := fmt.Sprintf("the task “%s” has needs_approval", t.Task.Name)
		if s.Signer == "" {
			why += " (nothing proves who wrote it: a person with the role admin approves)"
		}
		q.Approval = &pipeline.NeedApproval{Why: why, For: r.cfg.approval}
	}
	w := r.log.world
	if err := w.DB.Write(ctx, func(tx store.Tx) error { return r.insertRow(ctx, tx, &t) }); err != nil {
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

// insertRow writes down a task that is about to be run.
func (r *Repo) insertRow(ctx context.Context, tx store.Tx, t *Pending) error {
	_, err := tx.Exec(ctx, "INSERT INTO tasks (repo, env, commit_id, position, name, author, run, at) VALUES (?, ?, ?, ?, ?, ?, 0, ?) ON CONFLICT DO NOTHING",
		r.cfg.Name, r.cfg.Env, t.Commit, t.Position, t.Task.Name, t.Author, time.Now().UnixMilli())
	return err
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
	err := r.git.moveDone(ctx, p.done, merge, passing(merge, r.cfg.Env)+"\n", nil)
	if errors.Is(err, errMoved) {
		return nil
	}
	return err
}

// sameText reports whether a run's error is a text, which the record keeps in one line of bounded length.
func sameText(kept, text string) bool {
	text = plain.Line(plain.Joined(text))
	short, cut := strings.CutSuffix(kept, "…")
	return kept == text || cut && strings.HasPrefix(text, short)
}
