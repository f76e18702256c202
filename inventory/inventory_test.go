package inventory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// golden is what the real program said: ansible-inventory (core 2.14.18) -i FILE --list > FILE.golden.json.
type golden struct {
	Meta struct {
		Vars map[string]map[string]any `json:"hostvars"`
	} `json:"_meta"`
	groups map[string]struct{ Hosts, Children []string }
}

func readGolden(t *testing.T, file string) golden {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	var all map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(b, &g), json.Unmarshal(b, &all)); err != nil {
		t.Fatal(err)
	}
	delete(all, "_meta")
	b, _ = json.Marshal(all)
	if err := json.Unmarshal(b, &g.groups); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g golden) hosts(group string) []string {
	out := slices.Clone(g.groups[group].Hosts)
	for _, c := range g.groups[group].Children {
		out = append(out, g.hosts(c)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestAnsibleReadsItLikewise(t *testing.T) {
	for _, file := range []string{"hosts.ini", "hosts.yaml"} {
		src, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		l, err := Read("", src)
		if err != nil {
			t.Fatal(err)
		}
		g := readGolden(t, filepath.Join("testdata", file+".golden.json"))
		var got, want []string
		groups := map[string][]string{}
		for _, h := range l.Hosts {
			got = append(got, fmt.Sprintf("%s %s %s %d", h.Name, h.Addr, h.User, h.Port))
			for _, name := range h.Groups {
				groups[name] = append(groups[name], h.Name)
			}
		}
		all := g.hosts("all")
		for _, name := range all {
			vars := map[string]string{}
			for k, v := range g.Meta.Vars[name] {
				vars[k] = fmt.Sprint(v)
			}
			port := reached(vars, "port")
			if port == "" {
				port = "0"
			}
			want = append(want, fmt.Sprintf("%s %s %s %s", name, reached(vars, "host"), reached(vars, "user"), port))
		}
		slices.Sort(got)
		slices.Sort(want)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: hosts (-Ansible +here):\n%s", file, d)
		}
		for name := range g.groups {
			if name == "all" || name == "ungrouped" {
				continue
			}
			have := slices.Sorted(slices.Values(groups[name]))
			if d := cmp.Diff(g.hosts(name), have); d != "" {
				t.Errorf("%s: group %s (-Ansible +here):\n%s", file, name, d)
			}
		}
	}
}

const (
	edKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHmsXB8UmyDRG5BtT69cTBkmSITs9hRTGAwgwpCA5frO"
	hashed = "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= "
)

// lines says a list as lines: hosts, and then what was left out.
func lines(l List) string {
	var b strings.Builder
	for _, h := range l.Hosts {
		fmt.Fprintf(&b, "%s|%s|%s|%d|%d keys|%s\n", h.Name, h.Addr, h.User, h.Port, len(h.Keys), strings.Join(h.Groups, ","))
	}
	for _, n := range l.Notes {
		b.WriteString(n.String() + "\n")
	}
	return b.String()
}

var table = []struct{ name, format, src, want string }{
	{"a list", Plain, "# mine\nweb[1-2].example.org\nAdmin@db:99\nroot@db:2222 10.0.0.5\n10.0.0.6\n2001:db8::1\nweb_3\n17\nfe80::1%eth0\nweb1.example.org\na b c\n",
		"web1.example.org|||0|0 keys|\nweb2.example.org|||0|0 keys|\n10.0.0.6|||0|0 keys|\n2001:db8::1|||0|0 keys|\n" +
			"line 3: ignored: db: \"Admin\" is not a login name: lower-case letters, digits, - and _, at most 32, not beginning with a digit\n" +
			"line 4: ignored: db stands on line 3 already\n" +
			"line 7: ignored: \"web_3\" is not a host name: letters, digits and - only, in parts of 63\n" +
			"line 8: ignored: the host name \"17\" would be taken for the number of a run\n" +
			"line 9: ignored: the address fe80::1%eth0 is of one link, and means nothing elsewhere\n" +
			"line 10: ignored: web1.example.org stands on line 2 already\n" +
			"line 11: ignored: a host and its address stand on a line, and no more\n"},
	{"known_hosts", KnownHosts, "web1,web1.example.org,10.0.0.5 " + edKey + "\n[db.example.org]:2222 " + edKey + " a comment\n10.0.0.9 " + edKey + "\n" + hashed + edKey + "\n" + hashed + edKey +
		"\n@cert-authority *.example.org " + edKey + "\n*.prod " + edKey + "\nx ssh-ed25519 bad!\n",
		"web1.example.org|10.0.0.5||0|1 keys|\ndb.example.org|||2222|1 keys|\n10.0.0.9|||0|1 keys|\n" +
			"line 4: ignored: 2 lines are hashed, and nobody can read a name out of a hash; `ssh-keyscan` or another inventory names the hosts\n" +
			"line 6: ignored: @cert-authority is about keys of many hosts, and of none by name; keep it in the server's known_hosts\n" +
			"line 7: ignored: *.prod is a pattern, and no name\nline 8: ignored: the key is not base64\n"},
	{"what Ansible alone can do", INI, "localhost ansible_connection=local\nt ansible_host='{{ ip }}'\np ansible_port=ssh\n[web one]\nw1 secret=hunter2 other=1\n[a:vars]\n", ""},
	{"templates and local hosts", INI, "localhost ansible_connection=local\nt ansible_host='{{ ip }}'\np ansible_port=ssh\n[web-1]\nw1 secret=hunter2 other=1\n",
		"w1|||0|0 keys|web-1\nline 1: ignored: localhost is reached by \"local\", and Jarvis knows SSH only\nline 2: ignored: t: its ansible_host is a template, which only Ansible can fill in\n" +
			"line 3: ignored: p: \"ssh\" is no port\nline 5: variables are not taken, but for how a host is reached: other, secret\n"},
	{"a vault", YAML, "web:\n  hosts:\n    w1:\n      pw: !vault |\n        $ANSIBLE_VAULT;1.1;AES256\n        6162\n      ansible_user: !vault |\n        $ANSIBLE_VAULT;1.1\n",
		"w1|||0|0 keys|web\nline 4: a vaulted value is not taken: it stays a secret of Ansible's, and is kept nowhere\nline 7: a vaulted value is not taken: it stays a secret of Ansible's, and is kept nowhere\n"},
}

func TestRead(t *testing.T) {
	for _, c := range table {
		t.Run(c.name, func(t *testing.T) {
			l, err := Read(c.format, []byte(c.src))
			if c.want == "" {
				var syntax *SyntaxError
				if !errors.As(err, &syntax) {
					t.Errorf("%v: %s", err, lines(l))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, lines(l)); d != "" {
				t.Error(d)
			}
			if got := Guess(c.src); got != c.format {
				t.Errorf("it looks like %s", got)
			}
			if strings.Contains(fmt.Sprint(l), "hunter2") || strings.Contains(fmt.Sprint(l), "6162") {
				t.Error("a value was kept")
			}
		})
	}
}

func TestABrokenFileIsNoInventory(t *testing.T) {
	for _, c := range []struct{ format, src, want string }{
		{INI, "[a:children]\nb\n[b:children]\na\n", "holds itself"},
		{INI, "[a:children]\nb\n", "line 1: the group a has a child b, which is nowhere defined"},
		{INI, "[a:vars]\nx=1\n", "line 1: [a:vars] is about a group that is nowhere defined"},
		{INI, "[a:things]\n", `line 1: the section "things" is neither`},
		{INI, "w1 'x=1\n", "line 1: a quote is not closed"},
		{INI, "w1 x\n", "line 1: a variable is written NAME=VALUE"},
		{INI, "w[3:1]\n", "runs backwards"},
		{INI, "w[01:100]\n", "one length"},
		{INI, "w[1:99999]\n", "more than 10000 hosts"},
		{YAML, "a: [b]\n", "line 1: a mapping belongs there"},
		{YAML, "a:\n  hosts: {w1: \n", "line"},
		{YAML, "- a\n", "the groups of an inventory belong there"},
		{"toml", "", `there is no format "toml"`},
	} {
		_, err := Read(c.format, []byte(c.src))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.src, err, c.want)
		}
	}
}

// FuzzRead: whatever a file holds, each host is one that the record takes, and nothing that is said has control
// characters.
func FuzzRead(f *testing.F) {
	for _, c := range table {
		f.Add(c.format, []byte(c.src))
	}
	f.Fuzz(func(t *testing.T, format string, src []byte) {
		l, err := Read(format, src)
		if err != nil {
			return
		}
		for _, h := range l.Hosts {
			if why := h.check(); why != "" || h.Name == "" {
				t.Errorf("%q: %s", h.Name, why)
			}
		}
		for _, n := range l.Notes {
			if bytes.ContainsAny([]byte(n.Text), "\x00\x1b\n") {
				t.Errorf("%q", n.Text)
			}
		}
	})
}

// A name without a port, as the address beside it, does not take away that of another.
func TestPortOfKnownHosts(t *testing.T) {
	for src, want := range map[string]string{
		"[web]:2222,192.0.2.1 " + edKey:                                  "web|192.0.2.1||2222|1 keys|\n",
		"192.0.2.1,[web]:2222 " + edKey:                                  "web|192.0.2.1||2222|1 keys|\n",
		"[web]:2222,[192.0.2.1]:2222 " + edKey:                           "web|192.0.2.1||2222|1 keys|\n",
		"[web]:2222,[192.0.2.1]:22 " + edKey:                             "web|192.0.2.1||2222|1 keys|\n",
		"[web]:2222 " + edKey + "\n192.0.2.1,[web]:2222 " + edKey + "\n": "web|192.0.2.1||2222|1 keys|\n",
		"web,192.0.2.1 " + edKey:                                         "web|192.0.2.1||0|1 keys|\n",
	} {
		if l, err := Read(KnownHosts, []byte(src)); err != nil || lines(l) != want {
			t.Errorf("%s: %v, %s; want %s", src, err, lines(l), want)
		}
	}
}
