//go:build beside

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// besideService is a service of both: a plugin that says what a file says.
type besideService struct {
	host, name string
	attempts   int
	options    string // of its notifications
	contacts   []string
	interval   int    // of its notifications, in seconds; 0: it is told once
	period     string // in which it is told
	checked    string // in which it is checked
	passive    bool   // it is given its results
	escalation *besideEscalation
}

// besideEscalation tells dave of the second notification.
type besideEscalation struct {
	last, interval int
	period         string
}

const (
	besideHosts = 11
	besideMarks = 6 // they take turns, so that none of them flaps
)

var besideKinds = []besideService{
	{name: "ping", attempts: 1, options: "w,u,c,r", contacts: []string{"alice"}},
	{name: "disk", attempts: 3, options: "w,u,c,r", contacts: []string{"alice", "bob"}},
	{name: "load", attempts: 2, options: "c,r", contacts: []string{"bob"}},
	{name: "http", attempts: 2, options: "w,u,c,r", contacts: []string{"alice", "carol"}},
	{name: "mail", attempts: 3, options: "w,c", contacts: []string{"alice"}},
	{name: "job", attempts: 1, options: "u,r", contacts: []string{"bob"}},
}

// besideContacts say of what each wants to be told: of services, as letters. Erin is told in the period shift alone.
var besideContacts = map[string]string{"alice": "w,u,c,r,f", "bob": "w,u,c,r", "carol": "c,r", "dave": "w,u,c,r", "erin": "w,u,c,r"}

var besideNames = []string{"alice", "bob", "carol", "dave", "erin"}

func besideServices() []besideService {
	var out []besideService
	for h := 1; h <= besideHosts; h++ {
		for _, k := range besideKinds {
			k.host = fmt.Sprintf("h%d", h)
			out = append(out, k)
		}
	}
	for s := range besideMarks {
		out = append(out, besideService{host: "h10", name: fmt.Sprintf("mark%d", s), attempts: 1, options: "c", contacts: []string{"alice", "bob", "carol"}})
	}
	add := func(host string, s besideService, names ...string) {
		for _, n := range names {
			s.host, s.name, s.attempts = host, n, max(s.attempts, 1)
			s.options = "w,u,c,r"
			if s.passive {
				s.options = "w,u,c,r,f"
			}
			out = append(out, s)
		}
	}
	alice := []string{"alice"}
	add("h5", besideService{contacts: alice, period: "shift", attempts: 2}, "late", "left", "blip", "worse")
	add("h5", besideService{contacts: []string{"erin"}}, "desk-late", "desk-left")
	add("h6", besideService{contacts: alice, checked: "shift"}, "hours", "hours-blip")
	add("h6", besideService{contacts: alice, interval: 60, escalation: &besideEscalation{}}, "page")
	add("h7", besideService{contacts: alice, interval: 60, escalation: &besideEscalation{}}, "calm")
	add("h5", besideService{contacts: alice, interval: 60, escalation: &besideEscalation{last: 2, interval: 60}}, "ends")
	add("h7", besideService{contacts: alice, interval: 60, escalation: &besideEscalation{period: "shift"}}, "night")
	add("h7", besideService{contacts: alice, passive: true}, "bell")
	return out
}

// besideShift is a period that is closed for two minutes, open for two, and so on, from a time on.
type besideShift struct{ from time.Time }

const (
	besideHalf  = 2 * time.Minute
	besideSpans = 45 // three hours of them
)

func newBesideShift() besideShift { return besideShift{time.Now().Truncate(besideHalf)} }

// window reports whether it is open or not, since so long, and for so long to come.
func (p besideShift) window(open bool, since, left time.Duration) bool {
	gone := time.Since(p.from)
	in := gone % besideHalf
	return (gone/besideHalf%2 == 1) == open && in >= since && besideHalf-in >= left
}

// days gives its times by the days of the week.
func (p besideShift) days() (names []string, times map[string]string) {
	times = map[string]string{}
	for i := range besideSpans {
		at := p.from.Add(time.Duration(2*i+1) * besideHalf)
		day := strings.ToLower(at.Weekday().String())
		span := at.Format("15:04-") + at.Add(besideHalf).Format("15:04")
		span = strings.Replace(span, "-00:00", "-24:00", 1)
		if times[day] == "" {
			names, times[day] = append(names, day), span
		} else {
			times[day] += "," + span
		}
	}
	return names, times
}

// behindH1 are the hosts that are reached by h1.
var behindH1 = []string{"h2", "h3", "h4"}

