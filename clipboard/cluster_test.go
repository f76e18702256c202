package clipboard

import (
	"strings"
	"testing"
)

const threeHosts = `# the shop
x-common: &common
  guestid: Debian 12
  size: 512
instances:
  - hostname: web1     # the first
    provider: Linode
    <<: *common
    datacenter: Atlanta
  - {hostname: web2, provider: EC2, guestid: Debian 12, size: t3.micro}
  - hostname: web3
    provider: ESX
    <<: *common
    size: 1024
    peers: ["${web1.ipaddress}", "tcp://${web2.ipaddress}:80"]
    token: !secret hush-hush
barriers: [dns:update_host]
on_failure: undo
owner: alice
`

func TestClusterIsTakenApart(t *testing.T) {
	c, err := Parse([]byte(threeHosts))
	if err != nil {
		t.Fatal(err)
	}
	cl, err := c.Cluster()
	if err != nil {
		t.Fatal(err)
	}
	if cl.Name != "web" || cl.OnFailure != UndoAll || len(cl.Members) != 3 || cl.Barriers[0] != "dns:update_host" {
		t.Errorf("cluster = %+v", cl)
	}
	if got := cl.Members[0].Text(); !strings.Contains(got, "hostname: web1 # the first") || !strings.Contains(got, "guestid: Debian 12") || !strings.Contains(got, "owner: alice") || strings.Contains(got, "&") || strings.Contains(got, "x-common") {
		t.Errorf("web1:\n%s", got)
	}
	if got := cl.Members[1].Get("size"); got != "t3.micro" {
		t.Errorf("size of web2 = %q", got)
	}
	m := cl.Members[2]
	if got := m.Get("size"); got != "1024" {
		t.Errorf("size of web3 = %q: its own comes before the merged one", got)
	}
	if s, err := m.Secret("token"); err != nil || string(s) != "hush-hush" {
		t.Errorf("token = %v, %v", s, err)
	}
	refs := m.Refs()
	if len(refs) != 2 || refs[0] != (Ref{"peers", "web1", "ipaddress"}) || refs[1] != (Ref{"peers", "web2", "ipaddress"}) {
		t.Fatalf("refs = %v", refs)
	}
	for _, r := range refs {
		if err := m.Put(r, "2001:db8::7"); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := m.Strings("peers"); strings.Join(got, " ") != "2001:db8::7 tcp://2001:db8::7:80" {
		t.Errorf("peers = %q", got)
	}
}

// An attack: a host that was broken into gives itself a key with a comment that a shell or YAML would read.
func TestPutRefusesWhatAShellOrYAMLWouldRead(t *testing.T) {
	for _, v := range []string{"", "$(reboot)", "a; reboot", "a`id`", "a\nsteps: [x:y]", "a: b", "a'b", `a"b`, "*x", "&x", "!secret x", "a #b", "x:", "a|b", "a>b", "{a}", "[a]", "~root", "-rf", strings.Repeat("a", 5000)} {
		c, err := Parse([]byte("instance:\n  hostname: web2\n  provider: EC2\n  commands: [\"echo ${web1.root_pubkey}\"]\n"))
		if err != nil {
			t.Fatal(err)
		}
		before := c.Text()
		if err := c.Put(c.Refs()[0], v); err == nil || c.Text() != before {
			t.Errorf("Put(%q) = %v:\n%s", v, err, c.Text())
		}
	}
}

func TestClusterErrorsSayWhichHostAndWhere(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"no list":           {"instances: web1\n", "line 1, column 12: `instances` must be a list of hosts"},
		"both":              {"instance:\n  hostname: a\ninstances:\n- hostname: b\n", "both `instance` and `instances`"},
		"bad member":        {"instances:\n- hostname: web1\n  provider: ESX\n- hostname: web_2\n  provider: ESX\n", `line 4: host 2 (web_2): "hostname" is wrong: "web_2" is not a host name`},
		"not a host":        {"instances:\n- web1\n", "line 2: host 1: must be a mapping"},
		"twice":             {"instances:\n- {hostname: web1, provider: ESX}\n- {hostname: web1, provider: EC2}\n", "line 3: web1 is here a second time; the first is in line 2"},
		"unknown policy":    {"on_failure: panic\ninstances:\n- {hostname: web1, provider: ESX}\n", "`on_failure` is \"panic\" (hold, undo or continue)"},
		"nameless":          {"instances:\n- {hostname: web, provider: ESX}\n- {hostname: db, provider: ESX}\n", "write `cluster: NAME` at the top"},
		"named like a host": {"instances:\n- {hostname: web, provider: ESX}\n- {hostname: web2, provider: ESX}\n", "both called web"},
		"bad name":          {"cluster: My Web\ninstances:\n- {hostname: web1, provider: ESX}\n", "`cluster` is \"My Web\""},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Parse([]byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Cluster(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want %q", err, tc.want)
			}
		})
	}
}
