package checks

import (
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/lab/real"
)

// TestShadowsAcrossNodes: the gateway is checked by one node, what is behind it by another. Its fall is said once, and
// nothing else is.
func TestShadowsAcrossNodes(t *testing.T) {
	conf := manyConf()
	conf.Host = model.HostCheck{Attempts: 2, Retry: time.Second, Every: 2 * time.Second}
	conf.Hosts = []model.Host{{Name: "gw", Alive: "ping", Silo: "moon"}}
	hosts := []string{"sw1", "sw2", "sw3", "sw4"}
	for _, h := range hosts {
		conf.Hosts = append(conf.Hosts, model.Host{Name: h, Alive: "tcp:22", Parents: []string{"gw"}})
	}
	conf.Tasks = []model.Task{{Name: "snmp", Command: "x", From: "probe", Schedule: "@every 1s", Attempts: 1},
		{Name: "app", Command: "x", Schedule: "@every 1s", Attempts: 1, Depends: []model.Dependency{{Task: model.HostAnswers, Host: "gw"}}}}
	conf.HostTasks = []model.HostTask{{Tasks: []string{"snmp"}, Hosts: hosts}, {Tasks: []string{"app"}, Hosts: []string{"web1"}}}
	m := newMany(t, conf)
	a, b := m.start("a", ""), m.start("b", "moon")
	m.until("all ran", real.Patience(60*time.Second), func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.began) == 10 })
	said := func() (out []string) {
		list, err := a.Notices(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range list {
			l, _, _ := strings.Cut(n.Line, " after ")
			out = append(out, l)
		}
		return out
	}
	well := func(n *node) bool {
		list, err := n.List(t.Context(), Filter{Status: Problems})
		if err != nil {
			t.Fatal(err)
		}
		return len(list) == 0
	}
	fall := func(down bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.say = func(k model.Key) outcome {
			switch {
			case !down:
				return outcome{stdout: "fine"}
			case k.Task == model.HostAnswers && k.Host != "probe" && k.Host != "web1":
				return outcome{unreachable: true, text: "no answer"}
			}
			return outcome{exit: 2, stdout: "broken"}
		}
	}
	want := []string{}
	for range 2 {
		fall(true)
		want = append(want, "gw cannot be reached: no answer")
		m.until("it is said", real.Patience(60*time.Second), func() bool { return len(said()) >= len(want) })
		m.until("all are problems", real.Patience(60*time.Second), func() bool {
			list, err := b.List(t.Context(), Filter{Status: Problems})
			return err == nil && len(list) == 10
		})
		fall(false)
		want = append(want, "gw answers again")
		m.until("all are well", real.Patience(60*time.Second), func() bool { return well(a) && well(b) && len(said()) >= len(want) })
		if got := said(); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("said:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	m.once()
}
