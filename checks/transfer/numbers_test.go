package transfer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/checks/nagios"
)

// numbered is a tree in which each number is one of numbers.
const numbered = `
define command {
	command_name by-mail
	command_line mail $CONTACTEMAIL$
	}
define command {
	command_name c
	command_line check_by_ssh -H $HOSTADDRESS$ -t SSH_TIMEOUT -C x
	}
define contact {
	contact_name alice
	email alice@example.org
	service_notification_options SERVICE_OPTIONS
	host_notification_options HOST_OPTIONS
	service_notification_commands by-mail
	}
define host {
	host_name web1
	contacts alice
	notification_interval REPEAT
	first_notification_delay DELAY
	}
define service {
	name base
	host_name web1
	contacts alice
	notification_interval REPEAT
	first_notification_delay DELAY
	check_interval CHECK
	retry_interval RETRY
	max_check_attempts ATTEMPTS
	check_command c
	register 0
	}
define service {
	use base
	service_description load
	notification_options OWN_OPTIONS
	}
define service {
	use base
	service_description backup
	active_checks_enabled 0
	check_freshness 1
	freshness_threshold FRESH
	}
define serviceescalation {
	host_name web1
	service_description load
	contacts alice
	first_notification FIRST
	notification_interval AGAIN
	escalation_options ESCALATION_OPTIONS
	}
define hostescalation {
	host_name web1
	contacts alice
	first_notification FIRST
	}
define servicedependency {
	host_name web1
	service_description load
	dependent_service_description backup
	execution_failure_criteria CRITERIA
	notification_failure_criteria CRITERIA
	}
`

// numbers are what a tree says that says nothing else, by the words that stand for them; interval_length and
// service_check_timeout are of nagios.cfg, "" leaves those out.
type numbers map[string]string

func (n numbers) carry(t *testing.T) Result {
	t.Helper()
	all := numbers{"SSH_TIMEOUT": "10", "SERVICE_OPTIONS": "w,u,c,r", "HOST_OPTIONS": "d,r", "OWN_OPTIONS": "w,u,c,r", "ESCALATION_OPTIONS": "w,u,c,r", "CRITERIA": "w,u,c",
		"REPEAT": "60", "DELAY": "0", "CHECK": "5", "RETRY": "1", "ATTEMPTS": "3", "FRESH": "600", "FIRST": "3", "AGAIN": "60"}
	for k, v := range n {
		all[k] = v
	}
	var pairs []string
	for k, v := range all {
		pairs = append(pairs, k, v)
	}
	tree := nagios.Parse("a.cfg", []byte(strings.NewReplacer(pairs...).Replace(numbered)))
	for _, s := range []string{"interval_length", "service_check_timeout"} {
		if n[s] != "" {
			tree.Settings = append(tree.Settings, &nagios.Attr{Name: s, Value: n[s], Pos: nagios.Pos{File: "nagios.cfg", Line: 1}})
		}
	}
	r, err := FromNagios(t.Context(), tree, Options{From: "probe"})
	if err != nil {
		t.Fatal(err)
	}
	for _, note := range r.Notes {
		if note.File == "" || note.What == "" || note.Why == "" {
			t.Errorf("%+v", note)
		}
	}
	return r
}

