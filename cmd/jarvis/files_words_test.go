package main

import (
	"fmt"
	"testing"
)

func TestHostAndPath(t *testing.T) {
	for _, c := range []struct{ word, want string }{
		{"loki:/etc/motd", "[loki] map[loki:[/etc/motd]]"},
		{"root@loki:/etc/motd", "[root@loki] map[root@loki:[/etc/motd]]"},
		{"root@loki:2222:/etc/motd", "[root@loki:2222] map[root@loki:2222:[/etc/motd]]"}, // the fault: host loki, file 2222:/etc/motd
		{"loki:2222:motd", "[loki:2222] map[loki:2222:[motd]]"},
		{"loki:2222", "[loki] map[loki:[2222]]"}, // a file of that name
		{"loki:/a:1:b", "[loki] map[loki:[/a:1:b]]"},
		{"loki:a:b", "[loki] map[loki:[a:b]]"},
		{"web[1-2]:22:/x", "[web1:22 web2:22] map[web1:22:[/x] web2:22:[/x]]"},
		{"[::1]:/x", "[[::1]] map[[::1]:[/x]]"},
		{"[::1]:22:/x", "[[::1]:22] map[[::1]:22:[/x]]"},
		{"root@[fe80::1]:22:~/x", "[root@[fe80::1]:22] map[root@[fe80::1]:22:[./x]]"},
		{"loki:/var/log/[ab]*.log", "[loki] map[loki:[/var/log/[ab]*.log]]"},
		{"fe80::1:/x", "fe80::1:/x: write an address of IPv6 in brackets, as in [::1]:/etc/motd"},
		{"::1:/x", "::1:/x names no host and no path there; write HOST:PATH for each, as in `jarvis fetch loki:/etc/motd`, or the hosts with -o"},
		{"loki:", "loki: names no host and no path there; write HOST:PATH for each, as in `jarvis fetch loki:/etc/motd`, or the hosts with -o"},
		{"/etc/motd", "/etc/motd names no host and no path there; write HOST:PATH for each, as in `jarvis fetch loki:/etc/motd`, or the hosts with -o"},
	} {
		hosts, of, err := byHost([]string{c.word})
		got := fmt.Sprint(hosts, of)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.word, got, c.want)
		}
	}
}
