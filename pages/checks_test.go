package pages

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/command"
)

// checked is a world with three hosts of which none can be reached, for a reason that has markup in it: each has two
// checks.
func checked(t *testing.T, set ...func(*world)) *world {
	t.Helper()
	w := newWorld(t, append(set, withAdmin, func(w *world) {
		w.defs = &model.Defs{HostTasks: []model.HostTask{{Tasks: []string{"*"}, Hosts: []string{"*"}}},
			Tasks: []model.Task{{Name: "disk", Attempts: 1, Schedule: "@every 1s", Command: "check_disk"}}}
		for i := range 3 {
			w.defs.Hosts = append(w.defs.Hosts, model.Host{Name: fmt.Sprintf("web%d.example.org", i), Address: "192.0.2.1"})
		}
	})...)
	w.wait("the checks have run", func() bool {
		list, err := w.mon.List(t.Context(), checks.Filter{Status: checks.Problems})
		w.must(err)
		n := 0
		for _, v := range list {
			if !v.At.IsZero() {
				n++
			}
		}
		return n == 6
	})
	return w
}

func (w *world) wait(what string, f func() bool) {
	w.t.Helper()
	for began := time.Now(); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			list, _ := w.mon.List(w.t.Context(), checks.Filter{})
			for _, v := range list {
				w.t.Logf("%s %s %q at %s, hidden %q", v.Key, v.Word, v.Line, v.At, v.Hidden)
			}
			w.t.Fatalf("after 30 s it is not so: %s", what)
		}
	}
}

func (w *world) say(words ...string) (command.Answer, error) {
	return w.table.Do(w.t.Context(), command.Call{Words: words, Person: w.access.Person("alice"), Asker: "alice", Via: "test", Free: true})
}

// TestRunNamesWhomItCannotReach: a host whose check is bad, and that is not on record, must not be left out in silence.
func TestRunNamesWhomItCannotReach(t *testing.T) {
	w := checked(t)
	_, err := w.say("run", "check:problem", "uptime")
	if err == nil || !strings.Contains(err.Error(), "no address and host key are on record of any host with a check that is problem: web0.example.org, web1.example.org, web2.example.org") {
		t.Errorf("run = %v", err)
	}
}

// TestWhatBecameWorseIsNotAcknowledged: whoever ticked a warning has not seen that it is critical by now.
func TestWhatBecameWorseIsNotAcknowledged(t *testing.T) {
	w := checked(t)
	b := w.as("alice")
	res := b.post("/checks", url.Values{"verb": {"ack"}, "pair": {"disk on web0.example.org was WARNING", "disk on web1.example.org,web2.example.org was UNKNOWN"}})
	for _, want := range []string{"disk on web0.example.org is UNKNOWN by now, and is not acknowledged", "I say no more of disk on web1.example.org, disk on web2.example.org"} {
		if !strings.Contains(res.body, want) {
			t.Errorf("%d, and not %q: %s", res.status, want, res.body)
		}
	}
	if _, err := w.say("ack", "disk", "on", "web0.example.org", "was", "sad"); err == nil || !strings.Contains(err.Error(), `"sad" is no status; there are ok, warning, critical and unknown`) {
		t.Errorf("ack = %v", err)
	}
	if a, err := w.say("ack", "disk", "on", "web0.example.org", "was", "critical"); err != nil || a.Bad {
		t.Errorf("ack = %v, %v", a, err)
	}
}

func TestPagesOfChecks(t *testing.T) { bothDatabases(t, pagesOfChecks) }

