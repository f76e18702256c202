package xmpp_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/xmpp"
	"github.com/jarvisops/jarvis/lab/real"
)

const ops = "ops@" + real.XMPPRooms

// heard collects what the frontend hands to the bot.
type heard struct {
	mu   sync.Mutex
	list []bot.Message
}

func (h *heard) in(m bot.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, m)
}

// wait gives the first n messages.
func (h *heard) wait(t *testing.T, n int) []bot.Message {
	t.Helper()
	for range 500 {
		h.mu.Lock()
		list := append([]bot.Message(nil), h.list...)
		h.mu.Unlock()
		if len(list) >= n {
			return list
		}
		time.Sleep(20 * time.Millisecond)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	t.Fatalf("%d messages, want %d: %+v", len(h.list), n, h.list)
	return nil
}

func server(t *testing.T, accounts ...string) *real.Prosody {
	t.Helper()
	s, err := real.StartProsody(append(accounts, "jarvis", "alice", "mallory")...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func person(t *testing.T, s *real.Prosody, name string, rooms ...string) *real.XMPPClient {
	t.Helper()
	c, err := real.DialXMPP(t.Context(), s, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for _, room := range rooms { // one that the bot has just made is locked until it has set it up (XEP-0045 section 10.1)
		until(t, name+" in "+room, func() bool { return c.Join(room) == nil })
	}
	return c
}

func config(s *real.Prosody) xmpp.Config {
	return xmpp.Config{Server: s.Addr, JID: "jarvis@" + real.XMPPDomain, Password: "pw-jarvis", CA: s.CA, Rooms: []string{ops}, Rate: xmpp.Rate{Burst: 100, Interval: time.Millisecond}}
}

// link runs a frontend until the test ends.
func link(t *testing.T, cfg xmpp.Config, in func(bot.Message)) (*xmpp.Frontend, *real.Buffer) {
	t.Helper()
	log := &real.Buffer{}
	f, err := xmpp.New(cfg, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	run(t, f, log, in)
	return f, log
}

// run has a frontend speak, which may have spoken before, until stop or the end of the test.
func run(t *testing.T, f *xmpp.Frontend, log *real.Buffer, in func(bot.Message)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	if in == nil {
		in = func(bot.Message) {}
	}
	go func() { done <- f.Run(ctx, in) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(log.String())
		}
	})
	t.Cleanup(stop)
	return stop
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 1000 {
		if f() {
			return
		}
		time.Sleep(30 * time.Millisecond)
	}
	t.Fatalf("it never came to: %s", what)
}

func hear(t *testing.T, c *real.XMPPClient, pattern string) string {
	t.Helper()
	l, err := c.Wait(pattern, 60*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func deliver(t *testing.T, f *xmpp.Frontend, place, line string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	return f.Deliver(ctx, bot.Notice{Place: place, Line: line})
}

// The bot makes its room, people can enter at once, and it sees who they really are.
func TestARoomItMadeIsOpenAndKnowsPeople(t *testing.T) {
	s := server(t)
	h := &heard{}
	f, _ := link(t, config(s), h.in)
	until(t, "a link", f.Up)
	alice := person(t, s, "alice")
	until(t, "a room that lets people in", func() bool { return alice.Join(ops) == nil })
	alice.Say(ops, "jarvis: status")
	alice.Say("jarvis@"+real.XMPPDomain, "whoami")
	alice.Say(ops+"/jarvis", "version")
	got := h.wait(t, 3)
	jid := "alice@" + real.XMPPDomain
	want := []bot.Message{
		{Nick: "alice", Account: jid, Place: ops, Direct: jid, Text: "jarvis: status"},
		{Nick: "alice", Account: jid, Place: jid, Direct: jid, Private: true, Text: "whoami"},
		{Nick: "alice", Account: jid, Place: ops + "/alice", Direct: jid, Private: true, Text: "version"},
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("message %d = %+v, want %+v", i, got[i], want[i])
		}
	}
	f.Say(ops, []string{"alice: one", "two"})
	if err := deliver(t, f, ops, "alice: loki is ready"); err != nil {
		t.Error(err)
	}
	if err := deliver(t, f, jid, "in private \x01<&>"); err != nil {
		t.Error(err)
	}
	for _, l := range []string{ops + "/jarvis: alice: one", ops + "/jarvis: two", ops + "/jarvis: alice: loki is ready", "jarvis@.*: in private <&>"} {
		hear(t, alice, "^"+l+"$")
	}
	if err := deliver(t, f, "nobody@"+real.XMPPDomain, "hello"); !errors.Is(err, bot.ErrRefused) {
		t.Errorf("a line for nobody = %v, want bot.ErrRefused", err)
	}
	if err := deliver(t, f, ops+"/nobody", "hello"); !errors.Is(err, bot.ErrRefused) {
		t.Errorf("a line for nobody in the room = %v, want bot.ErrRefused", err)
	}
}

// What is encrypted is told as such, and its fallback is no command; who asks to see whether the bot is there may.
func TestEncryptedAndSubscribed(t *testing.T) {
	s := server(t)
	h := &heard{}
	f, _ := link(t, config(s), h.in)
	until(t, "a link", f.Up)
	alice := person(t, s, "alice", ops)
	to := "jarvis@" + real.XMPPDomain
	_ = alice.Raw("<message to='" + ops + "' type='groupchat' id='e0'><body>jarvis: undo loki</body><encryption xmlns='urn:xmpp:eme:0' namespace='eu.siacs.conversations.axolotl' name='OMEMO'/></message>")
	if m := h.wait(t, 1); !m[0].Encrypted || m[0].Private {
		t.Errorf("in the room: %+v", m)
	}
	_ = alice.Raw("<message to='" + to + "' type='chat' id='e1'><body>undo loki</body><encryption xmlns='urn:xmpp:eme:0' namespace='eu.siacs.conversations.axolotl' name='OMEMO'/></message>")
	_ = alice.Raw("<message to='" + to + "' type='chat' id='e2'><body>?OTRv23?</body></message>")
	alice.Say(to, "whoami")
	for i, m := range h.wait(t, 4) {
		if m.Encrypted != (i < 3) {
			t.Errorf("message %d = %+v", i, m)
		}
	}
	_ = alice.Raw("<presence to='" + to + "' type='subscribe'/>")
	hear(t, alice, `jarvis@`+real.XMPPDomain+`/\S+ joined`)
}

// When another server had the voice meanwhile, an answer that was to be said before is none any more.
func TestAnAnswerOfAnEarlierVoice(t *testing.T) {
	s := server(t)
	alice := person(t, s, "alice", ops)
	log := &real.Buffer{}
	f, err := xmpp.New(config(s), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, f, log, nil)
	until(t, "a link", f.Up)
	stop()
	f.Say(ops, []string{"of then"})
	run(t, f, log, nil)
	until(t, "the room", func() bool { return deliver(t, f, ops, "of now") == nil })
	hear(t, alice, `^`+ops+`/jarvis: of now$`)
	if alice.Count(": of then$") > 0 {
		t.Error("it was said")
	}
}

// A message that replaces another, one from a room's history, and one that waited at the server are not commands.
func TestWhatWasSaidBeforeIsNoCommand(t *testing.T) {
	s := server(t)
	alice := person(t, s, "alice", ops)
	alice.Say(ops, "jarvis: deploy https://old.example/1")
	alice.Say("jarvis@"+real.XMPPDomain, "deploy https://old.example/2")
	alice.Say("jarvis@"+real.XMPPDomain, "deploy https://old.example/3")
	time.Sleep(300 * time.Millisecond)
	h := &heard{}
	f, _ := link(t, config(s), h.in)
	until(t, "a link", f.Up)
	h.wait(t, 2)
	alice.Say(ops, "jarvis: status")
	_ = alice.Raw("<message to='" + ops + "' type='groupchat' id='x2'><body>jarvis: hosts</body><replace id='p4' xmlns='urn:xmpp:message-correct:0'/></message>")
	got := h.wait(t, 4)
	if got[0].Past == 0 || got[0].Past != got[1].Past {
		t.Errorf("what waited at the server is not marked so: %+v", got)
	}
	if got = got[2:]; got[0].Text != "jarvis: status" || got[0].Corrected || got[1].Text != "jarvis: hosts" || !got[1].Corrected || len(got) != 2 {
		t.Errorf("heard %+v", got)
	}
}

// Some servers and gateways mark what is old as it was done before XEP-0203, and some times are none.
func TestWhatAnOldGatewayKeptIsNoCommand(t *testing.T) {
	s := server(t)
	alice := person(t, s, "alice", ops)
	h := &heard{}
	f, _ := link(t, config(s), h.in)
	until(t, "a link", f.Up)
	hear(t, alice, ops+`/jarvis joined`)
	me := "jarvis@" + real.XMPPDomain
	for to, kind := range map[string]string{ops: "groupchat", me: "chat"} {
		_ = alice.Raw("<message to='" + to + "' type='" + kind + "' id='x1'><body>jarvis: destroy loki</body><x xmlns='jabber:x:delay' stamp='20020910T23:08:25'/></message>")
		_ = alice.Raw("<message to='" + to + "' type='" + kind + "' id='x2'><body>jarvis: destroy thor</body><delay xmlns='urn:xmpp:delay' stamp='yesterday'/></message>")
	}
	// Copies of what somebody said elsewhere (XEP-0280): only our own server may make them, and we ask for none.
	const copied = "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='chat' from='root@xmpp.lab.test/x'><body>destroy odin</body></message></forwarded>"
	for _, kind := range []string{"received", "sent"} {
		_ = alice.Raw("<message to='" + me + "' type='chat' id='x3'><" + kind + " xmlns='urn:xmpp:carbons:2'>" + copied + "</" + kind + "></message>")
	}
	_ = alice.Raw("<message to='" + me + "' type='chat' id='x4'><result xmlns='urn:xmpp:mam:2' queryid='q' id='1'>" + copied + "</result></message>")
	alice.Say(ops, "jarvis: status")
	alice.Say(me, "hosts")
	got := h.wait(t, 4)
	for i, past := range []bool{true, true, false, false} {
		if (got[i].Past != 0) != past {
			t.Errorf("message %d = %+v", i, got[i])
		}
	}
	if len(got) != 4 || got[2].Text != "jarvis: status" || got[3].Text != "hosts" {
		t.Errorf("heard %+v", got)
	}
}

func TestDirectTLS(t *testing.T) {
	s := server(t)
	cfg := config(s)
	cfg.Server, cfg.DirectTLS = s.Direct, true
	f, _ := link(t, cfg, nil)
	until(t, "a link", f.Up)
}

func TestWhatIsNotRightGetsNoLink(t *testing.T) {
	s := server(t)
	for name, c := range map[string]struct {
		change func(*xmpp.Config)
		want   string
	}{
		"another CA":            {func(c *xmpp.Config) { c.CA = "" }, "certificate signed by unknown authority"},
		"a domain of others":    {func(c *xmpp.Config) { c.JID = "jarvis@other.test"; c.Rooms = nil }, "host-unknown"},
		"another's certificate": {func(c *xmpp.Config) { c.JID, c.Rooms, c.Server, c.DirectTLS = "jarvis@other.test", nil, s.Direct, true }, "unrecognized name"},
		"another CA, direct":    {func(c *xmpp.Config) { c.CA, c.Server, c.DirectTLS = "", s.Direct, true }, "certificate signed by unknown authority"},
		"a wrong password":      {func(c *xmpp.Config) { c.Password = "wrong" }, "doesn't match"},
		"STARTTLS where TLS is": {func(c *xmpp.Config) { c.Server = s.Direct }, "reset by peer"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(s)
			c.change(&cfg)
			f, log := link(t, cfg, nil)
			until(t, "a complaint: "+c.want, func() bool { return strings.Contains(log.String(), "the xmpp link is down") })
			if f.Up() || !strings.Contains(log.String(), c.want) {
				t.Errorf("up = %v; the log has no %q:\n%s", f.Up(), c.want, log.String())
			}
			if strings.Contains(log.String(), "pw-jarvis") {
				t.Error("the password is in the log")
			}
		})
	}
}

func TestNewNamesTheTrouble(t *testing.T) {
	for want, cfg := range map[string]xmpp.Config{
		"jid is \"jarvis\"":           {JID: "jarvis"},
		"jid is \"a@b/c\"":            {JID: "a@b/c"},
		"server is \"x\"":             {JID: "a@b", Server: "x"},
		"\"ops\" is not a room":       {JID: "a@b", Rooms: []string{"ops"}},
		"chat.xmpp.ca cannot be read": {JID: "a@b", CA: "/nowhere"},
	} {
		if _, err := xmpp.New(cfg, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%+v) = %v, want %q", cfg, err, want)
		}
	}
}

// Kicked, it comes back; its nick taken, it goes by another and takes its own back.
func TestKickedAndRenamedItComesBack(t *testing.T) {
	s := server(t)
	owner := person(t, s, "alice")
	if err := owner.Raw("<presence to='" + ops + "/jarvis'><x xmlns='http://jabber.org/protocol/muc'/></presence>"); err != nil {
		t.Fatal(err)
	}
	hear(t, owner, ops+`/jarvis made it`)
	_ = owner.Raw("<iq type='set' id='open' to='" + ops + "'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>")
	f, log := link(t, config(s), nil)
	until(t, "a link", f.Up)
	hear(t, owner, ops+`/jarvis_ joined`)
	_ = owner.Raw("<presence to='" + ops + "/alice'/>") // gives the nick free
	hear(t, owner, ops+`/alice joined`)
	hear(t, owner, `(?s)jarvis_ left`)
	if err := deliver(t, f, ops, "here"); err != nil {
		t.Fatal(err)
	}
	hear(t, owner, ops+`/jarvis: here`)
	_ = owner.Raw("<iq type='set' id='kick' to='" + ops + "'><query xmlns='http://jabber.org/protocol/muc#admin'><item nick='jarvis' role='none'/></query></iq>")
	until(t, "a kick in the log", func() bool { return strings.Contains(log.String(), "out of a room") })
	until(t, "the way back", func() bool { return deliver(t, f, ops, "back") == nil })
	hear(t, owner, ops+`/jarvis: back`)
}

// A service of rooms that is started again has forgotten who was in them, and tells nobody. The bot finds out by
// itself, or by the first line that it says there.
func TestARoomThatForgotItIsJoinedAgain(t *testing.T) {
	s := server(t)
	alice := person(t, s, "alice", ops)
	forget := func() { // alice comes again at once
		alice.Say(real.XMPPRooms, "forget")
		_ = alice.Raw("<presence to='" + ops + "/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
	}
	var h heard
	cfg := config(s)
	cfg.SelfPing = 300 * time.Millisecond
	f, log := link(t, cfg, h.in)
	until(t, "a link", f.Up)
	forget()
	until(t, "that it notices", func() bool { return strings.Contains(log.String(), "forgotten that we are in it") })
	until(t, "that it is in again", func() bool { return f.Inside(ops) })
	until(t, "that alice is heard", func() bool {
		alice.Say(ops, "jarvis: status")
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.list) > 0
	})
	g, log := link(t, func() xmpp.Config { c := config(s); c.Nick = "other"; return c }(), nil) // asks every minute
	until(t, "a link", g.Up)
	forget()
	until(t, "a line to be refused", func() bool {
		_ = deliver(t, g, ops, "into nothing")
		return strings.Contains(log.String(), "forgotten that we are in it")
	})
	until(t, "the way back", func() bool { return deliver(t, g, ops, "back") == nil })
	hear(t, alice, ops+`/other: back`)
}

// A room that is locked takes no line, which is no reason to lose it; unlocked, the bot is back by itself.
func TestALockedRoomIsJoinedWhenItOpens(t *testing.T) {
	s := server(t)
	owner := person(t, s, "alice", ops)
	lock := func(v string) {
		t.Helper()
		if err := owner.Raw("<iq type='set' id='lock" + v + "' to='" + ops + "'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>" +
			"<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field><field var='muc#roomconfig_membersonly'><value>" + v + "</value></field></x></query></iq>"); err != nil {
			t.Fatal(err)
		}
	}
	f, log := link(t, config(s), nil)
	until(t, "a link", f.Up)
	if err := deliver(t, f, ops, "here"); err != nil {
		t.Fatal(err)
	}
	_ = owner.Raw("<iq type='set' id='kick' to='" + ops + "'><query xmlns='http://jabber.org/protocol/muc#admin'><item nick='jarvis' role='none'/></query></iq>")
	lock("1")
	until(t, "a locked door in the log", func() bool { return strings.Contains(log.String(), "registration-required") })
	if err := deliver(t, f, ops, "into nothing"); !errors.Is(err, bot.ErrRefused) {
		t.Errorf("Deliver to a locked room = %v, want ErrRefused", err)
	}
	lock("0")
	until(t, "the way back", func() bool { return deliver(t, f, ops, "back") == nil })
	hear(t, owner, ops+`/jarvis: back`)
}

func TestARestartedServerIsFoundAgain(t *testing.T) {
	s := server(t)
	f, _ := link(t, config(s), nil)
	until(t, "a link", f.Up)
	s.Kill()
	until(t, "the loss noticed", func() bool { return !f.Up() })
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	alice := person(t, s, "alice")
	if err := deliver(t, f, ops, "said after all"); err != nil {
		t.Fatal(err)
	}
	until(t, "the room", func() bool { return alice.Join(ops) == nil })
	if err := deliver(t, f, ops, "and heard"); err != nil {
		t.Fatal(err)
	}
	hear(t, alice, ops+`/jarvis: and heard`)
}

// Long answers keep under what servers take, and arrive whole.
func TestALongAnswerArrivesWhole(t *testing.T) {
	s := server(t)
	f, _ := link(t, config(s), nil)
	until(t, "a link", f.Up)
	alice := person(t, s, "alice")
	until(t, "the room", func() bool { return alice.Join(ops) == nil })
	var lines []string
	for i := range 300 {
		lines = append(lines, fmt.Sprintf("line %d äöü %s", i, strings.Repeat("x", 80)))
	}
	f.Say(ops, lines)
	hear(t, alice, `line 299 äöü`)
	for i := range 300 {
		if alice.Count(fmt.Sprintf(`^%s/jarvis: line %d äöü x{80}$`, ops, i)) != 1 {
			t.Errorf("line %d did not arrive once", i)
		}
	}
}

// What one person made us say at length, at the pace that is configured, does not hold up what others must hear.
func TestALongAnswerHoldsUpNobodyElse(t *testing.T) {
	s := server(t)
	alice := person(t, s, "alice", ops)
	cfg := config(s)
	cfg.Rate = xmpp.Rate{Burst: 4, Interval: 200 * time.Millisecond}
	f, _ := link(t, cfg, nil)
	until(t, "a link", f.Up)
	hear(t, alice, ops+`/jarvis joined`)
	for i := range 200 { // forty seconds
		f.Say("mallory@"+real.XMPPDomain, []string{fmt.Sprintf("line %d", i)})
	}
	began := time.Now()
	if err := deliver(t, f, ops, "loki is ready"); err != nil {
		t.Fatal(err)
	}
	hear(t, alice, "loki is ready")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}
