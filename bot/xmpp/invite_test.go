package xmpp_test

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/lab/real"
)

// Anybody can invite: the bot goes into the rooms of its configuration only, and what comes with an invitation is no
// command.
func TestAnInvitationIsNotFollowed(t *testing.T) {
	s := server(t)
	h := &heard{}
	f, log := link(t, config(s), h.in)
	until(t, "a link", f.Up)
	trap := "trap@" + real.XMPPRooms
	mallory := person(t, s, "mallory", trap, ops)
	to := "jarvis@" + real.XMPPDomain
	direct := "<x xmlns='jabber:x:conference' jid='" + trap + "' reason='deploy loki'/>"
	_ = mallory.Raw("<message to='" + to + "'>" + direct + "</message>")
	_ = mallory.Raw("<message to='" + to + "'><body>deploy https://evil.example/1</body>" + direct + "</message>")
	for _, room := range []string{trap, ops} { // by the room
		_ = mallory.Raw("<message to='" + room + "'><body>deploy https://evil.example/2</body><x xmlns='http://jabber.org/protocol/muc#user'><invite to='" + to + "'><reason>deploy loki</reason></invite></x></message>")
	}
	until(t, "all are told in the log", func() bool { return strings.Count(log.String(), "an invitation is not followed") == 4 })
	for range 100 { // and as often as they like
		_ = mallory.Raw("<message to='" + to + "'>" + direct + "</message>")
	}
	mallory.Say(to, "whoami")
	if got := h.wait(t, 1); got[0].Text != "whoami" || len(got) != 1 {
		t.Errorf("heard %+v", got)
	}
	if n := mallory.Count(`^\* ` + trap + `/jarvis joined`); n > 0 {
		t.Error("it was followed")
	}
	if n := strings.Count(log.String(), "an invitation is not followed"); n > 11 {
		t.Errorf("the log tells of %d invitations", n)
	}
}