func pagesOfChecks(t *testing.T, on func(*world)) {
	w := checked(t, on)
	b := w.as("alice")
	for path, want := range map[string]string{
		"/checks":                       "6 of 6 checks on 3 hosts are not OK",
		"/checks?by=check":              `title="host: 3 of 3 not OK"`,
		"/checks?q=dis":                 "3 of 3 checks are not OK", // half a word, while somebody types
		"/checks?q=dis&part=1":          "3 of 3 checks are not OK",
		"/checks?q=disk+on":             "nothing matches disk on.",
		"/checks?q=%5B":                 "nothing matches [.",
		"/checks?q=nowhere":             "nothing matches nowhere.",
		"/hosts/web0.example.org":       "it is declared for checks, and was not deployed here",
		"/checks/web0.example.org/host": "no &lt;b&gt;way&lt;/b&gt; there",
	} {
		res := b.get(path)
		if res.status != http.StatusOK || !strings.Contains(res.body, want) {
			t.Errorf("GET %s: %d, and not %q: %s", path, res.status, want, res.body)
		}
		for _, bad := range []string{"<script>alert", "<b>way", "ZgotmplZ", " style="} {
			if strings.Contains(res.body, bad) {
				t.Errorf("GET %s: %q is in it", path, bad)
			}
		}
	}
	for _, path := range []string{"/checks/web0.example.org/nothing", "/checks/nowhere/disk", "/hosts/nowhere"} {
		if res := b.get(path); res.status != http.StatusNotFound {
			t.Errorf("GET %s: %d", path, res.status)
		}
	}
	victor := w.as("victor")
	if res := victor.get("/checks"); strings.Contains(res.body, `value="ack"`) {
		t.Error("who may only look is offered to acknowledge")
	}
	if res := victor.post("/checks", url.Values{"verb": {"ack"}, "pair": {"host on web0.example.org"}}); res.status != http.StatusForbidden {
		t.Errorf("who may only look acknowledges: %d", res.status)
	}
}

// A comma with nothing beside it would mean every host to who reads a filter.
func TestACommaMeansNoOtherHost(t *testing.T) {
	w := checked(t)
	for _, verb := range []string{"ack", "unack", "run", "silence"} {
		for _, hosts := range []string{"web0.example.org,", ",web0.example.org", "web0.example.org,,web1.example.org", ","} {
			a, err := w.say("check", verb, "host", "on", hosts, "for", "2h")
			if verb == "unack" || verb == "run" {
				a, err = w.say("check", verb, "host", "on", hosts)
			}
			if err == nil || !strings.Contains(err.Error(), "a comma with no host beside it") {
				t.Errorf("%s %q: %v %v", verb, hosts, a.Lines, err)
			}
		}
	}
	if _, err := w.say("check", "silence", "", "on", "web0.example.org", "for", "2h"); err == nil {
		t.Error("an empty word is every task")
	}
	if list := w.mon.Downtimes(); len(list) > 0 {
		t.Errorf("%+v", list)
	}
	if _, err := w.say("check", "silence", "host", "on", "web0.example.org,nowhere", "for", "2h"); err == nil || len(w.mon.Downtimes()) > 0 {
		t.Errorf("half of it is done: %v %+v", err, w.mon.Downtimes())
	}
	if _, err := w.say("check", "silence", "host", "on", "web0.example.org,web1.example.org", "for", "2h"); err != nil || len(w.mon.Downtimes()) != 2 {
		t.Errorf("%v %+v", err, w.mon.Downtimes())
	}
}

// Whoever ticks a box may not have seen that somebody was quicker.
func TestAnAcknowledgementIsNotOverwritten(t *testing.T) {
	w := checked(t)
	if _, err := w.say("check", "ack", "host", "on", "web0.example.org", "for", "9h", "because", "first"); err != nil {
		t.Fatal(err)
	}
	res := w.as("bob").post("/checks", url.Values{"verb": {"ack"}, "pair": {"host on web0.example.org", "host on web0.example.org,web1.example.org"}, "for": {"1h"}, "because": {"<i>second</i>"}})
	if res.status != http.StatusOK || !strings.Contains(res.body, "I say no more of host on web1.example.org") || !strings.Contains(res.body, "host on web0.example.org is acknowledged by alice until") || strings.Contains(res.body, "<i>second") {
		t.Errorf("%d %s", res.status, res.body)
	}
	for host, who := range map[string]string{"web0.example.org": "alice", "web1.example.org": "bob"} {
		if v, err := w.mon.Show(t.Context(), model.Key{Task: "host", Host: host}); err != nil || v.Ack == nil || v.Ack.By != who {
			t.Errorf("%s: %+v %v", host, v.Ack, err)
		}
	}
}

