package irc_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/irc"
	"github.com/jarvisops/jarvis/lab/real"
)

// The attack: somebody asks by CTCP as fast as he can. Every answer would go past the outbox, until the server ends the
// link for its flood.
func TestCTCPIsNotAnswered(t *testing.T) {
	s := server(t)
	alice := person(t, s, "alice", "#ops")
	mallory := person(t, s, "mallory", "#ops")
	f, log := link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}}, nil)
	hear(t, alice, `jarvis!.* JOIN`)
	for i := range 300 {
		for _, q := range []string{"VERSION", "PING 1", "TIME", "SOURCE", "FINGER", "PONG", "CLIENTINFO", "XYZZY"} {
			mallory.Say([]string{"jarvis", "#ops"}[i%2], "\x01"+q+"\x01")
		}
	}
	if err := deliver(t, f, "#ops", "loki is ready"); err != nil {
		t.Fatal(err)
	}
	hear(t, alice, "loki is ready")
	mallory.Send("PING done")
	hear(t, mallory, `PONG .*done`)
	if err := deliver(t, f, "mallory", "END"); err != nil {
		t.Fatal(err)
	}
	hear(t, mallory, `END$`)
	if n := mallory.Count(`^:jarvis!.* NOTICE mallory`); n != 0 || strings.Contains(log.String(), "link is down") {
		t.Errorf("%d answers; %s", n, log)
	}
}

// One person's long answer, at the pace that the server allows, does not hold up what others must hear.
func TestALongAnswerHoldsUpNobodyElse(t *testing.T) {
	s := server(t)
	alice := person(t, s, "alice", "#ops")
	mallory := person(t, s, "mallory", "#ops")
	f, _ := link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}, Rate: irc.Rate{Burst: 4, Interval: 200 * time.Millisecond}}, nil)
	hear(t, alice, `jarvis!.* JOIN`)
	var long []string
	for i := range 200 {
		long = append(long, fmt.Sprintf("line %d", i))
	}
	f.Say("mallory", long) // forty seconds
	hear(t, mallory, `line 3$`)
	began := time.Now()
	f.Say("#ops", []string{"alice: it is up"})
	if err := deliver(t, f, "#ops", "loki is ready"); err != nil {
		t.Fatal(err)
	}
	hear(t, alice, "it is up")
	hear(t, alice, "loki is ready")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

// The attack: strangers join and part as fast as the server lets them. The library asked the server about each who
// came, and what we had to say came ever later.
func TestPeopleWhoComeAndGoHoldUpNobody(t *testing.T) {
	s, err := real.StartSlowIRCd()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	alice := person(t, s, "alice", "#ops")
	f, _ := link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}}, nil)
	hear(t, alice, `jarvis!.* JOIN`)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	for k := range 6 {
		m := person(t, s, fmt.Sprintf("m%d", k), "#x")
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(300 * time.Millisecond):
					m.Send("JOIN #ops")
					m.Send("PART #ops")
				}
			}
		})
	}
	for range 2 {
		time.Sleep(4 * time.Second)
		began := time.Now()
		if err := deliver(t, f, "#ops", "loki is ready"); err != nil || time.Since(began) > 4*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	}
	if alice.Count(` JOIN `) < 10 {
		t.Error("nobody came")
	}
}

// What a server refuses counts for the place that it names, and not for the line that happens to wait.
func TestARefusalCountsForItsPlace(t *testing.T) {
	s := server(t)
	alice := person(t, s, "alice", "#ops")
	person(t, s, "bob", "#locked").Send("MODE #locked +n")
	f, _ := link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}, Rate: irc.Rate{Burst: 1000, Interval: time.Millisecond}}, nil)
	hear(t, alice, `jarvis!.* JOIN`)
	var gone []string
	for i := range 50 {
		gone = append(gone, fmt.Sprintf("for nobody %d", i))
	}
	for i := range 5 {
		for _, place := range []string{"nobody", "#nowhere", "#locked"} {
			go f.Say(place, gone)
		}
		if err := deliver(t, f, "#OPS", fmt.Sprintf("notice %d.", i)); err != nil {
			t.Fatalf("notice %d: %v", i, err)
		}
	}
	hear(t, alice, `notice 4\.`) // the server took it a moment before she has it
	for i := range 5 {
		if n := alice.Count(fmt.Sprintf(`notice %d\.`, i)); n != 1 {
			t.Errorf("notice %d came %d times", i, n)
		}
	}
}

