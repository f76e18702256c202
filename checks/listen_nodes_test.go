package checks

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

// TestEscalationOverNodes: what a listener was told stands with the check, so the node that takes the host over tells
// nothing twice, and tells the end; and an acknowledgement that any node hears stops it.
func TestEscalationOverNodes(t *testing.T) {
	ctx := t.Context()
	conf := manyConf()
	conf.HostTasks[0].Tasks, conf.HostTasks[0].Hosts = []string{"disk"}, []string{"web[1-12]"}
	conf.Actions = []model.Action{{Name: "soon", Notify: []string{"boss"}, After: 5 * time.Second, Hosts: []string{"web1"}}, {Name: "later", Notify: []string{"boss"}, After: 20 * time.Second, Hosts: []string{"web2", "web3"}}}
	conf.Contacts = []model.Contact{{Name: "boss", Channel: "#boss"}}
	m := newMany(t, conf)
	all := map[string]*node{"a": m.start("a", ""), "b": m.start("b", "")}
	m.settled("a", "b")
	key := func(host string) model.Key { return model.Key{Task: "disk", Host: host} }
	who := func(host string) string {
		m.mu.Lock()
		defer m.mu.Unlock()
		list := m.began[key(host)]
		return list[len(list)-1].node
	}
	broken := func(hosts ...string) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.say = func(k model.Key) outcome {
			if slices.Contains(hosts, k.Host) {
				return outcome{exit: 2, stdout: "full"}
			}
			return outcome{stdout: "fine"}
		}
	}
	at := all["a"]
	said := func(part string) (n int) {
		list, err := at.Notices(ctx, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range list {
			if x.Channel == "#boss" && strings.Contains(x.Line, part) {
				n++
			}
		}
		return n
	}

	broken("web1")
	m.until("the boss hears of web1", time.Minute, func() bool { return said("CRITICAL on web1 after ") == 1 })
	was := who("web1")
	if was == "a" {
		at = all["b"]
	}
	all[was].end()
	m.until("another runs it", time.Minute, func() bool { return who("web1") == at.name })
	m.mu.Lock()
	ran := len(m.began[key("web1")])
	m.mu.Unlock()
	m.until("it ran there three times more", time.Minute, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.began[key("web1")]) >= ran+3
	})
	broken()
	m.until("the boss hears of its end", time.Minute, func() bool { return said("OK again on web1") == 1 })
	if n := said("CRITICAL on web1 after "); n != 1 {
		t.Errorf("it was told %d times", n)
	}

	all["c"] = m.start("c", "")
	m.settled(at.name, "c")
	other := all["c"]
	if who("web2") == "c" {
		other = at
	}
	broken("web2")
	m.until("web2 is a problem", time.Minute, func() bool {
		v, err := other.Show(ctx, key("web2"))
		return err == nil && v.Told == model.Critical
	})
	if acked, err := other.Acknowledge(ctx, []model.Key{key("web2")}, Ack{By: "alice"}); err != nil || len(acked) != 1 {
		t.Fatal(acked, err)
	}
	broken("web2", "web3") // what came later is told, and the other is not
	m.until("the boss hears of web3", time.Minute, func() bool { return said("CRITICAL on web3 after ") == 1 })
	if n := said("web2"); n != 0 {
		t.Errorf("what was acknowledged is told %d times", n)
	}
}