// All boxes of the largest site are one form.
func TestAllBoxesAreTicked(t *testing.T) {
	w := checked(t)
	var pairs []string
	for i := range 4000 {
		pairs = append(pairs, fmt.Sprintf("host on web%d.example.org", i%3))
	}
	if res := w.as("alice").post("/checks", url.Values{"verb": {"ack"}, "pair": pairs, "for": {"1h"}}); res.status != http.StatusOK {
		t.Errorf("%d %s", res.status, res.body)
	}
}

func TestPlots(t *testing.T) {
	from := time.Now().Add(-24 * time.Hour)
	at := func(m int) time.Time { return from.Add(time.Duration(m) * time.Minute) }
	inf := math.Inf(1)
	for what, c := range map[string]struct {
		points []checks.Point
		now    model.Metric
		want   []string
	}{
		"thresholds": {[]checks.Point{{At: at(0), Mean: 1, Min: 0, Max: 2, N: 3}, {At: at(5), Mean: 2, Min: 2, Max: 2, N: 3}}, model.Metric{Label: "l", Value: 2, Warn: &model.Range{To: 5}, Crit: &model.Range{From: 1, To: inf}}, []string{"warning 5", "critical 1", "now 2", "lowest 0, highest 2, mean 1.5"}},
		"a gap":      {[]checks.Point{{At: at(0), Mean: 1, N: 1}, {At: at(500), Mean: 2, N: 1}}, model.Metric{}, []string{"h.1M"}},
		"one point":  {[]checks.Point{{At: at(0), Mean: 3, Min: 3, Max: 3, N: 1}}, model.Metric{Label: "l", Value: math.NaN()}, []string{"mean 3"}},
		"zeros":      {[]checks.Point{{At: at(0), N: 1}, {At: at(5), N: 1}}, model.Metric{}, []string{"highest 0"}},
	} {
		p := drawPlot(checks.Series{Label: "<b>l", Points: c.points}, c.now, spans[0], from, from.Add(24*time.Hour))
		svg := string(p.SVG)
		for _, bad := range []string{"NaN", "Inf", "<b>"} {
			if strings.Contains(svg, bad) {
				t.Errorf("%s: %q is in %s", what, bad, svg)
			}
		}
		for _, want := range c.want {
			if !strings.Contains(svg+p.About, want) {
				t.Errorf("%s: %q is not in %s %s", what, want, svg, p.About)
			}
		}
	}
}

// A pattern and a name may mean the same check twice.
func TestACheckIsMeantOnce(t *testing.T) {
	w := checked(t)
	a, err := w.say("check", "ack", "host", "on", "web*,web1.example.org", "for", "2h")
	if err != nil || !strings.Contains(strings.Join(a.Lines, " "), "I say no more of host on web0.example.org, host on web1.example.org, host on web2.example.org until") {
		t.Errorf("%q %v", a.Lines, err)
	}
	if _, err := w.say("check", "silence", "host", "on", "web1.example.org,web1.example.org", "for", "2h"); err != nil || len(w.mon.Downtimes()) != 1 {
		t.Errorf("%v %+v", err, w.mon.Downtimes())
	}
}

// All hosts of a large site are more than one verb takes.
func TestManyHostsOfATaskAreSeveralVerbs(t *testing.T) {
	var hosts []string
	for i := range 2500 {
		hosts = append(hosts, fmt.Sprintf("web%d", i))
	}
	got := checkWords(url.Values{"verb": {"ack"}, "pair": {"disk on " + strings.Join(hosts, ",")}, "for": {"1h"}})
	n := 0
	for _, words := range got {
		list := strings.Split(words[4], ",")
		if n += len(list); len(list) > 1000 {
			t.Errorf("%d hosts in one verb", len(list))
		}
	}
	if n != 2500 {
		t.Errorf("%d hosts are meant, in %d verbs", n, len(got))
	}
}