// TestWhateverTheNumbersWhatIsWrittenLoads: a notification_interval of half a minute was written as `every: 30s`, which
// no server takes. What is not carried over as it is, a note tells of.
func TestWhateverTheNumbersWhatIsWrittenLoads(t *testing.T) {
	for _, tt := range []struct {
		numbers numbers
		note    string // "": there is none of a number
	}{
		{numbers{}, ""},
		{numbers{"REPEAT": "0.5"}, "a.cfg:20: notification_interval 0.5: nobody is told again more often than once a minute here; 1m was taken"},
		{numbers{"REPEAT": "0.001"}, "a.cfg:20: notification_interval 0.001: nobody is told again more often than once a minute here; 1m was taken"},
		{numbers{"AGAIN": "0.5"}, "a.cfg:52: notification_interval 0.5: nobody is told again more often than once a minute here; 1m was taken"},
		{numbers{"AGAIN": "often"}, "a.cfg:52: notification_interval often: it is no number; it is told once"},
		{numbers{"REPEAT": "nan"}, "a.cfg:20: notification_interval nan: it is no number; it is told once"},
		{numbers{"REPEAT": "30", "interval_length": "1"}, "a.cfg:20: notification_interval 30: nobody is told again more often than once a minute here; 1m was taken"},
		{numbers{"REPEAT": "2592000", "interval_length": "1"}, ""},
		{numbers{"interval_length": "fast"}, "nagios.cfg:1: interval_length=fast: it is no number; 60 was taken"},
		{numbers{"interval_length": "9223372036854775807"}, "nagios.cfg:1: interval_length=9223372036854775807: it is more than ten years; 60 was taken"},
		{numbers{"interval_length": "99999999999999999999"}, "nagios.cfg:1: interval_length=99999999999999999999: it is more than ten years; 60 was taken"},
		{numbers{"interval_length": "100000000"}, "nagios.cfg:1: interval_length=100000000: it is more than a day; 60 was taken"},
		{numbers{"service_check_timeout": "100000"}, "nagios.cfg:1: service_check_timeout=100000: no check here may run for more than a day; 24h was taken"},
		{numbers{"SSH_TIMEOUT": "100000"}, "a.cfg:6: check_by_ssh -t: no check here may run for more than a day; 24h was taken"},
		{numbers{"SSH_TIMEOUT": "soon"}, "a.cfg:6: check_by_ssh -t soon: it is no number; 1m was taken"},
		{numbers{"SSH_TIMEOUT": "15:2"}, ""},
		{numbers{"ATTEMPTS": "5000"}, "a.cfg:31: max_check_attempts 5000: it is more than 1000; 1000 was taken"},
		{numbers{"CHECK": "0.001"}, ""},
		{numbers{"CHECK": "1e300"}, "a.cfg:29: check_interval 1e300: it is more than ten years; 5 was taken"},
		{numbers{"FRESH": "1"}, "a.cfg:45: freshness_threshold 1: it is less than 10s; 10s was taken"},
		{numbers{"FRESH": "9223372036854775807"}, "a.cfg:40: service backup: its freshness_threshold is for Nagios to work out; 315s was taken"},
		{numbers{"FIRST": "99999999999"}, "a.cfg:51: first_notification 99999999999: Nagios comes to it after more than ten years; the escalation was left out"},
		{numbers{"FIRST": "99999999999999999999"}, "a.cfg:51: first_notification 99999999999999999999: Nagios comes to it after more than ten years; the escalation was left out"},
		{numbers{"FIRST": "x"}, "a.cfg:51: first_notification x: it is no number; the escalation was left out"},
		{numbers{"DELAY": "1", "OWN_OPTIONS": "c,f", "SERVICE_OPTIONS": "c,f"}, "a.cfg:28: first_notification_delay 1: who waits for a while is not told that something flaps; write an action on flapping and steady, if it is wanted"},
		{numbers{"ESCALATION_OPTIONS": "c,f", "SERVICE_OPTIONS": "c,f"}, ""},
	} {
		t.Run(fmt.Sprint(tt.numbers), func(t *testing.T) {
			r := tt.numbers.carry(t)
			right(t, r)
			told := strings.Split(notes(r, "."), "\n")
			if tt.note != "" && !slices.Contains(told, tt.note) {
				t.Errorf("this is not told: %s\ntold is:\n%s", tt.note, notes(r, "."))
			}
			if tt.note != "" {
				return
			}
			for _, line := range told {
				if strings.Contains(line, "was taken") || strings.Contains(line, "it is no number") || strings.Contains(line, "left out") {
					t.Errorf("this is told: %s", line)
				}
			}
		})
	}
	// A service without the number, where Nagios counts in seconds.
	tree := nagios.Parse("a.cfg", []byte(strings.Replace(strings.ReplaceAll(escalating, "FIRST", "2"), "notification_interval 0", "", 1)))
	tree.Settings = append(tree.Settings, &nagios.Attr{Name: "interval_length", Value: "1", Pos: nagios.Pos{File: "nagios.cfg", Line: 1}})
	r, err := FromNagios(t.Context(), tree, Options{From: "probe"})
	if err != nil {
		t.Fatal(err)
	}
	right(t, r)
	if want := "without a notification_interval Nagios tells again after 30s; nobody is told again more often than once a minute here; 1m was taken"; !strings.Contains(notes(r, "."), want) {
		t.Errorf("this is not told: %s\ntold is:\n%s", want, notes(r, "."))
	}
}

