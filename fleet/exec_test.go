package fleet

import (
	"context"
	"errors"
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
	results, err := Run(t.Context(), hosts, o, cmd, ExecOptions{Done: func(Result) { ended++ }}, nil)
	if err != nil || len(results) != 2 || len(failed) != 2 || opened != 2 || ended != 2 {
		t.Errorf("%v %v %q, %d opened, %d ended", results, err, failed, opened, ended)
	}
	// Who breaks it off hears of each host all the same.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ended = 0
	if _, err := Run(ctx, hosts, Options{Connect: nobodyThere{}, Skip: true, Dials: 1}, cmd, ExecOptions{Done: func(Result) { ended++ }}, nil); err != nil || ended != 2 {
		t.Errorf("%v, %d ended", err, ended)
	}
}
