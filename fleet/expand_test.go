package fleet_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/fleet"
)

// The attack: a word of a few kilobytes whose brackets hold more together than each by itself is kept in memory before
// it is refused. Ends of a range at the largest number there is never came to an end.
func TestExpandIsBounded(t *testing.T) {
	many := func(s string, n int) string { return strings.Repeat(s, n) }
	for name, c := range map[string]struct{ word, want string }{
		"one bracket of many ranges":     {"web[" + many("0-99999,", 300) + "1]", "stands for more than 100000 hosts"},
		"many brackets":                  {"web" + many("[0-99999]", 300), "stands for more than 100000 hosts"},
		"many braces":                    {"web" + many("{a,b,c,d,e,f,g,h}", 1000), "stands for more than 100000 hosts"},
		"one brace":                      {"web{" + many(",", 100_000) + "}", "stands for more than 100000 hosts"},
		"a long head":                    {many("x", 10_000) + "[0-9999]", "more than 512 bytes"},
		"a long tail":                    {"[0-9999]" + many("x", 10_000), "more than 512 bytes"},
		"a number of many zeros":         {"web[" + many("0", 10_000) + "-9999]", "more than 512 bytes"},
		"braces that make one long name": {many("{aaaaaaaaaa}", 1000), "more than 512 bytes"},
		"the largest number":             {"web[9223372036854775806-9223372036854775807]", ""},
		"as many as may be":              {"web[0-99999]", ""},
		"as many together":               {"{a,b,c,d,e,f,g,h,i,j}[1-100][1-100]", ""},
		"one more":                       {"web[0-99999,x]", "stands for more than 100000 hosts"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		list, err := fleet.Expand(c.word)
		runtime.ReadMemStats(&after)
		if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 128 {
			t.Errorf("%s: %d MiB for a word of %d bytes", name, n, len(c.word))
		}
		switch {
		case c.want == "" && (err != nil || len(list) == 0):
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %d hosts, %.200v; want %q", name, len(list), err, c.want)
		case err != nil && len(err.Error()) > 1000:
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
}
