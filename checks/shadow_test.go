package checks

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

// broken is which checks and hosts fail now; a host is named alone.
type broken struct {
	mu  sync.Mutex
	set map[string]bool
}

func (b *broken) are(words ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set = map[string]bool{}
	for _, w := range words {
		b.set[w] = true
	}
}

func (b *broken) say(from map[string]string) func(model.Key, int) outcome {
	return func(k model.Key, _ int) outcome {
		b.mu.Lock()
		defer b.mu.Unlock()
		where := k.Host
		if from[k.Task] != "" {
			where = from[k.Task]
		}
		switch {
		case b.set[where], b.set["ssh of "+where] && k.Task != model.HostAnswers:
			return outcome{unreachable: true, text: "no answer"}
		case b.set[k.String()]:
			return outcome{exit: 2, stdout: "it is broken"}
		}
		return outcome{stdout: "fine"}
	}
}

// While the gateway is down one line is said of it, and none of what is behind it; what is still down when it is back
// is told then.
func TestParents(t *testing.T) {
	bubble(t, `
hosts:
  - {name: gw, alive: ping}
  - {name: sw, alive: "tcp:23", parents: [gw]}
  - {name: web1, parents: [sw]}
  - {name: web2, alive: ping, parents: [sw]}
tasks: [{name: disk, command: x, attempts: 1}, {name: http, command: x, from: probe, attempts: 1}]
host_tasks: [{tasks: [disk, http], hosts: ["web[1-2]"]}]
`, func(t *testing.T, g *ground) {
		b := &broken{}
		g.says(b.say(map[string]string{"http": "probe"}))
		time.Sleep(5 * time.Minute)
		g.wantLines()
		b.are("gw", "sw", "web1", "web2", "http on web1", "http on web2")
		time.Sleep(10 * time.Minute)
		gw := "gw cannot be reached: no answer"
		g.wantLines(gw)
		list, err := g.List(t.Context(), Filter{Task: model.HostAnswers, Host: "web2"})
		if err != nil || len(list) != 1 || list[0].Hidden != "its way is down: sw" {
			t.Errorf("%+v %v", list, err)
		}
		// Nothing of it is forgotten.
		g.stop()
		g.start()
		time.Sleep(5 * time.Minute)
		g.wantLines(gw)
		b.are("web2", "http on web2")
		time.Sleep(10 * time.Minute)
		got := g.lines()
		slices.Sort(got) // whichever was asked first
		if len(got) != 3 || !strings.HasPrefix(got[0], "gw answers again after ") || got[1] != gw || got[2] != "web2 cannot be reached: no answer" {
			t.Errorf("%q", got)
		}
		b.are()
		time.Sleep(10 * time.Minute)
		if got := g.lines(); len(got) != 4 || !strings.HasPrefix(got[3], "web2 answers again after ") {
			t.Errorf("%q", got)
		}
		// One whose ways are open is told.
		b.are("web1")
		time.Sleep(10 * time.Minute)
		if got := g.lines(); len(got) != 5 || got[4] != "web1 cannot be reached: no answer" {
			t.Errorf("%q", got)
		}
	})
}

// A host with two ways is told while one of them is open.
func TestTwoParents(t *testing.T) {
	bubble(t, `
hosts: [{name: gw1, alive: ping}, {name: gw2, alive: ping}, {name: web1, parents: [gw1, gw2]}]
tasks: [{name: disk, command: x, attempts: 1}]
host_tasks: [{tasks: [disk], hosts: [web1]}]
`, func(t *testing.T, g *ground) {
		b := &broken{}
		g.says(b.say(nil))
		time.Sleep(5 * time.Minute)
		b.are("gw1")
		time.Sleep(5 * time.Minute)
		b.are("gw1", "web1")
		time.Sleep(5 * time.Minute)
		g.wantLines("gw1 cannot be reached: no answer", "web1 cannot be reached: no answer")
		b.are("gw1", "gw2", "web1")
		time.Sleep(5 * time.Minute)
		g.wantLines("gw1 cannot be reached: no answer", "web1 cannot be reached: no answer", "gw2 cannot be reached: no answer")
	})
}

// What is looked at from elsewhere is not told of a host that is down itself, whichever is found first.
func TestASwitchWithoutSSH(t *testing.T) {
	bubble(t, `
hosts: [{name: sw1, alive: ping}]
tasks: [{name: snmp, command: x, from: probe, attempts: 1, schedule: "@every 10s"}]
host_tasks: [{tasks: [snmp], hosts: [sw1]}]
`, func(t *testing.T, g *ground) {
		b := &broken{}
		g.says(b.say(map[string]string{"snmp": "probe"}))
		time.Sleep(5 * time.Minute)
		if s := g.Stats(t.Context()); s.Checks != 2 || s.Hosts != 2 {
			t.Errorf("%+v", s)
		}
		for range 3 {
			b.are("sw1", "snmp on sw1")
			time.Sleep(5 * time.Minute)
			b.are()
			time.Sleep(5*time.Minute + 7*time.Second)
		}
		b.are("snmp on sw1")
		time.Sleep(5 * time.Minute)
		var got []string
		for _, l := range g.lines() {
			l, _, _ = strings.Cut(l, " after ")
			got = append(got, l)
		}
		down, up := "sw1 cannot be reached: no answer", "sw1 answers again"
		if want := []string{down, up, down, up, down, up, "snmp is CRITICAL on sw1: it is broken. `check show snmp on sw1`"}; strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%q", got)
		}
	})
}

