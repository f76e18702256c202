//go:build beside

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/internal/contract"
)

// A beat is one thing that is played, at the first step at which it may.
type beat struct {
	when func() bool // nil: at once
	do   func()
}

// A story is played again and again, a beat at each step, beside the others.
type story struct {
	name  string
	tell  func(n int) []beat // of its nth time
	left  []beat
	since time.Time // of the last beat
	times int
}

// play does the next beat of it, if its time has come, and begins again while there is more. It reports whether it goes
// on.
func (s *story) play(more bool) bool {
	if len(s.left) == 0 {
		if !more {
			return false
		}
		s.left = s.tell(s.times)
		s.times++
	}
	if next := s.left[0]; next.when == nil || next.when() {
		next.do()
		s.left, s.since = s.left[1:], time.Now()
	}
	return len(s.left) > 0
}

// after reports whether the last beat is so long ago.
func (s *story) after(d time.Duration) func() bool {
	return func() bool { return time.Since(s.since) >= d }
}

// shifted is a time of the period shift.
func (b *beside) shifted(open bool, since, left time.Duration) func() bool {
	return func() bool { return b.shift.window(open, since, left) }
}

// once is when both have told something for the nth time, and alice was told of that check lately: she is told again
// each minute, and what ends in the middle of one ends before the same notification of both.
func (b *beside) once(what string, nth int) func() bool {
	return func() bool {
		there, here := b.told()
		who := "alice" + what[strings.Index(what, " "):strings.LastIndex(what, " ")]
		return count(there, what) >= nth && count(here, what) >= nth && lately(there, who) && lately(here, who)
	}
}

func count(list []oneTold, what string) (n int) {
	for _, l := range list {
		if l.who+" "+l.what == what {
			n++
		}
	}
	return n
}

func lately(list []oneTold, who string) bool {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].who == who {
			return time.Since(list[i].at) < 35*time.Second
		}
	}
	return false
}

func (b *beside) stories() []*story {
	return []*story{
		b.dependent(), b.hostDown(), b.gateway(), b.escalated(), b.acknowledgedInTime(), b.lastNotification(), b.escalatedInPeriod(),
		b.notificationPeriod(), b.checkPeriod(), b.downtime(), b.acknowledged(), b.acknowledgedLoosely(), b.acknowledgementTaken(), b.flapping(),
	}
}

func (b *beside) dependent() *story {
	return &story{name: "dependency", tell: func(int) []beat {
		return []beat{
			{do: func() { b.set("h5", "disk", 2) }},
			{do: func() { b.set("h5", "http", 2); b.set("h6", "http", 2); b.set("h7", "http", 1) }},
			{do: func() { b.set("h6", "http", 0) }},
			{do: func() { b.set("h5", "disk", 0) }}, // the http of h5 and h7 are told now
			{do: func() { b.set("h5", "http", 0); b.set("h7", "http", 0) }},
		}
	}}
}

func (b *beside) hostDown() *story {
	return &story{name: "host down, escalated", tell: func(n int) []beat {
		return []beat{
			{do: func() { b.host("h8", false) }},
			{do: func() { b.set("h8", "ping", 2); b.set("h8", "disk", 2) }},
			{do: func() { b.set("h8", "ping", 0) }},
			{when: b.once("dave h8 host CRITICAL", n+1), do: func() { b.host("h8", true); b.want["h8!disk"] = 2 }}, // its disk is told now, its ping is not
			{do: func() { b.set("h8", "disk", 0) }},
		}
	}}
}

func (b *beside) gateway() *story {
	s := &story{name: "hosts behind one that is down"}
	s.tell = func(n int) []beat {
		return []beat{
			{do: func() { b.host("h1", false) }},
			{do: func() { b.host("h2", false) }},
			{do: func() { b.host("h1", true); b.want["h2"] = 1 }}, // h2 is told now
			{do: func() { b.host("h2", true) }},
			{when: s.after(time.Minute), do: func() {}}, // what wanders on h3 is told in between
		}
	}
	return s
}

func (b *beside) escalated() *story {
	return &story{name: "escalation", tell: func(n int) []beat {
		return []beat{
			{do: func() { b.set("h6", "page", 2) }},
			{when: b.once("dave h6 page CRITICAL", n+1), do: func() { b.set("h6", "page", 0) }},
		}
	}}
}

