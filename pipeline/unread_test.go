package pipeline

import (
	"slices"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
)

// TestUnread: a key that is misspelt, or that the steps of this run do not read, is named; what one of them gives is
// not.
func TestUnread(t *testing.T) {
	r := NewRegistry()
	r.Add(Step{Name: "esx:deploy", Needs: []string{"size?", "hostname"}, Gives: []string{"provider_id"}}, Step{Name: "ssh:wait", Needs: []string{"ipaddress"}}, Step{Name: "own:all"})
	c, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n  fqdn: loki.example.org\n  provider: esx\n  sise: 2GB\n  size: 2GB\n  provider_id: vm-1\n  ipaddress: 192.0.2.1\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		steps []string
		want  []string
	}{
		{[]string{"sp:deploy", "ssh:wait"}, []string{"sise"}},
		{[]string{"esx:deploy"}, []string{"sise", "ipaddress"}},
		{[]string{"esx:deploy", "own:all"}, nil}, // a program of one's own may read all
	} {
		if got := r.Unread(c, tc.steps); !slices.Equal(got, tc.want) {
			t.Errorf("%v leave unread %v, want %v", tc.steps, got, tc.want)
		}
	}
}
