package slack_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/slack"
	"github.com/jarvisops/jarvis/lab"
)

// TestWhatSlackRefuses: one sentence each, nothing tried again, and the next line is said.
func TestWhatSlackRefuses(t *testing.T) {
	for _, c := range []struct {
		code, log string
		make      func(x *site)
	}{
		{"not_in_channel", "#ops: not_in_channel: the bot is not there; invite it", func(x *site) { x.Member("C0OPS", false) }},
		{"is_archived", "#ops: is_archived: it is archived", func(x *site) { x.Archive("C0OPS") }},
		{"channel_not_found", "there is no such channel", nil},
		{"msg_too_long", "longer than Slack takes", nil},
		{"restricted_action", "only some people post there", nil},
		{"something_new", "something_new: Slack says no more", nil},
		{"missing_scope", "needs the scope", nil},
	} {
		t.Run(c.code, func(t *testing.T) {
			x := start(t, fast(), nil)
			if c.make != nil {
				c.make(x)
			} else {
				x.Fail("chat.postMessage", 3, lab.SlackFault{Error: c.code})
			}
			for range 2 {
				if err := x.f.Deliver(t.Context(), bot.Notice{Place: "#ops", Line: "a line"}); !errors.Is(err, bot.ErrRefused) {
					t.Errorf("deliver: %v", err)
				}
			}
			x.f.Say("#ops", []string{"an answer"})
			x.f.Say("U0BOB", []string{"to bob"}) // the outbox goes on
			if _, _, err := x.Wait("to bob", 0, limit); err != nil {
				t.Fatal(err)
			}
			if n := x.Calls("chat.postMessage"); n != 4 {
				t.Errorf("%d calls", n)
			}
			if n := strings.Count(x.log.String(), "could not be said"); n != 1 || !strings.Contains(x.log.String(), c.log) {
				t.Errorf("it is said %d times, or not so:\n%s", n, x.log)
			}
		})
	}
}

// TestTokensThatSlackDoesNotTake: one sentence, and a long time until the next attempt; then it is there.
func TestTokensThatSlackDoesNotTake(t *testing.T) {
	for _, c := range []struct{ method, code, log string }{
		{"auth.test", "invalid_auth", "a token is not valid"},
		{"auth.test", "account_inactive", "switched off"},
		{"apps.connections.open", "not_allowed_token_type", "exchanged"},
		{"users.conversations", "missing_scope", "needs the scope"},
		{"apps.connections.open", "token_revoked", "taken back"},
	} {
		t.Run(c.code, func(t *testing.T) {
			s := lab.StartSlack(fast())
			t.Cleanup(s.Close)
			s.Fail(c.method, 4, lab.SlackFault{Error: c.code})
			x := &site{T: t, Slack: s, log: &buffer{}, pause: 20 * time.Millisecond}
			x.run(conf(s))
			x.up()
			if n := s.Calls(c.method); n != 5 {
				t.Errorf("%d calls", n)
			}
			if n := strings.Count(x.log.String(), "slack refuses us"); n != 1 || !strings.Contains(x.log.String(), c.log) {
				t.Errorf("it is said %d times, or not so:\n%s", n, x.log)
			}
			if strings.Contains(x.log.String(), lab.SlackBotToken) || strings.Contains(x.log.String(), lab.SlackAppToken) {
				t.Error("the log has a token")
			}
		})
	}
	s := lab.StartSlack(fast())
	t.Cleanup(s.Close)
	s.Fail("auth.test", 1, lab.SlackFault{Error: "invalid_auth"})
	x := &site{T: t, Slack: s, log: &buffer{}}
	x.run(conf(s))
	x.logged("slack refuses us.*retry=10m0s")
}

// TestATokenThatIsTakenBack is one that counts no longer while we are there: nothing is tried for ever, and what waits
// is said when it counts again.
func TestATokenThatIsTakenBack(t *testing.T) {
	s := lab.StartSlack(fast())
	t.Cleanup(s.Close)
	x := &site{T: t, Slack: s, log: &buffer{}, pause: 20 * time.Millisecond}
	x.run(conf(s))
	x.up()
	s.Fail("chat.postMessage", 1, lab.SlackFault{Error: "token_revoked"})
	x.f.Say("#ops", []string{"an answer"})
	if _, _, err := x.Wait("an answer", 0, limit); err != nil {
		t.Fatal(err, x.log)
	}
	x.logged("slack refuses us.*taken back")
	if n := s.Calls("chat.postMessage"); n != 2 {
		t.Errorf("%d calls", n)
	}
}

// TestSlackHasUsWait: before the socket is open, too.
func TestSlackHasUsWait(t *testing.T) {
	for _, method := range []string{"auth.test", "users.conversations", "apps.connections.open"} {
		s := lab.StartSlack(fast())
		t.Cleanup(s.Close)
		s.Fail(method, 1, lab.SlackFault{RetryAfter: 1})
		x := &site{T: t, Slack: s, log: &buffer{}}
		began := time.Now()
		x.run(conf(s))
		x.up()
		if d := time.Since(began); d < time.Second {
			t.Errorf("%s: again after %s", method, d)
		}
	}
}

