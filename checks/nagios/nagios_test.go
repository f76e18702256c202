package nagios

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parse reads one file of objects, as the tests and the fuzzer write it.
func parse(src string) *Tree { return Parse("a.cfg", []byte(src)) }

func faults(t *Tree) []string {
	var out []string
	for _, f := range t.Faults {
		out = append(out, f.String())
	}
	return out
}

// values gives what a service comes to, as text.
func values(o *Object, names ...string) string {
	var out []string
	for _, n := range names {
		v, ok := o.Get(n)
		if !ok {
			out = append(out, n+"-")
			continue
		}
		out = append(out, n+"="+v.Text)
	}
	return strings.Join(out, " ")
}

func TestLinesAreThoseOfNagios(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"a comment after a value":           {"define host {\nhost_name a ; the first\n}", "host_name=a"},
		"a semicolon that is none":          {`define host {` + "\n" + `host_name a\;b` + "\n}", "host_name=a;b"},
		"a comment of its own":              {"# all\n  # hosts\ndefine host{\n#host_name b\nhost_name a\n}", "host_name=a"},
		"a hash in a value":                 {"define host{\nhost_name a#1\n}", "host_name=a#1"},
		"a line that goes on":               {"define host{\nhost_name a\\\n   b\\\n\tc\n}", "host_name=abc"},
		"two backslashes are one":           {"define host{\nhost_name a\\\\\n}", `host_name=a\`},
		"carriage returns":                  {"define host {\r\n host_name\ta\r\n}\r\n", "host_name=a"},
		"a comment that goes on":            {"define host{\n# no \\\nhost_name b\nhost_name a\n}", "host_name=a"},
		"a comment after the closing brace": {"define host{\nhost_name a\n} ; done", "host_name=a"},
		"a mark of byte order":              {"\ufeffdefine host{\nhost_name a\n}", "host_name=a"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := parse(c.src)
			if got := faults(tr); len(got) > 0 {
				t.Error(got)
			}
			if len(tr.Objects) != 1 {
				t.Fatalf("there are %d objects", len(tr.Objects))
			}
			if got := values(tr.Objects[0], "host_name"); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestWhatIsWrongIsToldWithItsPlace(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"no such type":           {"define hosst {\n}\n", `a.cfg:1: there is no object "hosst" in Nagios; nothing of it was taken`},
		"not closed":             {"\ndefine host {\nhost_name a\n", "a.cfg:2: the host is not closed by }; the end of the file was taken for it"},
		"one in another":         {"define host {\nhost_name a\ndefine host {\nhost_name b\n}", "a.cfg:3: a definition begins in the host of line 1, which is not closed; it was closed here"},
		"outside":                {"host_name a\n", `a.cfg:1: "host_name a" stands in no definition; it was passed over`},
		"no brace":               {"define host\nhost_name a\n}", "a.cfg:1: the { is missing after the type; it was taken as there"},
		"twice":                  {"define host {\nhost_name a\nalias b\nalias c\n}", "a.cfg:4: alias stands twice, on line 3 too; as in Nagios the last one counts"},
		"no template":            {"define host {\nhost_name a\nuse x\n}", "a.cfg:3: there is no host with the name x to use; what it would say is missing"},
		"a template uses itself": {"define host {\nname a\nregister 0\nuse b\n}\ndefine host {\nname b\nregister 0\nuse a\n}", "a.cfg:9: the template a uses itself, over others; it was not used here"},
		"no name":                {"define command {\ncommand_line x\n}", "a.cfg:1: this command has no command_name; nothing of it was taken"},
		"two of one name":        {"define host {\nhost_name a\n}\ndefine host {\nhost_name a\n}", "a.cfg:4: there is a host a already (a.cfg:1); this one was passed over, and Nagios does not start with both"},
		"no such host":           {"define service {\nhost_name a\nservice_description s\n}", "a.cfg:1: the service s runs on no host\na.cfg:2: there is no host a"},
		"a group in itself":      {"define hostgroup {\nhostgroup_name a\nhostgroup_members b\n}\ndefine hostgroup {\nhostgroup_name b\nhostgroup_members a\n}", "a.cfg:7: the hostgroup a holds itself, over others; it was left out here"},
		"not UTF-8":              {"define host {\nhost_name a\nalias B\xfcro\n}", "a.cfg: it is not UTF-8, and was read as Latin-1; look at names and texts with letters beyond ASCII"},
		"a folder of nobody":     {"include_dir=/etc/shadow.d\n", "a.cfg:1: the folder /etc/shadow.d is not there; what its files define is missing. Copy it to this machine too"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(faults(parse(c.src)), "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestTemplates(t *testing.T) {
	const base = `
define host {
	host_name h
	}
define service {
	name          base
	check_interval 5
	contact_groups admins
	_WARN         10
	notes         base
	register      0
	}
define service {
	name          busy
	use           base
	check_interval 1
	contact_groups +web
	register      0
	}
`
	for name, c := range map[string]struct{ own, want string }{
		"what it says itself wins":     {"use base\ncheck_interval 9", "check_interval=9 contact_groups=admins _WARN=10 notes=base"},
		"over two":                     {"use busy", "check_interval=1 contact_groups=admins,web _WARN=10 notes=base"},
		"the first of several wins":    {"use busy, base", "check_interval=1 contact_groups=admins,web _WARN=10 notes=base"},
		"the first of several, turned": {"use base,busy", "check_interval=5 contact_groups=admins _WARN=10 notes=base"},
		"it adds":                      {"use busy\ncontact_groups +db", "check_interval=1 contact_groups=admins,web,db _WARN=10 notes=base"},
		"it takes away":                {"use base\ncontact_groups null\nnotes null", "check_interval=5 contact_groups- _WARN=10 notes-"},
		"a variable of its own":        {"use base\n_warn 20", "check_interval=5 contact_groups=admins _WARN=20 notes=base"},
		"a plus that adds to nothing":  {"contact_groups +db", "check_interval- contact_groups=db _WARN- notes-"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := parse(base + "define service {\nhost_name h\nservice_description s\n" + c.own + "\n}\n")
			if len(tr.Faults) > 0 || len(tr.Services()) != 1 {
				t.Fatal(tr.Faults, len(tr.Services()))
			}
			if got := values(tr.Services()[0].Object, "check_interval", "contact_groups", "_WARN", "notes"); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestServicesOnHostgroups(t *testing.T) {
	const hosts = `
define host {
	host_name a
	hostgroups web
	}
define host {
	host_name b
	}
define host {
	host_name c
	hostgroups db,web
	}
define hostgroup {
	hostgroup_name web
	members b
	}
define hostgroup {
	hostgroup_name db
	}
define hostgroup {
	hostgroup_name all
	hostgroup_members web,db
	}
define hostgroup {
	hostgroup_name some
	members *,!b
	}
`
	for name, c := range map[string]struct{ own, want string }{
		"a host":                         {"host_name b", "b"},
		"hosts":                          {"host_name b,a", "b a"},
		"all":                            {"host_name *", "a b c"},
		"all but one":                    {"host_name *,!b", "a c"},
		"a group, with both sides":       {"hostgroup_name web", "b a c"},
		"a group of groups":              {"hostgroup_name all", "b a c"},
		"a group less one of its":        {"hostgroup_name web\nhost_name !a", "b c"},
		"a group less a group":           {"hostgroup_name web,!db", "b a"},
		"a group whose members are but…": {"hostgroup_name some", "a c"},
		"another word for it":            {"hostgroups db", "c"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := parse(hosts + "define service {\nservice_description s\n" + c.own + "\n}\n")
			if len(tr.Faults) > 0 {
				t.Fatal(tr.Faults)
			}
			var got []string
			for _, s := range tr.Services() {
				got = append(got, s.Host.Name())
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestAServiceForAHostCountsBeforeOneForItsGroup(t *testing.T) {
	tr := parse(`
define host {
	host_name a
	hostgroups g
	}
define hostgroup {
	hostgroup_name g
	}
define service {
	hostgroup_name g
	service_description s
	check_command group
	}
define service {
	host_name a
	service_description s
	check_command host
	}
`)
	if len(tr.Faults) > 0 || len(tr.Services()) != 1 || tr.Services()[0].Text("check_command") != "host" {
		t.Errorf("%v: %v", tr.Faults, tr.Services())
	}
}

func TestTimeperiods(t *testing.T) {
	for line, want := range map[string]string{
		"monday 09:00-17:00":                          "5 monday [09:00-17:00]",
		"Sunday  0:00-09:00 , 17:00 - 24:00":          "5 sunday [00:00-09:00 17:00-24:00]",
		"2026-12-24 00:00-00:00":                      "0 2026-12-24 []",
		"2026-1-4 00:00-24:00":                        "0 2026-01-04 [00:00-24:00]",
		"2026-12-24 - 2027-01-02 / 2 00:00-12:00":     "0 2026-12-24 - 2027-01-02 / 2 [00:00-12:00]",
		"2026-12-24 / 3 00:00-24:00":                  "0 2026-12-24 / 3 [00:00-24:00]",
		"december 25 00:00-24:00":                     "1 december 25 [00:00-24:00]",
		"february -1 00:00-24:00":                     "1 february -1 [00:00-24:00]",
		"july 10 - 15 / 2 00:00-24:00":                "1 july 10 - july 15 / 2 [00:00-24:00]",
		"july 10 - august 15 00:00-24:00":             "1 july 10 - august 15 [00:00-24:00]",
		"day 1 00:00-24:00":                           "2 day 1 [00:00-24:00]",
		"day -1 00:00-24:00":                          "2 day -1 [00:00-24:00]",
		"day 1-15 00:00-24:00":                        "2 day 1 - day 15 [00:00-24:00]",
		"day 1 - 15 / 5 00:00-24:00":                  "2 day 1 - day 15 / 5 [00:00-24:00]",
		"day 20 - -1 00:00-24:00":                     "2 day 20 - day -1 [00:00-24:00]",
		"monday 3 00:00-24:00":                        "4 monday 3 [00:00-24:00]",
		"monday 2 - thursday 3 00:00-24:00":           "4 monday 2 - thursday 3 [00:00-24:00]",
		"thursday -1 november 00:00-24:00":            "3 thursday -1 november [00:00-24:00]",
		"monday 2 may - friday 2 may / 2 00:00-24:00": "3 monday 2 may - friday 2 may / 2 [00:00-24:00]",
		"monday 22:00-06:00":                          `"22:00-06:00" runs past midnight, which Nagios does not know; write two`,
		"monday":                                      `"monday" has no times as 09:00-17:00`,
		"mon 09:00-17:00":                             `"mon": "mon" is no day`,
		"day 32 00:00-24:00":                          `"day 32": a number of a day is missing, or is too large`,
		"monday 2 - july 4 00:00-24:00":               `"monday 2 - july 4": monday 2 and july 4 are days of different kinds`,
		"day 1 / 2 00:00-24:00":                       `"day 1 / 2": a step is for more days than one`,
		"monday 09:00-25:00":                          `"09:00-25:00" is no time of a day`,
		"2026-13-01 00:00-24:00":                      `"2026-13-01": "2026-13-01" is no date`,
		"monday 09:00-17:00 x":                        `"09:00-17:00 x" is no time as 09:00-17:00`,
	} {
		d, err := ParseDays(&Attr{Value: line})
		got := fmt.Sprint(d.Kind, " ", d.Words(), " ", d.Times)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", line, got, want)
		}
	}
}

func TestCommands(t *testing.T) {
	for text, want := range map[string]Call{
		"check_ping":           {Command: "check_ping"},
		"check_disk!20%!10%!/": {"check_disk", []string{"20%", "10%", "/"}},
		`check_http!-u /a\!b!`: {"check_http", []string{"-u /a!b", ""}},
		`check!a\b!!c`:         {"check", []string{`a\b`, "", "c"}},
	} {
		got := ParseCall(text)
		if len(got.Args) == 0 {
			got.Args = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
	for text, want := range map[string]string{
		"$USER1$/check -H $HOSTADDRESS$ -w $ARG1$": "<USER1>|/check -H |<HOSTADDRESS>| -w |<ARG1>",
		"a $$x $HOME/y $_HOSTWARN$":                "a $x $HOME/y |<_HOSTWARN>",
		"$SERVICESTATEID:web1:disk$ 5$":            "<SERVICESTATEID:web1:disk>| 5$",
		`awk '{print $1}' | grep "$x$"`:            `awk '{print $1}' | grep "$x$"`,
	} {
		var got []string
		for _, p := range Pieces(text) {
			if p.Macro != "" {
				got = append(got, "<"+p.Macro+">")
			} else {
				got = append(got, p.Text)
			}
		}
		if s := strings.Join(got, "|"); s != want {
			t.Errorf("%s: got %s, want %s", text, s, want)
		}
	}
}

// TestATreeThatWasCopied reads files under the paths of another machine.
func TestATreeThatWasCopied(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("nagios.cfg", "cfg_file=/no/such/nagios/etc/objects/hosts.cfg\ncfg_dir=/no/such/nagios/etc/conf.d\nresource_file=/no/such/nagios/etc/private/resource.cfg\ninterval_length=1\n")
	write("objects/hosts.cfg", "define host {\n\thost_name a\n}\n")
	write("conf.d/deep/services.cfg", "define service {\n\thost_name a\n\tservice_description s\n}\n")
	write("conf.d/ignored.txt", "rubbish")
	write("private/resource.cfg", "# secrets\n$USER1$=/usr/lib/nagios/plugins\n")
	if err := os.Symlink(dir, filepath.Join(dir, "conf.d", "loop")); err != nil {
		t.Fatal(err)
	}
	tr, err := Read(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	user, _ := tr.User("USER1")
	if len(tr.Services()) != 1 || user == nil || user.Value != "/usr/lib/nagios/plugins" {
		t.Errorf("%v %v: %v", tr.Services(), user, tr.Faults)
	}
	if a, ok := tr.Setting("interval_length"); !ok || a.Value != "1" || a.Pos.Line != 4 {
		t.Errorf("interval_length is %v", a)
	}
}

// TestDebiansOwnExample reads what Debian's Nagios comes with.
func TestDebiansOwnExample(t *testing.T) {
	tr, err := Read(t.Context(), "/etc/nagios4")
	if err != nil {
		t.Fatalf("%v; `apt-get install nagios4-common` (scripts/setup)", err)
	}
	for _, f := range tr.Faults {
		t.Error(f)
	}
	var got []string
	for _, s := range tr.Services() {
		got = append(got, s.Host.Name()+" "+s.Description()+" "+s.Text("check_command")+" "+s.Text("max_check_attempts"))
	}
	want := "localhost PING check_ping!100.0,20%!500.0,60% 4, localhost Root Partition check_local_disk!20%!10%!/ 4"
	if !strings.HasPrefix(strings.Join(got, ", "), want) {
		t.Errorf("got %s", got)
	}
	for _, p := range tr.Of("timeperiod") {
		for _, d := range p.Days() {
			if _, err := ParseDays(d); err != nil {
				t.Errorf("%s: %v", d.Pos, err)
			}
		}
	}
}

// FuzzObjects: whatever stands in a file, each attribute keeps its place, and what was read can be written and read
// again.
func FuzzObjects(f *testing.F) {
	f.Add("define host {\nhost_name a ; x\nuse b,c\n_X 1\n}\n")
	f.Add("define service {\nname t\nuse t\nhostgroup_name *,!g\nservice_description s\ncontact_groups +a\nregister 0\n}\n")
	f.Add("define timeperiod{\ntimeperiod_name x\nmonday 2 may - friday 2 may / 2 00:00-24:00\nday 1-15 9:00-17:00\n}\ninclude_dir=/\n")
	f.Add("define hostgroup {\nhostgroup_name a\nmembers a\\\n,b\nhostgroup_members a\n}\ndefine host {\nhost_name a\n}")
	f.Add("define command {\ncommand_name c\ncommand_line $USER1$/x '$ARG1$' \\; y $$ $\n}\r\n")
	f.Add("define servicegroup {\nservicegroup_name g\nmembers a,s,b\nservicegroup_members g\n}\ndefine servicedependency {\nservicegroup_name g\ndependent_host_name a\n}")
	f.Fuzz(func(t *testing.T, src string) {
		tr := parse(src)
		n := strings.Count(src, "\n") + 1
		for _, o := range tr.Objects {
			for _, a := range o.Attrs {
				if a.Pos.Line <= o.Pos.Line || a.Pos.Line > n || a.Word == "" {
					t.Fatalf("%q of the %s of line %d stands on line %d of %d", a.Word, o.Type, o.Pos.Line, a.Pos.Line, n)
				}
				if a.Name == whenAttr {
					_, _ = ParseDays(a)
				}
				_ = Pieces(a.Value)
				_ = ParseCall(a.Value)
			}
			for _, v := range o.Values() {
				if len(v.Text) > len(src)+maxValue {
					t.Fatalf("%s grew to %d bytes", v.Name, len(v.Text))
				}
			}
			_ = tr.Pick(o, "")
		}
		again := parse(format(tr))
		if diff := cmp.Diff(written(tr), written(again)); diff != "" {
			t.Fatalf("read again it is another: %s", diff)
		}
	})
}

// format writes objects as a file, and written gives them as words.
func format(t *Tree) string {
	var b strings.Builder
	escape := strings.NewReplacer(";", `\;`)
	for _, o := range t.Objects {
		fmt.Fprintf(&b, "define %s {\n", o.Type)
		for _, w := range words(o) {
			w = escape.Replace(w)
			if strings.HasSuffix(w, `\`) {
				w += `\`
			}
			b.WriteString(w + "\n")
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func words(o *Object) []string {
	var out []string
	for _, a := range o.Attrs {
		switch {
		case a.Name == whenAttr:
			out = append(out, a.Value)
		default:
			out = append(out, strings.TrimSpace(a.Word+" "+a.Value))
		}
	}
	return out
}

func written(t *Tree) [][]string {
	var out [][]string
	for _, o := range t.Objects {
		out = append(out, append([]string{o.Type}, words(o)...))
	}
	return out
}

// TestACompany reads a tree as many have one: all forms of it together.
func TestACompany(t *testing.T) {
	tr, err := Read(t.Context(), "testdata/company")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tr.Faults {
		t.Error(f)
	}
	count := map[string]int{}
	for _, s := range tr.Services() {
		count[s.Description()]++
	}
	want := map[string]int{"PING": 8, "Disk /": 7, "Load": 6, "SSH": 7, "Updates": 5, "HTTP": 3, "HTTPS certificate": 1, "PostgreSQL": 2, "SMTP": 1, "IMAP": 1, "Queue": 1, "Backup": 2, "Uplink": 2, "Users": 7, "Clock": 6}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Error(diff)
	}
	everybody := Value{Text: "everybody"}
	if got := strings.Join(tr.Contacts(Value{}, everybody), " "); got != "alice bob carol" {
		t.Errorf("everybody is %s", got)
	}
}

// Groups in groups over many ways: each is looked at once.
func TestLayersOfServicegroups(t *testing.T) {
	const layers = 24
	text := "define host {\n host_name h\n}\ndefine service {\n host_name h\n service_description s\n check_command c\n}\n"
	for i := range layers {
		for _, x := range []string{"a", "b"} {
			text += fmt.Sprintf("define servicegroup {\n servicegroup_name %s%d\n", x, i)
			if i+1 < layers {
				text += fmt.Sprintf(" servicegroup_members a%d,b%d\n", i+1, i+1)
			} else if x == "b" {
				text += " servicegroup_members a0\n members h,other\n" // round to the first
			}
			text += "}\n"
		}
	}
	tree := parse(text)
	if len(tree.Services()) != 1 {
		t.Fatalf("the services are %v", tree.Services())
	}
	begin := time.Now()
	if tree.InGroup("a0", tree.Services()[0]) {
		t.Error("it is in none of them")
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("that took %s", took)
	}
}
