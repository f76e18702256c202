package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestSerialHostsReadTheSameStdin: each from its beginning, though the last one begins when the others have ended, and
// also when one reads nothing of it.
func TestSerialHostsReadTheSameStdin(t *testing.T) {
	r := newRow(t, 2, 132)
	conf := recordSite(t, r, 132)
	t.Chdir(r.home)
	if err := os.WriteFile("in", bytes.Repeat([]byte("0123456789abcdef"), 1<<20), 0o600); err != nil { // more than is kept for hosts that run at once
		t.Fatal(err)
	}
	for name, way := range map[string][]string{"by the server": nil, "from here": {"-k", ".ssh/id"}} {
		for line, want := range map[string]string{"wc -c": "16777216 16777216", `[ "$(hostname)" = web1 ] || wc -c`: "16777216"} {
			args := append(append([]string{"--config", conf, "exec", "-q", "-y", "-l", "-i", "in", "-o", "@pair"}, way...), line)
			if code, out, errs := jarvis(t, "", args...); code != 0 || strings.Join(strings.Fields(out), " ") != want {
				t.Errorf("%s, %s: exit %d: %s%s", name, line, code, out, errs)
			}
		}
	}
}