func (b *beside) acknowledgedInTime() *story {
	s := &story{name: "acknowledged before it escalates"}
	s.tell = func(int) []beat {
		return []beat{
			{do: func() { b.set("h7", "calm", 2) }},
			{do: func() { b.acknowledge("h7", "calm", true) }},
			{when: s.after(75 * time.Second), do: func() { b.set("h7", "calm", 0) }},
		}
	}
	return s
}

func (b *beside) lastNotification() *story {
	return &story{name: "escalation that ends", tell: func(n int) []beat {
		return []beat{
			{do: func() { b.set("h5", "ends", 2) }},
			{when: b.once("alice h5 ends CRITICAL", 3*n+3), do: func() { b.set("h5", "ends", 0) }},
		}
	}}
}

func (b *beside) escalatedInPeriod() *story {
	return &story{name: "escalation in a period", tell: func(n int) []beat {
		return []beat{
			// It is to be escalated while that is closed, and told soon after.
			{when: b.shifted(false, 0, 70*time.Second), do: func() { b.set("h7", "night", 2) }},
			{when: b.once("dave h7 night CRITICAL", n+1), do: func() { b.set("h7", "night", 0) }},
		}
	}}
}

// notificationPeriod begins and ends problems inside and outside of a period of the service, and of one of the contact.
func (b *beside) notificationPeriod() *story {
	return &story{name: "notification period", tell: func(n int) []beat {
		state := 1 + n%3
		return []beat{
			{when: b.shifted(true, 15*time.Second, 50*time.Second), do: func() {
				b.set("h5", "left", 2)
				b.set("h5", "desk-left", 2)
				b.set("h5", "worse", 1)
			}},
			{when: b.shifted(false, 5*time.Second, 75*time.Second), do: func() {
				b.set("h5", "left", 0)
				b.set("h5", "desk-left", 0)
				b.set("h5", "worse", 2)
				b.set("h5", "blip", state)
				b.set("h5", "late", state)
				b.set("h5", "desk-late", 2)
			}},
			{do: func() { b.set("h5", "blip", 0) }},
			{when: b.shifted(true, 15*time.Second, 30*time.Second), do: func() {
				b.set("h5", "late", 0)
				b.set("h5", "desk-late", 0)
				b.set("h5", "worse", 0)
			}},
		}
	}}
}

func (b *beside) checkPeriod() *story {
	return &story{name: "check period", tell: func(n int) []beat {
		return []beat{
			{when: b.shifted(false, 5*time.Second, 60*time.Second), do: func() { b.lay("h6", "hours", 1+n%3); b.lay("h6", "hours-blip", 2) }},
			{do: func() { b.lay("h6", "hours-blip", 0) }},
			{when: b.shifted(true, 5*time.Second, 30*time.Second), do: func() { b.set("h6", "hours", 1+n%3); b.set("h6", "hours-blip", 0) }},
			{when: b.shifted(true, 5*time.Second, 30*time.Second), do: func() { b.set("h6", "hours", 0) }},
		}
	}}
}

func (b *beside) downtime() *story {
	var id int64
	return &story{name: "downtime", tell: func(int) []beat {
		return []beat{
			{do: func() { b.set("h11", "ping", 2) }},
			{do: func() { id = b.silence("h11") }},
			{do: func() { b.set("h11", "ping", 0); b.set("h11", "disk", 2); b.set("h11", "load", 2) }},
			{do: func() { b.set("h11", "load", 0) }},
			{do: func() { b.unsilence("h11", id) }}, // the end of ping and the problem of disk are told now
			{do: func() { b.set("h11", "disk", 0) }},
		}
	}}
}

func (b *beside) acknowledged() *story {
	return &story{name: "acknowledgement", tell: func(int) []beat {
		return []beat{
			{do: func() { b.set("h5", "ping", 1) }},
			{do: func() { b.acknowledge("h5", "ping", true) }},
			{do: func() { b.set("h5", "ping", 2) }},
			{do: func() { b.set("h5", "ping", 0) }},
			{do: func() {}},
		}
	}}
}

