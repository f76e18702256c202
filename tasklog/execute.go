package tasklog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
)

// execute runs the task; a person who says `retry` runs it again, nothing else does, and only where no earlier try of
// it went well or lives.
func (r *Repo) execute(ctx context.Context, c *clipboard.Clipboard, s spec) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout(), errTooLong)
	defer cancel()
	pipeline.Log(ctx, fmt.Sprintf("“%s” by %s (%.8s, %s line %d)", s.Name, s.Author, s.Commit, s.File, s.Line))
	err := r.where(ctx, c, s)
	if errors.Is(err, errNotEnded) || errors.Is(err, remote.ErrNotEnded) {
		pipeline.Log(ctx, err.Error()) // of a cancelled run nothing else is told
	}
	if errors.Is(context.Cause(ctx), errTooLong) {
		if errors.Is(err, errNotEnded) || errors.Is(err, remote.ErrNotEnded) {
			return pipeline.AskPerson(fmt.Errorf("after %s, %w", s.timeout(), err))
		}
		return pipeline.Permanentf("it took longer than %s, and was ended", s.timeout())
	}
	var bad *badExit
	if errors.As(err, &bad) { // on record, for the one who goes on without it
		if kerr := errors.Join(c.Set(failedKey, bad.exits), pipeline.Keep(ctx, c)); kerr != nil {
			return kerr
		}
	}
	if err != nil {
		return err
	}
	return c.Set(outcomeKey, wentWell)
}

// What a run's clipboard says of how its task ended: when it went well, and when it last did not.
const (
	outcomeKey = "task_outcome"
	failedKey  = "task_failed"
	wentWell   = "exit 0"
)

// badExit says that a task ended, and not well.
type badExit struct {
	exits string // in short, as "exit 4"
	error
}

// where runs it here or on its hosts.
func (r *Repo) where(ctx context.Context, c *clipboard.Clipboard, s spec) error {
	if len(s.Hosts) == 0 {
		if err := r.stays(ctx, c); err != nil {
			return err
		}
		return r.here(ctx, s)
	}
	on, err := placesOf(c)
	if err != nil {
		return err
	}
	return r.there(ctx, s, on, func() error { return on.keep(ctx, c) })
}

var errTooLong = errors.New("it took too long")

// kill: a cancel or a timeout ends the task; a stop of Jarvis leaves it, to be taken up again.
func kill(cause error) bool { return !errors.Is(cause, pipeline.ErrStopping) }

// here runs it on this machine.
func (r *Repo) here(ctx context.Context, s spec) error {
	f := pipeline.FactsOf(ctx)
	dir := filepath.Join(r.dir, "runs", fmt.Sprintf("%d-%d", f.Run, f.Try))
	j := &job{dir: dir, cwd: dir + ".checkout", user: r.cfg.User, shell: s.Shell, env: r.environment(s)}
	if err := r.maySudo(s.Task); err != nil {
		return pipeline.Permanent(err)
	}
	if s.Sudo && os.Getuid() != 0 {
		var err error
		if j.sudo, err = program("sudo", "sudo"); err != nil {
			return pipeline.Permanent(err)
		}
		j.root, j.shell = exports(pairs(s.Env))+s.Shell, j.byRoot()
	}
	if earlier := r.earlierHere(j, f); earlier != nil {
		pipeline.Log(ctx, "an earlier try of it went well, or still runs; it counts, and no second one is started")
		j = earlier
	} else if _, err := os.Stat(dir); err != nil {
		err := r.alone(func() error { return r.git.checkout(ctx, s.Commit, j.cwd) })
		if err != nil {
			return fmt.Errorf("check out %.8s: %w", s.Commit, err)
		}
		if j.user != "" {
			if err := r.handOver(j); err != nil {
				return err
			}
		}
	}
	tail := ""
	exit, err := j.run(ctx, func(line string) {
		if strings.TrimSpace(line) != "" {
			tail = line
		}
		pipeline.Progress(ctx, line)
	}, kill)
	switch {
	case errors.Is(err, errUnknown):
		return pipeline.AskPerson(fmt.Errorf("“%s” was %w", s.Name, err))
	case err != nil:
		return err
	}
	_ = os.RemoveAll(j.cwd)
	if exit != 0 {
		return pipeline.Permanent(&badExit{fmt.Sprintf("exit %d", exit), fmt.Errorf("“%s” by %s ended with exit code %d%s", s.Name, s.Author, exit, printed(tail))})
	}
	return nil
}

