//go:build beside

// `make beside-icinga` runs this file alone: it plays faults for minutes.

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/lab/real"
)

// besideService is a service of both: a plugin that says what a file says.
type besideService struct {
	host, name string
	attempts   int
	options    string // of its notifications
	contacts   []string
}

// A step is one of the played minutes. Its mark is a service that goes CRITICAL after the rest is settled: when its problem is told, all before
// it was. Marks take turns, so that none of them flaps.
const (
	besideSteps = 24
	besideMarks = 6
)

const besideHosts = 10

var besideKinds = []besideService{
	{name: "ping", attempts: 1, options: "w,u,c,r", contacts: []string{"alice"}},
	{name: "disk", attempts: 3, options: "w,u,c,r", contacts: []string{"alice", "bob"}},
	{name: "load", attempts: 2, options: "c,r", contacts: []string{"bob"}},
	{name: "http", attempts: 2, options: "w,u,c,r", contacts: []string{"alice", "carol"}},
	{name: "mail", attempts: 3, options: "w,c", contacts: []string{"alice"}},
	{name: "job", attempts: 1, options: "u,r", contacts: []string{"bob"}},
}

// besideContacts say of what each wants to be told: of services, as letters.
var besideContacts = map[string]string{"alice": "w,u,c,r", "bob": "w,u,c,r", "carol": "c,r"}

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
	return out
}

// beside is Jarvis and Icinga, who look at the same things.
type beside struct {
	*checkSite
	icinga *real.Icinga
	dir    string // of Icinga's states
	up     map[string]net.Listener
	addr   map[string]string

	mu      sync.Mutex
	letters map[string]bool // by their ids
	heard   []string        // what Jarvis told: contact host service state
}