// A host that pings and refuses SSH is up: its checks say what is wrong.
func TestOnlySSHFails(t *testing.T) {
	bubble(t, `
hosts: [{name: web1, alive: ping}, {name: odd, alive: none}]
tasks: [{name: disk, command: x, attempts: 2}]
host_tasks: [{tasks: [disk], hosts: [web1, odd]}]
`, func(t *testing.T, g *ground) {
		b := &broken{}
		g.says(b.say(nil))
		time.Sleep(5 * time.Minute)
		b.are("ssh of web1", "ssh of odd")
		time.Sleep(5 * time.Minute)
		if got := g.lines(); len(got) != 1 || got[0] != "disk is UNKNOWN on 2 hosts: odd,web1. `checks disk`" {
			t.Errorf("%q", got)
		}
		if s := g.Stats(t.Context()); s.Down != 0 {
			t.Errorf("%+v", s)
		}
	})
}

const dependent = `
tasks:
  - {name: db, command: x, attempts: 2}
  - {name: app, command: x, attempts: 2, depends: [db]}
  - {name: report, command: x, attempts: 1, depends: [{task: db, host: loki, skip: true}]}
host_tasks: [{tasks: [db, app], hosts: [loki]}, {tasks: [report], hosts: [thor]}]
`

// While what it depends on is a problem a check tells nothing; what is left of it then is told.
func TestDepends(t *testing.T) {
	bubble(t, dependent, func(t *testing.T, g *ground) {
		b := &broken{}
		g.says(b.say(nil))
		time.Sleep(5 * time.Minute)
		b.are("db on loki", "app on loki", "report on thor")
		time.Sleep(10 * time.Minute)
		db, again := "db is CRITICAL on loki: it is broken. `check show db on loki`", "db is OK again on loki"
		report := "report is CRITICAL on thor: it is broken. `check show report on thor`"
		first := g.lines()
		if n := len(first); n == 0 || n > 2 || first[n-1] != db || n == 2 && first[0] != report { // that was believed before db was
			t.Errorf("%q", first)
		}
		before := len(g.times(model.Key{Task: "report", Host: "thor"}))
		time.Sleep(20 * time.Minute)
		if after := len(g.times(model.Key{Task: "report", Host: "thor"})); after != before {
			t.Errorf("report ran %d times while db was a problem", after-before)
		}
		if v, err := g.Show(t.Context(), model.Key{Task: "app", Host: "loki"}); err != nil || v.Hidden != "it depends on db on loki, which is CRITICAL" {
			t.Errorf("%+v %v", v, err)
		}
		b.are("app on loki")
		time.Sleep(10 * time.Minute)
		got := g.lines()[len(first):]
		if len(got) < 2 || !strings.HasPrefix(got[0], again) || got[len(got)-1] != "app is CRITICAL on loki: it is broken. `check show app on loki`" {
			t.Errorf("%q", got)
		}
		// Both are well again at once, and app is seen last: nothing is said of it.
		b.are()
		time.Sleep(10 * time.Minute)
		n := len(g.lines())
		b.are("db on loki", "app on loki")
		time.Sleep(10 * time.Minute)
		b.are()
		time.Sleep(10 * time.Minute)
		for _, l := range g.lines()[n:] {
			if strings.HasPrefix(l, "app") {
				t.Error(l)
			}
		}
	})
}

// Of many layers that each depend on all of the next one each check is looked at once: there are as many ways through
// these as no monitor lives to go, and all else waits meanwhile.
func TestLayersOfDependencies(t *testing.T) {
	const layers = 24
	text := "tasks:\n"
	for i := range layers {
		for _, x := range []string{"a", "b"} {
			text += fmt.Sprintf("  - {name: %s%d, command: x", x, i)
			if i+1 < layers {
				text += fmt.Sprintf(", depends: [{task: a%d, skip: true}, {task: b%d, skip: true}, b%d]", i+1, i+1, i+1)
			}
			text += "}\n"
		}
	}
	d, err := model.ReadDefs([]byte(text + "host_tasks: [{tasks: ['*'], hosts: [web1]}]"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := model.NewCatalog(d, model.Record{}, "")
	if err != nil {
		t.Fatal(err)
	}
	m := &Monitor{cat: c}
	begin := time.Now()
	if l := m.linkedTo(model.Key{Task: "a0", Host: "web1"}, func(model.Link) bool { return true }); l != nil {
		t.Errorf("it depends on %s, which is no problem", l.Key)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("that took %s", took)
	}
}