// nagiosObjects writes them as Nagios has them, for the import.
func (b *beside) nagiosObjects() string {
	var s strings.Builder
	object := func(kind string, lines ...string) {
		fmt.Fprintf(&s, "define %s {\n", kind)
		for i := 0; i < len(lines); i += 2 {
			if lines[i+1] != "" {
				fmt.Fprintf(&s, "\t%s %s\n", lines[i], lines[i+1])
			}
		}
		s.WriteString("}\n")
	}
	object("command", "command_name", "played", "command_line", "/played/plugin /played/$HOSTNAME$-$SERVICEDESC$")
	object("command", "command_name", "alive", "command_line", "/usr/lib/nagios/plugins/check_tcp -H $HOSTADDRESS$ -p $ARG1$")
	object("command", "command_name", "by-mail", "command_line", "mail $CONTACTEMAIL$")
	shift := []string{"timeperiod_name", "shift"}
	names, times := b.shift.days()
	for _, d := range names {
		shift = append(shift, d, times[d])
	}
	object("timeperiod", shift...)
	for _, name := range besideNames {
		period := ""
		if name == "erin" {
			period = "shift"
		}
		object("contact", "contact_name", name, "email", name+"@example.org", "service_notification_options", besideContacts[name], "host_notification_options", "d,u,r",
			"service_notification_commands", "by-mail", "host_notification_commands", "by-mail", "service_notification_period", period, "host_notification_period", period)
	}
	for h := 1; h <= besideHosts; h++ {
		name := fmt.Sprintf("h%d", h)
		ip, port, _ := net.SplitHostPort(b.addr[name])
		parents, interval := "", "0"
		if slices.Contains(behindH1, name) {
			parents = "h1"
		}
		if name == "h8" {
			interval = "60"
			object("hostescalation", "host_name", name, "contacts", "dave", "first_notification", "2", "last_notification", "0", "notification_interval", "0")
		}
		object("host", "host_name", name, "address", ip, "check_command", "alive!"+port, "contacts", "alice", "notification_interval", interval, "notification_options", "d,u,r", "parents", parents)
	}
	for _, x := range besideServices() {
		passive, active := "", ""
		if x.passive {
			passive, active = "1", "0"
		}
		object("service", "host_name", x.host, "service_description", x.name, "check_command", "played", "check_interval", "2", "retry_interval", "1", "max_check_attempts", fmt.Sprint(x.attempts),
			"notification_interval", fmt.Sprint(x.interval), "notification_options", x.options, "contacts", strings.Join(x.contacts, ","),
			"notification_period", x.period, "check_period", x.checked, "passive_checks_enabled", passive, "active_checks_enabled", active)
		if e := x.escalation; e != nil {
			object("serviceescalation", "host_name", x.host, "service_description", x.name, "contacts", "dave", "first_notification", "2", "last_notification", fmt.Sprint(e.last),
				"notification_interval", fmt.Sprint(e.interval), "escalation_period", e.period)
		}
	}
	object("servicedependency", "host_name", "h5", "service_description", "disk", "dependent_host_name", "h5,h6,h7", "dependent_service_description", "http", "notification_failure_criteria", "w,u,c")
	return s.String()
}

