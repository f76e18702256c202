package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// xmppWay is a room on a Jabber server.
type xmppWay struct {
	ejabberd bool // and not Prosody
	s        interface {
		Reach() real.XMPPServer
		Stop()
	}
	people map[string]*real.XMPPClient
}

func (w *xmppWay) config() string {
	names := []string{"jarvis", "alice", "bob", "victor", "mallory"}
	var err error
	if w.ejabberd {
		w.s, err = real.StartEjabberd(names...)
	} else {
		w.s, err = real.StartProsody(names...)
	}
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`chat:
  - xmpp: {server: %q, ca: %q, jid: jarvis@%[3]s, password: pw-jarvis, rooms: ["ops@%[4]s"]}
people:
  - {name: alice, xmpp: alice@%[3]s, roles: [deploy, run]}
  - {name: bob, xmpp: bob@%[3]s, roles: [deploy]}
  - {name: victor, xmpp: Victor@%[3]s, roles: [view]}
`, w.s.Reach().Addr, w.s.Reach().CA, real.XMPPDomain, real.XMPPRooms)
}

func (w *xmppWay) open(t *testing.T, s *talkSite) {
	t.Cleanup(w.s.Stop)
	log := s.serve(t)
	for range 500 {
		if strings.Contains(log.String(), "made a room") {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.people = map[string]*real.XMPPClient{}
	for _, name := range []string{"alice", "bob", "victor", "mallory"} {
		c := must[*real.XMPPClient](t)(real.DialXMPP(t.Context(), w.s, name, "ops@"+real.XMPPRooms))
		t.Cleanup(c.Close)
		w.people[name] = c
	}
}

func (w *xmppWay) say(_ *testing.T, who, text string) {
	w.people[who].Say("ops@"+real.XMPPRooms, "jarvis: "+text)
}

func (w *xmppWay) hear(t *testing.T, who, pattern string, _ bool) {
	t.Helper()
	if _, err := w.people[who].Next(`^ops@\S+/jarvis: `+who+": "+pattern+"$", hearLimit); err != nil {
		t.Error(err)
	}
}
