package checks

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

// What the API has made and is no longer right beside the files is left out: the server starts, says it, and it can be
// changed.
func TestADefinitionWhoseTaskIsGone(t *testing.T) {
	bubble(t, `
tasks:
  - {name: disk, command: check_disk, schedule: "@every 10s"}
  - {name: load, command: check_load, schedule: "@every 10s"}
host_tasks: [{tasks: [disk], hosts: [loki]}]
`, func(t *testing.T, g *ground) {
		define := func(kind, name, yaml string) {
			t.Helper()
			if err := g.Define(t.Context(), model.Definition{Kind: kind, Name: name, YAML: yaml, By: "alice"}); err != nil {
				t.Fatal(err)
			}
		}
		define(model.KindHostTask, "loads", "{tasks: [load], hosts: [odin]}")
		define(model.KindAction, "restart", "{task: load, tasks: [disk]}")
		define(model.KindSchedule, "nightly", "{when: 0 3 * * *}")
		g.stop()
		file := filepath.Join(g.cfg.Dir, "checks.yaml")
		if err := os.WriteFile(file, []byte("tasks: [{name: disk, command: check_disk, schedule: \"@every 10s\"}]\nhost_tasks: [{tasks: [disk], hosts: [loki]}]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		g.start()
		time.Sleep(time.Minute)
		if len(g.times(diskLoki)) == 0 {
			t.Error("what is right does not run")
		}
		if got, want := g.Stats(t.Context()).Trouble, "there is no task load; and 1 more"; !strings.Contains(got, want) {
			t.Errorf("it says %q, want %q", got, want)
		}
		left := map[string]string{}
		list, err := g.Definitions(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			if d.By != "" {
				left[d.Name] = d.Trouble
			}
		}
		if left["nightly"] != "" || !strings.Contains(left["loads"], "no task load") || !strings.Contains(left["restart"], "no task load") {
			t.Errorf("left out: %v", left)
		}
		if err := g.Define(t.Context(), model.Definition{Kind: model.KindTask, Name: "other", YAML: "{name: another, command: x}"}); !errors.Is(err, model.ErrInvalid) {
			t.Error(err)
		}
		if err := g.Define(t.Context(), model.Definition{Kind: model.KindHostTask, Name: "loads", YAML: "{tasks: [lode], hosts: [odin]}"}); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("another that is wrong: %v", err)
		}
		define(model.KindHostTask, "loads", "{tasks: [disk], hosts: [odin]}")
		if err := g.Remove(t.Context(), model.KindAction, "restart"); err != nil {
			t.Error(err)
		}
		if got := g.Stats(t.Context()); got.Trouble != "" || got.Checks != 2 {
			t.Errorf("when all is mended: %+v", got)
		}
		define(model.KindHostTask, "at-night", "{tasks: [disk], hosts: [thor], schedule: nightly}")
		if err := g.Remove(t.Context(), model.KindSchedule, "nightly"); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("what something needs is taken away: %v", err)
		}
	})
}

// A server without checks forgets nothing, and lives.
func TestForgetWithoutChecks(t *testing.T) {
	bubble(t, "", func(t *testing.T, g *ground) {
		g.cfg.Keep.Count = 1000
		g.stop()
		g.start()
		next := 0
		if err := g.forgetAll(context.Background(), &next); err != nil {
			t.Error(err)
		}
	})
	if err := (&model.Config{Keep: model.Keep{Count: -1}}).Check(); err == nil {
		t.Error("keep.count: -1 passes")
	}
}

// Definitions by themselves: what is right beside the others is written, made to count, and told; what is not leaves
// all as it is.
func TestDefinitionsAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "checks.yaml")
	if err := os.WriteFile(file, []byte("tasks: [{name: disk, command: x}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := &model.Config{Dir: filepath.Dir(file)}
	counted, told := 0, 0
	d := definitions{conf: func() *model.Config { return cfg }, count: func(context.Context) error { counted++; return nil }, tell: func() { told++ }}
	d.tools, _ = recordAlone(t)
	ctx := t.Context()
	for _, c := range []struct {
		name string
		do   func() error
		want error
	}{
		{"what the file declares", func() error {
			return d.define(ctx, model.Definition{Kind: model.KindTask, Name: "disk", YAML: "{command: y}"})
		}, ErrInFile},
		{"what needs a task that is not there", func() error {
			return d.define(ctx, model.Definition{Kind: model.KindHostTask, Name: "loads", YAML: "{tasks: [load], hosts: [loki]}"})
		}, model.ErrInvalid},
		{"a task", func() error {
			return d.define(ctx, model.Definition{Kind: model.KindTask, Name: "load", YAML: "{command: x}"})
		}, nil},
		{"what needs it", func() error {
			return d.define(ctx, model.Definition{Kind: model.KindHostTask, Name: "loads", YAML: "{tasks: [load], hosts: [loki]}", By: "alice"})
		}, nil},
		{"what another needs goes", func() error { return d.remove(ctx, model.KindTask, "load") }, model.ErrInvalid},
		{"what is not there goes", func() error { return d.remove(ctx, model.KindTask, "other") }, ErrNotFound},
		{"what needs it goes", func() error { return d.remove(ctx, model.KindHostTask, "loads") }, nil},
		{"and the task", func() error { return d.remove(ctx, model.KindTask, "load") }, nil},
	} {
		was := counted
		err := c.do()
		if !errors.Is(err, c.want) || (err == nil) != (counted == was+1) || told != counted {
			t.Errorf("%s: %v; counted %d times, told %d times", c.name, err, counted-was, told)
		}
	}
	list, err := d.list(ctx, "")
	if err != nil || len(list) != 1 || list[0].Name != "disk" {
		t.Errorf("%+v, %v", list, err)
	}
	was := d.stamp()
	if err := os.WriteFile(file, []byte("tasks: [{name: disk, command: xyz}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d.stamp() == was {
		t.Error("a file has changed, and nobody sees it")
	}
}

// TestNamesThatNothingHas: a running server tells them with file and line, as long as the record has nothing of that
// name.
func TestNamesThatNothingHas(t *testing.T) {
	bubble(t, "tasks: [{name: disk, command: x}]\nhost_tasks: [{tasks: [disk], hosts: [loki]}]\ncontacts: [{name: ops, channel: \"#ops\"}]\nactions:\n  - name: tell\n    notify: [ops]\n    tasks: [disc, load]\n    hosts: [\"@wb\"]\n", func(t *testing.T, g *ground) {
		got := strings.Join(g.Stats(t.Context()).Warnings, "\n")
		for _, want := range []string{".yaml, line 7: actions[0].tasks[0]: action tell: there is no task disc; did you mean disk?", "action tell: there is no task load", ".yaml, line 8: actions[0].hosts[0]: action tell: no host here is in a group wb"} {
			if !strings.Contains(got, want) {
				t.Errorf("the warnings are %s, want %s", got, want)
			}
		}
		if err := g.Define(t.Context(), model.Definition{Kind: "task", Name: "load", YAML: "{command: x}"}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(g.Stats(t.Context()).Warnings, "\n"); strings.Contains(got, "load") {
			t.Errorf("the task is there by now: %s", got)
		}
	})
}
