package irc_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/irc"
	"github.com/jarvisops/jarvis/lab/real"
)

func server(t *testing.T) *real.IRCd {
	t.Helper()
	s, err := real.StartIRCd()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func person(t *testing.T, s *real.IRCd, nick, channel string) *real.IRCClient {
	t.Helper()
	c, err := real.DialIRC(t.Context(), s.Addr, nick, channel)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// link runs a frontend until the test ends.
func link(t *testing.T, cfg irc.Config, in func(bot.Message)) (*irc.Frontend, *real.Buffer) {
	t.Helper()
	if cfg.Rate.Interval == 0 {
		cfg.Rate = irc.Rate{Burst: 100, Interval: 10 * time.Millisecond}
	}
	log := &real.Buffer{}
	f, err := irc.New(cfg, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	run(t, f, in)
	return f, log
}

// run has a frontend speak, which may have spoken before, until stop or the end of the test.
func run(t *testing.T, f *irc.Frontend, in func(bot.Message)) (stop func()) {
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
	})
	t.Cleanup(stop)
	return stop
}

func hear(t *testing.T, c *real.IRCClient, pattern string) string {
	t.Helper()
	l, err := c.Wait(pattern, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func deliver(t *testing.T, f *irc.Frontend, place, line string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return f.Deliver(ctx, bot.Notice{Place: place, Line: line})
}

// A server cuts a line that is too long in silence; so it is cut before, between words and never inside a character.
func TestALongLineArrivesWhole(t *testing.T) {
	s := server(t)
	alice := person(t, s, "alice", "#ops")
	f, _ := link(t, irc.Config{Server: s.TLS, TLS: true, CA: s.CA, Channels: []string{"#ops"}}, nil)
	hear(t, alice, `JOIN :?#ops`)
	var words []string
	for i := range 200 {
		words = append(words, fmt.Sprintf("wörd%d", i))
	}
	want := strings.Join(words, " ") + " END"
	if err := deliver(t, f, "#ops", want); err != nil {
		t.Fatal(err)
	}
	hear(t, alice, `END$`)
	var got []string
	for _, l := range alice.Lines() {
		if _, text, ok := strings.Cut(l, "PRIVMSG #ops :"); ok {
			got = append(got, text)
			if n := len("PRIVMSG #ops :") + len(text); n >= irc.MaxLineBytes {
				t.Errorf("a line has %d bytes", n)
			}
		}
	}
	if strings.Join(got, " ") != want {
		t.Errorf("what arrived differs:\n%s\n%s", strings.Join(got, " "), want)
	}
}

// girc's own flood control reorders lines of concurrent senders; one outbox keeps the order.
func TestLinesKeepTheirOrder(t *testing.T) {
	s := server(t)
	alice := person(t, s, "alice", "#ops")
	f, _ := link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}}, nil)
	hear(t, alice, `JOIN :?#ops`)
	var wg sync.WaitGroup
	for w := range 5 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var lines []string
			for i := range 40 {
				lines = append(lines, fmt.Sprintf("from %d line %02d", w, i))
			}
			f.Say("#ops", lines)
		}()
	}
	wg.Wait()
	for w := range 5 {
		hear(t, alice, fmt.Sprintf("from %d line 39", w))
	}
	next := map[string]int{}
	re := regexp.MustCompile(`from (\d) line (\d\d)`)
	for _, l := range alice.Lines() {
		if m := re.FindStringSubmatch(l); m != nil {
			if m[2] != fmt.Sprintf("%02d", next[m[1]]) {
				t.Fatalf("line %s of %s came when %02d was due", m[2], m[1], next[m[1]])
			}
			next[m[1]]++
		}
	}
}

