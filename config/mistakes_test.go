package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// wrongLine is a line of a configuration, and what must be told of it; "" for one that is right.
type wrongLine struct{ text, want string }

// everyMistake is a configuration with a mistake in almost every line.
var everyMistake = []wrongLine{
	{`name: two words`, `name is "two words"; it must be one word`},
	{`data: /proc/nope`, `data is /proc/nope, which cannot be: no folder can be made in /proc`},
	{`datta: x`, `there is no key "datta" here; did you mean "data"?`},
	{`database: mysql://x`, `database must be postgres://…`},
	{`socket: {mode: "0777", group: no-such-group-here}`, `socket.mode is "0777"; it must be 0600, 0660 or 0666|socket.group: there is no group "no-such-group-here"`},
	{`listen: "0.0.0.0:99999"`, `listen is "0.0.0.0:99999"; it must be host:port`},
	{`age_key: AGE-SECRET-KEY-1NOPE`, `age_key: `},
	{`runs: -3`, `runs is -3; it must not be negative`},
	{`drain: soon`, `drain must be a duration as in 30s or 5m`},
	{`log: {format: xml, level: loud}`, `log.format is "xml"; it must be one of text, json|log.level is "loud"`},
	{`http:`, ``},
	{`  url: jarvis.example.org`, `http.url is "jarvis.example.org"; it must be like https://jarvis.example.org`},
	{`  plain: perhaps`, `http.plain must be true or false`},
	{`  tls: {cert: no.pem, key: no.key}`, `http.tls.cert: stat |http.tls.key: stat `},
	{`  trusted_proxies:`, ``},
	{`    - 10.0.0.0/8`, ``},
	{`    - proxy.example.org`, `http.trusted_proxies[1]: "proxy.example.org" is neither an address nor a network`},
	{`    - 0.0.0.0/0`, `http.trusted_proxies[2]: "0.0.0.0/0" is everybody`},
	{`    - 10.0.0.0/99`, `"10.0.0.0/99" is neither`},
	{`  oidc:`, ``},
	{`    issuer: http://login.example.org`, `http.oidc.issuer is "http://login.example.org"; without https`},
	{`    clientt: jarvis`, `there is no key "http.oidc.clientt" here; did you mean "client"?`},
	{`    client: ""`, `http.oidc.client is not set`},
	{`    secret: "${NO_SUCH_SECRET}"`, `${NO_SUCH_SECRET} is not set in the environment`},
	{`    ca: no-login-ca.pem`, `http.oidc.ca cannot be read`},
	{`    claim: email`, `http.oidc.claim is "email", which people may write themselves`},
	{`    scopes: [a b]`, `http.oidc.scopes[0] is "a b"; it must be one word`},
	{`    roles: {ops: [view, god]}`, `http.oidc.roles.ops[1]: the group has the role "god"`},
	{`limit: {burst: -3, interval: -1s}`, `limit.burst is -3|limit.interval is -1s; it must not be negative`},
	{`approvals:`, ``},
	{`  expires: 1 day`, `approvals.expires must be a duration`},
	{`  of: true`, `there is no key "approvals.of" here; there are expires, off`},
	{`chat:`, ``},
	{`  - irc:`, ``},
	{`      server: irc.example.org`, `chat[0].irc.server is "irc.example.org"; it must be host:port`},
	{`      channels: [ops]`, `chat[0].irc.channels: "ops" is not a channel; write it with its #`},
	{`      sasl: {user: x, password: "${NO_SUCH_PASSWORD}"}`, `${NO_SUCH_PASSWORD} is not set in the environment|chat[0].irc.sasl without tls`},
	{`      rate: {burst: many}`, `chat[0].irc.rate.burst must be a whole number`},
	{`  - irc: {server: "irc.example.org:99999", tls: true, ca: no-ca.pem}`, `chat[1].irc.server is "irc.example.org:99999"|chat[1].irc.ca cannot be read`},
	{`  - xmpp: {jid: jarvis, server: x, rooms: [ops]}`, `chat[2].xmpp.jid is "jarvis"; it must be user@domain|chat[2].xmpp.server is "x"|chat[2].xmpp.rooms: "ops" is not a room`},
	{`  - matrix: {homeserver: "http://x", user: jarvis, password: secret-enough, rooms: [ops]}`, `chat[3].matrix.homeserver is "http://x"; it must be https://host|chat[3].matrix.user is "jarvis"; it must be a full user id|chat[3].matrix.rooms: "ops" is not a room`},
	{`  - {}`, `chat[4]: entry 5 must name one network`},
	{`mail: {server: smtp.example.org, tls: none, user: jarvis, from: nobody}`, `mail.server is "smtp.example.org"; it must be host:port|mail.from is "nobody"|mail.user and password belong together`},
	{`notices:`, ``},
	{`  - {to: "#opps"}`, ``}, // of chat nobody knows, while it is wrong
	{`  - {to: "https://hooks.example.org/x", secret: short, ca: no-hook-ca.pem, events: [failed, fialed]}`, `notices[1].secret has less than 16 bytes|notices[1].ca cannot be read|notices[1].events[1] is "fialed"; there are failures, people, warnings, news, all, begins, postponed, lapsed, proposed`},
	{`  - {to: "http://hooks.example.org/x", quiet: "22:00-22:00", loud: [everything], summary: 8}`, `notices[2].to is a URL without https|notices[2].quiet is "22:00-22:00"; it ends when it begins|notices[2].loud[0] is "everything"|notices[2].summary: "8" is no time of the day`},
	{`  - {to: "ops@example.org", quiet: "25:00–07:00", zone: Mars/Olympus}`, `notices[3].quiet is "25:00–07:00"|notices[3].zone is "Mars/Olympus"`},
	{`  - {to: "https:///", secret: "0123456789abcdef", loud: [news]}`, `notices[4].to is no URL|notices[4].loud is set, but quiet is not`},
	{`  - {events: [ready]}`, `notices[5] has no to`},
	{`  - {to: "https://hooks.example.org/y", secret: "0123456789abcdef"}`, ``},
	{`  - {to: "https://hooks.example.org/y"}`, `notices[7].secret or ca differs`},
	{`people:`, ``},
	{`  - {name: alice, irc: alice, roles: [deploy]}`, ``},
	{`  - {name: Alice, xmpp: alice@example.org}`, `people[1].name: two entries are named alice and Alice`},
	{`  - {name: bob, irc: alice, roles: [god, deploy]}`, `people[2].roles[0]: bob has the role "god"; there are view, deploy, run, admin|people[2].irc: alice and bob are both irc alice`},
	{`  - {irc: nobody}`, `people[3] has no name`},
	{`  - {name: eve, xmpp: eve, matrix: "eve:example.org", local: "a b"}`, `people[4].xmpp is "eve"; it must be a bare JID|people[4].matrix is "eve:example.org"; it must be a full user id|people[4].local is "a b"`},
	{`  - {name: "oidc:eve", oidc: a}`, `people[5].name is "oidc:eve"; names that begin with oidc:`},
	{`  - {name: kim, oidc: a}`, `people[6].oidc: oidc:eve and kim are both oidc a`},
	{`  - {name: lee, oidc: "a "}`, `people[7].oidc has characters that nobody sees`},
	{`  - {name: "local:eve"}`, `people[8].name is "local:eve"; names that begin with local:`},
	{`sources:`, ``},
	{`  urls:`, ``},
	{`    - gist.github.com`, `sources.urls[0]: "gist.github.com" is not the start of an http:// or https:// URL`},
	{`drift: {every: 1ms, at_once: -1}`, `drift.every is 1ms|drift.at_once is -1`},
	{`keep: {events: 5, runs: -3d, audit: 20d, notices: 1h, timings: 400 d}`, `keep.events must be a duration as in 30s or 5m, or in whole days as in 400d|keep.runs is -3d; it must not be negative|keep.audit is 20d, which is less than 30d|keep.notices is 1h, which is less than 1d|keep.timings must be a duration`},
	{`workers:`, ``},
	{`  linode: {token: "${file:no-token}", url: ftp://x}`, `${file:no-token} cannot be read|workers.linode[0].url is "ftp://x"`},
	{`  ec2:`, ``},
	{`    - {account: a, access_key: "${credential:no-key}", arch: mips}`, `${credential:no-key} cannot be read|workers.ec2[0].arch is "mips"; x86_64 or arm64`},
	{`    - {account: b, endpoint: nowhere, regoin: eu}`, `workers.ec2[1].endpoint is "nowhere"|there is no key "workers.ec2[1].regoin" here; did you mean "region"?`},
	{`  esx: {url: "https://vcenter/sdk", ca: no-esx.pem}`, `workers.esx[0].url names no user|workers.esx[0].ca: stat `},
	{`  libvirt: {url: "xen:///", type: vbox}`, `workers.libvirt[0].url is "xen:///"|workers.libvirt[0].type is "vbox"; kvm or qemu`},
	{`  dns:`, ``},
	{`    server: "ns1:x"`, `workers.dns.server is "ns1:x"`},
	{`    ttl: -5`, `workers.dns.ttl must be a whole number`},
	{`    reverse: no`, `workers.dns.reverse is "no"; off, try or must`},
	{`    tsig: {name: k, secret: not-base64, algorithm: md5}`, `workers.dns.tsig.secret must be base64|workers.dns.tsig.algorithm is "md5"`},
	{`    zones:`, ``},
	{`      prod.example: {}`, `workers.dns.zones.prod.example names neither`},
	{`      "a b": {server: ns2}`, `workers.dns.zones.a b: "a b" is not a zone's name`},
	{`  ldap: {url: "http://x", base: nowhere, bind_dn: cn=x}`, `workers.ldap.url is "http://x"|workers.ldap.base is "nowhere"|workers.ldap.bind_dn is set, but password is not`},
	{`  monitor: {icinga: {url: icinga, ca: no-icinga.pem}, longest: -1h}`, `workers.monitor.icinga.url is "icinga"|workers.monitor.longest is -1h`},
	{`  keys: {gitolite: {admin: "https://git", key: no-git-key}, github: {url: "::"}}`, `workers.keys.gitolite.admin is "https://git"|workers.keys.gitolite.key: stat |workers.keys.github.url is "::"`},
	{`  ssh: {port: 99999, user: "a b", key: no-ssh-key}`, `workers.ssh.port is 99999; a port is from 1 to 65535|workers.ssh.user is "a b"`},
	{`  external: {dir: no-steps, timeout: forever}`, `workers.external.dir is |workers.external.timeout must be a duration`},
	{`  converge: {dir: no-programs}`, `workers.converge.dir is `},
	{`tasks:`, ``},
	{`  - {name: x}`, `tasks[0] has no repo`},
	{`  - {repo: "git@x:y.git", every: often, where: there, env: a/b}`, `tasks[1].every is "often"|tasks[1].where is "there"; it is local or ssh|tasks[1].env is "a/b"`},
	{`checks:`, ``},
	{`  catch_up: perhaps`, `checks.catch_up is "perhaps"; it is skip or once`},
	{`  schedules:`, ``},
	{`    - {name: never, when: "0 0 30 2 *"}`, `checks.schedules[0]: schedule never: "0 0 30 2 *" never comes`},
	{`  tasks:`, ``},
	{`    - {name: load, command: w, schedule: "TZ=Europe/Atlantis 0 6 * * *"}`, `checks.tasks[0]: task load: "TZ=Europe/Atlantis 0 6 * * *": there is no zone "Europe/Atlantis"`},
	{`    - {name: disk, schedule: "@every 1ms"}`, `it has either a command or a plugin; "1ms" is no time of at least 1s`},
	{`    - {name: re, command: w, expect: {output: "("}}`, `expect.output`},
	{`    - {name: again, use: again, command: w}`, `task again: it uses itself: again uses again`},
	{`    - {name: lacks, command: "w $JARVIS_VAR_warn"}`, ``},
	{`  host_tasks:`, ``},
	{`    - {tasks: [lacks], hosts: [loki]}`, `host_tasks (lacks on loki): nobody sets warn for lacks on loki; write it into vars`},
	{`    - {tasks: [nothing], hosts: ["*"]}`, `there is no task nothing`},
	{`  periods:`, ``},
	{`    - {name: office, when: ["mon-fri 8-18"]}`, `checks.periods[0]: period office: "mon-fri 8-18": "8-18" is no time of a day; write 08:00-18:00`},
	{`  contacts:`, ``},
	{`    - {name: a, person: alice, mail: alice@example.org}`, `checks.contacts[0]: contact a names one of person, channel, mail, command and webhook`},
	{`    - {name: b, mail: alice}`, `checks.contacts[1]: contact b has the mail "alice"; it is an address`},
	{`    - {name: c, command: [sms]}`, `checks.contacts[2]: contact c has the command "sms"; it begins with the whole path`},
	{`    - {name: d, command: [/nowhere/sms]}`, `checks.contacts[3]: contact d has a command that is not there`},
	{`  actions:`, ``},
	{`    - {name: tell, notify: [nobody]}`, `there is no contact nobody`},
	{`pipelines:`, ``},
	{`  deploy:`, ``},
	{`    esx: ["keys:creat", "toy:make", "ssh:wait", "sp:deploy"]`, `pipelines.deploy.esx[1]: no worker here offers the step "toy:make"`}, // of keys and esx nobody knows, while they are wrong
	{`  destory: {}`, `pipelines.destory: no verb takes a pipeline of that name`},
	{`runs: 5`, `runs is there twice, in line 8 as well`},
}