// "@#ops" is for the operators of #ops (STATUSMSG): not private, and nobody's nick.
func TestTalkAmongOperatorsIsNotPrivate(t *testing.T) {
	s := newScript(t, "CHANTYPES=#& STATUSMSG=~&@%+ PREFIX=(qaohv)~&@%+", nil, nil)
	got := make(chan bot.Message, 10)
	link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}}, func(m bot.Message) { got <- m })
	s.wait(t, "MODE #ops")
	for _, place := range []string{"@#ops", "+#ops", "&#ops", "@+#ops", "~#ops"} {
		s.send(":alice!a@h PRIVMSG %s :let us ask jarvis", place)
		if m := next(t, got); m.Private || m.Place != "#ops" {
			t.Errorf("said to %s: %+v", place, m)
		}
	}
	s.send(":oper!o@h PRIVMSG $$* :jarvis, everybody: we restart")
	s.send(":alice!a@h PRIVMSG &local :jarvis: status")
	if m := next(t, got); m.Private || m.Place != "&local" {
		t.Errorf("said to &local: %+v", m)
	}
	s.send(":alice!a@h PRIVMSG jarvis :status")
	if m := next(t, got); !m.Private || m.Place != "alice" {
		t.Errorf("said in private: %+v", m)
	}
}

// girc asks WHO itself when somebody joins. The end of that answer is not the end of ours.
func TestTheLibrarysQuestionIsNotOurs(t *testing.T) {
	hold := make(chan struct{})
	s := newScript(t, "CHANTYPES=# WHOX", nil, func(s *script, command string, p []string) bool {
		if command != "WHO" {
			return false
		}
		if token, ours := strings.CutPrefix(p[1], "%tuhna,"); ours {
			<-hold
			s.send(":x 354 jarvis %s a h alice alice_account", token)
		}
		s.send(":x 315 jarvis %s :End of WHO", p[0])
		return true
	})
	got := make(chan bot.Message, 10)
	link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}}, func(m bot.Message) { got <- m })
	s.wait(t, "MODE #ops")
	s.send(":alice!a@h PRIVMSG #ops :jarvis: whoami")
	s.wait(t, "%tuhna,")
	s.send(":x 354 jarvis 1 #ops a h x alice nobody :Alice") // of a question that girc asked before
	s.send(":x 315 jarvis alice :End of WHO")
	select {
	case m := <-got:
		t.Errorf("handed on before the answer: %+v", m)
	case <-time.After(300 * time.Millisecond):
	}
	close(hold)
	if m := next(t, got); m.Account != "alice_account" {
		t.Errorf("message = %+v", m)
	}
}

// Whoever talks to us much has the server asked little: it would take so many questions for a flood.
func TestManyMessagesAreOneQuestion(t *testing.T) {
	s := newScript(t, "CHANTYPES=# WHOX", nil, func(s *script, command string, p []string) bool {
		if command != "WHO" {
			return false
		}
		if token, ours := strings.CutPrefix(p[1], "%tuhna,"); ours {
			s.send(":x 354 jarvis %s a h %s %s", token, p[0], p[0])
		}
		s.send(":x 315 jarvis %s :End of WHO", p[0])
		return true
	})
	got := make(chan bot.Message, 1000)
	link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}}, func(m bot.Message) { got <- m })
	s.wait(t, "MODE #ops")
	for i := range 150 {
		s.send(":mallory!a@h PRIVMSG jarvis :status %d", i)
	}
	s.send(":alice!a@h PRIVMSG jarvis :status")
	for i := range 150 {
		m := next(t, got)
		if m.Nick == "alice" {
			m = next(t, got)
		}
		if m.Account != "mallory" || m.Text != fmt.Sprintf("status %d", i) {
			t.Fatalf("message %d = %+v", i, m)
		}
	}
	if n := s.count("%tuhna,"); n > 20 {
		t.Errorf("%d questions for 151 messages of two", n)
	}
}
