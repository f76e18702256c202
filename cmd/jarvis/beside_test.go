//go:build beside

// `make beside-icinga` runs this file alone: it plays faults for an hour.

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/lab/real"
)

// beside is Jarvis and Icinga, who look at the same things.
type beside struct {
	*checkSite
	icinga *real.Icinga
	dir    string // of Icinga's states
	up     map[string]net.Listener
	addr   map[string]string
	shift  besideShift
	want   map[string]int    // what both are to believe after this step
	odd    map[string]string // differences that were seen already
	last   int               // the last step at which a fault began to wander

	mu      sync.Mutex
	letters map[string]bool // by their ids
	heard   []oneTold       // from Jarvis
}

// oneTold is one notification.
type oneTold struct {
	who, what string // alice h1 disk; CRITICAL
	at        time.Time
}

// lay plays a state to both, whoever looks. It is there as a whole, or not yet.
func (b *beside) lay(host, service string, state int) {
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

// set plays a state that both are to believe.
func (b *beside) set(host, service string, state int) {
	b.t.Helper()
	b.lay(host, service, state)
	b.want[host+"!"+service] = state
}

// host plays that one goes down, or is back.
func (b *beside) host(name string, up bool) {
	b.t.Helper()
	b.hostUp(name, up)
	b.want[name] = map[bool]int{true: 0, false: 1}[up]
}

// hidden reports whether Jarvis does not look at something: it looks at no check of a host that is down, and at none
// behind one.
func (b *beside) hidden(k string) bool {
	host, _, service := strings.Cut(k, "!")
	return service && b.up[host] == nil || slices.Contains(behindH1, host) && b.up["h1"] == nil
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

// settled waits until both believe what is played.
func (b *beside) settled() {
	b.t.Helper()
	missing, slow := "", time.Now().Add(15*time.Second)
	for end := time.Now().Add(real.Patience(2 * time.Minute)); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if missing = b.unsettled(); missing == "" {
			return
		}
		if time.Now().After(slow) {
			b.t.Logf("this takes long:%s", missing)
			slow = slow.Add(time.Hour)
		}
	}
	b.t.Fatalf("this does not settle:%s", missing)
}

func (b *beside) unsettled() (missing string) {
	b.t.Helper()
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
	for k, state := range b.want {
		if s := there[k]; s.State != state || !s.Hard {
			missing += fmt.Sprintf(" Icinga has %s as %v", k, s)
		}
		status := state
		if !strings.Contains(k, "!") && state == 1 {
			status = 2
		}
		if v, ok := here[k]; (!ok || int(v.Hard) != status) && !b.hidden(k) {
			missing += fmt.Sprintf(" Jarvis has %s as %q", k, v.Word)
		}
	}
	return missing
}

// marked plays a mark, and waits until both have told every contact of it for the nth time: all that came before it was
// told.
func (b *beside) marked(name string, nth int) {
	b.t.Helper()
	b.lay("h10", name, 2)
	for _, who := range []string{"alice", "bob", "carol"} {
		what := who + " h10 " + name + " CRITICAL"
		b.poll(what+" is not told by both", func() bool {
			there, here := b.told()
			return count(there, what) >= nth && count(here, what) >= nth
		})
	}
	b.lay("h10", name, 0)
}

func (b *beside) poll(otherwise string, done func() bool) {
	b.t.Helper()
	for end := time.Now().Add(real.Patience(2 * time.Minute)); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if done() {
			return
		}
	}
	b.t.Fatal(otherwise)
}