// TestEveryMistakeIsToldAtOnce: one reading tells all that is wrong, each in its line, and nothing else.
func TestEveryMistakeIsToldAtOnce(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "") // empty: there are none
	var text strings.Builder
	want := map[int][]string{}
	n := 0
	for i, l := range everyMistake {
		fmt.Fprintln(&text, l.text)
		if l.want != "" {
			want[i+1] = strings.Split(l.want, "|")
			n += len(want[i+1])
		}
	}
	file := filepath.Join(t.TempDir(), "jarvis.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Verify(file)
	var got Errors
	if !errors.As(err, &got) {
		t.Fatalf("Verify = %v", err)
	}
	for _, e := range got {
		if e.File != file || e.Line == 0 {
			t.Errorf("without its place: %v", e)
		}
		found := false
		for i, w := range want[e.Line] {
			if !found && strings.Contains(e.Msg, w) {
				want[e.Line] = append(want[e.Line][:i:i], want[e.Line][i+1:]...)
				found = true
			}
		}
		if !found {
			t.Errorf("not expected: line %d (%s): %s", e.Line, strings.TrimSpace(everyMistake[max(e.Line-1, 0)].text), e.Msg)
		}
	}
	for line, list := range want {
		for _, w := range list {
			t.Errorf("not told: line %d (%s): %s", line, everyMistake[line-1].text, w)
		}
	}
	if n < 60 {
		t.Errorf("there are %d mistakes only", n)
	}
	t.Logf("%d mistakes expected, %d told", n, len(got))
}

