package reach

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
)

// world is a record and keys of which the test knows all.
type world map[string]pipeline.Standing

func (w world) FindHost(_ context.Context, name string) (pipeline.Standing, error) {
	switch h, ok := w[name]; {
	case name == "twice":
		return h, &pipeline.AmbiguousError{Names: []string{"twice.a", "twice.b"}}
	case name == "away":
		return h, errors.New("the database is away")
	case ok:
		return h, nil
	}
	return pipeline.Standing{}, pipeline.ErrNotFound
}

func (w world) Members(_ context.Context, name string) ([]pipeline.Standing, error) {
	if name != "web" {
		return nil, pipeline.ErrNotFound
	}
	return []pipeline.Standing{w["web1"], w["web2"]}, nil
}

func (world) Target(ip string, l clipboard.Login, keys []string) (remote.Target, error) {
	return remote.Target{Addr: ip + ":22", User: l.User}, nil
}

func (world) Known(addr, user string, keys []string) (remote.Target, error) {
	if slices.Contains(keys, "junk") {
		return remote.Target{}, errors.New("junk is no key")
	}
	return remote.Target{Addr: addr, User: user}, nil
}

func (world) Signer() gossh.Signer {
	s, err := gossh.NewSignerFromKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		panic(err)
	}
	return s
}

func (world) PublicKeyAt() string { return "" }

func stands(name, addr string) pipeline.Standing {
	return pipeline.Standing{Run: pipeline.Run{Host: name}, Reach: pipeline.Reach{Addr: addr, Login: clipboard.Login{User: "root"}, Keys: []string{"k"}}}
}

// TestAWordMeansOneMachine, and what means none is told in words.
func TestAWordMeansOneMachine(t *testing.T) {
	w := world{"web1": stands("web1", "192.0.2.1"), "web2": stands("web2", "192.0.2.2"), "young": {Run: pipeline.Run{Host: "young"}}}
	f := New(Config{Record: w, Keys: w, Through: func(*remote.Target, string) {}, Log: slog.New(slog.DiscardHandler)})
	defer f.Close()
	for name, c := range map[string]struct {
		word Word
		want string // addresses, or a part of the error
	}{
		"a name on record":                   {Word{Name: "web1"}, "192.0.2.1:22"},
		"a name wins over an address":        {Word{Name: "web1", Addr: "198.51.100.9:22"}, "192.0.2.1:22"},
		"a group":                            {Word{Name: "@web"}, "192.0.2.1:22 192.0.2.2:22"},
		"an address":                         {Word{Name: "box", Addr: "198.51.100.9:2222", User: "bob"}, "198.51.100.9:2222"},
		"an address of who is on record yet": {Word{Name: "young", Addr: "198.51.100.9:22"}, "198.51.100.9:22"},
		"an address, several on record":      {Word{Name: "twice", Addr: "198.51.100.9:22"}, "198.51.100.9:22"},
		"no such host":                       {Word{Name: "nobody"}, "there is no host nobody on record"},
		"no such group":                      {Word{Name: "@none"}, "there is no cluster or group none on record"},
		"several":                            {Word{Name: "twice"}, "twice.a and twice.b; say which"},
		"one that has no address yet":        {Word{Name: "young"}, "young has no address and host key on record"},
		"keys that are none":                 {Word{Name: "box", Addr: "198.51.100.9:22", Keys: []string{"junk"}}, "junk is no key"},
		"a record that does not answer":      {Word{Name: "away", Addr: "198.51.100.9:22"}, "the database is away"},
	} {
		list, err := f.Hosts(t.Context(), []Word{c.word})
		var got []string
		for _, h := range list {
			got = append(got, h.Target.Addr)
		}
		if said := strings.Join(got, " "); err == nil && said != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %s, %v, want %s", name, said, err, c.want)
		}
	}
}

// TestTwoHostsOfOneShortName are told apart by their full names, and none stands there twice: results and files are
// kept by name.
func TestTwoHostsOfOneShortName(t *testing.T) {
	of := func(fqdn, addr string) pipeline.Standing {
		short, _, _ := strings.Cut(fqdn, ".")
		h := stands(short, addr)
		h.FQDN = fqdn
		return h
	}
	w := world{"web1.a": of("web1.a", "192.0.2.1"), "web1.b": of("web1.b", "192.0.2.2"), "db.a": of("db.a", "192.0.2.3")}
	w["web1"], w["web2"], w["db"] = w["web1.a"], w["web1.b"], w["db.a"] // the members of @web
	f := New(Config{Record: w, Keys: w, Through: func(*remote.Target, string) {}, Log: slog.New(slog.DiscardHandler)})
	defer f.Close()
	for words, want := range map[string]string{
		"web1.a db.a":          "web1=192.0.2.1:22 db=192.0.2.3:22",
		"web1.a web1.b db.a":   "web1.a=192.0.2.1:22 web1.b=192.0.2.2:22 db=192.0.2.3:22",
		"@web":                 "web1.a=192.0.2.1:22 web1.b=192.0.2.2:22",
		"@web web1.b db db.a":  "web1.a=192.0.2.1:22 web1.b=192.0.2.2:22 db=192.0.2.3:22",
		"web1.a web1.a web1.a": "web1=192.0.2.1:22",
	} {
		var list []Word
		for _, w := range strings.Fields(words) {
			list = append(list, Word{Name: w})
		}
		hosts, err := f.Hosts(t.Context(), list)
		named, nerr := f.Named(t.Context(), strings.Fields(words))
		for _, hosts := range [][]fleet.Host{hosts, named} {
			var got []string
			for _, h := range hosts {
				got = append(got, h.Name+"="+h.Target.Addr)
			}
			if err != nil || nerr != nil || strings.Join(got, " ") != want {
				t.Errorf("%s: %q, %v, %v; want %s", words, got, err, nerr, want)
			}
		}
	}
}
