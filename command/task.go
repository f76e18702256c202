package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/tasklog"
)

func task() Verb {
	repo := Param{Name: "repo", In: InPath, Doc: "name of the repository", Required: true}
	act := func(word string, more ...Param) API {
		return API{Method: "POST", Path: "/v1/tasks/{repo}/" + word, Prefix: []string{word}, Params: append([]Param{repo}, more...), Accepted: true}
	}
	meant := Param{Name: "task", In: InBody, Doc: "the task that is meant, by its id: when another one stopped, nothing is done"}
	return worded(Verb{
		Name: "task", Role: access.View, Acts: true,
		Doc:     "lists the reviewed tasks in git; fetches them now; runs again, or calls done, what failed or has no known outcome",
		Example: "task retry infra",
		API: []API{
			{Method: "GET", Path: "/v1/tasks", Prefix: []string{"list"}, Gives: []tasklog.Status{}},
			{Method: "GET", Path: "/v1/tasks/{id}", Prefix: []string{"show"}, Gives: tasklog.Pending{}, Params: []Param{{Name: "id", In: InPath, Doc: "commit and position of a task, or the beginning of that", Required: true}}},
			act("run"), act("retry", meant), act("done", meant),
		},
	},
		Word{Name: "list", Usage: "[REPO]", Max: 1, Run: ofTasks(listTasks), Doc: "lists what waits, what runs, and what was run last"},
		Word{Name: "show", Usage: "ID [REPO]", Min: 1, Max: 2, Run: ofTasks(showTask), Doc: "shows all that whoever approves a task must know: what it runs, where, and as whom"},
		Word{Name: "run", Usage: "[REPO]", Role: access.Deploy, Max: 1, Run: ofTasks(lookNow), Doc: "fetches the repository now, and runs what is new there"},
		Word{Name: "retry", Usage: "[REPO [ID]]", Role: access.Deploy, Max: 2, Run: ofTasks(retryTask), Doc: "runs again what failed or has no known outcome; with an ID, only if that is what stopped"},
		Word{Name: "done", Usage: "[REPO [ID]]", Role: access.Deploy, Max: 2, Run: ofTasks(taskDone), Doc: "calls done what failed or has no known outcome, and goes on after it; with an ID, only if that is what stopped"},
	)
}

// ofTasks does what a word of `task` says, where a repository is configured.
func ofTasks(run func(context.Context, *Env, *Call, []string) (Answer, error)) func(context.Context, *Env, *Call, []string) (Answer, error) {
	return func(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
		if e.Tasks == nil || len(e.Tasks.Names()) == 0 {
			return Answer{}, &UserError{Msg: "no repository of tasks is configured", Hint: "`tasks:` in jarvis.yaml names them", Kind: ErrNotFound}
		}
		return run(ctx, e, c, args)
	}
}

// ofRepo gives the repository that is meant, and the task, of REPO and ID.
func ofRepo(e *Env, args []string) (r *tasklog.Repo, id string, err error) {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	if len(args) > 1 {
		id = args[1]
	}
	r, err = oneRepo(e, name)
	return r, id, err
}

// lookNow does not wait: the repository is fetched after the answer.
func lookNow(_ context.Context, e *Env, _ *Call, args []string) (Answer, error) {
	r, _, err := ofRepo(e, args)
	if err != nil {
		return Answer{}, err
	}
	r.Poke()
	return say("looking into %s now.", r.Name()), nil
}

func retryTask(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
	return decide(ctx, e, args, func(r *tasklog.Repo, id string) (pipeline.Run, error) { return r.Retry(ctx, c.Person.Name, id) },
		func(called string, run pipeline.Run) string {
			return fmt.Sprintf("%s goes on at %s.", called, run.Where())
		})
}

func taskDone(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
	return decide(ctx, e, args, func(r *tasklog.Repo, id string) (pipeline.Run, error) { return r.Done(ctx, c.Person.Name, id) },
		func(called string, _ pipeline.Run) string { return called + " counts as done." })
}

