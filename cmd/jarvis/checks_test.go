package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/lab/real"
)

// plugins of Debian's monitoring-plugins-basic, each with what it must say of a host of the lab; "": any status will
// do, what it looks for is not there. ADDRESS is the host's, WEBPORT a web server's,
// IRCPORT an IRC server's.
var plugins = []struct{ line, want string }{
	{"check_apt -t 10", ""},
	{"check_by_ssh -H ADDRESS -o BatchMode=yes -o StrictHostKeyChecking=yes -C true -t 5", "UNKNOWN"},
	{"check_clamd -H ADDRESS -p 1 -t 2", "CRITICAL"},
	{"check_cluster -s -l web -d 0,0,2 -c 2", "OK"},
	{"check_dhcp -s 127.0.0.1 -t 1 -i lo", ""},
	{"check_disk -w 1% -c 1% -p /", "OK"},
	{"check_dummy 2 'no room'", "CRITICAL"},
	{"check_file_age -w 999999999 -c 9999999999 -f /etc/hosts", "OK"},
	{"check_ftp -H ADDRESS -p 22 -t 3", ""},
	{"check_host -H 127.0.0.1 -n 2", ""},
	{"check_http -H 127.0.0.1 -p WEBPORT", "OK"},
	{"check_icmp -H 127.0.0.1 -n 2", ""},
	{"check_ide_smart -d /dev/null", ""},
	{"check_imap -H ADDRESS -p 1 -t 2", "CRITICAL"},
	{"check_ircd -H 127.0.0.1 -p IRCPORT -w 100 -c 200", ""},
	{"check_jabber -H ADDRESS -p 1 -t 2", "CRITICAL"},
	{"check_load -w 1000,1000,1000 -c 2000,2000,2000", "OK"},
	{"check_log -F /etc/hosts -O /tmp/hosts.old -q nobody", ""},
	{"check_mrtg -F /root/mrtg.log -a AVG -v 1 -w 1 -c 2", ""},
	{"check_mrtgtraf -F /root/mrtg.log -a AVG -w 1,1 -c 2,2", ""},
	{"check_nagios -F /etc/hosts -e 5 -C init", ""},
	{"check_nntp -H ADDRESS -p 1 -t 2", "CRITICAL"},
	{"check_nntps -H ADDRESS -p 1 -t 2", "CRITICAL"},
	{"check_nt -H ADDRESS -p 1 -v CLIENTVERSION -t 2", ""},
	{"check_ntp_peer -H 127.0.0.1 -t 2", ""},
	{"check_ntp_time -H 127.0.0.1 -t 2", ""},
	{"check_nwstat -H ADDRESS -p 1 -v UPTIME -t 2", ""},
	{"check_overcr -H ADDRESS -p 1 -v LOAD1 -w 1 -c 2 -t 2", ""},
	{"check_ping -H 127.0.0.1 -w 100,50% -c 200,90% -p 1 -t 5", ""},
	{"check_pop -H ADDRESS -p 1 -t 2", "CRITICAL"},
	{"check_procs -w 1: -c 1:", "OK"},
	{"check_real -H ADDRESS -p 1 -t 2", "CRITICAL"},
	{"check_rta_multi -H 127.0.0.1 -n 2", ""},
	{"check_sensors", ""},
	{"check_simap -H ADDRESS -p 1 -t 2", "CRITICAL"},
	{"check_smtp -H ADDRESS -p 22 -t 3", ""},
	{"check_spop -H ADDRESS -p 1 -t 2", "CRITICAL"},
	{"check_ssh -H ADDRESS", "OK"},
	{"check_ssmtp -H ADDRESS -p 1 -t 2", "CRITICAL"},
	{"check_swap -w 1% -c 1%", ""},
	{"check_tcp -H ADDRESS -p 22", "OK"},
	{"check_time -H ADDRESS -p 1 -t 2", "UNKNOWN"},
	{"check_udp -H ADDRESS -p 1 -s a -e b -t 2", "CRITICAL"},
	{"check_ups -H ADDRESS -p 1 -u ups -t 2", "CRITICAL"},
	{"check_users -w 50 -c 100", "OK"},
}

// checkSite is a server with checks of real hosts, and an IRC server.
type checkSite struct {
	*row
	conf, dir, url string
	alice          *real.IRCClient
	log            *real.Buffer
	t              *testing.T
}