// icingaObjects writes the same for Icinga 2, by hand.
func (b *beside) icingaObjects(dir string) (string, error) {
	b.dir = filepath.Join(dir, "played")
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "plugin"), []byte(besidePlugin), 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "tell"), []byte("#!/bin/sh\necho \"$(date +%s)\" \"$@\" >> "+b.dir+"/told\n"), 0o755); err != nil {
		return "", err
	}
	var s strings.Builder
	s.WriteString("object NotificationComponent \"notification\" { }\n")
	fmt.Fprintf(&s, "object CheckCommand \"played\" { command = [ \"%s/plugin\", \"$file$\" ] }\n", b.dir)
	s.WriteString("object CheckCommand \"up\" { command = [ PluginDir + \"/check_tcp\", \"-H\", \"$host.address$\", \"-p\", \"$port$\", \"-t\", \"3\" ] }\n")
	fmt.Fprintf(&s, "object NotificationCommand \"service\" { command = [ \"%s/tell\", \"$user.name$\", \"$host.name$\", \"$service.name$\", \"$notification.type$\", \"$service.state$\" ] }\n", b.dir)
	fmt.Fprintf(&s, "object NotificationCommand \"up\" { command = [ \"%s/tell\", \"$user.name$\", \"$host.name$\", \"host\", \"$notification.type$\", \"$host.state$\" ] }\n", b.dir)
	names, times := b.shift.days()
	s.WriteString("object TimePeriod \"shift\" { ranges = { ")
	for _, d := range names {
		fmt.Fprintf(&s, "%q = %q; ", d, times[d])
	}
	s.WriteString("} }\n")
	for _, name := range besideNames {
		period := ""
		if name == "erin" {
			period = "period = \"shift\";"
		}
		fmt.Fprintf(&s, "object User %q { states = [ %s, Up, Down ]; types = [ %s ]; %s }\n", name, icingaStates(besideContacts[name]), icingaTypes(besideContacts[name]), period)
	}
	for h := 1; h <= besideHosts; h++ {
		name := fmt.Sprintf("h%d", h)
		ip, port, _ := net.SplitHostPort(b.addr[name])
		fmt.Fprintf(&s, "object Host %q { address = %q; vars.port = %q; check_command = \"up\"; check_interval = 2s; retry_interval = 1s; max_check_attempts = 2; enable_flapping = false }\n", name, ip, port)
		interval := 0
		if name == "h8" {
			interval = 60
			fmt.Fprintf(&s, "object Notification \"e\" { host_name = %q; command = \"up\"; users = [ \"dave\" ]; interval = 0; times.begin = 60s; states = [ Up, Down ]; types = [ Problem, Recovery ] }\n", name)
		}
		fmt.Fprintf(&s, "object Notification \"n\" { host_name = %q; command = \"up\"; users = [ \"alice\" ]; interval = %d; states = [ Up, Down ]; types = [ Problem, Recovery ] }\n", name, interval)
		if slices.Contains(behindH1, name) {
			fmt.Fprintf(&s, "object Dependency \"gw\" { parent_host_name = \"h1\"; child_host_name = %q; states = [ Up ]; disable_notifications = true }\n", name)
		}
	}
	for _, x := range besideServices() {
		text, err := b.icingaService(x)
		if err != nil {
			return "", err
		}
		s.WriteString(text)
	}
	for _, h := range []string{"h5", "h6", "h7"} {
		fmt.Fprintf(&s, "object Dependency \"disk\" { parent_host_name = \"h5\"; parent_service_name = \"disk\"; child_host_name = %q; child_service_name = \"http\"; states = [ OK ]; disable_notifications = true }\n", h)
	}
	return s.String(), nil
}

func (b *beside) icingaService(x besideService) (string, error) {
	var s strings.Builder
	more := ""
	if x.checked != "" {
		more += fmt.Sprintf("; check_period = %q", x.checked)
	}
	if x.passive {
		more += "; enable_active_checks = false"
	}
	fmt.Fprintf(&s, "object Service %q { host_name = %q; check_command = \"played\"; vars.file = \"%s/%s-%s\"; check_interval = 2s; retry_interval = 1s; max_check_attempts = %d; enable_flapping = %v%s }\n",
		x.name, x.host, b.dir, x.host, x.name, x.attempts, x.passive, more)
	users, err := json.Marshal(x.contacts)
	if err != nil {
		return "", err
	}
	tell := func(name, users string, interval int, period, more string) {
		if period != "" {
			more += fmt.Sprintf("; period = %q", period)
		}
		fmt.Fprintf(&s, "object Notification %q { host_name = %q; service_name = %q; command = \"service\"; users = %s; interval = %d; states = [ %s ]; types = [ %s ]%s }\n",
			name, x.host, x.name, users, interval, icingaStates(x.options), icingaTypes(x.options), more)
	}
	tell("n", string(users), x.interval, x.period, "")
	if e := x.escalation; e != nil {
		times := fmt.Sprintf("; times.begin = %ds", x.interval)
		if e.last > 0 { // before the next one would be told
			times += fmt.Sprintf("; times.end = %ds", e.last*x.interval-x.interval/3)
		}
		tell("e", `["dave"]`, e.interval, e.period, times)
	}
	return s.String(), nil
}

func icingaStates(letters string) string {
	out := []string{"OK"}
	for _, l := range strings.Split(letters, ",") {
		if name := map[string]string{"w": "Warning", "c": "Critical", "u": "Unknown"}[l]; name != "" {
			out = append(out, name)
		}
	}
	return strings.Join(out, ", ")
}

func icingaTypes(letters string) string {
	out := "Problem"
	if strings.Contains(letters, "r") {
		out += ", Recovery"
	}
	if strings.Contains(letters, "f") {
		out += ", FlappingStart, FlappingEnd"
	}
	return out
}

const besidePlugin = "#!/bin/sh\nread n < \"$1\"\necho \"played $n\"\nexit $n\n"
