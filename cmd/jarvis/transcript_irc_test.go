package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// ircWay is a channel on an IRC server, plain or with services accounts.
type ircWay struct {
	accounts bool
	bouncer  bool // ZNC stands between the bot and the server
	addr     string
	chat     string
	people   map[string]*real.IRCClient
	register func(c *real.IRCClient, password string) error
	stop     func()
}

func (w *ircWay) config() string {
	prefix := "nick:"
	if w.accounts {
		s, err := real.StartAccountIRCd(context.Background())
		if err != nil {
			panic(err)
		}
		w.addr, w.register, w.stop, prefix = s.Addr, s.Register, s.Stop, ""
		owner, err := real.DialIRC(context.Background(), s.Addr, "jarvis")
		if err == nil {
			err = s.Register(owner, "sekrit123")
		}
		if err != nil {
			panic(err)
		}
		owner.Close()
		w.chat = fmt.Sprintf("server: %q, tls: true, ca: %q, sasl: {user: jarvis, password: sekrit123}", s.TLS, s.CA)
		if w.bouncer {
			w.bounce()
		}
	} else {
		s, err := real.StartIRCd()
		if err != nil {
			panic(err)
		}
		w.addr, w.stop = s.Addr, s.Stop
		w.chat = fmt.Sprintf("server: %q, tls: true, ca: %q", s.TLS, s.CA)
	}
	return fmt.Sprintf(`chat:
  - irc: {%s, nick: jarvis, channels: ["#ops"], rate: {burst: 50, interval: 20ms}}
people:
  - {name: alice, irc: "%[2]salice", roles: [deploy, run]}
  - {name: bob, irc: "%[2]sbob", roles: [deploy]}
  - {name: victor, irc: "%[2]svictor", roles: [view]}
`, w.chat, prefix)
}

// bounce has the bot come by ZNC, which offers it no account-tag.
func (w *ircWay) bounce() {
	watch, err := real.DialIRC(context.Background(), w.addr, "watch", "#ops")
	if err != nil {
		panic(err)
	}
	defer watch.Close()
	z, err := real.StartZNC(w.addr, watch)
	if err != nil {
		panic(err)
	}
	stop := w.stop
	w.stop = func() { z.Stop(); stop() }
	w.chat = fmt.Sprintf("server: %q, password: %q", z.Addr, z.Password)
}

func (w *ircWay) open(t *testing.T, s *talkSite) {
	t.Cleanup(w.stop)
	s.serve(t)
	w.people = map[string]*real.IRCClient{}
	for _, name := range []string{"alice", "bob", "victor", "mallory"} {
		c := must[*real.IRCClient](t)(real.DialIRC(t.Context(), w.addr, name, "#ops"))
		t.Cleanup(c.Close)
		w.people[name] = c
		if w.register != nil && name != "mallory" {
			if err := w.register(c, "sekrit-"+name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := w.people["alice"].Wait(`jarvis.* JOIN|353 .*jarvis`, 30*time.Second); err != nil {
		t.Fatal(err)
	}
}

func (w *ircWay) say(_ *testing.T, who, text string) { w.people[who].Say("#ops", "jarvis: "+text) }

func (w *ircWay) hear(t *testing.T, who, pattern string, _ bool) {
	t.Helper()
	if _, err := w.people[who].Next(`^:jarvis!\S+ PRIVMSG #ops :`+who+": "+pattern+"$", hearLimit); err != nil {
		t.Error(err)
	}
}