// TestAllIsAnOption: Nagios takes words as well as letters, one after the other (xdata/xodtemplate.c); of `all`, nobody
// was told of anything.
func TestAllIsAnOption(t *testing.T) {
	every := options{true, true, true, true, true}
	for text, want := range map[string]options{
		"a": every, "all": every, "All": every, "n": {}, "none": {}, "w,n": {}, "n,w": {warning: true}, "w, u c": {warning: true, unknown: true, critical: true},
		"down,recovery": {critical: true, recovery: true}, "d,r": {critical: true, recovery: true}, "warning,unknown,critical": {warning: true, unknown: true, critical: true},
		"unreachable": {unknown: true}, "downtime": {}, "s": {}, "flapping": {flapping: true}, "ok,pending": {recovery: true}, "": {},
	} {
		if got := letters(text, "w,c", false); got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
	r := numbers{"OWN_OPTIONS": "all", "SERVICE_OPTIONS": "all", "HOST_OPTIONS": "all", "ESCALATION_OPTIONS": "all"}.carry(t)
	c, err := model.NewCatalog(right(t, r), model.Record{}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range []string{"load", "host"} {
		n := 0
		for _, rule := range c.Rules {
			if rule.Covers(model.Key{Task: task, Host: "web1"}) {
				n++
			}
		}
		if n != 2 {
			t.Errorf("%d actions tell of %s, want that of its contact and the escalation\n%s", n, task, r.YAML)
		}
	}
	// Of a dependency, too: what execution_failure_criteria all says is that it is not even run.
	for criteria, skip := range map[string]bool{"all": true, "none": false, "o": false, "c": true} {
		r := numbers{"CRITERIA": criteria}.carry(t)
		right(t, r)
		if got := strings.Contains(string(r.YAML), "skip: true"); got != skip {
			t.Errorf("execution_failure_criteria %s: skip is %v\n%s", criteria, got, r.YAML)
		}
		if told := strings.Contains(notes(r, "."), "failure criteria"); told != (criteria != "all") {
			t.Errorf("of the criteria %s is told:\n%s", criteria, notes(r, "."))
		}
	}
}

// FuzzNumbers: whatever the numbers and options are, what is written loads, and each attribute has a fate.
func FuzzNumbers(f *testing.F) {
	f.Add("0.5", "0.5", "1", "w,u,c,r", "1")
	f.Add("0", "1e9", "100000", "all", "60")
	f.Add("-1", "nan", "99999999999", "n", "0")
	f.Add("30", "0.001", "2", "c,f", "")
	f.Fuzz(func(t *testing.T, repeat, check, whole, opts, unit string) {
		for _, s := range []string{repeat, check, whole, opts, unit} {
			if strings.ContainsAny(s, "\n\r;{}\\$!") {
				t.Skip() // it would be more than a value
			}
		}
		r := numbers{"REPEAT": repeat, "DELAY": check, "AGAIN": check, "CHECK": check, "RETRY": repeat, "ATTEMPTS": whole, "FRESH": whole, "FIRST": whole, "SSH_TIMEOUT": "15",
			"OWN_OPTIONS": opts, "SERVICE_OPTIONS": opts, "HOST_OPTIONS": opts, "ESCALATION_OPTIONS": opts, "CRITERIA": opts, "interval_length": unit, "service_check_timeout": whole}.carry(t)
		right(t, r)
		if n := r.Counts; n.Carried+n.Without+n.Overridden+n.Listed != n.Attributes {
			t.Fatalf("%+v", n)
		}
	})
}
