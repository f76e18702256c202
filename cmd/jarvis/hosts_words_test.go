package main

import (
	"os"
	"strings"
	"testing"
)

// The fault: an inventory's [web] was a range, a slip had no line, and a list of hosts, or its file, that was named the
// wrong way got no hint.
func TestWordsThatNameNoHosts(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("HOME", t.TempDir())
	for name, text := range map[string]string{
		"inventory": "# ours\n[web]\nweb1\nweb2\n",
		"children":  "web1\n[all:children]\nweb\n",
		"vars":      "web1 ansible_host=192.0.2.1\n",
		"yaml":      "all:\n  hosts:\n    web1:\n",
		"slip":      "web1   # the first\n\nweb[1-\n",
		"slip2":     "web1\nweb2 a/b\n",
		"backwards": "web[3-1]\n",
		"none":      "# web1\n",
		"good":      "# a comment\n127.0.0.1:1  # and here\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const how = "`jarvis import FILE` takes one, and then -o @GROUP means its hosts\n"
	for _, c := range []struct {
		args, stdin string
		says        string
	}{
		{"-o ./inventory", "", `./inventory:2: "[web]" is of an inventory, not of a list of hosts; ` + how},
		{"-o ./children", "", `./children:2: "[all:children]" is of an inventory, not of a list of hosts; ` + how},
		{"-o ./vars", "", `./vars:1: "ansible_host=192.0.2.1" is of an inventory, not of a list of hosts; ` + how},
		{"-o ./yaml", "", `./yaml:1: "all:" is of an inventory, not of a list of hosts; ` + how},
		{"-s", "[web]\nweb1\n", `the hosts on stdin, line 1: "[web]" is of an inventory, not of a list of hosts; ` + how},
		{"-o ./slip", "", `./slip:3: "web[1-": a bracket is not closed`},
		{"-o ./slip2", "", `./slip2:2: "a/b" is no host; it is [user@]host[:port]`},
		{"-o ./backwards", "", `./backwards:1: "web[3-1]": "3-1" is no range as 1-20`},
		{"-o ./none", "", "./none names no host"},
		{"-o ./", "", "./ is a folder; -o takes a host, or a file with a host on each line"},
		{"-o [web]", "", `"[web]": in brackets stand numbers, as in web[1-20]; names stand in braces, as in {web,db}`},
		{"-o [web:children]", "", `"[web:children]": in brackets stand numbers, as in web[1-20], or an address of IPv6`},
		{"-o a,b", "", `"a,b": no host has a comma in its name; name each by itself, as in -o a -o b`},
		{"-o web[1-2],web4", "", `"web[1-2],web4": no host has a comma in its name; name each by itself, as in -o web[1-2] -o web4`},
		{"-o good", "", "there is no host good, and there is a file of that name here: a file of hosts is named with a slash, as in -o ./good\n"},
		{"-o ./good", "", "127.0.0.1:1: unreachable: connection refused"},
		{"-o no-such-host.invalid", "", "no-such-host.invalid: unreachable: "},
	} {
		code, out, errs := jarvis(t, c.stdin, append(append([]string{"exec", "--direct"}, strings.Fields(c.args)...), "true")...)
		if code == 0 || !strings.Contains(errs, c.says) {
			t.Errorf("%s: exit %d %s\n%s\twant %s", c.args, code, out, errs, c.says)
		}
	}
}
