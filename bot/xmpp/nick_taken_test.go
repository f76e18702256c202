package xmpp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/xmpp"
	"github.com/jarvisops/jarvis/lab/real"
)

// TestAnAnswerThroughARoomEndsWithItsLink: whoever has the nick in the room when there is a link again may be somebody
// else.
func TestAnAnswerThroughARoomEndsWithItsLink(t *testing.T) {
	s := server(t)
	cfg := config(s)
	cfg.Rate = xmpp.Rate{Burst: 1, Interval: 500 * time.Millisecond}
	f, _ := link(t, cfg, nil)
	until(t, "a link", f.Up)
	alice := person(t, s, "alice", ops)
	for range 6 {
		f.Say(ops+"/alice", []string{"private answer"})
	}
	s.Kill()
	alice.Close()
	until(t, "no link", func() bool { return !f.Up() })
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	mallory := person(t, s, "mallory")
	until(t, "a room", func() bool { return mallory.JoinAs(ops, "alice") == nil })
	until(t, "a link again", f.Up)
	if err := deliver(t, f, ops, "the last line"); err != nil {
		t.Fatal(err)
	}
	if err := deliver(t, f, "mallory@"+real.XMPPDomain, "for mallory"); err != nil {
		t.Fatal(err)
	}
	hear(t, mallory, "for mallory")
	for _, l := range mallory.Lines() {
		if strings.Contains(l, "private answer") {
			t.Errorf("whoever has the nick after the break was told: %s", l)
		}
	}
}

// TestARoomsNickIsWhoseTheRoomSays: a notice in private goes to nobody who took the nick.
func TestARoomsNickIsWhoseTheRoomSays(t *testing.T) {
	s := server(t)
	f, _ := link(t, config(s), func(bot.Message) {})
	until(t, "a link", f.Up)
	alice := person(t, s, "alice", ops)
	holder := func() string {
		id, ok := f.Holder(t.Context(), ops+"/alice")
		if !ok {
			t.Fatal("nobody knows whose the nick is")
		}
		return id.Account
	}
	until(t, "alice to be seen", func() bool { return holder() == "alice@"+real.XMPPDomain })
	alice.Close()
	until(t, "nobody to have the nick", func() bool { return holder() == "" })
	mallory := person(t, s, "mallory")
	if err := mallory.JoinAs(ops, "alice"); err != nil {
		t.Fatal(err)
	}
	until(t, "mallory to have the nick", func() bool { return holder() == "mallory@"+real.XMPPDomain })
	if _, ok := f.Holder(t.Context(), "alice@"+real.XMPPDomain); ok {
		t.Error("an account is nobody else's")
	}
	if _, ok := f.Holder(t.Context(), ops); ok {
		t.Error("a room is no person's")
	}
}
