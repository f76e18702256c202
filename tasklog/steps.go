package tasklog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/gitcmd"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

// Steps gives the steps of a task's run.
func (l *Log) Steps() []pipeline.Step {
	with := func(do func(*Repo, context.Context, *clipboard.Clipboard, spec) error) func(context.Context, *clipboard.Clipboard) error {
		return func(ctx context.Context, c *clipboard.Clipboard) error {
			var s spec
			if err := c.Decode("task", &s); err != nil {
				return pipeline.Permanent(err)
			}
			// Anybody who may deploy can name a step; only what came out of git and a review has this pipeline.
			if run, err := l.world.Engine.Get(ctx, pipeline.FactsOf(ctx).Run); err != nil {
				return err
			} else if !IsTask(run) {
				return pipeline.Permanentf("this step is for reviewed tasks from git only; `task list` shows them")
			}
			r := l.find(s.Repo)
			if r == nil {
				return pipeline.Permanentf("the repository of tasks %s is no longer configured", s.Repo)
			}
			err := do(r, ctx, c, s)
			var ge *gitcmd.Error
			if errors.As(err, &ge) && ctx.Err() == nil {
				return pipeline.Wait(20*time.Second, ge.Error()) // the server is away, or refuses: people mend that
			}
			return err
		}
	}
	return []pipeline.Step{
		{
			Name: "task:check", Doc: "makes sure that the repository is in order and the task still wanted",
			Needs: []string{"task"}, Timeout: time.Hour, Do: with((*Repo).check),
		},
		{
			Name: "task:run", Doc: "runs a reviewed task, here or on its hosts, once",
			Needs: []string{"task", placesKey + "?", nodeKey + "?"}, Gives: []string{outcomeKey, failedKey + "?", placesKey + "?", nodeKey + "?"}, Timeout: longestTimeout + time.Hour, Resume: pipeline.Probe, Do: with((*Repo).execute),
		},
		{
			Name: "task:done", Doc: "moves the branch of what is done", Needs: []string{"task", outcomeKey + "?", failedKey + "?"}, Timeout: time.Hour, Do: with((*Repo).finish),
		},
	}
}

// check keeps a task from running that is no longer in the list, or done.
func (r *Repo) check(ctx context.Context, _ *clipboard.Clipboard, s spec) error {
	if s.Refused && pipeline.FactsOf(ctx).Try == 0 { // it is retried once it is no longer so
		return pipeline.Permanent(&Trouble{s.Name})
	}
	p, err := r.refresh(ctx)
	var trouble *Trouble
	if errors.As(err, &trouble) {
		return pipeline.Permanent(err)
	}
	if err != nil || s.ID == "" {
		return err
	}
	if !slices.ContainsFunc(p.pending, func(t Pending) bool { return t.ID() == s.ID }) {
		return pipeline.Permanentf("it is no longer wanted, or is done by now")
	}
	return nil
}

// finish says in git that the task is done. Without an outcome a person said so.
func (r *Repo) finish(ctx context.Context, c *clipboard.Clipboard, s spec) error {
	err := r.markDone(ctx, s, s.outcome(c))
	var trouble *Trouble
	if errors.As(err, &trouble) {
		return pipeline.Permanent(err)
	}
	if err == nil {
		f := pipeline.FactsOf(ctx)
		r.clear(f.Run)
		r.mu.Lock()
		clear(r.told) // there is one run at a time
		r.mu.Unlock()
	}
	return err
}

// outcome says how a task that counts as done has ended.
func (s *spec) outcome(c *clipboard.Clipboard) string {
	failed := c.Get(failedKey)
	switch {
	case c.Has(outcomeKey):
		return c.Get(outcomeKey)
	case failed != "" && s.GoOn:
		return failed + "; passed over, as after_failure says"
	case failed != "":
		return failed + "; said to be done by a person"
	}
	return "said to be done by a person"
}

// Outcome says how the task of a run that is ready has ended, and whether that was well.
func Outcome(ctx context.Context, e *pipeline.Engine, run int64) (text string, well bool, err error) {
	stored, err := e.Clipboard(ctx, run)
	if err != nil {
		return "", false, err
	}
	c, err := clipboard.Parse([]byte(stored))
	if err != nil {
		return "", false, err
	}
	var s spec
	if err := c.Decode("task", &s); err != nil {
		return "", false, err
	}
	text = s.outcome(c)
	return text, text == wentWell, nil
}

// clear removes the folders of a run whose outcome is in git and whose output is on record.
func (r *Repo) clear(run int64) {
	old, err := filepath.Glob(filepath.Join(r.dir, "runs", fmt.Sprintf("%d-*", run)))
	if err != nil {
		return
	}
	for _, dir := range old {
		_ = os.RemoveAll(dir)
	}
}

// isDone reports whether the branch of what is done says so of a task.
func (r *Repo) isDone(ctx context.Context, p *plan, id string) (bool, error) {
	if p.finished[id] {
		return true, nil
	}
	commit := pendingOf(id).Commit
	if here, err := r.git.commit(ctx, commit); err != nil || here == "" {
		return false, err
	}
	return r.git.within(ctx, commit, p.done)
}

// markDone moves the branch of what is done past a task.
func (r *Repo) markDone(ctx context.Context, s spec, outcome string) error {
	for range 5 {
		p, err := r.refresh(ctx)
		if p == nil { // what somebody pushed meanwhile keeps the next task, and not this one's mark
			return err
		}
		merge := ""
		if slices.ContainsFunc(p.pending, func(t Pending) bool { return t.ID() == s.ID }) {
			p.finished[s.ID] = true
			merge = p.passed()
		} else if is, err := r.isDone(ctx, p, s.ID); is || err != nil {
			return err // an earlier try pushed it, or a person did
		} // else its commit was taken away: it has run all the same, and may come again
		verb := "Done"
		if merge != "" {
			verb = fmt.Sprintf("Merge %.8s", merge)
		}
		message := fmt.Sprintf("%s: %s\n\n%s: %s\n%s: %s\n%s: %s\n", verb, plain.Joined(s.Name), trailerTask, s.ID, trailerEnv, r.cfg.Env, trailerOutcome, outcome)
		err = r.alone(func() error { return r.git.moveDone(ctx, p.done, merge, message, []string{s.ID}) })
		if !errors.Is(err, errMoved) {
			return err
		}
	}
	return errors.New("the branch of what is done moves faster than we can follow")
}
