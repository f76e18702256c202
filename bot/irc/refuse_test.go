package irc_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/irc"
	"github.com/jarvisops/jarvis/lab/real"
)

func accountServer(t *testing.T) (*real.AccountIRCd, func(nick string, channels ...string) *real.IRCClient) {
	t.Helper()
	s, err := real.StartAccountIRCd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s, func(nick string, channels ...string) *real.IRCClient {
		t.Helper()
		c, err := real.DialIRC(t.Context(), s.Addr, nick, channels...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
}

// do sends a line and waits until the server has worked through it: ngIRCd takes a few lines a second of each client,
// and works through what others say meanwhile.
func do(t *testing.T, c *real.IRCClient, format string, a ...any) {
	t.Helper()
	line := fmt.Sprintf(format, a...)
	c.Send(line)
	done := fmt.Sprintf("done-%d", len(c.Lines()))
	c.Send("PING :" + done)
	hear(t, c, " PONG .*"+done+"$")
}

// refusals delivers to each place as often as told, and then to #ops: a refusal is known as one, and stops no other.
func refusals(t *testing.T, f *irc.Frontend, alice *real.IRCClient, times int, places ...string) {
	t.Helper()
	for _, place := range places {
		for range times {
			if err := deliver(t, f, place, "a line"); !errors.Is(err, bot.ErrRefused) {
				t.Errorf("a line for %s = %v, want ErrRefused", place, err)
				break
			}
		}
	}
	if err := deliver(t, f, "#ops", "loki is ready"); err != nil {
		t.Error(err)
	}
	hear(t, alice, "loki is ready")
}

// Every way in which people and channels on InspIRCd take no line is a refusal, and none counts as said. This server
// reads one line a second, so it is asked little.
func TestRefusalsOfInspIRCd(t *testing.T) {
	s, dial := accountServer(t)
	alice := dial("alice", "#ops", "#mod", "#closed", "#known", "#banned")
	do(t, alice, "MODE #mod +m")
	do(t, alice, "MODE #closed +n")
	do(t, alice, "MODE #known -n+M")
	do(t, alice, "MODE #banned -n+b jarvis!*@*")
	for nick, mode := range map[string]string{"callerid": "+g", "known": "+R", "common": "+c"} {
		c := dial(nick)
		do(t, c, "MODE %s %s", nick, mode)
		hear(t, c, `MODE .*`+nick+` :?\`+mode)
	}
	f, _ := link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}, Rate: irc.Rate{Burst: 1000, Interval: time.Millisecond}}, nil)
	hear(t, alice, `jarvis!.* JOIN`)
	refusals(t, f, alice, 1, "callerid", "known", "common", "nobody", "#mod", "#closed", "#known", "#banned", "#nowhere")
}

// The same on ngIRCd.
func TestRefusalsOfNgIRCd(t *testing.T) {
	s := server(t)
	alice := person(t, s, "alice", "#ops")
	for _, ch := range []string{"#mod", "#closed", "#known", "#banned"} {
		alice.Send("JOIN " + ch)
		hear(t, alice, ` 366 .*`+ch)
	}
	do(t, alice, "MODE #mod +m")
	do(t, alice, "MODE #closed +n")
	do(t, alice, "MODE #known -n+M")
	do(t, alice, "MODE #banned -n+b jarvis!*@*")
	for nick, mode := range map[string]string{"known": "+b", "common": "+C"} {
		c := person(t, s, nick, "#"+nick)
		do(t, c, "MODE %s %s", nick, mode)
		hear(t, c, `MODE .*`+nick+` :?\`+mode)
	}
	f, _ := link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}, Rate: irc.Rate{Burst: 1000, Interval: time.Millisecond}}, nil)
	hear(t, alice, `jarvis!.* JOIN`)
	refusals(t, f, alice, 7, "known", "common", "nobody", "#mod", "#closed", "#known", "#banned", "#nowhere")
}

// On a real server, too, what is said to those with a status in a channel is no private message.
func TestTalkToThoseWithAStatusOnInspIRCd(t *testing.T) {
	s, dial := accountServer(t)
	alice := dial("alice", "#ops")
	got := make(chan bot.Message, 10)
	link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}}, func(m bot.Message) { got <- m })
	hear(t, alice, `jarvis!.* JOIN`)
	do(t, alice, "MODE #ops +o jarvis")
	for _, place := range []string{"@#ops", "+#ops"} {
		alice.Say(place, "destroy loki "+place)
		if m := next(t, got); m.Private || m.Place != "#ops" || m.Text != "destroy loki "+place || m.Past != 0 {
			t.Errorf("said to %s: %+v", place, m)
		}
	}
}
