package bot_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/irc"
	"github.com/jarvisops/jarvis/bot/xmpp"
	"github.com/jarvisops/jarvis/lab/real"
)

// serve runs a bot on a network until the test ends.
func serve(t *testing.T, f bot.Frontend, log *real.Buffer) {
	t.Helper()
	b, closeDB := parts(t, nil, nil, f)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		closeDB()
		if t.Failed() {
			t.Log(log.String())
		}
	})
}

// The attack: two strangers take a new nick for every line that they say to the bot in private. Each nick was somebody
// new, with an answer of its own; the server took those lines ever later, what #ops was to hear stood behind all of
// them, and at last our own PING did, which ended the link.
func TestStrangersWithEverNewNicksHoldUpNobody(t *testing.T) {
	s, err := real.StartSlowIRCd()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	dial := func(nick string, channels ...string) *real.IRCClient {
		t.Helper()
		c, err := real.DialIRC(t.Context(), s.Addr, nick, channels...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	log := &real.Buffer{}
	f, err := irc.New(irc.Config{Server: s.Addr, Channels: []string{"#ops"}}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	carol := dial("carol", "#ops")
	serve(t, f, log)
	if _, err := carol.Wait(`jarvis!.* JOIN`, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for k := range 2 {
		mallory := dial(fmt.Sprintf("m%d", k))
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(300 * time.Millisecond):
					mallory.Send(fmt.Sprintf("NICK m%dx%d", k, i))
					mallory.Say("jarvis", "hello")
				}
			}
		})
	}
	time.Sleep(8 * time.Second)
	for range 3 {
		began := time.Now()
		carol.Say("#ops", "jarvis: version")
		if _, err := carol.Next(`jarvis!.* PRIVMSG #ops :carol: `, 12*time.Second); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("carol waited %s for her answer", took.Round(100*time.Millisecond))
		}
		time.Sleep(2 * time.Second)
	}
	began := time.Now()
	if err := f.Deliver(t.Context(), bot.Notice{Place: "#ops", Line: "loki is ready"}); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the server answered a PING after %s", took.Round(100*time.Millisecond))
	}
	close(stop)
	wg.Wait()
	if strings.Contains(log.String(), "link is down") {
		t.Error("the link broke")
	}
}

// The same on Jabber: many accounts, nicks in the room that change for each line, and lines that claim to be old, which
// have an answer, too.
func TestStrangersOnJabberHoldUpNobody(t *testing.T) {
	const ops, me = "ops@" + real.XMPPRooms, "jarvis@" + real.XMPPDomain
	names := []string{"jarvis", "carol", "mallory"}
	for i := range 12 {
		names = append(names, fmt.Sprintf("m%d", i))
	}
	s, err := real.StartProsody(names...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	dial := func(name string, rooms ...string) *real.XMPPClient {
		t.Helper()
		c, err := real.DialXMPP(t.Context(), s, name, rooms...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	log := &real.Buffer{}
	f, err := xmpp.New(xmpp.Config{Server: s.Addr, JID: me, Password: "pw-jarvis", CA: s.CA, Rooms: []string{ops}}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	carol := dial("carol", ops)
	mallory := dial("mallory", ops)
	serve(t, f, log)
	if _, err := carol.Wait(ops+`/jarvis joined`, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var many []*real.XMPPClient
	for _, n := range names[3:] {
		c := dial(n)
		many = append(many, c)
		for range 3 {
			c.Say(me, "hello")
		}
		_ = c.Raw("<message to='" + me + "' type='chat' id='d'><body>hello</body><delay xmlns='urn:xmpp:delay' stamp='2002-09-10T23:08:25Z'/></message>")
	}
	for i := range 20 {
		_ = mallory.Raw(fmt.Sprintf("<presence to='%s/x%d'/>", ops, i))
		mallory.Say(ops+"/jarvis", "hello")
	}
	carol.Say(ops, "jarvis: version")
	if _, err := carol.Wait(ops+`/jarvis: carol: jarvis`, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("carol waited %s", took)
	}
	time.Sleep(2 * time.Second)
	answers := mallory.Count(`^` + ops + `/jarvis: I `)
	for _, c := range many {
		answers += c.Count(`^` + me)
	}
	if most := 10 + int(time.Since(began)/(5*time.Second)) + 1; answers == 0 || answers > most {
		t.Errorf("strangers have %d answers in %s, want %d at most", answers, time.Since(began), most)
	}
}
