package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/remote"
)

type nobodyThere struct{}

func (nobodyThere) Get(context.Context, remote.Target) (*remote.Client, func(), error) {
	return nil, nil, errors.New("nobody is there")
}

// Run passed over what it does not do in silence: a script on stdin reached no host.
func TestRunDoesWhatItIsToldOrNothing(t *testing.T) {
	hosts := []Host{{Name: "web1"}, {Name: "web2"}}
	cmd := remote.Command{Line: "true"}
	for name, c := range map[string]struct {
		o  Options
		eo ExecOptions
	}{
		"all or none":            {},
		"stdin":                  {Options{Skip: true}, ExecOptions{Stdin: strings.NewReader("x")}},
		"one after the other":    {Options{Skip: true}, ExecOptions{Serial: true}},
		"and it says so at once": {Options{Connect: nobodyThere{}}, ExecOptions{Serial: true}},
	} {
		if results, err := Run(t.Context(), hosts, c.o, cmd, c.eo, nil); err == nil || results != nil {
			t.Errorf("%s: %v %v", name, results, err)
		}
	}
	var failed []string
	opened, ended := 0, 0
	o := Options{Connect: nobodyThere{}, Skip: true, Failed: func(h Host, err error) { failed = append(failed, h.Name+": "+err.Error()) }, Opened: func(done, all int) {
		if opened++; done != opened || all != 2 {
			t.Errorf("%d of %d", done, all)
		}
	}}
	results, err := Run(t.Context(), hosts, o, cmd, ExecOptions{Done: func(int, Result) { ended++ }}, nil)
	if err != nil || len(results) != 2 || len(failed) != 2 || opened != 2 || ended != 2 {
		t.Errorf("%v %v %q, %d opened, %d ended", results, err, failed, opened, ended)
	}
	// Who breaks it off hears of each host all the same.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ended = 0
	if _, err := Run(ctx, hosts, Options{Connect: nobodyThere{}, Skip: true, Dials: 1}, cmd, ExecOptions{Done: func(int, Result) { ended++ }}, nil); err != nil || ended != 2 {
		t.Errorf("%v, %d ended", err, ended)
	}
}

// TestNobodyFilledItIn: what nobody told does not look as if it had gone well.
func TestNobodyFilledItIn(t *testing.T) {
	if r := (Result{}); r.OK() || r.How() != "nobody told how it ended" {
		t.Errorf("a result of nothing: OK %t, %s", r.OK(), r.How())
	}
	if r := (Result{Host: Host{Name: "a"}}); !r.OK() || r.How() != "exit 0" {
		t.Errorf("one that went well: OK %t, %s", r.OK(), r.How())
	}
	for _, r := range Untold([]Host{{Name: "a"}, {Name: "b"}}) {
		if r.OK() || r.How() != "nobody told how it ended" || r.Host.Name == "" {
			t.Errorf("untold: OK %t, %s, of %q", r.OK(), r.How(), r.Host.Name)
		}
	}
}

// namesakes carries nothing: all its hosts end at once with an empty stream.
type namesakes struct {
	Carrier

	hosts []Host
}

func (n namesakes) Reached() []Host { return n.hosts }

func (n namesakes) Pack(_ context.Context, _ *remote.Sudo, paths [][]string, to func(int) io.Writer, ended func(int, remote.Result, error)) {
	for i, p := range paths {
		if len(p) > 0 {
			_, _ = to(i).Write(make([]byte, 1024)) // the end of a tar file
			ended(i, remote.Result{}, nil)
		}
	}
}

// TestFetchFromNamesakes: files of two hosts never go into one directory, whatever the hosts are called.
func TestFetchFromNamesakes(t *testing.T) {
	told := map[int]string{}
	o := FetchOptions{Paths: []string{"/etc/hosts"}, Dir: t.TempDir(), Done: func(i int, r FetchResult) { told[i] = fmt.Sprint(r.Err) }}
	FetchBy(t.Context(), namesakes{hosts: []Host{{Name: "web1"}, {Name: "a/b"}, {Name: "web1"}, {Name: "a_b"}}}, o)
	for i, twice := range []bool{false, false, true, true} {
		if got := strings.Contains(told[i], "nothing was fetched from another host that is called so"); got != twice {
			t.Errorf("host %d: %s", i, told[i])
		}
	}
}