// printed gives the last line of what a task printed, as the end of a sentence.
func printed(last string) string {
	if last == "" {
		return " and printed nothing"
	}
	return ": " + last
}

// earlierHere gives an earlier try of this run that went well, or of which something lives; nil when there is none. An
// earlier folder that is not there was never begun, or its outcome is in git.
func (r *Repo) earlierHere(j *job, f pipeline.Facts) *job {
	for t := f.Try - 1; t >= 0; t-- {
		e := *j
		e.dir = filepath.Join(r.dir, "runs", fmt.Sprintf("%d-%d", f.Run, t))
		e.cwd = e.dir + ".checkout"
		if _, err := os.Stat(filepath.Join(e.dir, "running")); err != nil || e.mine() != nil {
			continue
		}
		if exit, err := e.exit(); err == nil && exit == 0 || !e.over() {
			return &e
		}
	}
	return nil
}

// handOver gives the checkout to the user that the task runs as, and lets them come to it.
func (r *Repo) handOver(j *job) error {
	for _, dir := range []string{filepath.Dir(filepath.Dir(r.dir)), filepath.Dir(r.dir), r.dir, filepath.Join(r.dir, "runs")} {
		info, err := os.Stat(dir)
		if errors.Is(err, os.ErrNotExist) {
			err = os.MkdirAll(dir, 0o711)
		} else if err == nil {
			err = os.Chmod(dir, info.Mode().Perm()|0o011)
		}
		if err != nil {
			return err
		}
	}
	var all []string
	if err := filepath.WalkDir(j.cwd, func(p string, _ os.DirEntry, err error) error {
		all = append(all, p)
		return err
	}); err != nil {
		return err
	}
	slices.Reverse(all) // a folder after what is in it: what is theirs they may change under our hands
	return own(j.user, all...)
}

// environment is all that a local task finds in its environment.
func (r *Repo) environment(s spec) []string {
	u, err := user.Current()
	if r.cfg.User != "" {
		u, err = user.Lookup(r.cfg.User)
	}
	if err != nil {
		u = &user.User{Username: "root", HomeDir: "/root"}
	}
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + u.HomeDir, "USER=" + u.Username, "LOGNAME=" + u.Username,
		"SHELL=/bin/bash", "LANG=C.UTF-8", "JARVIS_TASK=" + s.ID, "JARVIS_REPO=" + s.Repo}
	return append(env, pairs(s.Env)...)
}

// pairs gives an environment as NAME=value, in order.
func pairs(env map[string]string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, k+"="+env[k])
	}
	return out
}

// exports sets an environment in a shell.
func exports(env []string) string {
	var b strings.Builder
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&b, "export %s=%s\n", name, remote.Quote(value))
	}
	return b.String()
}

// maySudo refuses what two masters decide: `user` is who runs all tasks on this machine, and sudo would make it root.
func (r *Repo) maySudo(t Task) error {
	if t.Sudo && r.cfg.User != "" && len(t.Hosts) == 0 {
		return fmt.Errorf("%q asks for sudo, and tasks of %s run as user %s on this machine; take `sudo` out of the task, or `user` out of jarvis.yaml", t.Name, r.cfg.Name, r.cfg.User)
	}
	return nil
}