func newCheckSite(t *testing.T, hosts, net int, defs string) *checkSite {
	t.Helper()
	s := &checkSite{row: newRow(t, hosts, net), dir: t.TempDir(), t: t}
	ircd := must[*real.IRCd](t)(real.StartIRCd())
	t.Cleanup(ircd.Stop)
	_, ircPort, _ := strings.Cut(ircd.Addr, ":")
	t.Chdir(s.dir) // the default, ./jarvis.yaml: what it names is relative too
	s.conf = "./jarvis.yaml"
	s.write("jarvis.yaml", fmt.Sprintf(`
data: ./data
listen: 127.0.0.1:0
limit: {burst: 1000}
chat:
  - irc: {server: %q, tls: true, ca: %q, nick: jarvis, channels: ["#ops"], rate: {burst: 10, interval: 100ms}}
people:
  - {name: alice, irc: "nick:alice", roles: [deploy, run]}
  - {name: victor, irc: "nick:victor", roles: [view]}
checks: {dir: ./checks.d, plugins: ./plugins, gather: 2s, host: {retry: 2s}}
`, ircd.TLS, ircd.CA))
	s.write("checks.d/site.yaml", strings.ReplaceAll(defs, "IRCPORT", ircPort))
	s.write("plugins/check_flag", "#!/bin/sh\n[ ! -e /flag ] || { echo \"FLAG $1 - $(cat /flag) | flags=1;;0\"; exit 2; }\necho \"FLAG OK | flags=0;;0\"\n")
	if err := os.Chmod(filepath.Join(s.dir, "plugins/check_flag"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, s.log = serveInProcess(t, s.conf)
	m := regexp.MustCompile(`the API is served" address=(\S+)`).FindStringSubmatch(s.log.String())
	if m == nil {
		t.Fatal(s.log)
	}
	s.url = "http://" + m[1]
	s.alice = must[*real.IRCClient](t)(real.DialIRC(t.Context(), ircd.Addr, "alice", "#ops"))
	t.Cleanup(s.alice.Close)
	s.hear(`jarvis.*JOIN|353 .*jarvis`)
	return s
}

func (s *checkSite) write(name, text string) {
	s.t.Helper()
	name = filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *checkSite) hear(pattern string) string {
	s.t.Helper()
	l, err := s.alice.Wait(pattern, 60*time.Second)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.log)
	}
	if i := strings.Index(l, "PRIVMSG"); i >= 0 {
		s.t.Log(l[i:])
	}
	return l
}

// ask says something to the bot, and hears its answer.
func (s *checkSite) ask(line, answer string) string {
	s.t.Helper()
	s.alice.Say("#ops", "jarvis: "+line)
	return s.hear(`alice: ` + answer)
}

func (s *checkSite) cli(args ...string) string {
	s.t.Helper()
	code, out, errs := jarvis(s.t, "", append([]string{"--config", s.conf}, args...)...)
	if code != 0 {
		s.t.Fatalf("%v: exit %d: %s", args, code, errs)
	}
	return out
}

func (s *checkSite) api(method, path, body string, header ...string) (int, string) {
	s.t.Helper()
	out := strings.Fields(s.cli("token", "new", fmt.Sprint(time.Now().UnixNano()), "for", "alice"))
	api := &apiSite{url: s.url}
	code, _, text := api.call(s.t, method, path, out[0], body, header...)
	return code, text
}

// TestRealPlugins runs Debian's monitoring plugins on an OpenSSH host.
func TestRealPlugins(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "welcome") }))
	t.Cleanup(web.Close)
	port := web.URL[strings.LastIndexByte(web.URL, ':')+1:]
	var defs strings.Builder
	defs.WriteString("tasks:\n")
	want := map[string]string{}
	for _, p := range plugins {
		line := strings.NewReplacer("ADDRESS", "127.98.0.1", "WEBPORT", port).Replace(p.line)
		name, _, _ := strings.Cut(line, " ")
		want[name] = p.want
		fmt.Fprintf(&defs, "  - {name: %s, command: %q, schedule: '@every 12h', timeout: 20s, attempts: 1}\n", name, "/usr/lib/nagios/plugins/"+line)
	}
	defs.WriteString("host_tasks: [{tasks: ['check_*'], hosts: [web1]}]\n")
	s := newCheckSite(t, 1, 98, defs.String())
	s.inside(t, 1, "printf '946684800 10 20\n946684800 10 20 30 40\n' > /root/mrtg.log; ln -s /proc/mounts /etc/mtab")
	var got struct{ Data []checks.View }
	if err := contract.Unmarshal([]byte(s.cli("check", "run", "check_*", "on", "web1", "--json")), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Data) != len(plugins) || len(plugins) < 40 {
		t.Fatalf("%d of %d plugins ran", len(got.Data), len(plugins))
	}
	values := 0
	for _, v := range got.Data {
		if v.At.IsZero() || v.Line == "" || v.Exit > 3 {
			t.Errorf("%s: exit %d: %q", v.Task, v.Exit, v.Line)
		}
		if w := want[v.Task]; w != "" && v.Word != w {
			t.Errorf("%s is %s, want %s: %s", v.Task, v.Word, w, v.Line)
		}
		list, garbled := model.ParsePerf(v.Perfdata)
		if garbled != "" && v.Word != "UNKNOWN" { // a usage may have a | too
			t.Errorf("%s: its performance data has %q", v.Task, garbled)
		}
		values += len(list)
		t.Logf("%-9s %-15s %s | %s", v.Word, v.Task, v.Line, v.Perfdata)
	}
	if values < 20 {
		t.Errorf("only %d values in all", values)
	}
}