// told gives what each has told so far.
func (b *beside) told() (icinga, jarvis []oneTold) {
	text, err := os.ReadFile(filepath.Join(b.dir, "told"))
	if err != nil && !os.IsNotExist(err) {
		b.t.Fatal(err)
	}
	for l := range strings.Lines(string(text)) {
		f := strings.Fields(l)
		if len(f) != 6 {
			continue // it is being written
		}
		at, _ := strconv.ParseInt(f[0], 10, 64)
		kind, state := f[4], strings.NewReplacer("DOWN", "CRITICAL", "UP", "OK").Replace(f[5])
		kind = map[string]string{"PROBLEM": "problem", "RECOVERY": "recovery", "FLAPPINGSTART": "flapping", "FLAPPINGEND": "steady"}[kind]
		icinga = append(icinga, oneTold{strings.Join(f[1:4], " "), besideWord(kind, state), time.Unix(at, 0)})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return icinga, slices.Clone(b.heard)
}

// besideWord is a notification in a word: the status of a problem, OK of its end.
func besideWord(kind, state string) string {
	switch {
	case kind == "flapping" || kind == "steady":
		return kind
	case (kind == "recovery") == (state == "OK"):
		return state
	}
	return kind + "-" + state
}

func newBeside(t *testing.T) *beside {
	b := &beside{checkSite: &checkSite{t: t}, letters: map[string]bool{}, up: map[string]net.Listener{}, addr: map[string]string{}, want: map[string]int{}, odd: map[string]string{}, shift: newBesideShift()}
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var letter struct {
			ID, Contact string
			Events      []struct{ Host, Task, Word, On string }
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
			kind := map[string]string{"change": "problem", "stays": "problem"}[e.On]
			b.heard = append(b.heard, oneTold{letter.Contact + " " + e.Host + " " + besideName(e.Task), besideWord(cmp.Or(kind, e.On), e.Word), time.Now()})
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
	// The import writes what Jarvis checks. Letters go to the hook instead of a mail server: what is compared is who is
	// told of what.
	dir := t.TempDir()
	nagios, out := filepath.Join(dir, "objects.cfg"), filepath.Join(dir, "out.yaml")
	if err := os.WriteFile(filepath.Join(dir, "nagios.cfg"), []byte("cfg_file="+nagios+"\ninterval_length=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(nagios, []byte(b.nagiosObjects()), 0o600); err != nil {
		t.Fatal(err)
	}
	code, said, errs := jarvis(t, "", "check", "import", "nagios", dir, "--into", out, "--from", "web1")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	t.Log(said)
	defs, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`mail: '(\w+)@example.org'`).ReplaceAllString(string(defs), "webhook: "+hook.URL+"/$1")
	site := newCheckSite(t, 1, 143, "")
	b.checkSite = site
	conf, err := os.ReadFile(filepath.Join(b.checkSite.dir, "jarvis.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// Icinga looks at hosts each two seconds too, and two failures are a problem.
	b.write("jarvis.yaml", strings.Replace(string(conf), "host: {retry: 2s}", "host: {every: 2s, retry: 1s, attempts: 2}", 1))
	b.cli("reload")
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

// TestBesideIcinga plays faults to both for an hour, or for JARVIS_BESIDE_MINUTES, and compares who was told of what,
// in which order. What differs, and is meant, stands in docs/howto/checks-moving.md and in besideDifferences.
func TestBesideIcinga(t *testing.T) {
	minutes, err := strconv.ParseFloat(cmp.Or(os.Getenv("JARVIS_BESIDE_MINUTES"), "60"), 64)
	if err != nil {
		t.Fatal("JARVIS_BESIDE_MINUTES is a number of minutes")
	}
	b := newBeside(t)
	for _, x := range besideServices() {
		if x.passive || x.checked != "" {
			delete(b.want, x.host+"!"+x.name)
		}
	}
	b.settled()
	for _, x := range besideServices() {
		for i := 0; x.passive && i < 21; i++ { // as many as flapping is counted by: to Icinga the first one is a change
			b.result(x.host, x.name, 0)
		}
	}
	stories, begun, steps, said := b.stories(), time.Now(), 0, 1
	for goes := true; goes; steps++ {
		goes = b.step(steps, stories, time.Since(begun).Minutes() < minutes)
		if gone := time.Since(begun); gone >= time.Duration(said)*time.Minute {
			there, here := b.told()
			t.Logf("after %s: step %d, %d notifications of Icinga, %d of Jarvis", gone.Truncate(time.Second), steps, len(there), len(here))
			said = int(gone/time.Minute) + 1
		}
	}
	for _, s := range stories {
		t.Logf("%d times: %s", s.times, s.name)
	}
	t.Logf("%d steps in %s", steps, time.Since(begun).Truncate(time.Second))
	there, here := b.told()
	compareTold(t, there, here, stories)
}

// step plays the next beats and lets faults wander, and waits until both believe that and have told the same. Its mark
// is a service that goes CRITICAL after the rest is settled: when its problem is told, all before it was.
func (b *beside) step(n int, stories []*story, more bool) (goes bool) {
	b.want = map[string]int{}
	for _, s := range stories {
		goes = s.play(more) || goes
	}
	goes = b.wander(n, more) || goes
	b.settled()
	b.marked(fmt.Sprintf("mark%d", n%besideMarks), n/besideMarks+1)
	b.level()
	return goes || more
}

// wander has three faults begin at each step, become worse or another at the next but one, and end two later.
func (b *beside) wander(step int, more bool) (goes bool) {
	if more {
		b.last = step
	}
	for i := range 3 {
		for _, age := range []int{0, 2, 4} {
			begun := step - age
			if begun < 0 || begun > b.last {
				continue
			}
			n := (begun*3 + i) % 18
			h, k := []string{"h3", "h9", "h10"}[n%3], besideKinds[n/3].name
			b.set(h, k, map[int]int{0: 1 + (begun+i)%3, 2: 1 + (begun+i+1)%3}[age])
		}
	}
	return step < b.last+4
}

// level waits until both have told the same, but for what differs. What does not come stays a difference, and is
// reported in the end.
func (b *beside) level() {
	b.t.Helper()
	for end := time.Now().Add(real.Patience(30 * time.Second)); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		there, here := b.told()
		differ := false
		for who, d := range differing(there, here) {
			differ = differ || besideDifferences[who] == nil && b.odd[who] != d
		}
		if !differ {
			return
		}
	}
	there, here := b.told()
	for who, d := range differing(there, here) {
		if besideDifferences[who] == nil && b.odd[who] != d {
			b.t.Logf("%s: %s", who, d)
			b.odd[who] = d
		}
	}
}

// differing gives the listeners to checks to whom both have told other things.
func differing(there, here []oneTold) map[string]string {
	icinga, jarvis := byListener(there), byListener(here)
	out := map[string]string{}
	for who := range listeners(icinga, jarvis) {
		if !slices.Equal(icinga[who], jarvis[who]) {
			out[who] = fmt.Sprintf("Icinga told %v, Jarvis told %v", icinga[who], jarvis[who])
		}
	}
	return out
}

func byListener(list []oneTold) map[string][]string {
	out := map[string][]string{}
	for _, l := range list {
		out[l.who] = append(out[l.who], l.what)
	}
	return out
}

func listeners(a, b map[string][]string) map[string]bool {
	out := map[string]bool{}
	for k := range a {
		out[k] = true
	}
	for k := range b {
		out[k] = true
	}
	return out
}

// besideDifference is what each tells one listener, each time that a story is played.
type besideDifference struct {
	story          string
	icinga, jarvis []string
}

// besideDifferences are all that there are, by listener.
var besideDifferences = map[string]*besideDifference{
	"alice h5 left":     {"notification period", []string{"CRITICAL"}, []string{"CRITICAL", "OK"}},
	"erin h5 desk-late": {"notification period", nil, []string{"CRITICAL", "OK"}},
	"erin h5 desk-left": {"notification period", []string{"CRITICAL"}, []string{"CRITICAL", "OK"}},
	"dave h5 ends":      {"escalation that ends", []string{"CRITICAL", "OK"}, []string{"CRITICAL", "CRITICAL", "OK"}},
	"alice h7 bell":     {"flapping", []string{"CRITICAL", "OK", "CRITICAL", "OK", "CRITICAL", "flapping", "steady"}, []string{"CRITICAL", "OK", "CRITICAL", "OK", "CRITICAL", "flapping", "steady", "OK"}},
	"alice h6 ping":     {"acknowledgement that is not sticky", []string{"WARNING", "CRITICAL", "OK"}, []string{"WARNING", "OK"}},
	"alice h7 ping":     {"acknowledgement taken back", []string{"CRITICAL", "OK"}, []string{"CRITICAL", "CRITICAL", "OK"}},
}

// compareTold compares what was told to each contact of each check, in its order.
func compareTold(t *testing.T, there, here []oneTold, stories []*story) {
	t.Helper()
	times := map[string]int{}
	for _, s := range stories {
		times[s.name] = s.times
	}
	icinga, jarvis := byListener(there), byListener(here)
	all := listeners(icinga, jarvis)
	differ := differing(there, here)
	for _, who := range slices.Sorted(maps.Keys(besideDifferences)) {
		d := besideDifferences[who]
		i, j := slices.Repeat(d.icinga, times[d.story]), slices.Repeat(d.jarvis, times[d.story])
		if !slices.Equal(icinga[who], i) || !slices.Equal(jarvis[who], j) {
			t.Errorf("%s: Icinga told %v, want %v; Jarvis told %v, want %v", who, icinga[who], i, jarvis[who], j)
		}
		t.Logf("as documented, each of %d times: %s was told %v by Icinga and %v by Jarvis", times[d.story], who, d.icinga, d.jarvis)
		delete(differ, who)
	}
	for who, d := range differ {
		t.Errorf("%s: %s", who, d)
	}
	same := len(all) - len(differ) - len(besideDifferences)
	t.Logf("%d notifications of Icinga, %d of Jarvis; of %d listeners to checks %d heard the same, and %d what is documented", len(there), len(here), len(all), same, len(besideDifferences))
	if same < 40 {
		t.Errorf("only %d listeners to checks heard anything", same)
	}
}