// there runs it on its hosts, on all at once. on is where it ran; keep puts that on record.
func (r *Repo) there(ctx context.Context, s spec, on places, keep func() error) error {
	hosts, err := r.log.world.Hosts(ctx, s.Hosts)
	if err != nil {
		return pipeline.Permanent(err)
	}
	f := pipeline.FactsOf(ctx)
	known := maps.Clone(on)
	for _, h := range hosts {
		if e := on[h.Name].Exit; e == nil || *e != 0 {
			on[h.Name] = place{Try: f.Try}
		}
	}
	if err := keep(); err != nil {
		return err
	}
	script := exports(pairs(s.Env)) + "exec bash -c " + remote.Quote(s.Shell)
	var mu sync.Mutex
	var unknown, failed, away, left, errs []error
	var wg guard.Group
	for _, h := range hosts {
		bug := func(p *guard.Panic) {
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, fmt.Errorf("%s: %w", h.Name, p))
		}
		wg.Go(bug, func() {
			tail := ""
			exit, err := r.onHost(ctx, h, f, s, remote.Job{
				Command: script, Sudo: sudo(s), Kill: kill,
				Line: func(l string) {
					if strings.TrimSpace(l) != "" {
						tail = l
					}
					pipeline.Progress(ctx, h.Name+": "+l)
				},
			})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, remote.ErrNotEnded):
				left = append(left, fmt.Errorf("%s: %w", h.Name, err))
			case errors.Is(err, remote.ErrUnreachable), errors.Is(err, errStillRuns):
				if was, ok := known[h.Name]; ok {
					on[h.Name] = was
				} else {
					delete(on, h.Name)
				}
				away = append(away, fmt.Errorf("%s: %w", h.Name, err))
			case errors.Is(err, remote.ErrLost):
				away = append(away, fmt.Errorf("%s: %w", h.Name, err))
			case errors.Is(err, remote.ErrUnknownOutcome):
				unknown = append(unknown, fmt.Errorf("on %s it was %w", h.Name, err))
			case err != nil:
				errs = append(errs, fmt.Errorf("%s: %w", h.Name, err))
			case exit != 0:
				on[h.Name] = place{Try: f.Try, Exit: &exit}
				failed = append(failed, fmt.Errorf("on %s it ended with exit code %d%s", h.Name, exit, printed(tail)))
			default:
				on[h.Name] = place{Try: f.Try, Exit: &exit}
			}
		})
	}
	wg.Wait()
	if err := keep(); err != nil {
		return err
	}
	switch {
	case len(left) > 0:
		return fmt.Errorf("%w (%w)", remote.ErrNotEnded, oneLine(left))
	case len(errs) > 0:
		return errs[0] // tried again: where it has run it is not started a second time
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case len(away) > 0: // where it was started it goes on meanwhile
		return pipeline.Wait(awayPause, oneLine(away).Error())
	case len(unknown) > 0:
		return pipeline.AskPerson(fmt.Errorf("“%s”: %w", s.Name, oneLine(append(unknown, failed...))))
	case len(failed) > 0:
		return pipeline.Permanent(&badExit{on.exits(), fmt.Errorf("“%s” by %s: %w", s.Name, s.Author, oneLine(failed))})
	}
	return nil
}

// awayPause is how long a task waits before it looks for a host that could not be reached.
const awayPause = 20 * time.Second

// onHost runs it on a host, unless an earlier try went well there, or lives: then that one counts.
func (r *Repo) onHost(ctx context.Context, h fleet.Host, f pipeline.Facts, s spec, j remote.Job) (int, error) {
	c, release, err := r.log.world.Pool.Get(ctx, h.Target)
	if err != nil {
		return 0, err
	}
	defer release()
	id := func(try int) string { return jobOf(f.Token, f.Stage, try) }
	j.ID = id(f.Try)
	for t := f.Try - 1; t >= 0; t-- {
		a, err := c.AskJob(ctx, id(t), j.Sudo)
		if err != nil {
			return 0, err
		}
		if a.State == remote.JobEnded && a.Exit == 0 {
			pipeline.Log(ctx, h.Name+": it went well there in an earlier try, and is not repeated")
			return 0, nil
		}
		if a.State == remote.JobLives {
			pipeline.Log(ctx, h.Name+": an earlier try still runs there; it is followed, and no second one is started")
			j.ID = id(t)
			break
		}
		if a.State == remote.JobUnseen {
			return 0, fmt.Errorf("%w, and this may still be of it: %s; end it there, or say that the task is done", remote.ErrUnknownOutcome, a.Unseen)
		}
	}
	if done, err := r.onHostBefore(ctx, c, h, s, &j); err != nil || done {
		return 0, err
	}
	j.Line = r.once(j.ID+" "+h.Name, j.Line)
	return c.Job(ctx, j)
}

