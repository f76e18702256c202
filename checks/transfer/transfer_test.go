package transfer

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/checks/nagios"
)

const company = "../nagios/testdata/company"

// carry reads a tree, and makes definitions of it, which must be right.
func carry(t *testing.T, dir string, o Options) (Result, *model.Defs) {
	t.Helper()
	tree, err := nagios.Read(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err := FromNagios(t.Context(), tree, o)
	if err != nil {
		t.Fatal(err)
	}
	return r, right(t, r)
}

// right gives the definitions of what was made, which must be right.
func right(t *testing.T, r Result) *model.Defs {
	t.Helper()
	d, err := model.ReadDefs(r.YAML)
	if err == nil {
		err = d.Check("")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, r.YAML)
	}
	return d
}

// source carries objects over.
func source(t *testing.T, text string) (Result, *model.Catalog) {
	t.Helper()
	r, err := FromNagios(t.Context(), nagios.Parse("a.cfg", []byte(text)), Options{From: "probe"})
	if err != nil {
		t.Fatal(err)
	}
	d := right(t, r)
	c, err := model.NewCatalog(d, model.Record{}, "")
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

func notes(r Result, dir string) string {
	var out []string
	for _, n := range r.Notes {
		out = append(out, strings.TrimPrefix(n.String(), dir+"/"))
	}
	return strings.Join(out, "\n")
}

// TestEachAttributeHasAFate: what a tree says is carried over, means nothing, is overridden, or a note with its file
// and line tells of it.
func TestEachAttributeHasAFate(t *testing.T) {
	for _, dir := range []string{company, "/etc/nagios4"} {
		r, _ := carry(t, dir, Options{})
		n := r.Counts
		if n.Attributes == 0 || n.Carried+n.Without+n.Overridden+n.Listed != n.Attributes {
			t.Errorf("%s: %+v", dir, n)
		}
		for _, note := range r.Notes {
			if note.File == "" || note.What == "" || note.Why == "" {
				t.Errorf("%s: %+v", dir, note)
			}
			if strings.Contains(note.Why, "not known what it means") {
				t.Errorf("%s: %s", dir, note)
			}
		}
	}
}

// TestWhatIsReadFromOutsideIsListed: in a copy of a tree, what is not there is read from this machine.
func TestWhatIsReadFromOutsideIsListed(t *testing.T) {
	here, copied := t.TempDir(), t.TempDir()
	for file, text := range map[string]string{
		filepath.Join(here, "objects", "a.cfg"): "define host {\n\thost_name a\n}\n", filepath.Join(here, "conf.d", "b.cfg"): "define host {\n\thost_name b\n}\n",
		filepath.Join(here, "conf.d", "c.cfg"): "define host {\n\thost_name c\n}\n", filepath.Join(copied, "a.cfg"): "define host {\n\thost_name a-copy\n}\n",
		filepath.Join(copied, "nagios.cfg"): "cfg_file=" + here + "/objects/a.cfg\ncfg_dir=" + here + "/conf.d\n",
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, d := carry(t, copied, Options{})
	want := "nagios.cfg:2: " + here + "/conf.d: it stands outside of " + copied + ", and was read (2 files); copy it there too if another machine's is meant"
	if got := notes(r, copied); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if len(d.Hosts) != 3 || d.Hosts[0].Name != "a-copy" {
		t.Errorf("the hosts are %+v", d.Hosts)
	}
}

// TestACompanyMoves looks at what runs afterwards, check by check.
func TestACompanyMoves(t *testing.T) {
	r, d := carry(t, company, Options{From: "probe"})
	c, err := model.NewCatalog(d, model.Record{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Unclear)+len(c.Idle) > 0 {
		t.Error(c.Unclear, c.Idle)
	}
	plan := func(task, host string) model.Plan {
		t.Helper()
		p, ok := c.Plans[model.Key{Task: task, Host: host}]
		if !ok {
			t.Fatalf("there is no %s on %s in\n%s", task, host, r.YAML)
		}
		return p
	}
	for _, w := range []struct{ task, host, from, command string }{
		{"PING", "gw1", "probe", `/usr/lib/nagios/plugins/check_ping -H "$JARVIS_ADDRESS" -w 100.0,20% -c 500.0,60% -p 5`},
		{"Disk-root", "files", "", `/usr/lib/nagios/plugins/check_disk -w "$JARVIS_VAR_arg1" -c "$JARVIS_VAR_arg2" -p /`},
		{"Load", "web3", "", `/usr/lib/nagios/plugins/check_load -w "$JARVIS_VAR_load" -c 20,15,10`},
		{"HTTPS-certificate", "web3", "probe", `/usr/lib/nagios/plugins/check_http -I "$JARVIS_ADDRESS" -S -C 14!7`},
		{"Queue", "mail", "probe", `/etc/nagios/plugins/check_jobs 'Queue' "$JARVIS_VAR_host_alias" --limit 100 ; echo done`},
		{"Uplink", "sw2", "probe", `/usr/lib/nagios/plugins/check_snmp -H "$JARVIS_ADDRESS" -C public -o ifInErrors.1 -w "$JARVIS_VAR_warn" -c "$JARVIS_VAR_crit"`},
	} {
		p := plan(w.task, w.host)
		if p.Def.Command != w.command || p.Def.From != w.from {
			t.Errorf("%s from %q: %s\nwant from %q: %s", p.Key, p.Def.From, p.Def.Command, w.from, w.command)
		}
	}
	for host, want := range map[string]string{"files": "5%", "web1": "20%", "db2": "20%"} {
		if got := plan("Disk-root", host).Vars["arg1"]; got != want {
			t.Errorf("the disk of %s warns at %s, want %s", host, got, want)
		}
	}
	if w, s := plan("Load", "web3").Vars["load"], plan("Uplink", "sw2").Vars["warn"]; w != "10,8,6" || s != "70" {
		t.Errorf("%s %s", w, s)
	}
	load, users := plan("Load", "db1"), plan("Users", "db1")
	if load.Attempts != 5 || users.Attempts != 3 || users.Def.Schedule != "@every 5m" || users.Def.Retry.Minutes() != 1 || users.Def.Timeout.Minutes() != 1 || plan("Disk-root", "db1").Def.Timeout.Seconds() != 20 {
		t.Errorf("%+v %+v", load.Def, users.Def)
	}
	for _, none := range []model.Key{{Task: "Load", Host: "mail"}, {Task: "Updates", Host: "db1"}, {Task: "Clock", Host: "sw1"}} {
		if _, there := c.Plans[none]; there {
			t.Errorf("%s is too much", none)
		}
	}
	if diff := cmp.Diff([]string{"linux", "web", "servers"}, c.Hosts["web1"].Groups); diff != "" || c.Hosts["web1"].Address != "192.0.2.11" {
		t.Error(diff, c.Hosts["web1"])
	}
	for _, want := range []string{
		"resource.cfg:4: $USER3$: its value stands in commands of the new file now; if it is a secret, keep that file from others as this one was",
		"objects/commands.cfg:25: check_by_ssh -l nagios: Jarvis has one connection to a host, with one login; write USER@ADDRESS as address of the hosts, or let Jarvis's key into its own login there",
		"objects/services/apps.cfg:6: event_handler restart_httpd: what follows on a result is an action here, with a task; write a task that does it, and actions: [{on: [problem], tasks: […], task: …}]",
		"objects/services/linux.cfg:7: service Disk /: a name here is of letters, digits, dots, dashes and underscores; it is called Disk-root now",
		"objects/templates.cfg:66: service template unused-service: nothing uses it",
		"objects/escalations.cfg:32: hostdependency: hosts depend on their parents only; write parents of the dependent host, if the other one is on the way to it",
	} {
		if !slices.Contains(strings.Split(notes(r, company), "\n"), want) {
			t.Errorf("this is not told: %s\ntold is:\n%s", want, notes(r, company))
		}
	}
}

// TestWhoIsTold looks at whom a company's problems reach, and when.
func TestWhoIsTold(t *testing.T) {
	_, d := carry(t, company, Options{From: "probe"})
	c, err := model.NewCatalog(d, model.Record{}, "")
	if err != nil {
		t.Fatal(err)
	}
	told := func(task, host string) string {
		var out []string
		for _, r := range c.Rules {
			if r.Covers(model.Key{Task: task, Host: host}) {
				words := []string{strings.Join(r.Notify, "+")}
				if len(r.Status) > 0 {
					words = append(words, "of "+strings.Join(r.Status, ","))
				}
				if r.After > 0 {
					words = append(words, "after "+r.After.String())
				}
				if r.Every > 0 {
					words = append(words, "every "+r.Every.String())
				}
				if r.Period != "" {
					words = append(words, "in "+r.Period)
				}
				if on := strings.Join(r.On, ","); on != "problem,change,recovery" {
					words = append(words, "on "+on)
				}
				out = append(out, strings.Join(words, " "))
			}
		}
		slices.Sort(out)
		return strings.Join(out, "; ")
	}
	for k, want := range map[model.Key]string{
		{Task: "PING", Host: "gw1"}:               "alice+bob every 1h0m0s",
		{Task: "HTTP", Host: "web1"}:              "alice+bob every 1h0m0s; carol of critical every 1h0m0s; duty after 2h0m0s every 30m0s on ",
		{Task: "HTTPS-certificate", Host: "web3"}: "alice+bob after 30m0s every 1h0m0s; carol of critical after 30m0s every 1h0m0s",
		{Task: "Load", Host: "db1"}:               "alice+bob of critical every 1h0m0s",
		{Task: "Updates", Host: "web1"}:           "alice+bob",
		{Task: "Users", Host: "web1"}:             "",
		{Task: "Clock", Host: "web1"}:             "",
		{Task: "host", Host: "web1"}:              "alice+bob every 2h0m0s",
		{Task: "host", Host: "db2"}:               "alice+bob every 2h0m0s; carol every 2h0m0s",
		{Task: "host", Host: "gw1"}:               "alice+bob every 2h0m0s; alice+bob+carol after 2h0m0s every 1h0m0s",
	} {
		if got := told(k.Task, k.Host); got != want {
			t.Errorf("%s: %s, want %s", k, got, want)
		}
	}
	periods := map[string]string{}
	for _, x := range d.Contacts {
		periods[x.Name] = x.Mail + " " + x.Period
	}
	if diff := cmp.Diff(map[string]string{"alice": "alice@example.org ", "bob": "bob@example.org office", "carol": "carol@example.org ", "duty": "duty@example.org "}, periods); diff != "" {
		t.Error(diff)
	}
}

// TestCalendarsAndDependencies looks at when checks run, and what hides them.
func TestCalendarsAndDependencies(t *testing.T) {
	r, d := carry(t, company, Options{From: "probe"})
	when := map[string]string{}
	for _, p := range d.Periods {
		when[p.Name] = strings.Join(p.When, "; ") + " but " + strings.Join(p.Except, ",")
	}
	if diff := cmp.Diff(map[string]string{
		"office":   "mon-thu 08:00-18:00; fri 08:00-12:00,13:00-17:00; december 24 08:00-12:00 but holidays",
		"holidays": "january 1 00:00-24:00; december 25 - december 26 00:00-24:00; monday 1 september 00:00-24:00; 2027-03-26 - 2027-03-29 00:00-24:00 but ",
		"nights":   "mon-sun 00:00-06:00,22:00-24:00; day -1 off; day 1 - day 15 / 5 02:00-03:00 but ",
	}, when); diff != "" {
		t.Error(diff)
	}
	c, err := model.NewCatalog(d, model.Record{}, "")
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range map[model.Key][]model.Link{
		{Task: "HTTP", Host: "web2"}:      {{Key: model.Key{Task: "PostgreSQL", Host: "db1"}}},
		{Task: "Disk-root", Host: "db1"}:  {{Key: model.Key{Task: "SSH", Host: "db1"}, Skip: true}},
		{Task: "Load", Host: "files"}:     {{Key: model.Key{Task: "SSH", Host: "files"}, Skip: true}},
		{Task: "PING", Host: "web1"}:      nil,
		{Task: "PostgreSQL", Host: "db1"}: nil,
	} {
		if diff := cmp.Diff(want, c.Links[k]); diff != "" {
			t.Errorf("%s: %s", k, diff)
		}
	}
	backup := c.Plans[model.Key{Task: "Backup", Host: "db1"}]
	if !backup.Def.Passive || backup.Def.Fresh.Hours() != 25 || backup.Attempts != 1 {
		t.Errorf("%+v in\n%s", backup.Def, r.YAML)
	}
	for name, want := range map[string]string{"gw1": "ping []", "db1": "tcp:5432 [sw1 sw2]", "web3": "ping [sw2]"} {
		if h := c.Hosts[name]; h.Alive+" ["+strings.Join(h.Parents, " ")+"]" != want {
			t.Errorf("%s is %s %s, want %s", name, h.Alive, h.Parents, want)
		}
	}
	if p := c.Plans[model.Key{Task: "HTTP", Host: "web1"}].Def.Period; p != "office" {
		t.Errorf("HTTP is checked in %q", p)
	}
}

// TestWhatLeadsRoundIsCut: Nagios refuses it, and so do definitions; all else is carried over.
func TestWhatLeadsRoundIsCut(t *testing.T) {
	r, c := source(t, `
define host {
	host_name a
	parents b
	}
define host {
	host_name b
	parents a
	}
define command {
	command_name c
	command_line x
	}
define service {
	host_name a
	service_description s
	check_command c
	check_period p
	}
define service {
	host_name a
	service_description t
	check_command c
	}
define servicedependency {
	host_name a
	service_description s
	dependent_service_description t
	notification_failure_criteria w,u,c
	}
define servicedependency {
	host_name a
	service_description t
	dependent_service_description s
	notification_failure_criteria w,u,c
	}
define timeperiod {
	timeperiod_name p
	february 30 00:00-24:00
	monday 09:00-17:00
	exclude p
	}
`)
	for _, want := range []string{"a.cfg:8: parents a: the host b would be behind itself; it was left out", "over s it would depend on itself, as a task; it was left out",
		"a.cfg:39: p: february 30 00:00-24:00: ", "a.cfg:18: check_period p: except names p, which is an exception of itself by that; it is at any time here"} {
		if !strings.Contains(notes(r, "."), want) {
			t.Errorf("this is not told: %s\ntold is:\n%s", want, notes(r, "."))
		}
	}
	if len(c.Plans) != 2 || len(c.Hosts["a"].Parents) != 1 || len(c.Links) != 1 {
		t.Errorf("%v %v %v", c.Plans, c.Hosts, c.Links)
	}
}

func TestLinesForTheShell(t *testing.T) {
	for name, c := range map[string]struct{ command, call, want string }{
		"bare":                      {"x -H $HOSTADDRESS$", "", `x -H "$JARVIS_ADDRESS"`},
		"in single quotes":          {"x -H '$HOSTADDRESS$'", "", `x -H "$JARVIS_ADDRESS"`},
		"amid single quotes":        {"x 'a $HOSTADDRESS$ b'", "", `x 'a '"$JARVIS_ADDRESS"' b'`},
		"in double quotes":          {`x "a $HOSTADDRESS$_b"`, "", `x "a ${JARVIS_ADDRESS}_b"`},
		"an argument that is words": {"x $ARG1$", "!-a 1 -b 2", "x -a 1 -b 2"},
		"an argument with a macro":  {"x $ARG1$", "!-u $HOSTNAME$", "x -u web1"},
		"an argument that is none":  {"x $ARG1$ $ARG2$", "!a", "x a"},
		"of the host":               {"x $_HOSTA$ '$_HOSTB$'", "", `x "$JARVIS_VAR_a" "$JARVIS_VAR_b"`},
		"of the host, for a shell":  {"x $_HOSTB$", "", "x two words"},
		"of the service":            {"x $_SERVICEC$ $SERVICEDESC$", "", "x 3 s"},
		"a variable of the shell":   {"X=1; x $$X", "", "X=1 ; x $X"},
		"by ssh":                    {`check_by_ssh -H $HOSTADDRESS$ -t 9 -C "x -w '$_HOSTA$' $HOSTADDRESS$"`, "", `x -w "$JARVIS_VAR_a" 192.0.2.1`},
		"by ssh, another host":      {`check_by_ssh -H 192.0.2.9 -C "x"`, "", `check_by_ssh -H 192.0.2.9 -C "x"`},
		"by ssh, over another":      {`check_by_ssh -H $_HOSTA$ -C "check_ping -H $HOSTADDRESS$"`, "", `check_by_ssh -H "$JARVIS_VAR_a" -C "check_ping -H $JARVIS_ADDRESS"`},
		"by ssh, over another's":    {`check_by_ssh -H $HOSTADDRESS$.other -C "x"`, "", `check_by_ssh -H "$JARVIS_ADDRESS".other -C "x"`},
		"by ssh, in an argument":    {`check_by_ssh -H $ARG1$ -C "x"`, "!$HOSTADDRESS$", `x`},
		"by ssh, amid a word":       {`check_by_ssh -H $HOSTNAME$ -C "x $HOSTADDRESS$_y"`, "", `x 192.0.2.1_y`},
		"by ssh, words":             {`check_by_ssh -H $HOSTADDRESS$ -C "x $_HOSTB$"`, "", `x two words`},
		"by ssh, words in quotes":   {`check_by_ssh -H $HOSTADDRESS$ -C "x '$_HOSTB$'"`, "", `x "$JARVIS_VAR_b"`},
		"by ssh, and more":          {`check_by_ssh -H $HOSTADDRESS$ -C x | cat`, "", `check_by_ssh -H "$JARVIS_ADDRESS" -C x | cat`},
	} {
		t.Run(name, func(t *testing.T) {
			_, cat := source(t, `
define host {
	host_name web1
	address 192.0.2.1
	_A 1
	_B two words
	}
define command {
	command_name c
	command_line `+strings.ReplaceAll(c.command, ";", ` \;`)+`
	}
define service {
	host_name web1
	service_description s
	check_command c`+c.call+`
	_C 3
	}
`)
			if got := cat.Plans[model.Key{Task: "s", Host: "web1"}].Def.Command; got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestHostsOfOthersAreNotTold: who was told of all hosts of Nagios is told of those, and not of all that are on record.
// What a passive service loses on the way has a line.
func TestHostsOfOthersAreNotTold(t *testing.T) {
	for attempts, told := range map[string]bool{"1": false, "3": true, "some": true} {
		text := "define contact {\n contact_name alice\n email alice@example.org\n host_notification_commands n\n service_notification_commands n\n}\ndefine command {\n command_name n\n command_line mail $CONTACTEMAIL$\n}\n"
		for _, h := range []string{"a", "b"} {
			text += "define host {\n host_name " + h + "\n contacts alice\n}\ndefine service {\n host_name " + h + "\n service_description s\n active_checks_enabled 0\n max_check_attempts " + attempts + "\n}\n"
		}
		r, c := source(t, text)
		for k, want := range map[model.Key]bool{{Task: "host", Host: "a"}: true, {Task: "host", Host: "b"}: true, {Task: "host", Host: "other"}: false, {Task: "s", Host: "a"}: true} {
			if got := slices.ContainsFunc(c.Rules, func(x *model.Rule) bool { return x.Covers(k) }); got != want {
				t.Errorf("%s is told: %v\n%s", k, got, r.YAML)
			}
		}
		if got := strings.Contains(notes(r, "."), "max_check_attempts "+attempts+": a result that is delivered is believed at once here"); got != told {
			t.Errorf("max_check_attempts %s: told is:\n%s", attempts, notes(r, "."))
		}
	}
}

// TestCriteriaOfDependencies: what Nagios would tell of is not hidden without a word.
func TestCriteriaOfDependencies(t *testing.T) {
	const out, more = "no problem of the other counts by its failure criteria", "what depends is told of all the same"
	for _, c := range []struct {
		criteria string
		links    int
		skip     bool
		note     string // "": none of a dependency
	}{
		{"", 0, false, out},
		{"execution_failure_criteria n\n notification_failure_criteria n", 0, false, out},
		{"execution_failure_criteria none", 0, false, out},
		{"execution_failure_criteria c,n\n notification_failure_criteria o", 0, false, out},
		{"notification_failure_criteria w,u,c", 1, false, ""},
		{"execution_failure_criteria n\n notification_failure_criteria w,u,c", 1, false, ""},
		{"execution_failure_criteria w,u,c\n notification_failure_criteria w,u,c", 1, true, ""},
		{"execution_failure_criteria w,u,c\n notification_failure_criteria n", 1, true, more},
		{"execution_failure_criteria w,u,c", 1, true, more},
		{"execution_failure_criteria w,c\n notification_failure_criteria w,u,c", 1, true, "failure criteria w,c: here any problem of the other that is believed counts"},
	} {
		r, cat := source(t, "define host {\n host_name a\n}\ndefine command {\n command_name c\n command_line x\n}\ndefine service {\n host_name a\n service_description s\n check_command c\n}\n"+
			"define service {\n host_name a\n service_description t\n check_command c\n}\n"+
			"define servicedependency {\n host_name a\n service_description s\n dependent_service_description t\n "+c.criteria+"\n}\n")
		links := cat.Links[model.Key{Task: "t", Host: "a"}]
		if len(links) != c.links || c.links > 0 && links[0].Skip != c.skip {
			t.Errorf("%q: it depends on %v", c.criteria, links)
		}
		if got := notes(r, "."); !strings.Contains(got, c.note) || c.note == "" && strings.Contains(got, "criteria") {
			t.Errorf("%q: told is:\n%s", c.criteria, got)
		}
		if n := r.Counts; n.Carried+n.Without+n.Overridden+n.Listed != n.Attributes {
			t.Errorf("%q: %+v", c.criteria, n)
		}
	}
}

// TestBySSHOfManyHosts: what is run is what Nagios had run, on the same machine, also where hosts differ.
func TestBySSHOfManyHosts(t *testing.T) {
	const note = "check_by_ssh -H 192.0.2.9 in c: it is not the host that the check is about, web1; it is run as it was, with its own SSH; or write a task that runs on 192.0.2.9 (from) without check_by_ssh"
	for name, c := range map[string]struct {
		line         string
		calls, wants [2]string
		froms        [2]string
		told         bool
	}{
		"a command":                  {`check_by_ssh -H $HOSTADDRESS$ -C "$ARG1$"`, [2]string{"!check_disk -w 10%", "!check_disk -w 20%"}, [2]string{"check_disk -w 10%", "check_disk -w 20%"}, [2]string{}, false},
		"a command in single quotes": {`check_by_ssh -H $HOSTADDRESS$ -C '$ARG1$ -v'`, [2]string{"!check_disk -w 10%", "!check_disk -w 20%"}, [2]string{"check_disk -w 10% -v", "check_disk -w 20% -v"}, [2]string{}, false},
		"a word":                     {`check_by_ssh -H $HOSTADDRESS$ -C "$ARG1$"`, [2]string{"!check_a", "!check_b"}, [2]string{`"$JARVIS_VAR_arg1"`, `"$JARVIS_VAR_arg1"`}, [2]string{}, false},
		"words in quotes of its own": {`check_by_ssh -H $HOSTADDRESS$ -C "x '$ARG1$'"`, [2]string{"!a b", "!c d"}, [2]string{`x "$JARVIS_VAR_arg1"`, `x "$JARVIS_VAR_arg1"`}, [2]string{}, false},
		"its own address":            {`check_by_ssh -H $ARG1$ -C "x"`, [2]string{"!192.0.2.1", "!192.0.2.2"}, [2]string{"x", "x"}, [2]string{}, false},
		"over others": {`check_by_ssh -H $ARG1$ -C "check_ping -H $HOSTADDRESS$"`, [2]string{"!192.0.2.9", "!192.0.2.2"},
			[2]string{`check_by_ssh -H "$JARVIS_VAR_arg1" -C "check_ping -H $JARVIS_ADDRESS"`, "check_ping -H 192.0.2.2"}, [2]string{"probe", ""}, true},
	} {
		t.Run(name, func(t *testing.T) {
			text := "define command {\n command_name c\n command_line " + c.line + "\n}\n"
			for i, call := range c.calls {
				host := fmt.Sprint("web", i+1)
				text += "define host {\n host_name " + host + "\n address 192.0.2." + fmt.Sprint(i+1) + "\n}\ndefine service {\n host_name " + host + "\n service_description s\n check_command c" + call + "\n}\n"
			}
			r, cat := source(t, text)
			for k, p := range cat.Plans {
				i := int(k.Host[3] - '1')
				if p.Def.Command != c.wants[i] || p.Def.From != c.froms[i] || p.Vars["arg1"] != "" && !strings.Contains(p.Def.Command, "arg1") {
					t.Errorf("%s: %s from %q with %v, want %s from %q", k, p.Def.Command, p.Def.From, p.Vars, c.wants[i], c.froms[i])
				}
			}
			if told := strings.Contains(notes(r, "."), note); told != c.told || len(cat.Plans) != 2 {
				t.Errorf("told is:\n%s", notes(r, "."))
			}
		})
	}
}

// TestWhatCannotBeCarried names the place of each, and what to do.
func TestWhatCannotBeCarried(t *testing.T) {
	r, _ := source(t, `
define host {
	host_name web 1
	frobnicate 3
	}
define service {
	host_name web 1
	service_description no such command
	check_command none
	}
define service {
	host_name web 1
	service_description once
	check_command c
	check_interval 0
	_UNUSED 5
	}
define command {
	command_name c
	command_line x $SERVICESTATE$ $USER9$
	}
`)
	got := notes(r, ".")
	for _, want := range []string{
		"a.cfg:2: host web 1: a name here is of letters, digits, dots, dashes and underscores; it is called web-1 now",
		"a.cfg:4: frobnicate 3: it is not known what it means; see docs/howto/checks.md for what there is",
		"a.cfg:6: service no such command: there is no command none; it was left out",
		"a.cfg:11: $USER9$ in once: no resource file defines it; copy the resource file too, or write the value into the task",
		"a.cfg:15: check_interval 0: Nagios runs it once only; here it runs once a day",
		"a.cfg:16: _UNUSED 5: no command names this variable; write it into vars, if something else needs it",
		"a.cfg:18: $SERVICESTATE$ in c: it is known only while Nagios runs; it was left empty; look at the task's command",
	} {
		if !slices.Contains(strings.Split(got, "\n"), want) {
			t.Errorf("this is not told: %s\ntold is:\n%s", want, got)
		}
	}
}

// TestMacrosThatMeanNothing: each has a line, and nothing of it is left for the shell.
func TestMacrosThatMeanNothing(t *testing.T) {
	const host = "define host {\nhost_name h\n}\ndefine command {\ncommand_name c\ncommand_line x $ARG1$ $ARG33$ $ARG0$ $ARGX$ $ARG2$ y\n}\n"
	r, cat := source(t, host+"define service {\nhost_name h\nservice_description s\ncheck_command c!a$ARG1$b"+strings.Repeat("!", 31)+"!z\n}\n")
	got := notes(r, ".")
	for _, want := range []string{
		"a.cfg:6: $ARG33$ in c: Nagios has $ARG1$ to $ARG32$; it was left empty; look at the task's command",
		"a.cfg:6: $ARG0$ in c: Nagios has $ARG1$ to $ARG32$; it was left empty; look at the task's command",
		"a.cfg:6: $ARGX$ in c: Nagios has $ARG1$ to $ARG32$; it was left empty; look at the task's command",
		"a.cfg:11: $ARG1$ in check_command of s: an argument within an argument means nothing; it was left empty; write into check_command what is meant, or look at the task's command",
	} {
		if !slices.Contains(strings.Split(got, "\n"), want) {
			t.Errorf("this is not told: %s\ntold is:\n%s", want, got)
		}
	}
	if got := strings.Join(strings.Fields(cat.Plans[model.Key{Task: "s", Host: "h"}].Def.Command), " "); got != "x ab y" {
		t.Errorf("the line is %s", got)
	}
}

const escalating = `
define command {
	command_name by-mail
	command_line mail $CONTACTEMAIL$
	}
define contact {
	contact_name alice
	email alice@example.org
	service_notification_options w,u,c,r
	host_notification_options d,r
	service_notification_commands by-mail
	}
define contact {
	contact_name boss
	email boss@example.org
	service_notification_options c,r
	host_notification_options d,r
	service_notification_commands by-mail
	}
define command {
	command_name c
	command_line x
	}
define host {
	host_name web1
	}
define service {
	host_name web1
	service_description load
	check_command c
	contacts alice
	notification_interval 0
	}
define serviceescalation {
	host_name web1
	service_description load
	contacts boss
	first_notification FIRST
	}
`

// TestWhatIsToldOnceIsNotEscalated: with an interval of 0 there is no second notification. Who is of the first one is
// told at once.
func TestWhatIsToldOnceIsNotEscalated(t *testing.T) {
	for first, want := range map[string]int{"1": 2, "2": 1} {
		r, c := source(t, strings.ReplaceAll(escalating, "FIRST", first))
		if len(c.Rules) != want {
			t.Errorf("an escalation from notification %s on: %d actions, want %d\n%s", first, len(c.Rules), want, r.YAML)
		}
		note := "a.cfg:38: first_notification 2: notification_interval is 0, so Nagios tells once and never comes to it; the escalation was left out"
		if told := strings.Contains(notes(r, "."), note); told != (first == "2") {
			t.Errorf("of an escalation from notification %s on is told:\n%s", first, notes(r, "."))
		}
	}
}

// TestOptionsOfAContactAreKnown: also of one who is told of services alone.
func TestOptionsOfAContactAreKnown(t *testing.T) {
	r, _ := source(t, strings.ReplaceAll(escalating, "FIRST", "1"))
	if got := notes(r, "."); strings.Contains(got, "not known what it means") {
		t.Error(got)
	}
}

// FuzzFromNagios: whatever objects say, what is made of them is right, and each attribute has a fate.
func FuzzFromNagios(f *testing.F) {
	// Short ones: the fuzzer spends its time on making long ones shorter.
	f.Add("define contact {\ncontact_name a\nemail a@b\nservice_notification_commands n\n}\ndefine command {\ncommand_name n\ncommand_line $CONTACTEMAIL$\n}\ndefine host {\nhost_name h\ncontacts a\nnotification_options d,r\n}")
	f.Add("define host {\nhost_name h\n}\ndefine command {\ncommand_name c\ncommand_line check_by_ssh -H $HOSTADDRESS$ -l x -C 'y $_SERVICEZ$'\n}\ndefine service {\nname t\nhost_name *\nservice_description s\ncheck_command c\n_Z 1\n}\ndefine service {\nuse t\nservice_description t\n_Z 2\n}")
	f.Add("define host {\nhost_name h\n}\ndefine service {\nhost_name h\nservice_description s\ncheck_command c\n}\ndefine serviceescalation {\nhost_name h\nservice_description s\nfirst_notification 2\n}\ndefine servicedependency {\nhost_name h\nservice_description s\ndependent_service_description s\n}")
	f.Add("define host {\nhost_name a\n_X '\n}\ndefine command {\ncommand_name c\ncommand_line x '$_HOSTX$' \"$ARG1$\"\n}\ndefine service {\nhost_name a\nservice_description host\ncheck_command c!\x01\n}\n")
	f.Add("define timeperiod {\ntimeperiod_name p\nmonday 09:00-17:00\nexclude p\n}\ndefine host {\nhost_name a\nparents a\ncheck_command c\n}\ndefine service {\nhost_name a\nservice_description s\ncheck_period p\nactive_checks_enabled 0\n}")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := FromNagios(t.Context(), nagios.Parse("a.cfg", []byte(text)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		right(t, r)
		if n := r.Counts; n.Carried+n.Without+n.Overridden+n.Listed != n.Attributes {
			t.Fatalf("%+v", n)
		}
	})
}
