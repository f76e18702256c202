package external

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
)

const before = "instance:\n  hostname: loki\n  provider: ESX\n  keep: me # please\n"

// FuzzOutput: whatever a program prints, the clipboard is either a whole one about the same host, or the old one.
func FuzzOutput(f *testing.F) {
	for _, s := range []string{"", before, before + "  rack: 17\n", "instance:\n  hostname: thor\n  provider: ESX\n", "instance:\n  hostname: 'lo", "\x00", "[]", "a: b", strings.Repeat("x", 70000)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, out []byte) {
		c, err := clipboard.Parse([]byte(before))
		if err != nil {
			t.Fatal(err)
		}
		if err := replace(c, out); err != nil {
			if c.Text() != before {
				t.Errorf("%q was refused (%v), but changed the clipboard:\n%s", out, err, c.Text())
			}
			return
		}
		if in, err := c.Instance(); err != nil || in.Hostname != "loki" {
			t.Errorf("after %q the host is %q, %v", out, in.Hostname, err)
		}
	})
}

// FuzzTable: a table is read whole or refused in one line.
func FuzzTable(f *testing.F) {
	f.Add([]byte("- {name: rack:find, doc: x, needs: [a], gives: [b], timeout: 90s, resume: again}\n"))
	f.Add([]byte("- {name: x, resum: again}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, err := parseTable("rack", b)
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("more than one line: %q", err)
		}
		for _, r := range rows {
			if err == nil && (r.Name == "" || r.Resume != "" && r.Resume != "again" && r.Resume != "ask") {
				t.Errorf("%+v was taken", r)
			}
		}
	})
}