// jobOf names the job of a task on a host: asked again in the same try it is the same job, and in another try another.
func jobOf(token string, stage, try int) string {
	return fmt.Sprintf("%s-%d-task-%d", token, stage+1, try)
}

// onHostBefore looks at what ran on a host before the task was edited: where the same text went well it is done; what
// still runs is followed, or waited for when it is another text.
func (r *Repo) onHostBefore(ctx context.Context, c *remote.Client, h fleet.Host, s spec, j *remote.Job) (done bool, err error) {
	e := r.log.world.Engine
	for _, run := range s.Earlier {
		old, on, err := historyOf(ctx, e, run)
		if err != nil {
			return false, err
		}
		at, ran := on.earlier(h)
		same := old.sameWork(&s.Task)
		if ran && same && at.Exit != nil && *at.Exit == 0 {
			pipeline.Log(ctx, h.Name+": the same text went well there before it was edited, and is not repeated")
			return true, nil
		}
		for t := at.Try; ran && t >= 0; t-- {
			id := jobOf(e.Token(run), 1, t)
			a, err := c.AskJob(ctx, id, sudo(old))
			switch {
			case err != nil:
				return false, err
			case a.State == remote.JobUnseen:
				return false, fmt.Errorf("%w, and this may still be of it: %s; end it there, or say that the task is done", remote.ErrUnknownOutcome, a.Unseen)
			case a.State == remote.JobEnded && a.Exit == 0 && same:
				pipeline.Log(ctx, h.Name+": the same text went well there before it was edited, and is not repeated")
				return true, nil
			case a.State == remote.JobLives && same:
				pipeline.Log(ctx, h.Name+": the same text still runs there since before it was edited; it is followed")
				j.ID = id
				return false, nil
			case a.State == remote.JobLives:
				return false, errStillRuns
			}
		}
	}
	return false, nil
}

// earlier gives where a host stands on an earlier record. How it is called there depends on which hosts were beside it:
// by its short name, or by its full one where another had the same. What stands by a short name may be another host's,
// so that only says what to ask the host for.
func (on places) earlier(h fleet.Host) (at place, ran bool) {
	if at, ran = on[h.Name]; ran || h.FQDN == "" {
		return at, ran
	}
	if at, ran = on[h.FQDN]; ran {
		return at, true
	}
	short, _, _ := strings.Cut(h.FQDN, ".")
	at, ran = on[short]
	at.Exit = nil
	return at, ran
}

// once tells the lines of a job that were not told before: after each wait a job is told from its beginning.
func (r *Repo) once(id string, line func(string)) func(string) {
	n := 0
	return func(l string) {
		n++
		r.mu.Lock()
		fresh := n > r.told[id]
		if fresh {
			if r.told == nil {
				r.told = map[string]int{}
			}
			r.told[id] = n
		}
		r.mu.Unlock()
		if fresh {
			line(l)
		}
	}
}

func sudo(s spec) *remote.Sudo {
	if s.Sudo {
		return &remote.Sudo{}
	}
	return nil
}

// oneLine joins by semicolons: errors.Join would make lines of it.
func oneLine(errs []error) error {
	var all []string
	for _, e := range errs {
		all = append(all, e.Error())
	}
	return errors.New(strings.Join(all, "; "))
}
