package irc_test

import (
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/irc"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab/real"
)

// The accident: the bot comes back, the server plays the channel's last hour to it, and it destroys what somebody
// destroyed and made again by hand since.
func TestWhatAServerPlaysAgainIsNotObeyed(t *testing.T) {
	s, err := real.StartAccountIRCd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	alice, err := real.DialIRC(t.Context(), s.Addr, "alice", "#ops") // first in: operator
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(alice.Close)
	alice.Send("MODE #ops +H 50:1h")
	hear(t, alice, `MODE #ops \+H`)
	alice.Say("#ops", "jarvis: destroy loki")
	alice.Send("PING said")
	hear(t, alice, `PONG .*said`)
	bob, err := real.DialIRC(t.Context(), s.Addr, "bob", "#ops") // one without these capabilities is played it, too
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bob.Close)
	hear(t, bob, `destroy loki`)
	time.Sleep(20 * time.Millisecond) // the server's clock has milliseconds
	got := make(chan bot.Message, 10)
	link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}}, func(m bot.Message) { got <- m })
	hear(t, alice, `jarvis!.* JOIN`)
	alice.Say("#ops", "jarvis: status")
	if m := obeyed(t, got); m.Text != "jarvis: status" {
		t.Errorf("the bot obeys %+v", m)
	}
}

// A bouncer plays with the times at which things were said, and in a batch. Its clock need not be ours.
func TestWhatABouncerPlaysAgainIsNotObeyed(t *testing.T) {
	for name, off := range map[string]time.Duration{"right clock": 0, "slow clock": -10 * time.Minute, "fast clock": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, "CHANTYPES=#", func() time.Time { return time.Now().Add(off) }, nil)
			got := make(chan bot.Message, 50)
			link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}}, func(m bot.Message) { got <- m })
			s.wait(t, "JOIN #ops")
			s.wait(t, "MODE #ops") // it has seen that it is in
			const alice = ":alice!a@h PRIVMSG "
			s.at(30*time.Second, alice+"#ops :jarvis: said before the join")
			s.at(2*time.Minute, alice+"jarvis :said in private, long ago")
			s.at(5*time.Second, alice+"jarvis :said in private, before we were let in")
			for _, time := range []string{"1795733202.5", "1795733202", "2026-11-26", "yesterday", ""} {
				s.send("@time=" + time + " " + alice + "#ops :jarvis: at no time")
				s.send("@time=" + time + " " + alice + "jarvis :at no time, in private")
			}
			s.now(alice + "#elsewhere :jarvis: in a channel that we did not join")
			s.send(alice + "#elsewhere :jarvis: the same, without a time")
			s.send(":x BATCH +7 znc.in/playback #ops")
			s.send("@batch=7 " + alice + "#ops :jarvis: without a time")
			s.send("@batch=7 :x BATCH +8 netjoin")
			s.send("@batch=8 " + alice + "#ops :jarvis: in a batch of the batch")
			s.send(":x BATCH -8")
			s.send(":x BATCH -7")
			s.send(":x BATCH +7 chathistory jarvis") // the same name again
			s.send("@batch=7 " + alice + "jarvis :in the history of a query")
			s.send(":x BATCH -7")
			s.send("@batch=7 " + alice + "#ops :jarvis: in a batch that is over")
			s.send("@batch=77 " + alice + "#ops :jarvis: in a batch that was never opened")
			s.send("@batch=77 :x BATCH +78 netjoin")
			s.send("@batch=78 " + alice + "#ops :jarvis: in one inside that")
			s.send(":x BATCH +79")
			s.send("@batch=79 " + alice + "#ops :jarvis: in a batch of no type")
			s.send(":x BATCH +80 example.org/memories #ops")
			s.send("@batch=80 " + alice + "#ops :jarvis: in a batch of an unknown type")
			s.send(":x BATCH +81 draft/multiline #ops") // a message of several lines, or of one long one
			s.send("@batch=81 " + alice + "#ops :jarvis: undo web")
			s.send("@batch=81;draft/multiline-concat " + alice + "#ops :2")
			s.send(":x BATCH -81")
			s.send(":x BATCH +9 labeled-response")
			s.send("@batch=9 " + alice + "#ops :jarvis: live in a batch")
			s.send(":x BATCH -9")
			s.now(alice + "#ops :jarvis: live")
			s.now(alice + "jarvis :live in private")
			s.send(alice + "jarvis :live in private, without a time")
			s.send(":bob!b@h KICK #ops jarvis :out")
			s.send(alice + "#ops :jarvis: while we were out")
			s.send(":jarvis!jarvis@bot JOIN #ops")
			s.send(alice + "#ops :jarvis: the last")
			for _, want := range []string{"jarvis: live in a batch", "jarvis: live", "live in private", "live in private, without a time", "jarvis: the last"} {
				if m := obeyed(t, got); m.Text != want {
					t.Fatalf("the bot obeys %q, want %q", m.Text, want)
				}
			}
		})
	}
}

// obeyed gives what the bot hears next that is not marked as said before it came.
func obeyed(t *testing.T, got <-chan bot.Message) bot.Message {
	t.Helper()
	for {
		if m := next(t, got); m.Past == 0 {
			return m
		}
	}
}

// ZNC plays channels and private lines, each with the time at which it was said.
func TestWhatZNCPlaysIsNotObeyed(t *testing.T) {
	s := server(t)
	alice := person(t, s, "alice", "#ops")
	z, err := real.StartZNC(s.Addr, alice)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Stop)
	alice.Say("#ops", "jarvis: destroy loki")
	alice.Say("jarvis", "destroy loki")
	alice.Send("PING said")
	hear(t, alice, `PONG .*said`)
	time.Sleep(500 * time.Millisecond) // ZNC has it, too
	got := make(chan bot.Message, 20)
	f, _ := link(t, irc.Config{Server: z.Addr, Password: clipboard.Secret(z.Password), Channels: []string{"#ops"}}, func(m bot.Message) { got <- m })
	if err := deliver(t, f, "#ops", "here again"); err != nil {
		t.Fatal(err)
	}
	past := map[bool]bool{}
	for range 2 {
		m := next(t, got)
		if m.Past == 0 {
			t.Errorf("the bot obeys %+v", m)
		}
		past[m.Private] = true
	}
	if !past[true] || !past[false] {
		t.Error("ZNC did not play both")
	}
	hear(t, alice, "here again")
	alice.Say("#ops", "jarvis: status")
	alice.Say("jarvis", "hosts")
	for _, want := range []string{"jarvis: status", "hosts"} {
		if m := next(t, got); m.Text != want || m.Past != 0 {
			t.Errorf("heard %+v, want %q", m, want)
		}
	}
}