// TestAHashInYAML: what begins with # is a comment, and the parser says something else of it.
func TestAHashInYAML(t *testing.T) {
	for _, text := range []string{"chat:\n  - irc: {server: \"i:1\", channels: [#ops]}\n", "chat:\n  - irc:\n      server: i:1\n      channels: [#ops]\n", "chat: [{irc: {channels: [#ops, #dev]}}]"} {
		_, err := Parse("x.yaml", []byte(text), func(string) (string, bool) { return "", false })
		if err == nil || !strings.Contains(err.Error(), `a # that is no comment needs quotes, as in ["#ops"]`) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestDaysAreShown as they are written.
func TestDaysAreShown(t *testing.T) {
	c, err := Parse("jarvis.yaml", []byte("keep: {events: 400d}\ndrain: 90m\n"), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	if s, err := c.Show(); err != nil || !strings.Contains(s, "events: 400d") || !strings.Contains(s, "drain: 1h30m\n") {
		t.Errorf("%v\n%s", err, s)
	}
}

func TestDaysAreRead(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	c, err := Parse("jarvis.yaml", []byte("keep: {events: 400d, runs: 800d}\ndrain: 1d\n"), none)
	if err != nil || c.Keep.Events != 400*day || c.Keep.Runs != 800*day || c.Drain != day {
		t.Errorf("Parse = %+v, %v", c, err)
	}
	if _, err := Parse("jarvis.yaml", []byte("keep: {events: 800d, runs: 400d}\n"), none); err == nil || !strings.Contains(err.Error(), "keep.events is longer than keep.runs") {
		t.Errorf("events that outlive their runs: %v", err)
	}
	if _, err := Parse("jarvis.yaml", []byte("keep: {runs: 99999999999d}\n"), none); err == nil {
		t.Error("a time that no duration holds is taken")
	}
}

// TestARouteToNowhere: when chat is right, a route to a room that it does not have is a mistake, and so is one of which
// nobody can tell which of two it means.
func TestARouteToNowhere(t *testing.T) {
	const chat = "chat:\n  - irc: {server: \"a.example.org:6667\", channels: [\"#ops\", \"#dev\"]}\n  - irc: {server: \"b.example.org:6667\", channels: [\"#ops\"]}\n  - xmpp: {jid: jarvis@example.org, password: hunter22, rooms: [ops@rooms.example.org]}\n"
	for _, c := range []struct{ to, want string }{
		{"#dev", ""},
		{"#Dev", ""},
		{"irc/b.example.org:6667 #ops", ""},
		{"ops@rooms.example.org", ""},
		{"#ops", `notices[0].to is "#ops", which is in irc/a.example.org:6667 and in irc/b.example.org:6667; write it as "irc/a.example.org:6667 #ops"`},
		{"#opps", `notices[0].to is "#opps", which is no channel or room of chat (there are #ops, #dev, #ops, ops@rooms.example.org), no address of mail and no URL`},
		{"dev@rooms.example.org", `which is no channel or room of chat`},
		{"alice@example.org", `notices[0].to is an address of mail, and mail.server is not set`},
	} {
		file := filepath.Join(t.TempDir(), "jarvis.yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, "%snotices:\n  - {to: %q}\n", chat, c.to), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Verify(file)
		if got := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(got, c.want) && c.want != "" {
			t.Errorf("to %s: %s", c.to, got)
		}
	}
}

// A contact of checks is told by mail, and no server takes any: the server would start, and its mails would wait a day
// and go.
func TestAMailThatNobodyTakes(t *testing.T) {
	for server, want := range map[string]string{"": "checks.contacts[0]: contact alice is told by mail, and mail.server is not set", "mail: {server: \"smtp.example.org:587\", from: jarvis@example.org}\n": ""} {
		file := filepath.Join(t.TempDir(), "jarvis.yaml")
		if err := os.WriteFile(file, []byte(server+"checks: {contacts: [{name: alice, mail: alice@example.org}]}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(file); want == "" && err != nil || !strings.Contains(fmt.Sprint(err), want) && want != "" {
			t.Errorf("%q: %v", server, err)
		}
	}
}
