package irc_test

import (
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/irc"
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
	if m := next(t, got); m.Text != "jarvis: status" {
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
			s.send(":x BATCH +7 znc.in/playback #ops")
			s.send("@batch=7 " + alice + "#ops :jarvis: without a time")
			s.send("@batch=7 :x BATCH +8 netjoin")
			s.send("@batch=8 " + alice + "#ops :jarvis: in a batch of the batch")
			s.send(":x BATCH -8")
			s.send(":x BATCH -7")
			s.send(":x BATCH +7 chathistory jarvis") // the same name again
			s.send("@batch=7 " + alice + "jarvis :in the history of a query")
			s.send(":x BATCH -7")
			s.send(":x BATCH +9 labeled-response")
			s.send("@batch=9 " + alice + "#ops :jarvis: live in a batch")
			s.send(":x BATCH -9")
			s.now(alice + "#ops :jarvis: live")
			s.at(5*time.Second, alice+"jarvis :live, and slow")
			s.send(alice + "#ops :jarvis: the last")
			for _, want := range []string{"jarvis: live in a batch", "jarvis: live", "live, and slow", "jarvis: the last"} {
				if m := next(t, got); m.Text != want {
					t.Fatalf("the bot obeys %q, want %q", m.Text, want)
				}
			}
		})
	}
}