// decide does what a person says about the task that stopped.
func decide(ctx context.Context, e *Env, args []string, do func(*tasklog.Repo, string) (pipeline.Run, error), tell func(string, pipeline.Run) string) (Answer, error) {
	r, id, err := ofRepo(e, args)
	if err != nil {
		return Answer{}, err
	}
	run, err := do(r, id)
	var trouble *tasklog.Trouble
	var other *tasklog.OtherError
	if errors.As(err, &trouble) {
		return Answer{}, &UserError{Msg: trouble.Error()}
	} else if errors.As(err, &other) {
		return Answer{}, &UserError{Msg: other.Error(), Hint: "`task list` shows it"}
	} else if errors.Is(err, pipeline.ErrNotFound) {
		return Answer{}, &UserError{Msg: "no task of " + r.Name() + " has been run here yet", Kind: ErrNotFound}
	} else if err != nil {
		return Answer{}, err
	}
	called := run.Host
	if t, err := tasklog.Of(ctx, e.Engine, run); err == nil && t.Name != "" && !tasklog.IsCheck(run) { // of a check its name is what is wrong
		called = fmt.Sprintf("the task “%s” of %s", clip(plain.Line(t.Name), 80), run.Host)
	}
	a := say("%s", tell(called, run))
	a.Run, a.Data = &run, run
	return a, nil
}

// oneRepo may be given no name where there is one repository alone.
func oneRepo(e *Env, name string) (*tasklog.Repo, error) {
	r, err := e.Tasks.Find(name)
	if err == nil {
		return r, nil
	}
	if name == "" {
		return nil, &UserError{Msg: "which one? there is " + strings.Join(e.Tasks.Names(), ", "), Kind: ErrUsage}
	}
	return nil, &UserError{Msg: err.Error(), Kind: ErrNotFound}
}

// tasksShown is how many that were started `task list` tells of in each repository.
const tasksShown = 10

// TaskRepo is what `task list` says of a repository.
type TaskRepo struct {
	tasklog.Status
	Head  string
	Items []TaskItem
}

// TaskItem is a task that waits or was begun, the newest first.
type TaskItem struct {
	ID, Short, Name, Author string
	At                      time.Time
	State                   string
	Run                     *pipeline.Run // nil: it was not begun
	Waits                   string        // what it waits for that was not begun, to follow the word "waits"; "": its turn
}

