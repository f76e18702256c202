package command_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
)

// ground gives a table with a real engine and a real record, whose hosts say back what they are asked.
func ground(t testing.TB) *command.Table {
	t.Helper()
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	key, err := clipboard.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	step := func(name string, gives ...string) pipeline.Step {
		return pipeline.Step{Name: name, Doc: "plays " + name, Gives: gives, Do: func(context.Context, *clipboard.Clipboard) error { return nil },
			Undo: func(context.Context, *clipboard.Clipboard) error { return nil },
			Plan: func(_ context.Context, c *clipboard.Clipboard) (string, error) {
				return "would make " + c.Get("hostname"), nil
			}}
	}
	reg := pipeline.NewRegistry()
	reg.Add(step("keys:create"), step("esx:deploy", "provider_id"), step("dns:update_host"))
	e, err := pipeline.New(ctx, pipeline.Config{DB: db, Registry: reg, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	acc, err := access.New(ctx, []access.PersonConfig{{Name: "root", Local: "root", Roles: []string{access.Admin}}}, db)
	if err != nil {
		t.Fatal(err)
	}
	monitor, err := checks.New(model.Config{Defs: model.Defs{Hosts: []model.Host{{Name: "loki"}}, Tasks: []model.Task{{Name: "disk", Command: "check_disk"}},
		HostTasks: []model.HostTask{{Tasks: []string{"*"}, Hosts: []string{"loki"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := monitor.Open(ctx, checks.World{DB: db, Engine: e, Target: func(context.Context, string) (remote.Target, error) {
		return remote.Target{}, errors.New("no route to host")
	}}); err != nil {
		t.Fatal(err)
	}
	steps := []string{"keys:create", "esx:deploy", "dns:update_host"}
	return command.NewTable(&command.Env{Name: "jarvis", Version: "v1", Engine: e, Access: acc, Checks: monitor, Providers: []string{"esx"},
		Pipelines: map[string]map[string][]string{"deploy": {"esx": steps}, "redeploy": {"esx": steps}, "destroy": {"esx": steps}},
		Fetch: func(_ context.Context, u string) ([]byte, error) {
			return []byte(u[strings.LastIndexByte(u, '/')+1:]), nil
		},
		LDAP: func(_ context.Context, cn string) ([]byte, error) { return nil, errors.New("no such entry: " + cn) },
		Exec: func(_ context.Context, _ pipeline.Standing, args []string, line func(string)) (remote.Result, error) {
			line(strings.Join(args, " "))
			return remote.Result{}, nil
		}})
}

// FuzzTable: whatever somebody says, with whatever document, is answered or refused, in plain lines, and no verb
// panics.
func FuzzTable(f *testing.F) {
	const doc = "instance:\n  hostname: loki\n  fqdn: loki.example.org\n  provider: ESX\n"
	for _, v := range command.Verbs() {
		f.Add(v.Name, doc)
		f.Add(v.Example, doc)
		f.Add(v.Name+" loki "+v.Usage, "")
	}
	for _, d := range []string{"", "instance:\n", "instance: {}\nx: !secret 1\n", "cluster: {name: x, instances: [{hostname: a}]}\n", "- 1\n", "a: &a [*a]\n", "instance:\n  hostname: \"\\0\\e[2J\"\n  provider: \xfc\n"} {
		f.Add("deploy -", d)
		f.Add("plan http://x/y", d)
	}
	f.Add("run loki \x1b]52;c;x\x07\u202e\x0304 \xfc", "")
	f.Add("ack disk loki \u009b2J", "")
	table := ground(f)
	f.Fuzz(func(t *testing.T, line, file string) {
		if len(line) > 2000 || len(file) > 4000 {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		before := guard.Panics()
		c := command.Call{Words: command.SplitWords(line), Person: access.Person{Name: "root", Roles: []string{access.Admin}}, Asker: "root", Via: "test", Free: true, Secret: true}
		if file != "" {
			c.File = []byte(file)
		}
		if w := c.Words; len(w) > 0 && strings.HasPrefix(w[0], "check") && len(w) > 1 && w[1] == "run" {
			return // waits for a result, and nobody runs checks here
		}
		a, err := table.Do(ctx, c)
		if n := guard.Panics() - before; n != 0 {
			t.Fatalf("%q with %q: %v", line, file, err)
		}
		lines := a.Lines
		if err != nil {
			var user *command.UserError
			if !errors.As(err, &user) {
				t.Fatalf("%q gives the error %v", line, err)
			}
			lines = append(lines, err.Error())
		} else if len(lines) == 0 && a.Data == nil {
			t.Errorf("%q with %q has no answer", line, file)
		}
		for _, l := range lines {
			if plain.Line(l) != l {
				t.Errorf("%q is answered by %q", line, l)
			}
		}
	})
}
