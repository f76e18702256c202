package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/lab/real"
)

// TestOnlineMatrix tries a homeserver: what is wrong with an account or a room is one sentence.
func TestOnlineMatrix(t *testing.T) {
	s := must[*real.Dendrite](t)(real.StartDendrite(real.DendriteOptions{}, "jarvis", "alice"))
	t.Cleanup(s.Stop)
	alice := must[*real.MatrixClient](t)(real.DialMatrix(t.Context(), s, "alice"))
	t.Cleanup(alice.Close)
	must[string](t)(alice.MakeRoom(t.Context(), "ops", false))
	closed := must[string](t)(alice.MakeRoom(t.Context(), "", false))
	dir := t.TempDir()
	write := writeIn(t, dir)
	at := func(room string) string { return "#" + room + ":" + real.MatrixServer }
	for name, c := range map[string]struct{ password, room, want string }{
		"good":     {"pw-jarvis-lab", at("ops"), "ok    chat[0]: matrix/@jarvis:" + real.MatrixServer + " lets us in, and nothing keeps us out of " + at("ops")},
		"password": {"pw-wrong-lab", at("ops"), "wrong chat[0]: the matrix link is down, @jarvis:" + real.MatrixServer + ", log in as @jarvis:" + real.MatrixServer + " at " + s.URL + ": M_FORBIDDEN: "},
		"nowhere":  {"pw-jarvis-lab", at("nowhere"), "wrong chat[0]: cannot join, " + at("nowhere") + ", M_NOT_FOUND: "},
		"closed":   {"pw-jarvis-lab", closed, "wrong chat[0]: cannot join, " + closed + ", M_FORBIDDEN: "},
	} {
		file := write(name+".yaml", fmt.Sprintf("listen: \"\"\nchat: [{matrix: {homeserver: %q, ca: %q, user: \"@jarvis:%s\", password: %s, rooms: [%q]}}]\n", s.URL, s.CA, real.MatrixServer, c.password, c.room), 0o600)
		out := &strings.Builder{}
		code := run(t.Context(), []string{"--config", file, "config", "check", "--online"}, strings.NewReader(""), out, out)
		if !strings.Contains(out.String(), c.want) || strings.Contains(out.String(), "pw-") || (code == 0) != (name == "good") {
			t.Errorf("%s: exit %d, not said: %s\n%s", name, code, c.want, out)
		}
	}
	noState(t, dir)
}

// noState makes sure that a try leaves nothing behind.
func noState(t *testing.T, dir string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "data", "matrix", "*"))
	if err != nil || len(found) > 0 {
		t.Errorf("left behind: %v %v", found, err)
	}
}
