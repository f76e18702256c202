package inventory

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
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

// The attack: a small file that was read for minutes, or for ever, for its names and aliases say the same again and
// again.
func TestAFileIsReadInTime(t *testing.T) {
	many := func(n int, line func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(line(i))
		}
		return b.String()
	}
	layers := func(first, each, last string) string {
		return first + many(45, func(i int) string {
			return strings.NewReplacer("OLD", fmt.Sprint("l", i), "NEW", fmt.Sprint("l", i+1)).Replace(each)
		}) + last
	}
	for name, c := range map[string]struct{ format, src, want string }{
		"the same hosts in each line":       {INI, strings.Repeat("web[1:9999]\n", 200), "names more than 100000 hosts"},
		"merges of nothing":                 {YAML, layers("x0: &l0 {}\n", "xNEW: &NEW {<<: [*OLD, *OLD]}\n", "all: {hosts: {<<: *l45}}\n"), "too much"},
		"groups in groups twice":            {YAML, layers("g0: &l0 {hosts: {a: }}\n", "gNEW: &NEW {children: {a: *OLD, b: *OLD}}\n", ""), "too much"},
		"a long value for each host":        {YAML, "v: &v {vars: &w {x: [" + strings.Repeat("a, ", 50_000) + "a]}}\nall: {hosts: {" + many(5_000, func(i int) string { return fmt.Sprintf("h%d: *w, ", i) }) + "}}\n", "too much"},
		"a chain of groups, and many hosts": {INI, many(20_000, func(i int) string { return fmt.Sprintf("[g%d:children]\ng%d\n", i, i+1) }) + "[g20000]\nweb[0:9999]\n", "groups, counted for each host"},
		"groups of groups of groups": {INI, many(1_000, func(i int) string {
			return fmt.Sprintf("[g%d:children]\n", i) + many(80, func(k int) string { return fmt.Sprintf("g%d\n", (i/80+1)*80+k) })
		}) + many(1_200, func(i int) string { return fmt.Sprintf("[g%d]\n", i) }) + "[g1079]\nweb\n", ""},
		"variables of many groups": {INI, "[g:children]\n" + many(25_000, func(i int) string { return fmt.Sprintf("x%d\n", i) }) + many(20_000, func(i int) string { return fmt.Sprintf("[x%d:vars]\n", i) }) + many(5_000, func(i int) string { return fmt.Sprintf("[x%d]\n", 20_000+i) }), ""},
	} {
		if len(c.src) > MaxBytes {
			t.Errorf("%s: %d bytes", name, len(c.src))
		}
		ended := make(chan error, 1)
		began := time.Now()
		go func() { _, err := Read(c.format, []byte(c.src)); ended <- err }()
		select {
		case err := <-ended:
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: %.200v; want %q", name, err, c.want)
			}
			t.Logf("%s: %s", name, time.Since(began))
		case <-time.After(8 * time.Second):
			t.Errorf("%s: it is read for ever", name)
		}
	}
}
