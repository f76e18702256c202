package checks

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/remote"
)

func newProberAlone(t *testing.T, cat *model.Catalog, reach func(word string) (remote.Target, error)) *prober {
	t.Helper()
	return &prober{conf: func() *model.Config { return &model.Config{} }, catalog: func() *model.Catalog { return cat }, known: func() string { return "a" },
		reach: func(_ context.Context, word string) (remote.Target, error) { return reach(word) }}
}

// How a host is reached is asked for once, by its address if it has one, and again when the record has changed or
// nobody knew.
func TestHowAHostIsReachedIsAskedOnce(t *testing.T) {
	asked, fails := []string{}, true
	b := newProberAlone(t, &model.Catalog{Hosts: map[string]model.Host{"loki": {Address: "10.0.0.7"}}}, func(word string) (remote.Target, error) {
		if asked = append(asked, word); fails {
			return remote.Target{}, errors.New("nobody knows " + word)
		}
		return remote.Target{Addr: word + ":22"}, nil
	})
	h := &host{name: "loki"}
	j := job{Key: diskLoki, where: h}
	if out := b.run(t.Context(), j); !out.unreachable || out.text != "nobody knows 10.0.0.7" || out.code() != -1 {
		t.Errorf("%+v", out)
	}
	fails = false
	for range 3 {
		if got, err := b.way(t.Context(), h); err != nil || got.Addr != "10.0.0.7:22" {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if len(asked) != 2 {
		t.Errorf("asked: %q", asked)
	}
	b.forget(h)
	if _, err := b.way(t.Context(), h); err != nil || len(asked) != 3 {
		t.Errorf("asked: %q, %v", asked, err)
	}
}

// A run has its mark, its variables, and where it runs elsewhere the host that it is about.
func TestTheEnvironmentOfARun(t *testing.T) {
	b := newProberAlone(t, &model.Catalog{}, func(word string) (remote.Target, error) { return remote.Target{Addr: word + ".example.org:22"}, nil })
	j := job{Key: diskLoki, vars: map[string]string{"size": "7"}, task: model.Task{Env: map[string]string{"LANG": "C"}}}
	env, err := b.environment(t.Context(), j)
	if err != nil || len(env) != 3 || env[checkMark] != "a/disk/loki" || env[model.VarPrefix+"size"] != "7" || env["LANG"] != "C" {
		t.Errorf("%v, %v", env, err)
	}
	j.task.From = "probe"
	if env, err = b.environment(t.Context(), j); err != nil || env["JARVIS_HOST"] != "loki" || env["JARVIS_ADDRESS"] != "loki.example.org" {
		t.Errorf("%v, %v", env, err)
	}
}

// Whether a host is up is asked as it says: at a port, or not at all.
func TestWhetherAHostIsUpIsAskedAlone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b := newProberAlone(t, &model.Catalog{}, func(string) (remote.Target, error) { return remote.Target{Addr: "127.0.0.1:22"}, nil })
	j := job{Key: model.Key{Task: model.HostAnswers, Host: "loki"}, where: &host{name: "loki"}, alive: model.Alive{By: model.ByNothing}}
	if out := b.run(t.Context(), j); out.code() != 0 || !strings.Contains(out.stdout, "alive: none") {
		t.Errorf("%+v", out)
	}
	j.alive = model.Alive{By: model.ByTCP, Port: port}
	if out := b.run(t.Context(), j); out.code() != 0 {
		t.Errorf("it listens: %+v", out)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if out := b.run(t.Context(), j); !out.unreachable {
		t.Errorf("it does not listen any more: %+v", out)
	}
}
