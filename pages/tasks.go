package pages

import (
	"context"
	"fmt"
	"net/url"
	"slices"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

func tasksPage() *page {
	return &page{path: "/tasks", file: "tasks.html", name: "Tasks", key: "t", role: access.View, slow: true,
		words: func(form url.Values) [][]string {
			verb, repo := form.Get("verb"), plain.Line(form.Get("repo"))
			if repo == "" || !slices.Contains([]string{"task run", "task retry", "task done"}, verb) {
				return nil
			}
			words := []string{"task", verb[len("task "):], repo}
			if id := plain.Line(form.Get("task")); id != "" && verb != "task run" { // the page may be older than the task it means
				words = append(words, id)
			}
			return [][]string{words}
		},
		read: func(s *Site, ctx context.Context, _ query, _ view, _ []pipeline.Event) (view, error) {
			v := &tasksView{}
			var err error
			if v.event, err = s.Engine.LastEvent(ctx); err != nil {
				return nil, err
			}
			v.list, err = s.Table.Tasks(ctx)
			return v, err
		}}
}

// tasksView is the reviewed tasks in git, by repository.
type tasksView struct {
	event int64
	list  []command.TaskRepo
}

// taskRepo is a repository with what a reader may do about it.
type taskRepo struct {
	Name, Env, Repo string
	Kind, Head      string
	Items           []taskRow
	May             bool
	Stuck           *command.TaskItem // what a person has to decide about
	ID              int
}

type taskRow struct {
	Kind, Word string
	command.TaskItem
}

func (v *tasksView) title() string { return "tasks" }
func (v *tasksView) at() int64     { return v.event }
func (v *tasksView) parts() []part { return nil }
func (v *tasksView) own(p access.Person) []part {
	var out []taskRepo
	for n, r := range v.list {
		x := taskRepo{Name: r.Name, Env: r.Env, Repo: r.Repo, Kind: "good", Head: r.Head, May: p.Has(access.Deploy), ID: n}
		if r.Trouble != "" {
			x.Kind = "bad"
		}
		for _, i := range r.Items {
			t := taskRow{Kind: "todo", Word: "waits", TaskItem: i}
			if i.Run != nil {
				t.Kind, _, t.Word = look(*i.Run)
				if i.Run.State == pipeline.Ready {
					t.Word = "done"
				}
				if i.Run.State == pipeline.Failed || i.Run.State == pipeline.Asking {
					x.Stuck, x.Kind = &i, t.Kind
				}
			}
			t.Name = clip(t.Name, 200)
			x.Items = append(x.Items, t)
		}
		x.Head = fmt.Sprintf("%s: %s", r.Name, r.Head)
		out = append(out, x)
	}
	return []part{{"list", "task-repos", out}}
}
