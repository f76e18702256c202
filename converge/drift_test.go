package converge

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDriftOfAReport: what is told in a few words never has a file's content, and a program from before there were
// these words is read too.
func TestDriftOfAReport(t *testing.T) {
	var old HostReport
	if err := json.Unmarshal([]byte(`{"host":"x","stable":false,"exchanges":1,"missing":[{"desc":"write /etc/motd","diff":"@@ line 1 @@\n-a\n+b\n+c\n"},{"desc":"create the user alice"},{"desc":"set mode and owner of /x","diff":"-mode: 0644\n+mode: 0600\n-owner: a\n+owner: b\n"},{"desc":"write /big","diff":"(300000 bytes become 2)\n"}]}`), &old); err != nil {
		t.Fatal(err)
	}
	want := HostDrift{Host: "x", Differs: []Difference{
		{"write /etc/motd", "write /etc/motd", "another content (-1 +2 lines)", "the one that is wanted", "@@ line 1 @@\n-a\n+b\n+c\n"},
		{"create the user alice", "create the user alice", "missing", "done", ""},
		{"set mode and owner of /x", "set mode and owner of /x", "mode: 0644, owner: a", "mode: 0600, owner: b", "-mode: 0644\n+mode: 0600\n-owner: a\n+owner: b\n"},
		{"write /big", "write /big", "another content", "the one that is wanted", "(300000 bytes become 2)\n"},
	}}
	if diff := cmp.Diff(want, old.Drift()); diff != "" {
		t.Error(diff)
	}
}

// TestDriftIsNotAGuess: a host that cannot be looked at is unknown, and what it knows of it is not its drift.
func TestDriftIsNotAGuess(t *testing.T) {
	gone := Target{Name: "gone", Dial: func(context.Context) (Host, func(), error) { return nil, nil, errors.New("it is down") }}
	fine := Target{Name: "fine", Dial: func(context.Context) (Host, func(), error) {
		return fake(func(string) (string, string, int, error) { return "", "", 0, nil }), func() {}, nil
	}}
	got, err := Drift(t.Context(), []Target{gone, fine}, func(n *Node) error { return nil }, Options{TrustReads: true, Confirm: func(context.Context, []HostPlan) (bool, error) { panic("asked") }})
	if diff := cmp.Diff([]HostDrift{{Host: "gone", Differs: []Difference{}, Unknown: "it is down"}, {Host: "fine", Differs: []Difference{}}}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}
