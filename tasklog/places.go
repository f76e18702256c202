package tasklog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// place is what became of a task on one host.
type place struct {
	Try  int  `yaml:"try"`            // the newest that was begun there
	Exit *int `yaml:"exit,omitempty"` // nil: it began, or may have, and no outcome is known
}

// places says where a task ran, by the name of the host. It is kept in the run's clipboard, so that a cancelled or
// edited task says what it did.
type places map[string]place

const placesKey = "task_on"

func placesOf(c *clipboard.Clipboard) (places, error) {
	out := places{}
	if c == nil || !c.Has(placesKey) {
		return out, nil
	}
	return out, c.Decode(placesKey, &out)
}

// keep puts them on record now.
func (p places) keep(ctx context.Context, c *clipboard.Clipboard) error {
	if c == nil {
		return nil
	}
	if err := c.Set(placesKey, map[string]place(p)); err != nil {
		return err
	}
	return pipeline.Keep(context.WithoutCancel(ctx), c) // all the more when it is cancelled
}

// String says it for people; "" when it ran nowhere.
func (p places) String() string {
	var well, failed, open []string
	for _, h := range slices.Sorted(maps.Keys(p)) {
		switch e := p[h].Exit; {
		case e == nil:
			open = append(open, h)
		case *e == 0:
			well = append(well, h)
		default:
			failed = append(failed, fmt.Sprintf("%s (exit code %d)", h, *e))
		}
	}
	var out []string
	for _, part := range []struct {
		what  string
		hosts []string
	}{{"it went well on ", well}, {"it failed on ", failed}, {"it began, or may have, on ", open}} {
		if len(part.hosts) > 0 {
			out = append(out, part.what+strings.Join(part.hosts, ", "))
		}
	}
	return strings.Join(out, "; ")
}

// exits says in short where it ended badly.
func (p places) exits() string {
	var out []string
	for _, h := range slices.Sorted(maps.Keys(p)) {
		if e := p[h].Exit; e != nil && *e != 0 {
			out = append(out, fmt.Sprintf("exit %d on %s", *e, h))
		}
	}
	return strings.Join(out, ", ")
}

// Ran says where the task of a run has run, and how it ended there; "" when it has not begun.
func Ran(ctx context.Context, e *pipeline.Engine, run pipeline.Run) (string, error) {
	if !run.HasBegun() || run.Stage < slices.Index(run.Steps, "task:run") {
		return "", nil
	}
	s, on, err := historyOf(ctx, e, run.ID)
	switch {
	case err != nil:
		return "", err
	case len(s.Hosts) == 0:
		return "it ran, or began to, on the server itself", nil
	case on == nil:
		return "it began, or may have, on " + strings.Join(s.Hosts, ", "), nil
	}
	return on.String(), nil
}

// historyOf gives a run's task, and where it ran: nil when a version wrote it that did not keep that.
func historyOf(ctx context.Context, e *pipeline.Engine, run int64) (s spec, on places, err error) {
	text, err := e.Clipboard(ctx, run)
	if err != nil {
		return s, nil, err
	}
	c, err := clipboard.Parse([]byte(text))
	if err != nil {
		return s, nil, err
	}
	if c.Has(placesKey) {
		if on, err = placesOf(c); err != nil {
			return s, nil, err
		}
	}
	return s, on, c.Decode("task", &s)
}

// sameWork reports whether two tasks do the same on a host.
func (t *Task) sameWork(o *Task) bool {
	return t.Shell == o.Shell && t.Sudo == o.Sudo && maps.Equal(t.Env, o.Env)
}

// begun tells where a task has run, here or at another server; "" when it has not.
func (r *Repo) begun(ctx context.Context, t *Pending) (string, error) {
	run, ok, err := r.runOf(ctx, t)
	if err != nil {
		return "", err
	}
	if ok {
		return Ran(ctx, r.log.world.Engine, run)
	}
	by, err := r.git.claimedBy(ctx, t.ID())
	if err != nil || by == "" || by == r.me() {
		return "", err
	}
	return fmt.Sprintf("another server, %s, has begun it", by), nil
}

// newestBegun gives the ID of the newest task that has begun here; "" when none has.
func (r *Repo) newestBegun(ctx context.Context) (string, error) {
	t := &Pending{}
	err := r.log.world.DB.QueryRow(ctx, "SELECT commit_id, position FROM tasks WHERE repo = ? AND env = ? AND run > 0 ORDER BY id DESC LIMIT 1", r.cfg.Name, r.cfg.Env).Scan(&t.Commit, &t.Position)
	if errors.Is(err, store.ErrNoRows) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	if where, err := r.begun(ctx, t); err != nil || where == "" {
		return "", err
	}
	return t.ID(), nil
}

// decided reports whether a person said that an edited task shall run; then it has a row, or some server has claimed
// it.
func (r *Repo) decided(ctx context.Context, t *Pending) (bool, error) {
	var n int
	err := r.log.world.DB.QueryRow(ctx, "SELECT COUNT(*) FROM tasks WHERE repo = ? AND env = ? AND commit_id = ? AND position = ?", r.cfg.Name, r.cfg.Env, t.Commit, t.Position).Scan(&n)
	if err != nil || n > 0 {
		return n > 0, err
	}
	by, err := r.git.claimedBy(ctx, t.ID())
	return by != "", err
}

// decide puts on record that it shall run.
func (r *Repo) decide(ctx context.Context, t *Pending) error {
	return r.log.world.DB.Write(ctx, func(tx store.Tx) error { return r.insertRow(ctx, tx, t) })
}

// adopt fills in the run of a row, for when we died between the start of a run and that.
func (r *Repo) adopt(ctx context.Context, run pipeline.Run) error {
	if run.Kind != taskKind {
		return nil
	}
	s, err := r.spec(ctx, run.ID)
	if err != nil {
		return err
	}
	t := pendingOf(s.ID)
	return r.log.world.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE tasks SET run = ? WHERE repo = ? AND env = ? AND commit_id = ? AND position = ? AND run = 0", run.ID, r.cfg.Name, r.cfg.Env, t.Commit, t.Position)
		return err
	})
}

// earlier gives the runs of a task before it was edited, newest first.
func (r *Repo) earlier(ctx context.Context, t *Pending) ([]int64, error) {
	if t.Edits == "" {
		return nil, nil
	}
	run, ok, err := r.runOf(ctx, pendingOf(t.Edits))
	if err != nil || !ok {
		return nil, err
	}
	s, err := r.spec(ctx, run.ID)
	return append([]int64{run.ID}, s.Earlier...), err
}

// errStillRuns: an earlier text of the task still runs on a host, and nothing is started beside it.
var errStillRuns = errors.New("an earlier text of it still runs there")
