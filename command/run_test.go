package command

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
)

func TestCommandOf(t *testing.T) {
	for line, want := range map[string]string{
		"loki uptime":          "uptime",
		"loki uptime --pretty": "uptime --pretty",
		"loki -- --sudoo id":   "--sudoo id",
		"loki echo -- x":       "echo -- x",
		"loki --sudoo id":      "! `run` has no flag --sudoo; a command that begins so stands after --, as in `run HOST -- COMMAND`",
		"--sudoo loki id":      "! `run` has no flag --sudoo; a command that begins so stands after --, as in `run HOST -- COMMAND`",
		"loki -x":              "! `run` has no flag -x; a command that begins so stands after --, as in `run HOST -- COMMAND`",
		"loki --":              "! no command stands after --; as in `run loki,thor uptime`",
	} {
		argv, err := commandOf(strings.Fields(line))
		got := strings.Join(argv, " ")
		if err != nil {
			got = "! " + err.Error()
			if !errors.Is(err, ErrUsage) {
				t.Errorf("%s: %v is no wrong usage", line, err)
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

// TestABugOnOneHostIsToldOfIt: whoever watches hears what came of every host, once, also of one where a bug ended it.
func TestABugOnOneHostIsToldOfIt(t *testing.T) {
	table, e := stage(t, func(context.Context, *clipboard.Clipboard) error { return nil })
	var list []pipeline.Import
	for _, h := range []string{"loki", "thor", "odin"} {
		list = append(list, pipeline.Import{Host: h, FQDN: h + ".example.org", Reach: pipeline.Reach{Addr: "192.0.2.7"}})
	}
	if _, err := e.Import(t.Context(), list, pipeline.Who{Name: "alice"}, false); err != nil {
		t.Fatal(err)
	}
	table.env().Exec = func(_ context.Context, h pipeline.Standing, _ []string, line func(string)) (remote.Result, error) {
		if line("up"); h.Host == "thor" {
			panic("boom")
		}
		return remote.Result{}, nil
	}
	for name, at := range map[string]string{"while it runs": "", "in who hears of it": "odin"} {
		var mu sync.Mutex
		var heard []Output
		ended := func(o Output) {
			mu.Lock()
			defer mu.Unlock()
			if heard = append(heard, o); o.Host == at {
				panic("boom")
			}
		}
		a, err := table.Do(t.Context(), Call{Words: []string{"run", "loki,thor,odin", "uptime"}, Person: access.Person{Name: "alice", Roles: []string{access.Run}}, Local: true, Free: true, Ended: ended})
		if err != nil || !a.Bad {
			t.Fatalf("%s: %v, %+v", name, err, a)
		}
		slices.SortFunc(heard, func(x, y Output) int { return cmp.Compare(x.Host, y.Host) })
		if len(heard) != 3 || heard[0].Host != "loki" || heard[1].Host != "odin" || heard[2].Host != "thor" || !strings.Contains(heard[2].Error, "a bug of mine") || heard[0].Error != "" {
			t.Errorf("%s: it was heard of %+v", name, heard)
		}
	}
}

// The fault: each host might say 1000 lines of 2000 bytes, and all of it was kept twice, so a command on all hosts
// filled the server's memory. What was left out nobody was told.
func TestWhatHostsSayIsBounded(t *testing.T) {
	table, e := stage(t, func(context.Context, *clipboard.Clipboard) error { return nil })
	var list []pipeline.Import
	for _, h := range []string{"loki", "thor", "odin", "freya", "tyr", "heimdall"} {
		list = append(list, pipeline.Import{Host: h, FQDN: h + ".example.org", Reach: pipeline.Reach{Addr: "192.0.2.7"}})
	}
	if _, err := e.Import(t.Context(), list, pipeline.Who{Name: "alice"}, false); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 1999)
	say := 0
	table.env().Exec = func(_ context.Context, _ pipeline.Standing, _ []string, line func(string)) (remote.Result, error) {
		for range say {
			line(long)
		}
		return remote.Result{}, nil
	}
	ask := func(hosts string) (Answer, int, int) {
		a, err := table.Do(t.Context(), Call{Words: []string{"run", hosts, "cat"}, Person: access.Person{Name: "alice", Roles: []string{access.Run}}, Local: true, Free: true})
		if err != nil || a.Bad {
			t.Fatalf("%v, %+v", err, a.Lines)
		}
		size, left := 0, 0
		for _, o := range a.Data.([]Output) {
			left += o.Left
			for _, l := range o.Lines {
				size += len(l)
			}
		}
		for _, l := range a.Lines {
			size += len(l)
		}
		return a, size, left
	}
	say = 1001
	a, _, left := ask("loki")
	if want := "loki: … and 1 line more; `jarvis exec` shows all, or write it to a file there"; left != 1 || a.Lines[len(a.Lines)-1] != want {
		t.Errorf("%d are left out of 1001 lines, and it says %q", left, a.Lines[len(a.Lines)-1])
	}
	say = 1000
	_, size, left := ask("loki,thor,odin,freya,tyr,heimdall")
	if size > maxRunBytes || size < maxRunBytes*9/10 || left == 0 {
		t.Errorf("the answer has %d bytes, and %d lines are left out", size, left)
	}
}
