package irc_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/irc"
	"github.com/jarvisops/jarvis/lab/real"
)

// TestAnAnswerInPrivateEndsWithItsLink: whoever has the nick when there is a link again may be somebody else.
func TestAnAnswerInPrivateEndsWithItsLink(t *testing.T) {
	s := server(t)
	f, _ := link(t, irc.Config{Server: s.Addr, Nick: "jarvis", Channels: []string{"#ops"}}, func(bot.Message) {})
	until(t, "a link", f.Up)
	alice := person(t, s, "alice", "#ops")
	lines := make([]string, 30)
	for i := range lines {
		lines[i] = "private answer " + string(rune('a'+i%26)) + strings.Repeat("x", 300)
	}
	f.Say("alice", lines)
	s.Kill()
	alice.Close()
	until(t, "no link", func() bool { return !f.Up() })
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	var mallory *real.IRCClient
	until(t, "mallory is alice", func() bool {
		c, err := real.DialIRC(t.Context(), s.Addr, "alice", "#ops")
		mallory = c
		return err == nil
	})
	t.Cleanup(mallory.Close)
	until(t, "a link again", f.Up)
	time.Sleep(10 * time.Second)
	n := 0
	for _, l := range mallory.Lines() {
		if strings.Contains(l, "private answer") {
			n++
		}
	}
	if n > 0 {
		t.Errorf("whoever has the nick after the break was told %d lines of an answer in private", n)
	}
}

// TestANickThatIsTakenWhileAsked: nobody has the nick, and somebody takes it while the server is asked who has it.
func TestANickThatIsTakenWhileAsked(t *testing.T) {
	s, err := real.StartAccountIRCd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	f, _ := link(t, irc.Config{Server: s.Addr, Nick: "jarvis", Channels: []string{"#ops"}}, func(bot.Message) {})
	until(t, "a link", f.Up)
	mallory, err := real.DialIRC(t.Context(), s.Addr, "mallory", "#ops")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mallory.Close)
	time.Sleep(time.Second)
	go func() {
		time.Sleep(1500 * time.Millisecond) // alice is not there, and the bot still waits for the answer that will not come
		mallory.Send("NICK alice")
	}()
	id, ok := f.Holder(t.Context(), "alice")
	if ok && id.Account != "alice" {
		return // it is somebody else: the notice waits
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = f.Deliver(ctx, bot.Notice{Place: "alice", Line: "loki failed: the private reason"})
	time.Sleep(time.Second)
	for _, l := range mallory.Lines() {
		if strings.Contains(l, "private reason") {
			t.Errorf("mallory was told: %s (Deliver: %v)", l, err)
		}
	}
}