// The attack: SASL fails open. A server without services lets the bot in as nobody, and whoever registers its name
// later is taken for it. The bot leaves such a server, and says nothing there.
func TestAServerWithoutTheLoginWeAskedForIsLeft(t *testing.T) {
	s := server(t)
	alice := person(t, s, "alice", "#ops")
	f, log := link(t, irc.Config{Server: s.TLS, TLS: true, CA: s.CA, SASL: irc.SASL{User: "jarvis", Password: "secretpw"}, Channels: []string{"#ops"}}, nil)
	for range 200 {
		if strings.Contains(log.String(), "without the SASL login") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if !strings.Contains(log.String(), "the server let us in without the SASL login it was asked for") {
		t.Errorf("the log says %s", log)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := f.Deliver(ctx, bot.Notice{Place: "#ops", Line: "secret plans"}); err == nil {
		t.Error("a line was said on a link without a login")
	}
	if alice.Count("JOIN.*#ops|secret plans") > 1 { // alice's own
		t.Errorf("the bot was there: %q", alice.Lines())
	}
	if strings.Contains(log.String(), "secretpw") {
		t.Error("the password is in the log")
	}
}

func TestSASLWithoutTLSIsRefused(t *testing.T) {
	if _, err := irc.New(irc.Config{Server: "x:6667", SASL: irc.SASL{User: "jarvis", Password: "x"}}, nil); err == nil || !strings.Contains(err.Error(), "in clear") {
		t.Errorf("New = %v", err)
	}
}

func TestAnUnknownCertificateIsRefused(t *testing.T) {
	s := server(t)
	_, log := link(t, irc.Config{Server: s.TLS, TLS: true, Channels: []string{"#ops"}}, nil)
	for range 100 {
		if strings.Contains(log.String(), "unknown authority") {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("the log says %s", log)
}

func TestKickedItComesBack(t *testing.T) {
	s := server(t)
	alice := person(t, s, "alice", "#own") // first in: operator
	f, _ := link(t, irc.Config{Server: s.Addr, Channels: []string{"#own"}}, nil)
	hear(t, alice, `jarvis!.* JOIN`)
	alice.Send("KICK #own jarvis :out")
	hear(t, alice, `KICK #own jarvis`)
	for range 200 {
		if alice.Count(`jarvis!.* JOIN`) == 2 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := deliver(t, f, "#own", "back again"); err != nil {
		t.Fatal(err)
	}
	hear(t, alice, "back again")
}

// A channel that is locked takes no line, which is no reason to lose it; unlocked, the bot is back by itself.
func TestALockedChannelIsJoinedWhenItOpens(t *testing.T) {
	s := server(t)
	alice := person(t, s, "alice", "#own") // first in: operator
	f, _ := link(t, irc.Config{Server: s.Addr, Channels: []string{"#own"}}, nil)
	hear(t, alice, `jarvis!.* JOIN`)
	alice.Send("MODE #own +in")
	alice.Send("KICK #own jarvis :out")
	hear(t, alice, `KICK #own jarvis`)
	if err := deliver(t, f, "#own", "into nothing"); !errors.Is(err, bot.ErrRefused) {
		t.Errorf("Deliver to a locked channel = %v, want ErrRefused", err)
	}
	alice.Send("MODE #own -i")
	until := time.Now().Add(30 * time.Second)
	for alice.Count(`jarvis!.* JOIN`) < 2 && time.Now().Before(until) {
		time.Sleep(50 * time.Millisecond)
	}
	if err := deliver(t, f, "#own", "back again"); err != nil {
		t.Fatal(err)
	}
	hear(t, alice, "back again")
}

func TestATakenNickIsTakenBack(t *testing.T) {
	s := server(t)
	thief := person(t, s, "jarvis", "#ops")
	f, _ := link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}}, nil)
	hear(t, thief, `jarvis_!.* JOIN`)
	if got := f.Nick(); got != "jarvis_" {
		t.Errorf("Nick = %q", got)
	}
	alice := person(t, s, "alice", "#ops")
	thief.Send("QUIT")
	hear(t, alice, `jarvis_!.* NICK :jarvis$`)
}

func TestALineForNobodyIsRefused(t *testing.T) {
	s := server(t)
	alice := person(t, s, "alice", "#ops")
	f, _ := link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}}, nil)
	hear(t, alice, `JOIN :?#ops`)
	if err := deliver(t, f, "nobody", "hello"); !errors.Is(err, bot.ErrRefused) {
		t.Errorf("Deliver to nobody = %v, want ErrRefused", err)
	}
	if err := deliver(t, f, "alice", "hello"); err != nil {
		t.Errorf("Deliver to alice = %v", err)
	}
}

// A half-open link takes lines and loses them: a line counts as said only when the server answered behind it.
func TestALineOnAHalfOpenLinkIsNotDelivered(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			// It greets, and then never says a word again.
			_, _ = c.Write([]byte(":x 001 jarvis :hello\r\n"))
			go func() {
				buf := make([]byte, 4096)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
				}
			}()
		}
	}()
	f, _ := link(t, irc.Config{Server: l.Addr().String()}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := f.Deliver(ctx, bot.Notice{Place: "#ops", Line: "is ready"}); err == nil {
		t.Error("a line that nobody answered counts as delivered")
	}
}

func TestARestartedServerIsJoinedAgain(t *testing.T) {
	s := server(t)
	var mu sync.Mutex
	var got []bot.Message
	f, _ := link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}}, func(m bot.Message) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, m)
	})
	alice := person(t, s, "alice", "#ops")
	hear(t, alice, `jarvis!.* JOIN|353 .*jarvis`)
	s.Kill()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	again := person(t, s, "alice", "#ops")
	hear(t, again, `jarvis!.* JOIN|353 .*jarvis`)
	again.Say("#ops", "jarvis: \x02status\x02")
	again.Say("jarvis", "\x01VERSION\x01")
	again.Send("NOTICE jarvis :status")
	again.Say("jarvis", "status")
	if err := deliver(t, f, "#ops", "one"); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		mu.Lock()
		n := len(got)
		mu.Unlock()
		if n >= 2 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) != 2 || got[0].Text != "jarvis: \x02status\x02" || got[0].Private || !got[1].Private || got[1].Nick != "alice" {
		t.Errorf("messages = %+v; notices and CTCP are not for us", got)
	}
}

// On a server with services the bot logs in by SASL, and people are who services say, whatever they call themselves.
func TestAccountsAreWhatServicesSay(t *testing.T) {
	t.Run("account-tag", func(t *testing.T) { accounts(t) })
	t.Run("WHOX", func(t *testing.T) { accounts(t, "ircv3_accounttag") })
}

