package irc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot/irc"
	"github.com/jarvisops/jarvis/lab/real"
)

// TestNickServ logs in by the services' command, at real services whose server offers no SASL.
func TestNickServ(t *testing.T) {
	s, err := real.StartAccountIRCd(t.Context(), "sasl")
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
	alice.Send("MODE #ops +R") // those whom the services know may join
	says := func(log *real.Buffer, want string) {
		t.Helper()
		for end := time.Now().Add(real.Patience(30 * time.Second)); !strings.Contains(log.String(), want); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the log has no %q: %s", want, log)
			}
		}
		if strings.Contains(log.String(), "sekrit123") {
			t.Errorf("the log has the password: %s", log)
		}
	}
	conf := func(n irc.NickServ) irc.Config {
		return irc.Config{Server: s.TLS, TLS: true, CA: s.CA, Nick: "jarvis", NickServ: n, Channels: []string{"#ops"}}
	}
	for name, n := range map[string]irc.NickServ{
		"by the server's command":     {Password: "sekrit123"},
		"by the services' address":    {Account: "jarvis", Password: "sekrit123", To: "NickServ@services.lab.test"},
		"with the name of an account": {Account: "jarvis", Password: "sekrit123"},
	} {
		t.Run(name, func(t *testing.T) {
			_, log := link(t, conf(n), nil)
			hear(t, alice, `jarvis\S*!.* JOIN`)
			says(log, "the irc link is up")
		})
		hear(t, alice, `jarvis\S*!.* QUIT`)
	}
	for name, c := range map[string]struct {
		conf irc.NickServ
		want string
	}{
		"a wrong password":            {irc.NickServ{Password: "wrongpw99"}, "the services did not log us in within"},
		"no such command":             {irc.NickServ{Password: "sekrit123", To: "NS"}, "the server has no command NS"},
		"services that are not there": {irc.NickServ{Password: "sekrit123", To: "NickServ@nowhere.lab.test"}, "the services"},
	} {
		t.Run(name, func(t *testing.T) {
			_, log := link(t, conf(c.conf), nil)
			says(log, c.want)
			if strings.Contains(log.String(), "the irc link is up") {
				t.Errorf("nobody logged it in, and it is there: %s", log)
			}
		})
	}
	for name, c := range map[string]irc.Config{
		"a nick may be anybody's": {Server: s.TLS, TLS: true, NickServ: irc.NickServ{Password: "x", To: "NickServ"}},
		"in clear":                {Server: s.Addr, NickServ: irc.NickServ{Password: "x"}},
		"two logins":              {Server: s.TLS, TLS: true, SASL: irc.SASL{User: "jarvis", Password: "x"}, NickServ: irc.NickServ{Password: "x"}},
		"no password":             {Server: s.TLS, TLS: true, NickServ: irc.NickServ{Account: "jarvis"}},
		"a line of its own":       {Server: s.TLS, TLS: true, NickServ: irc.NickServ{Password: "x\r\nQUIT"}},
	} {
		if _, err := irc.New(c, nil); err == nil || !strings.Contains(err.Error(), "nickserv") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