// TestANoticeWithoutAHistory: when nothing shows whether it is there, it is said again.
func TestANoticeWithoutAHistory(t *testing.T) {
	o := fast()
	o.Scopes = strings.Split(strings.ReplaceAll(strings.Join(lab.SlackScopes, " "), "channels:history", "emoji:read"), " ")
	x := start(t, o, nil)
	x.Fail("chat.postMessage", 1, lab.SlackFault{Status: 502})
	if err := x.f.Deliver(t.Context(), bot.Notice{ID: 1, Place: "#ops", Line: "a notice"}); err == nil {
		t.Error("nobody knows")
	}
	if err := x.f.Deliver(t.Context(), bot.Notice{ID: 1, Place: "#ops", Line: "a notice"}); err != nil {
		t.Error(err)
	}
	x.logged("needs the scope channels:history")
}

// TestATokenGoesOverTLS: or to this machine.
func TestATokenGoesOverTLS(t *testing.T) {
	for address, want := range map[string]bool{"https://slack.com/api/": true, "wss://wss-primary.slack.com/link": true, "http://slack.com/api/": false, "ws://slack.com/": false,
		"http://127.0.0.1:8080/": true, "http://localhost/": true, "http://[::1]/": true, "http://127.0.0.1.example.org/": false, "http://localhost.example.org/": false, "ftp://127.0.0.1/": false, "file:///x": false} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := slack.Secure(u); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	// Elsewhere is nowhere, also when the server says so.
	gateway := httptest.NewServer(http.RedirectHandler("https://slack.example/api/auth.test", http.StatusTemporaryRedirect))
	t.Cleanup(gateway.Close)
	x := &site{T: t, log: &buffer{}}
	x.run(slack.Config{AppToken: lab.SlackAppToken, BotToken: lab.SlackBotToken, URL: gateway.URL})
	x.logged("tokens go nowhere else")
	// A socket without TLS is not used.
	gateway2 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"ok":true,"url":"ws://slack.example/link","team_id":"T1","user_id":"U0BOT"}`)
	}))
	t.Cleanup(gateway2.Close)
	x.run(slack.Config{AppToken: lab.SlackAppToken, BotToken: lab.SlackBotToken, URL: gateway2.URL})
	x.logged("a socket without TLS, on slack.example; it is not used")
}

// TestRoomsThatAreNotThere: each is said once, and the bot is in them when it is invited.
func TestRoomsThatAreNotThere(t *testing.T) {
	x := start(t, fast(), func(c *slack.Config) { c.Channels = []string{"#other", "#ops", "#nowhere"} })
	x.logged(`keeps us out.*#other: the bot is not there.*/invite @jarvis`)
	x.logged(`#nowhere`)
	if err := x.f.Deliver(t.Context(), bot.Notice{Place: "#other", Line: "x"}); !errors.Is(err, bot.ErrRefused) {
		t.Errorf("deliver: %v", err)
	}
	x.Member("C0OTHER", true)
	n := x.Opened()
	x.Cut()
	if err := x.Connected(n+1, limit); err != nil {
		t.Fatal(err)
	}
	x.up()
	for end := time.Now().Add(limit); x.f.Deliver(t.Context(), bot.Notice{Place: "#other", Line: "hello"}) != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(x.log)
		}
	}
	if n := strings.Count(x.log.String(), "#nowhere"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
}

// TestInside: taken out of a channel, and into it again, and after it was archived.
func TestInside(t *testing.T) {
	s := lab.StartSlack(fast())
	t.Cleanup(s.Close)
	x := &site{T: t, Slack: s, log: &buffer{}, look: 10 * time.Millisecond}
	x.run(conf(s))
	x.up()
	inside := func(want bool) {
		t.Helper()
		for end := time.Now().Add(limit); x.f.Inside("#ops") != want; time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("Inside stays %v", !want)
			}
		}
	}
	inside(true)
	if x.f.Inside("#elsewhere") {
		t.Error("it calls itself in a channel that is not in the configuration")
	}
	x.Member("C0OPS", false)
	inside(false)
	if err := x.f.Deliver(t.Context(), bot.Notice{Place: "#ops", Line: "a line"}); !errors.Is(err, bot.ErrRefused) {
		t.Errorf("deliver: %v", err)
	}
	x.Member("C0OPS", true)
	inside(true)
	if err := x.f.Deliver(t.Context(), bot.Notice{Place: "#ops", Line: "a line"}); err != nil {
		t.Error(err)
	}
	x.Archive("C0OPS")
	inside(false)
	x.end()
	if x.f.Inside("#ops") {
		t.Error("without a link it calls itself inside")
	}
}
