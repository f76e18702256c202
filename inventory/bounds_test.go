package inventory

import (
	"errors"
	"runtime"
	"strings"
	"testing"
)

// The attack: a small file whose patterns stand for more than memory holds, or for steps and ends at the largest number
// there is, which went on without end or panicked.
func TestPatternsAreBounded(t *testing.T) {
	many := func(s string, n int) string { return strings.Repeat(s, n) }
	for name, c := range map[string]struct{ format, src, want string }{
		"many brackets":                    {INI, "web" + many("[0:9999]", 2000) + "\n", "stands for more than 10000 hosts"},
		"a long name":                      {INI, many("x", 100_000) + "[0:9999]\n", "more than 512 bytes"},
		"a number of many zeros":           {INI, "web[" + many("0", 100_000) + ":" + many("0", 99_996) + "9999]\n", "more than 512 bytes"},
		"one step that is too long":        {INI, "web[1:5:9223372036854775807]\n", ""},
		"one step over letters":            {INI, "web[b:f:9223372036854775807]\n", ""},
		"the largest number":               {INI, "web[9223372036854775806:9223372036854775807]\n", ""},
		"the same hosts again and again":   {Plain, many("web[0-9999]\n", 500), "names more than 100000 hosts"},
		"hosts that are none, many a line": {Plain, many("-web[0-99999]\n", 500), "names more than 100000 hosts"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		l, err := Read(c.format, []byte(c.src))
		runtime.ReadMemStats(&after)
		// Without bounds it is 5 GiB and more; under the race detector, where fmt keeps no buffers, one in all.
		if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 2048 {
			t.Errorf("%s: %d MiB for a file of %d bytes", name, n, len(c.src))
		}
		var syntax *SyntaxError
		switch {
		case c.want == "" && (err != nil || len(l.Hosts) < 1 || len(l.Hosts) > 2 || len(l.Notes) > 0):
			t.Errorf("%s: %d hosts, %v, %v", name, len(l.Hosts), l.Notes, err)
		case c.want != "" && (!errors.As(err, &syntax) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %d hosts, %.200v; want %q", name, len(l.Hosts), err, c.want)
		}
	}
}