func (b *beside) acknowledgedLoosely() *story {
	return &story{name: "acknowledgement that is not sticky", tell: func(int) []beat {
		return []beat{
			{do: func() { b.set("h6", "ping", 1) }},
			{do: func() { b.acknowledge("h6", "ping", false) }},
			{do: func() { b.set("h6", "ping", 2) }},
			{do: func() { b.set("h6", "ping", 0) }},
			{do: func() {}},
		}
	}}
}

func (b *beside) acknowledgementTaken() *story {
	return &story{name: "acknowledgement taken back", tell: func(int) []beat {
		return []beat{
			{do: func() { b.set("h7", "ping", 2) }},
			{do: func() { b.acknowledge("h7", "ping", true) }},
			{do: func() { b.unacknowledge("h7", "ping") }},
			{do: func() { b.set("h7", "ping", 0) }},
			{do: func() {}},
		}
	}}
}

// flapping gives both the same results of a service, so that both count the same changes.
func (b *beside) flapping() *story {
	s := &story{name: "flapping"}
	s.tell = func(int) []beat {
		return []beat{
			{do: func() {
				for i := range 12 {
					b.rung(2 - i%2*2)
				}
			}},
			{do: func() {
				for range 24 {
					b.result("h7", "bell", 0)
				}
			}},
			{when: s.after(2 * time.Minute), do: func() {}},
		}
	}
	return s
}

// rung gives both a result of bell, and waits a moment until Icinga has told of it: two of the programs by which it
// tells may be done in either order.
func (b *beside) rung(state int) {
	b.t.Helper()
	of := func() (n int, flapping bool) {
		there, _ := b.told()
		list := byListener(there)["alice h7 bell"]
		return len(list), len(list) > 0 && list[len(list)-1] == "flapping"
	}
	before, flapping := of()
	b.result("h7", "bell", state)
	for end := time.Now().Add(5 * time.Second); !flapping && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if n, _ := of(); n > before {
			return
		}
	}
}

func (b *beside) act(action, filter string, more map[string]any) {
	b.t.Helper()
	body := map[string]any{"type": "Service", "filter": filter, "author": "alice", "comment": "played"}
	for k, v := range more {
		body[k] = v
	}
	if err := b.icinga.Act(b.t.Context(), action, body); err != nil {
		b.t.Fatal(err)
	}
}

func serviceFilter(host, service string) string {
	return fmt.Sprintf("host.name==%q && service.name==%q", host, service)
}

func (b *beside) acknowledge(host, service string, sticky bool) {
	b.t.Helper()
	b.cli("ack", service, "on", host)
	b.act("acknowledge-problem", serviceFilter(host, service), map[string]any{"sticky": sticky})
}

func (b *beside) unacknowledge(host, service string) {
	b.t.Helper()
	b.cli("check", "unack", service, "on", host)
	b.act("remove-acknowledgement", serviceFilter(host, service), nil)
}

func (b *beside) silence(host string) int64 {
	b.t.Helper()
	var got struct{ Data checks.Downtime }
	if err := contract.Unmarshal([]byte(b.cli("check", "silence", host, "for", "1h", "--json")), &got); err != nil {
		b.t.Fatal(err)
	}
	now := time.Now()
	b.act("schedule-downtime", fmt.Sprintf("host.name==%q", host), map[string]any{
		"type": "Host", "all_services": true, "fixed": true, "start_time": now.Add(-time.Second).Unix(), "end_time": now.Add(time.Hour).Unix(),
	})
	return got.Data.ID
}

func (b *beside) unsilence(host string, id int64) {
	b.t.Helper()
	b.cli("check", "unsilence", fmt.Sprint(id))
	b.act("remove-downtime", fmt.Sprintf("host.name==%q", host), map[string]any{"type": "Host"})
	b.act("remove-downtime", fmt.Sprintf("host.name==%q", host), nil)
}

func (b *beside) result(host, service string, state int) {
	b.t.Helper()
	b.cli("check", "result", service, "on", host, fmt.Sprint(state), "played")
	b.act("process-check-result", serviceFilter(host, service), map[string]any{"exit_status": state, "plugin_output": "played"})
}
