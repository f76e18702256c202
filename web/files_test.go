package web

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/fleet"
)

// The attack: fetch one file, and have the record name another. A host has two names, the one that was asked for and
// the one on record.
func TestTheRecordNamesWhatIsFetched(t *testing.T) {
	for _, c := range []struct {
		name string
		of   map[string][]string
		bad  bool
	}{
		{"by both names of a host", map[string][]string{"loki": {"/etc/motd"}, "loki.example.org": {"/etc/shadow"}}, true},
		{"by the name on record", map[string][]string{"loki.example.org": {"/etc/shadow"}}, false},
		{"by no name", map[string][]string{}, false},
	} {
		q := FilesRequest{Command: "fetch", Hosts: []ExecHost{{Name: "loki"}}, Of: c.of}
		if err := q.known([]fleet.Host{{Name: "loki.example.org"}}); (err != nil) != c.bad {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, p := range c.of["loki.example.org"] {
			if line := q.line(); !strings.Contains(line, "loki.example.org:"+p) {
				t.Errorf("%s: on record is %q", c.name, line)
			}
		}
	}
}