// nagiosObjects writes them as Nagios has them, for the import.
func (b *beside) nagiosObjects() string {
	var s strings.Builder
	s.WriteString("define command {\n\tcommand_name played\n\tcommand_line /played/plugin /played/$HOSTNAME$-$SERVICEDESC$\n}\n")
	s.WriteString("define command {\n\tcommand_name alive\n\tcommand_line /usr/lib/nagios/plugins/check_tcp -H $HOSTADDRESS$ -p $ARG1$\n}\n")
	s.WriteString("define command {\n\tcommand_name by-mail\n\tcommand_line mail $CONTACTEMAIL$\n}\n")
	for _, name := range []string{"alice", "bob", "carol"} {
		fmt.Fprintf(&s, "define contact {\n\tcontact_name %[1]s\n\temail %[1]s@example.org\n\tservice_notification_options %[2]s\n\thost_notification_options d,u,r\n\tservice_notification_commands by-mail\n\thost_notification_commands by-mail\n}\n", name, besideContacts[name])
	}
	for h := 1; h <= besideHosts; h++ {
		name := fmt.Sprintf("h%d", h)
		ip, port, _ := net.SplitHostPort(b.addr[name])
		parents := ""
		if h >= 2 && h <= 4 {
			parents = "\tparents h1\n"
		}
		fmt.Fprintf(&s, "define host {\n\thost_name %s\n\taddress %s\n\tcheck_command alive!%s\n\tcontacts alice\n\tnotification_interval 0\n\tnotification_options d,u,r\n%s}\n", name, ip, port, parents)
	}
	for _, x := range besideServices() {
		fmt.Fprintf(&s, "define service {\n\thost_name %s\n\tservice_description %s\n\tcheck_command played\n\tcheck_interval 2\n\tretry_interval 1\n\tmax_check_attempts %d\n\tnotification_interval 0\n\tnotification_options %s\n\tcontacts %s\n}\n",
			x.host, x.name, x.attempts, x.options, strings.Join(x.contacts, ","))
	}
	s.WriteString("define servicedependency {\n\thost_name h5\n\tservice_description disk\n\tdependent_host_name h5,h6,h7\n\tdependent_service_description http\n\tnotification_failure_criteria w,u,c\n}\n")
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
	if err := os.WriteFile(filepath.Join(b.dir, "tell"), []byte("#!/bin/sh\necho \"$@\" >> "+b.dir+"/told\n"), 0o755); err != nil {
		return "", err
	}
	var s strings.Builder
	s.WriteString("object NotificationComponent \"notification\" { }\n")
	fmt.Fprintf(&s, "object CheckCommand \"played\" { command = [ \"%s/plugin\", \"$file$\" ] }\n", b.dir)
	s.WriteString("object CheckCommand \"up\" { command = [ PluginDir + \"/check_tcp\", \"-H\", \"$host.address$\", \"-p\", \"$port$\", \"-t\", \"3\" ] }\n")
	fmt.Fprintf(&s, "object NotificationCommand \"service\" { command = [ \"%s/tell\", \"$user.name$\", \"$host.name$\", \"$service.name$\", \"$service.state$\" ] }\n", b.dir)
	fmt.Fprintf(&s, "object NotificationCommand \"up\" { command = [ \"%s/tell\", \"$user.name$\", \"$host.name$\", \"host\", \"$host.state$\" ] }\n", b.dir)
	for _, name := range []string{"alice", "bob", "carol"} {
		fmt.Fprintf(&s, "object User %q { states = [ %s, Up, Down ]; types = [ Problem, Recovery ] }\n", name, icingaStates(besideContacts[name]))
	}
	for h := 1; h <= besideHosts; h++ {
		name := fmt.Sprintf("h%d", h)
		ip, port, _ := net.SplitHostPort(b.addr[name])
		fmt.Fprintf(&s, "object Host %q { address = %q; vars.port = %q; check_command = \"up\"; check_interval = 2s; retry_interval = 1s; max_check_attempts = 2; enable_flapping = false }\n", name, ip, port)
		fmt.Fprintf(&s, "object Notification \"n\" { host_name = %q; command = \"up\"; users = [ \"alice\" ]; interval = 0; states = [ Up, Down ]; types = [ Problem, Recovery ] }\n", name)
		if h >= 2 && h <= 4 {
			fmt.Fprintf(&s, "object Dependency \"gw\" { parent_host_name = \"h1\"; child_host_name = %q; states = [ Up ]; disable_notifications = true }\n", name)
		}
	}
	for _, x := range besideServices() {
		fmt.Fprintf(&s, "object Service %q { host_name = %q; check_command = \"played\"; vars.file = \"%s/%s-%s\"; check_interval = 2s; retry_interval = 1s; max_check_attempts = %d; enable_flapping = false }\n", x.name, x.host, b.dir, x.host, x.name, x.attempts)
		types := "Problem"
		if strings.Contains(x.options, "r") {
			types += ", Recovery"
		}
		users, err := json.Marshal(x.contacts)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&s, "object Notification \"n\" { host_name = %q; service_name = %q; command = \"service\"; users = %s; interval = 0; states = [ %s ]; types = [ %s ] }\n", x.host, x.name, users, icingaStates(x.options), types)
	}
	for _, h := range []string{"h5", "h6", "h7"} {
		fmt.Fprintf(&s, "object Dependency \"disk\" { parent_host_name = \"h5\"; parent_service_name = \"disk\"; child_host_name = %q; child_service_name = \"http\"; states = [ OK ]; disable_notifications = true }\n", h)
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

const besidePlugin = "#!/bin/sh\nread n < \"$1\"\necho \"played $n\"\nexit $n\n"

// set plays a state to both. It is there as a whole, or not yet.
func (b *beside) set(host, service string, state int) {
	b.t.Helper()
	for _, dir := range []string{b.dir, filepath.Join(b.hosts[0].Root, "played")} {
		file := filepath.Join(dir, host+"-"+service)
		if err := os.WriteFile(file+".new", fmt.Appendln(nil, state), 0o644); err != nil {
			b.t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			b.t.Fatal(err)
		}
	}
}

// hostUp opens or closes the port by which a host is known to be up.
func (b *beside) hostUp(host string, up bool) {
	b.t.Helper()
	if l := b.up[host]; l != nil && !up {
		_ = l.Close()
		delete(b.up, host)
	} else if l == nil && up {
		l, err := net.Listen("tcp", b.addr[host])
		if err != nil {
			b.t.Fatal(err)
		}
		b.addr[host] = l.Addr().String()
		b.up[host] = l
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_ = c.Close()
			}
		}()
	}
}

// besideName gives the service that a task was: what depends on another one is a task of its own, http-2.
func besideName(task string) string { return strings.TrimSuffix(task, "-2") }