// TestChecksInChat is what people see: problems of many hosts in one line, acknowledgement, downtime, a host that goes
// away, a definition that changes, an action.
func TestChecksInChat(t *testing.T) {
	told := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e struct{ Task, Host, On, Word string }
		_ = json.NewDecoder(r.Body).Decode(&e)
		told <- e.Word + " " + e.Task + " " + e.Host + " " + e.On
	}))
	t.Cleanup(hook.Close)
	s := newCheckSite(t, 3, 99, fmt.Sprintf(`
hosts:
  - {name: web1, groups: [web]}
  - {name: web2, groups: [web]}
  - {name: web3, groups: [web]}
tasks:
  - {name: flag, plugin: check_flag, args: ["a  b; $(reboot)"], schedule: "@every 1s", attempts: 2}
  - {name: mend, command: "pkill -f 'mend[e]d.json'; rm -f /mend; echo mended $JARVIS_EVENT $JARVIS_EVENT_TASK $JARVIS_EVENT_HOST $JARVIS_EVENT_STATUS \"$JARVIS_EVENT_OUTPUT\" >> /mended; cat >> /mended.json"}
  - {name: mendable, command: "test ! -e /mend", schedule: "@every 1s", attempts: 1, expect: {exit: [0]}}
host_tasks:
  - {tasks: [flag, mendable], hosts: ["@web"]}
contacts:
  - {name: ops, channel: "#ops"}
actions:
  - {name: tell, notify: [ops]}
  - {name: mend, on: [problem], tasks: [mendable], task: mend}
  - {name: hook, on: [problem, recovery], tasks: [flag], hosts: [web1], webhook: %q}
`, hook.URL+"/secret-path"))
	heard := func(want string) {
		t.Helper()
		select {
		case got := <-told:
			if got != want {
				t.Errorf("the webhook was told %q, want %q", got, want)
			}
		case <-time.After(30 * time.Second):
			t.Errorf("the webhook was not told %q", want)
		}
	}
	s.cli("check", "run", "*", "on", "@web")
	s.ask("checks", `all 6 are OK on 3 hosts`)
	// The plugin was brought, and its arguments reached no shell.
	if got := s.inside(t, 1, "ls /root/.jarvis/plugins/*/"); got != "check_flag\n" {
		t.Errorf("%q", got)
	}
	for i := range 3 {
		s.inside(t, i+1, "echo red > /flag")
	}
	s.hear(`PRIVMSG #ops :flag is CRITICAL on 3 hosts: web\[1-3\]\. .checks flag.`)
	heard("CRITICAL flag web1 problem")
	s.ask("checks", `3 of 6 checks on 3 hosts are not OK`)
	s.hear(`alice: CRITICAL flag on web1, for .*: FLAG a  b; \$\(reboot\) - red`)
	s.ask("ack flag on @web for 2h because I am painting", `I say no more of flag on web1, flag on web2, flag on web3 until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+ or until it is OK`)
	s.ask("check show flag on web2", `CRITICAL flag on web2, for .* \(acknowledged by alice: I am painting\): FLAG`)
	s.hear(`alice: values: flags=1;;0`)
	for i := range 3 {
		s.inside(t, i+1, "rm /flag")
	}
	s.hear(`PRIVMSG #ops :flag is OK again on 3 hosts: web\[1-3\]`)
	heard("OK flag web1 recovery")

	// An action mends what is broken, on that host alone.
	s.inside(t, 2, "touch /mend")
	s.hear(`PRIVMSG #ops :mendable is CRITICAL on web2: exit 1`)
	s.hear(`PRIVMSG #ops :mendable is OK again on web2`)
	if got := s.read(2, "mended"); got != "mended problem mendable web2 CRITICAL exit 1\n" {
		t.Errorf("it was mended so: %q", got)
	}
	var about struct{ Action, Host, Task, Word, Line string }
	if got := s.read(2, "mended.json"); json.Unmarshal([]byte(got), &about) != nil || about.Action != "mend" || about.Host != "web2" || about.Task != "mendable" || about.Word != "CRITICAL" || about.Line != "exit 1" {
		t.Errorf("it read on stdin %q", got)
	}
	if got := s.read(1, "mended"); !strings.HasPrefix(got, "! ") {
		t.Error("web1 was mended too")
	}
	if out := s.cli("check", "actions"); !strings.Contains(out, "mend, problem of mendable on web2: done") || strings.Contains(out, "secret-path") {
		t.Error(out)
	}

	// A host goes away: one line, and one when it is back.
	s.hosts[2].Off()
	s.hear(`PRIVMSG #ops :web3 cannot be reached: .*refused`)
	s.ask("checks web3", `3 of 3 checks are not OK`)
	if err := s.hosts[2].On(); err != nil {
		t.Fatal(err)
	}
	s.hear(`PRIVMSG #ops :web3 answers again`)

	// Silence.
	s.ask("check silence flag on web1 for 1h", `I say nothing of flag on web1 until .*; .check unsilence 1. ends that`)
	s.inside(t, 1, "echo blue > /flag")
	s.inside(t, 2, "echo blue > /flag")
	s.hear(`PRIVMSG #ops :flag is CRITICAL on web2: FLAG`)
	s.ask("check unsilence 1", `downtime 1 is over; what is wrong now is said`)
	s.hear(`PRIVMSG #ops :flag is CRITICAL on web1: FLAG`)

	// Files are read again when they change; what is wrong in them leaves what ran.
	s.write("checks.d/more.yaml", "tasks: [{name: up, command: uptime}]\nhost_tasks: [{tasks: [up], hosts: [web1]}]\n")
	for range 300 {
		if strings.Contains(s.cli("check", "list"), "7 checks") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.cli("check", "run", "up", "on", "web1")
	s.write("checks.d/more.yaml", "tasks: [{name: up, comand: uptime}]\n")
	for range 300 {
		if strings.Contains(s.cli("check", "list"), "trouble: ") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if out := s.cli("check", "list"); !strings.Contains(out, `trouble: `) || !strings.Contains(out, `more.yaml, line 1: `) || !strings.Contains(out, "comand") {
		t.Error(out)
	}
	s.write("checks.d/more.yaml", "")

	// Programs.
	if code, text := s.api("GET", "/v1/checks?status=problem", ""); code != 200 || !strings.Contains(text, `"task":"flag","host":"web1"`) || strings.Contains(text, `"mendable"`) {
		t.Error(code, text)
	}
	if code, text := s.api("GET", "/v1/checks/web1/flag", "", "Accept", "application/xml"); code != 200 || !strings.Contains(text, "<task>flag</task>") {
		t.Error(code, text)
	}
	if code, text := s.api("GET", "/v1/checks-results?task=flag&host=web1&limit=3", ""); code != 200 || strings.Count(text, `"due"`) != 3 {
		t.Error(code, text)
	}
	if code, text := s.api("PUT", "/v1/checks-definitions/task/load", `{"definition": "{command: cat /proc/loadavg, attempts: 1}"}`); code != 200 {
		t.Error(code, text)
	}
	if code, text := s.api("PUT", "/v1/checks-definitions/task/load", `{"definition": {"command": "cat /proc/loadavg", "attempts": 1, "timeout": "5s"}}`); code != 200 {
		t.Error(code, text)
	}
	if code, text := s.api("GET", "/v1/checks-definitions?kind=task", ""); code != 200 || !strings.Contains(text, `"definition":{"attempts":1,"command":"cat /proc/loadavg","timeout":"5s"}`) {
		t.Error(code, text)
	}
	if code, text := s.api("PUT", "/v1/checks-definitions/action/evil", `{"definition": "{webhook: 'http://127.0.0.1/'}"}`); code != 400 || !strings.Contains(text, "for files only") {
		t.Error(code, text)
	}
	if code, text := s.api("GET", "/v1/checks-metrics", ""); code != 200 || !strings.Contains(text, `jarvis_check_value{host="web1",label="flags",task="flag",unit=""} 1`) || !strings.Contains(text, `jarvis_check_status{host="web3",task="flag"}`) {
		t.Error(code, text)
	}

	// Clients of Alf.
	if code, text := s.api("GET", "/alf/ping/", ""); code != 200 || text != "pong" {
		t.Error(code, text)
	}
	if code, text := s.api("POST", "/alf/host/", `{"Hostname":"127.99.0.3","Port":22,"Username":"root","Tasks":["load"]}`); code != 201 {
		t.Error(code, text)
	}
	if code, text := s.api("POST", "/alf/host/", `<Host><Hostname>h</Hostname><Password>x</Password></Host>`, "Content-Type", "application/xml"); code != 400 || !strings.Contains(text, "authorize this server's key") {
		t.Error(code, text)
	}
	code, text := s.api("GET", "/alf/host/", "", "Accept", "application/xml")
	var hosts []struct{ Id, Hostname string }
	dec := xml.NewDecoder(strings.NewReader(text))
	for {
		var h struct{ Id, Hostname string }
		if dec.Decode(&h) != nil {
			break
		}
		hosts = append(hosts, h)
	}
	if code != 200 || len(hosts) != 4 || hosts[3].Id != "127.99.0.3" {
		t.Errorf("%d %+v\n%s", code, hosts, text)
	}
	if out := s.cli("check", "run", "load", "on", "127.99.0.3"); !strings.HasPrefix(out, "OK load on 127.99.0.3") {
		t.Error(out)
	}
}

// TestChecksOnPostgres has the same on the other database, through a restart.
func TestChecksOnPostgres(t *testing.T) {
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	url := must[string](t)(pg.Database(t.Context()))
	newRow(t, 1, 102)
	conf := filepath.Join(t.TempDir(), "jarvis.yaml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `
database: %q
listen: ""
checks:
  gather: 1s
  keep: {count: 3}
  tasks:
    - {name: load, command: /usr/lib/nagios/plugins/check_load -w 1000 -c 2000, schedule: "@every 1s"}
    - {name: bad, command: exit 2, schedule: "@every 1s", attempts: 1}
  actions: [{name: mend, on: [problem], task: load}]
  host_tasks: [{tasks: [load, bad], hosts: [web1]}]
`, url), 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(want string, args ...string) {
		t.Helper()
		code, out, errs := jarvis(t, "", append([]string{"--config", conf}, args...)...)
		if code != 0 || !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%v: exit %d, %s%s, want %s", args, code, out, errs, want)
		}
	}
	stop, log := serveInProcess(t, conf)
	do(`^OK load on web1`, "check", "run", "load", "on", "web1")
	do(`^CRITICAL bad on web1`, "check", "run", "bad", "on", "web1")
	do(`I say no more of bad on web1`, "ack", "bad", "on", "web1", "for", "2h")
	do(`I say nothing of web1`, "check", "silence", "web1", "for", "1h")
	if err := os.WriteFile(filepath.Join(filepath.Dir(conf), "up.yaml"), []byte("command: uptime\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	do(`task up counts now`, "check", "define", "task", "up", filepath.Join(filepath.Dir(conf), "up.yaml"))
	for range 600 {
		if _, out, _ := jarvis(t, "", "--config", conf, "check", "history", "load", "on", "web1", "last", "100"); strings.Count(out, "OK load") >= 6 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	do(`mend, problem of bad on web1: done`, "check", "actions")
	stop()
	_, again := serveInProcess(t, conf)
	do(`acknowledged by`, "check", "show", "bad", "on", "web1")
	do(`1: \* on web1 until`, "check", "downtimes")
	do(`task up \(by`, "check", "defined")
	for range 600 {
		if _, out, _ := jarvis(t, "", "--config", conf, "check", "metrics", "load", "on", "web1"); strings.Contains(out, "load15: mean") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	do(`load1: mean .* lowest .* highest .* values\)`, "check", "metrics", "load", "on", "web1")
	do(`bad on web1`, "check", "history", "is", "problem")
	do(`task up is gone`, "check", "undefine", "task", "up")
	for _, l := range []*real.Buffer{log, again} {
		if strings.Contains(l.String(), "level=ERROR") {
			t.Error(l)
		}
	}
}
