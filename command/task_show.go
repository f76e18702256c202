package command

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/tasklog"
)

// showTask shows all that whoever approves a task must know. One ID can be a task of several environments.
func showTask(ctx context.Context, e *Env, _ *Call, words []string) (Answer, error) {
	names := e.Tasks.Names()
	if len(words) == 2 {
		names = words[1:]
	}
	var repo *tasklog.Repo
	var found []tasklog.Pending
	var in []string
	for _, n := range names {
		r, err := oneRepo(e, n)
		if err != nil {
			return Answer{}, err
		}
		here, err := r.Show(ctx, words[0])
		if err != nil {
			return Answer{}, err
		}
		if len(here) > 0 {
			repo, found, in = r, append(found, here...), append(in, n)
		}
	}
	switch {
	case len(found) == 0:
		return Answer{}, &UserError{Msg: fmt.Sprintf("%s has no task %q", strings.Join(names, ", "), words[0]), Hint: "`task list` shows what there is", Kind: ErrNotFound}
	case len(in) > 1:
		return Answer{}, &UserError{Msg: fmt.Sprintf("which one? %q is a task of %s", words[0], strings.Join(in, ", ")), Hint: fmt.Sprintf("`task show %s %s`", words[0], in[0]), Kind: ErrUsage}
	case len(found) > 1:
		return Answer{}, &UserError{Msg: fmt.Sprintf("%d tasks of %s begin with %q", len(found), in[0], words[0]), Hint: fmt.Sprintf("type more of its ID, as in `task show %s`", found[0].Short()), Kind: ErrUsage}
	}
	p := found[0]
	a := say("%s (%s), by %s, %s line %d, commit %.12s of %s (%s):", p.Task.Name, p.Short(), p.Author, p.File, p.Line, p.Commit, repo.Name(), repo.Env())
	for _, l := range strings.Split(strings.TrimRight(p.Task.Shell, "\n"), "\n") {
		a.Lines = append(a.Lines, "  "+clip(l, 400))
	}
	a.Lines = append(a.Lines, asWhom(repo, &p))
	for _, k := range slices.Sorted(maps.Keys(p.Task.Env)) {
		v := p.Task.Env[k]
		if secretName.MatchString(k) {
			v = "•••"
			p.Task.Env = maps.Clone(p.Task.Env) // others read it
			p.Task.Env[k] = v
		}
		a.Lines = append(a.Lines, fmt.Sprintf("env %s=%q", k, clip(v, 200)))
	}
	a.Data = p
	return a, nil
}

// asWhom says where it runs, as whom and how long, and whether somebody must approve it.
func asWhom(r *tasklog.Repo, p *tasklog.Pending) string {
	where, who := "on the server itself", "its own user"
	if r.User() != "" {
		who = "user " + r.User()
	}
	if len(p.Task.Hosts) > 0 {
		where, who = "on "+strings.Join(p.Task.Hosts, ", "), "whoever logs in"
	}
	if p.Task.Sudo {
		who = "root, by sudo"
	}
	approval := "no approval is needed"
	if p.Task.NeedsApproval {
		approval = "a second person must approve it"
	}
	return fmt.Sprintf("%s, as %s, for at most %s; %s", where, who, Short(p.Timeout()), approval)
}

// secretName fits the names of variables whose values are not shown.
var secretName = pattern.New(`(?i)(pass|secret|token|credential|private|key$)`)

// cancelledTask says what a cancelled task did: nothing can be undone of it, and something may have happened all the
// same.
func cancelledTask(ctx context.Context, e *pipeline.Engine, r pipeline.Run, text string) string {
	text = strings.TrimSuffix(text, "; nothing is left standing that `undo` could remove")
	ran, err := tasklog.Ran(ctx, e, r)
	switch {
	case err != nil:
		return text + "; it may have half happened"
	case ran == "":
		return text + "; it had not begun"
	}
	return text + "; " + ran
}