// settled waits until both believe what is played, of these checks. Jarvis looks at no check of a host that is down: hidden are those.
func (b *beside) settled(want map[string]int, hidden map[string]bool) {
	b.t.Helper()
	missing := ""
	for end := time.Now().Add(real.Patience(2 * time.Minute)); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		there, err := b.icinga.Standing(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		var list struct{ Data checks.Listing }
		if err := contract.Unmarshal([]byte(b.cli("check", "list", "*", "--json")), &list); err != nil {
			b.t.Fatal(err)
		}
		here := map[string]checks.View{}
		for _, v := range list.Data.Checks {
			k := v.Host + "!" + besideName(v.Task)
			if v.Task == "host" {
				k = v.Host
			}
			here[k] = v
		}
		missing = ""
		for k, state := range want {
			if s := there[k]; s.State != state || !s.Hard {
				missing += fmt.Sprintf(" Icinga has %s as %v", k, s)
			}
			status := state
			if !strings.Contains(k, "!") && state == 1 {
				status = 2
			}
			if v := here[k]; int(v.Hard) != status && !hidden[k] {
				missing += fmt.Sprintf(" Jarvis has %s as %s", k, v.Word)
			}
		}
		if missing == "" {
			return
		}
	}
	b.t.Fatalf("this does not settle:%s", missing)
}

// marked waits until both have told every contact of a mark for the nth time, and so of all before it.
func (b *beside) marked(name string, nth int) {
	b.t.Helper()
	for _, who := range []string{"alice", "bob", "carol"} {
		b.tell(who+" h10 "+name+" CRITICAL", nth)
	}
}

// tell waits until both have told something for the nth time.
func (b *beside) tell(what string, nth int) {
	b.t.Helper()
	count := func(list []string, what string) (n int) {
		for _, l := range list {
			if l == what {
				n++
			}
		}
		return n
	}
	for end := time.Now().Add(real.Patience(2 * time.Minute)); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		there, here := b.told()
		if count(there, what) >= nth && count(here, what) >= nth {
			return
		}
	}
	there, here := b.told()
	b.t.Fatalf("%s is told %d times by Icinga and %d times by Jarvis, want %d", what, count(there, what), count(here, what), nth)
}