// Tasks are what `task list` lists; none when no repository is configured.
func (t *Table) Tasks(ctx context.Context) (out []TaskRepo, err error) {
	e := t.env()
	if e.Tasks == nil {
		return nil, nil
	}
	for _, name := range e.Tasks.Names() {
		r, err := e.taskRepo(ctx, name)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// taskRepo puts what waits before what was begun, and says of each what it waits for.
func (e *Env) taskRepo(ctx context.Context, name string) (out TaskRepo, err error) {
	r, err := oneRepo(e, name)
	if err != nil {
		return out, err
	}
	if out.Status, err = r.Status(ctx, tasksShown); err != nil {
		return out, err
	}
	s := out.Status
	started := map[string]bool{}
	for _, t := range s.Started {
		started[t.ID] = true
	}
	waits := 0 // what began and is not done stands below for itself
	for _, p := range s.Pending {
		if !started[p.ID()] {
			waits++
			out.Items = append(out.Items, TaskItem{ID: p.ID(), Short: p.Short(), Name: p.Task.Name, Author: p.Author, At: p.At, State: "waits"})
		}
	}
	switch {
	case s.Trouble != "":
		out.Head = s.Trouble
	case s.Elsewhere != "":
		out.Head = s.Elsewhere
	case s.Looked.IsZero():
		out.Head = "not fetched yet"
	case len(s.Pending) == 0:
		out.Head = "nothing waits"
	case waits == 0:
		out.Head = "nothing else waits"
	default:
		out.Head = fmt.Sprintf("%d %s", waits, plural(waits, "task")) + map[bool]string{true: " waits", false: " wait"}[waits == 1]
	}
	for k, t := range s.Started {
		i := TaskItem{ID: t.ID, Short: t.Short(), Name: t.Name, Author: t.Author, At: t.At, State: "is about to start"}
		if run, err := e.Engine.Get(ctx, t.Run); err == nil {
			i.Run, i.State = &run, string(run.State)
			switch run.State {
			case pipeline.Ready:
				i.State = "done"
				if text, well, err := tasklog.Outcome(ctx, e.Engine, run.ID); err == nil {
					if s.Started[k].Outcome = text; !well {
						i.State = "counts as done: " + text
					}
				}
			case pipeline.Proposed:
				i.State = fmt.Sprintf("waits for a second person: `approve %d`", run.ID)
				if task, err := tasklog.Of(ctx, e.Engine, run); err == nil && task.Signer == "" {
					i.State += " by a person with the role admin, for nothing proves who wrote it"
				}
			case pipeline.Waiting:
				i.State = waitingState(run)
			case pipeline.Cancelled:
				i.State += ": " + cancelledTask(ctx, e.Engine, run, run.Error)
			case pipeline.Failed, pipeline.Asking:
				i.State += ": " + run.Error
			}
		}
		out.Items = append(out.Items, i)
	}
	var before *pipeline.Run // the newest that was begun
	if waits < len(out.Items) {
		before = out.Items[waits].Run
	}
	for k := range out.Items[:waits] {
		out.Items[k].Waits = taskWaits(before, k == 0)
	}
	return out, nil
}

// taskWaits says what a task waits for that was not begun, as what follows the word "waits". first: it is the next one.
func taskWaits(before *pipeline.Run, first bool) string {
	switch {
	case before == nil:
	case before.State == pipeline.Proposed:
		return fmt.Sprintf(" until run %d is approved: `approve %[1]d`", before.ID)
	case before.State == pipeline.Running, before.State == pipeline.Waiting:
		return fmt.Sprintf(" until run %d is over", before.ID)
	case before.State == pipeline.Failed, before.State == pipeline.Asking:
		return fmt.Sprintf(" until somebody says `task retry` or `task done` of run %d", before.ID)
	}
	if first {
		return ""
	}
	return " for the task before it"
}

// waitingState says what the run of a task waits for, and how it is given up.
func waitingState(r pipeline.Run) string {
	state := string(r.State)
	if r.Why != "" {
		state += ": " + r.Why
	}
	return fmt.Sprintf("%s; `cancel %d` gives up", state, r.ID)
}

func listTasks(ctx context.Context, e *Env, _ *Call, args []string) (Answer, error) {
	names := e.Tasks.Names()
	if len(args) > 0 {
		names = args
	}
	a := Answer{}
	var data []tasklog.Status
	for _, n := range names {
		r, err := e.taskRepo(ctx, n)
		if err != nil {
			return Answer{}, err
		}
		data = append(data, r.Status)
		a.Lines = append(a.Lines, fmt.Sprintf("%s (%s): %s", r.Name, r.Env, r.Head))
		for _, n := range r.Notes {
			a.Lines = append(a.Lines, "  "+n)
		}
		for _, i := range r.Items {
			line := fmt.Sprintf("  %s %s, by %s: %s", i.Short, clip(i.Name, 80), i.Author, i.State)
			if i.State == "waits" {
				line = fmt.Sprintf("  %s %s, by %s, %s ago: waits", i.Short, clip(i.Name, 80), i.Author, Short(e.Now().Sub(i.At))) + i.Waits
			}
			if i.Run != nil {
				line += fmt.Sprintf(", run %d, %s ago", i.Run.ID, Short(e.Now().Sub(i.Run.Started)))
			}
			a.Lines = append(a.Lines, line)
		}
	}
	a.Data = data
	return a, nil
}