func accounts(t *testing.T, without ...string) {
	s, err := real.StartAccountIRCd(t.Context(), without...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	dial := func(nick string) *real.IRCClient {
		t.Helper()
		c, err := real.DialIRC(t.Context(), s.Addr, nick, "#ops")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	owner := dial("jarvis")
	if err := s.Register(owner, "sekrit123"); err != nil {
		t.Fatal(err)
	}
	owner.Close()
	alice := dial("alice")
	if err := s.Register(alice, "sekrit456"); err != nil {
		t.Fatal(err)
	}
	got := make(chan bot.Message, 10)
	f, log := link(t, irc.Config{Server: s.TLS, TLS: true, CA: s.CA, SASL: irc.SASL{User: "jarvis", Password: "sekrit123"}, Channels: []string{"#ops"}}, func(m bot.Message) { got <- m })
	hear(t, alice, `jarvis!.* JOIN`)
	if err := deliver(t, f, "#ops", strings.Repeat("long ", 150)+"END"); err != nil {
		t.Fatal(err)
	}
	hear(t, alice, "END$") // this server promises 3,976 bytes and cuts at 512
	alice.Say("#ops", "jarvis: whoami")
	if m := <-got; m.Account != "alice" || m.Nick != "alice" {
		t.Errorf("message = %+v", m)
	}
	// The attack: somebody takes the nick of one who left.
	alice.Send("NICK alice_away")
	hear(t, alice, "NICK :?alice_away")
	mallory := dial("alice")
	mallory.Say("#ops", "jarvis: undo loki")
	if m := <-got; m.Account != "" || m.Nick != "alice" {
		t.Errorf("an imitated nick has an account: %+v", m)
	}
	alice.Say("#ops", "jarvis: whoami")
	if m := <-got; m.Account != "alice" || m.Nick != "alice_away" {
		t.Errorf("message = %+v", m)
	}
	// So a notice in private is for who has the nick now.
	for nick, want := range map[string]string{"alice": "", "alice_away": "alice"} {
		if id, ok := f.Holder(t.Context(), nick); !ok || id.Account != want || id.Network != "irc" || id.Nick != nick {
			t.Errorf("Holder(%s) = %+v, %v", nick, id, ok)
		}
	}
	for _, nobody := range []string{"#ops", ""} {
		if id, ok := f.Holder(t.Context(), nobody); ok {
			t.Errorf("Holder(%s) = %+v", nobody, id)
		}
	}
	if id, ok := f.Holder(t.Context(), "nobody_there"); !ok || id.Account != "" { // somebody may take it now
		t.Errorf("Holder of a nick that nobody has = %+v, %v", id, ok)
	}
	if strings.Contains(log.String(), "sekrit") {
		t.Error("a password is in the log")
	}
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for began := time.Now(); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("it never came to: %s", what)
		}
	}
}

// The login by a client certificate whose fingerprint the services know; one that they do not know is no login.
func TestLoginByACertificate(t *testing.T) {
	s, err := real.StartAccountIRCd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	owner, err := real.DialIRC(t.Context(), s.Addr, "jarvis", "#ops")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(owner.Close)
	if err := s.Register(owner, "sekrit123"); err != nil {
		t.Fatal(err)
	}
	cfg := irc.Config{Server: s.TLS, TLS: true, CA: s.CA, Cert: s.Cert, Key: s.Key, Nick: "jarvis2", SASL: irc.SASL{External: true}, Channels: []string{"#ops"}}
	_, log := link(t, cfg, nil)
	until(t, "that the services do not know it", func() bool { return strings.Contains(log.String(), "refused the SASL login of") })
	pem, err := tls.LoadX509KeyPair(s.Cert, s.Key)
	if err != nil {
		t.Fatal(err)
	}
	owner.Say("NickServ", fmt.Sprintf("CERT ADD %x", sha256.Sum256(pem.Certificate[0])))
	hear(t, owner, `(?i)added fingerprint`)
	f, log := link(t, cfg, nil)
	defer func() { t.Log(log.String()) }()
	until(t, "a link", f.Up)
	owner.Send("WHOIS " + f.Nick())
	hear(t, owner, ` 330 .* jarvis :`)
	for _, bad := range []irc.Config{
		{Server: s.TLS, TLS: true, SASL: irc.SASL{External: true}},
		{Server: s.TLS, TLS: true, Cert: s.Cert},
		{Server: s.TLS, Cert: s.Cert, Key: s.Key},
		{Server: s.TLS, TLS: true, Cert: s.Cert, Key: s.CA},
	} {
		if _, err := irc.New(bad, nil); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

func TestAWrongSASLPasswordIsNoLogin(t *testing.T) {
	s, err := real.StartAccountIRCd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	_, log := link(t, irc.Config{Server: s.TLS, TLS: true, CA: s.CA, SASL: irc.SASL{User: "jarvis", Password: "wrongpw99"}, Channels: []string{"#ops"}}, nil)
	for range 200 {
		if strings.Contains(log.String(), "refused the SASL login") {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("the log says %s", log)
}