// told gives what each has told so far.
func (b *beside) told() (icinga, jarvis []string) {
	text, err := os.ReadFile(filepath.Join(b.dir, "told"))
	if err != nil && !os.IsNotExist(err) {
		b.t.Fatal(err)
	}
	for l := range strings.Lines(string(text)) {
		icinga = append(icinga, strings.NewReplacer(" DOWN", " CRITICAL", " UP", " OK").Replace(strings.TrimSpace(l)))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return icinga, slices.Clone(b.heard)
}

func newBeside(t *testing.T) *beside {
	b := &beside{checkSite: &checkSite{t: t}, letters: map[string]bool{}, up: map[string]net.Listener{}, addr: map[string]string{}}
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var letter struct {
			ID, Contact string
			Events      []struct{ Host, Task, Word string }
		}
		if err := json.NewDecoder(r.Body).Decode(&letter); err != nil {
			t.Error(err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.letters[letter.ID] {
			t.Logf("the letter %s came again", letter.ID) // at least once is what is promised
			return
		}
		b.letters[letter.ID] = true
		for _, e := range letter.Events {
			b.heard = append(b.heard, letter.Contact+" "+e.Host+" "+besideName(e.Task)+" "+e.Word)
		}
	}))
	t.Cleanup(hook.Close)
	for h := 1; h <= besideHosts; h++ {
		name := fmt.Sprintf("h%d", h)
		b.addr[name] = fmt.Sprintf("127.143.1.%d:0", h)
		b.hostUp(name, true)
	}
	t.Cleanup(func() {
		for _, l := range b.up {
			_ = l.Close()
		}
	})
	// The import writes what Jarvis checks. Letters go to the hook instead of a mail server: what is compared is who is told of what.
	dir := t.TempDir()
	nagios, out := filepath.Join(dir, "objects.cfg"), filepath.Join(dir, "out.yaml")
	if err := os.WriteFile(filepath.Join(dir, "nagios.cfg"), []byte("cfg_file="+nagios+"\ninterval_length=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(nagios, []byte(b.nagiosObjects()), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := jarvis(t, "", "check", "import", "nagios", dir, "--into", out, "--from", "web1"); code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	defs, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`mail: '(\w+)@example.org'`).ReplaceAllString(string(defs), "webhook: "+hook.URL+"/$1")
	site := newCheckSite(t, 1, 143, "")
	b.checkSite = site
	b.inside(t, 1, "mkdir /played")
	if err := os.WriteFile(filepath.Join(b.hosts[0].Root, "played/plugin"), []byte(besidePlugin), 0o755); err != nil {
		t.Fatal(err)
	}
	b.icinga = must[*real.Icinga](t)(real.StartIcingaWith(t.Context(), func(dir string) (string, error) {
		conf, err := b.icingaObjects(dir)
		for _, x := range besideServices() {
			b.set(x.host, x.name, 0)
		}
		return conf, err
	}, "extra"))
	t.Cleanup(b.icinga.Stop)
	b.write("checks.d/site.yaml", text)
	return b
}

// TestBesideIcinga plays an hour of faults, a minute of it in some seconds, to both, and compares who was told of what, in which order. What
// differs, and is meant, stands in docs/checks-moving.md.
func TestBesideIcinga(t *testing.T) {
	b := newBeside(t)
	all := map[string]int{}
	for _, x := range besideServices() {
		all[x.host+"!"+x.name] = 0
	}
	b.settled(all, nil)
	for s := range besideSteps {
		want, hidden := b.play(s)
		b.settled(want, hidden)
		if s == 16 {
			b.tell("alice h2 host CRITICAL", 1)
		}
		mark := fmt.Sprintf("mark%d", s%besideMarks)
		b.set("h10", mark, 2)
		b.marked(mark, s/besideMarks+1)
		b.set("h10", mark, 0)
		t.Logf("minute %d: %v", s, want)
	}
	there, here := b.told()
	compareTold(t, there, here)
}

// play sets the states of one step: faults that wander over the services, and a story of hosts and dependencies. It gives what is to be believed.
func (b *beside) play(step int) (want map[string]int, hidden map[string]bool) {
	want, hidden = map[string]int{}, map[string]bool{}
	set := func(host, service string, state int) {
		b.set(host, service, state)
		want[host+"!"+service] = state
	}
	host := func(name string, up bool) {
		b.hostUp(name, up)
		want[name] = map[bool]int{true: 0, false: 1}[up]
	}
	story := map[int]func(){
		2:  func() { set("h5", "disk", 2) },
		3:  func() { set("h5", "http", 2); set("h6", "http", 2); set("h7", "http", 1) },
		4:  func() { set("h6", "http", 0) },
		5:  func() { set("h5", "disk", 0) }, // the http of h5 and h7 are told now
		6:  func() { set("h5", "http", 0); set("h7", "http", 0) },
		8:  func() { host("h8", false) },
		9:  func() { set("h8", "ping", 2); set("h8", "disk", 2); hidden["h8!ping"], hidden["h8!disk"] = true, true },
		10: func() { set("h8", "ping", 0); hidden["h8!ping"] = true },
		11: func() { host("h8", true); want["h8!disk"] = 2 }, // its disk is told now, its ping is not
		12: func() { set("h8", "disk", 0) },
		14: func() { host("h1", false) },
		15: func() { host("h2", false); hidden["h2"] = true },
		16: func() { host("h1", true); want["h2"] = 1 }, // h2 is told now
		17: func() { host("h2", true) },
	}
	if f := story[step]; f != nil {
		f()
	}
	// Each of the wandering faults begins at one step, becomes worse or another at the next but one, and ends two later.
	for i := range 3 {
		for _, age := range []int{0, 2, 4} {
			begun := step - age
			if begun < 0 || begun > besideSteps-6 {
				continue
			}
			n := (begun*3 + i) % 18
			h, k := []string{"h3", "h9", "h10"}[n%3], besideKinds[n/3].name
			state := map[int]int{0: 1 + (begun+i)%3, 2: 1 + (begun+i+1)%3}[age]
			set(h, k, state)
		}
	}
	if step >= 14 && step <= 16 { // h3 is behind h1: what wanders there is hidden while that is down
		for k := range want {
			if strings.HasPrefix(k, "h3!") {
				hidden[k] = true
			}
		}
	}
	return want, hidden
}

// compareTold compares what was told to each contact of each check, in its order.
func compareTold(t *testing.T, there, here []string) {
	t.Helper()
	by := func(list []string) map[string][]string {
		out := map[string][]string{}
		for _, l := range list {
			key := l[:strings.LastIndexByte(l, ' ')]
			out[key] = append(out[key], path.Base(l[len(key)+1:]))
		}
		return out
	}
	icinga, jarvis := by(there), by(here)
	keys := map[string]bool{}
	for k := range icinga {
		keys[k] = true
	}
	for k := range jarvis {
		keys[k] = true
	}
	same := 0
	for k := range keys {
		if slices.Equal(icinga[k], jarvis[k]) {
			same++
			continue
		}
		t.Errorf("%s: Icinga told %v, Jarvis told %v", k, icinga[k], jarvis[k])
	}
	t.Logf("%d notifications of Icinga, %d of Jarvis; of %d listeners to checks %d heard the same", len(there), len(here), len(keys), same)
	if same < 40 {
		t.Errorf("only %d listeners to checks heard anything", same)
	}
}
