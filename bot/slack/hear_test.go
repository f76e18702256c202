package slack_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/slack"
	"github.com/jarvisops/jarvis/lab"
)

// TestWhoSomebodyIs: the user id counts, of our workspace. What somebody calls himself does not, nor does an id of
// elsewhere.
func TestWhoSomebodyIs(t *testing.T) {
	x := start(t, fast(), nil)
	for _, c := range []struct {
		name, user    string
		more          map[string]any
		nick, account string
	}{
		{"of our workspace", "alice", nil, "alice", "U0ALICE"},
		{"of another workspace", "eve", nil, "eve", ""},
		{"of another workspace, under our team", "eve", map[string]any{"team": lab.SlackTeam, "user_team": lab.SlackTeam, "source_team": lab.SlackTeam}, "eve", ""},
		{"our id by another workspace", "alice", map[string]any{"user_team": "T0OTHER"}, "alice", ""},
		{"our id from another workspace", "alice", map[string]any{"source_team": "T0OTHER"}, "alice", ""},
		{"another team", "alice", map[string]any{"team": "T0OTHER"}, "alice", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			x.Say(lab.Said{User: lab.SlackUser(c.user), Channel: "C0OPS", Text: "hi", More: c.more})
			if m := x.next(); m.Nick != c.nick || m.Account != c.account {
				t.Errorf("he is %q, account %q; want %q, %q", m.Nick, m.Account, c.nick, c.account)
			}
		})
	}
}

// TestWhoSomebodyIsWithoutUsersInfo: then the event must name our workspace.
func TestWhoSomebodyIsWithoutUsersInfo(t *testing.T) {
	o := fast()
	o.Scopes = strings.Split(strings.ReplaceAll(strings.Join(lab.SlackScopes, " "), "users:read", "emoji:read"), " ")
	x := start(t, o, nil)
	x.Say(alice("hi"))
	if m := x.next(); m.Account != "U0ALICE" || m.Nick != "U0ALICE" {
		t.Errorf("heard %+v", m)
	}
	x.Say(lab.Said{User: lab.SlackUser("eve"), Channel: "C0OPS", Text: "hi"})
	if m := x.next(); m.Account != "" {
		t.Errorf("heard %+v", m)
	}
	x.logged(`needs the scope users:read`)
}

// TestHeardOnce: a lost ack, an event sent again though it was acked, a cut.
func TestHeardOnce(t *testing.T) {
	x := start(t, fast(), nil)
	x.LoseAcks(3)
	x.Say(alice("<@" + lab.SlackBotUser + "> deploy one"))
	if m := x.next(); m.Text != "@jarvis deploy one" || m.Past != 0 {
		t.Errorf("heard %+v", m)
	}
	x.then()
	x.Again()
	x.then()
	n := x.Opened()
	x.Cut()
	if err := x.Connected(n+1, limit); err != nil {
		t.Fatal(err)
	}
	x.Again()
	x.then()
}

// TestNothingFromBefore: what was said before this process came is past, whichever way it comes again.
func TestNothingFromBefore(t *testing.T) {
	x := start(t, fast(), nil)
	x.Say(alice("<@" + lab.SlackBotUser + "> deploy one"))
	if m := x.next(); m.Past != 0 {
		t.Errorf("heard %+v", m)
	}
	if err := x.Settled(limit); err != nil {
		t.Fatal(err)
	}
	x.end()
	x.Say(alice("<@" + lab.SlackBotUser + "> deploy two"))
	time.Sleep(10 * time.Millisecond) // a ts is of another moment
	n := x.Opened()
	x.run(conf(x.Slack))
	if err := x.Connected(n+1, limit); err != nil {
		t.Fatal(err)
	}
	if m := x.next(); m.Text != "@jarvis deploy two" || m.Past == 0 {
		t.Errorf("what was said while nobody listened: %+v", m)
	}
	x.Again()
	if m := x.next(); m.Text != "@jarvis deploy one" || m.Past == 0 {
		t.Errorf("an event of before, sent again: %+v", m)
	}
	x.then()
	x.Say(lab.Said{User: "U0ALICE", Channel: "C0OPS", Text: "old", At: fmt.Sprintf("%d.000100", time.Now().Add(-2*time.Minute).Unix())})
	if m := x.next(); m.Text != "old" || m.Past == 0 {
		t.Errorf("heard %+v", m)
	}
}

// TestAfterACut: what was said meanwhile is heard, though Slack gave its events up.
func TestAfterACut(t *testing.T) {
	x := start(t, fast(), nil)
	x.Say(lab.Said{User: "U0ALICE", Text: "hello"}) // so that the direct messages are known
	x.next()
	n := x.Opened()
	x.Cut()
	x.Say(lab.Said{User: "U0ALICE", Channel: "C0OPS", Text: "<@" + lab.SlackBotUser + "> one", Quiet: true})
	x.Say(lab.Said{User: "U0ALICE", Text: "two", Quiet: true})
	if err := x.Connected(n+1, limit); err != nil {
		t.Fatal(err)
	}
	got := map[string]bot.Message{}
	for range 2 {
		m := x.next()
		got[m.Text] = m
	}
	if m := got["@jarvis one"]; m.Place != "#ops" || m.Account != "U0ALICE" || m.Past != 0 {
		t.Errorf("heard %+v", got)
	}
	if m := got["two"]; !m.Private || m.Account != "U0ALICE" || m.Past != 0 {
		t.Errorf("heard %+v", got)
	}
	x.then()
}

// TestAfterALongCut: what was said meanwhile is past when it is too old to be meant for now, though we were there
// before.
func TestAfterALongCut(t *testing.T) {
	s := lab.StartSlack(fast())
	t.Cleanup(s.Close)
	x := &site{T: t, Slack: s, log: &buffer{}, age: 200 * time.Millisecond} // the next connection comes after half a second at the earliest
	x.run(conf(s))
	x.up()
	x.Cut()
	x.Say(lab.Said{User: "U0ALICE", Channel: "C0OPS", Text: "deploy one", Quiet: true})
	if err := x.Connected(2, limit); err != nil {
		t.Fatal(err)
	}
	if m := x.next(); m.Text != "deploy one" || m.Past == 0 {
		t.Errorf("heard %+v", m)
	}
}

// TestReconnect: whatever ends a connection, the next is there, and nothing is lost or heard twice.
func TestReconnect(t *testing.T) {
	for name, end := range map[string]func(*site){
		"warning":           func(x *site) { x.Disconnect("warning") },
		"refresh_requested": func(x *site) { x.Disconnect("refresh_requested") },
		"link_disabled":     func(x *site) { x.Disconnect("link_disabled") },
		"cut":               func(x *site) { x.Cut() },
		"silence":           func(x *site) { x.Freeze() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := lab.StartSlack(fast())
			t.Cleanup(s.Close)
			x := &site{T: t, Slack: s, log: &buffer{}, silent: 2500 * time.Millisecond}
			x.run(conf(s))
			x.up()
			x.Say(alice("before"))
			if m := x.next(); m.Text != "before" {
				t.Errorf("heard %+v", m)
			}
			n := x.Opened()
			end(x)
			x.Say(alice("meanwhile"))
			if err := x.Connected(n+1, limit); err != nil {
				t.Fatal(err, x.log)
			}
			if m := x.next(); m.Text != "meanwhile" || m.Past != 0 {
				t.Errorf("heard %+v", m)
			}
			x.then()
			if bad := s.Violations(); len(bad) > 0 {
				t.Errorf("it broke rules: %q", bad)
			}
		})
	}
}

// TestOnlyWhatPeopleSay: edits are corrections; what bots post, who comes and goes, and what Slack does itself is
// nothing.
func TestOnlyWhatPeopleSay(t *testing.T) {
	x := start(t, fast(), nil)
	for _, sub := range []string{"bot_message", "channel_join", "channel_leave", "message_deleted", "me_message", "channel_topic", "file_share", "message_replied", "assistant_app_thread"} {
		x.Say(lab.Said{User: "U0ALICE", Channel: "C0OPS", Text: "<@" + lab.SlackBotUser + "> deploy x", Subtype: sub})
	}
	x.Say(lab.Said{User: "U0ALICE", Channel: "C0OPS", Text: "posted by an app", More: map[string]any{"bot_id": "B0OTHER"}})
	x.Say(lab.Said{User: lab.SlackBotUser, Channel: "C0OPS", Text: "my own"})
	x.Say(lab.Said{User: "U0ALICE", Channel: "C0OPS", Text: "before", Edits: "1700000000.000100"}) // the text is as it was: Slack shows a link
	x.Say(lab.Said{User: "U0ALICE", Channel: "C0OTHER", Text: "the bot is not there"})
	x.Say(lab.Said{User: "U0BOB", Channel: "G0VAULT", Text: "<@" + lab.SlackBotUser + "> deploy x"})
	x.Raw(`{"type":"nonsense"}`)
	x.Raw(`[]`)
	x.then()
	x.logged(`not listed.*G0VAULT`)
	ts := x.Say(alice("<@" + lab.SlackBotUser + "> deploy one"))
	x.next()
	x.Say(lab.Said{User: "U0ALICE", Channel: "C0OPS", Text: "<@" + lab.SlackBotUser + "> deploy two", Edits: ts})
	if m := x.next(); !m.Corrected || m.Text != "@jarvis deploy two" || m.Past != 0 {
		t.Errorf("heard %+v", m)
	}
	x.Say(lab.Said{User: "U0ALICE", Channel: "C0OPS", Text: "aloud", Subtype: "thread_broadcast", Thread: ts})
	if m := x.next(); m.Text != "aloud" || m.Place != "#ops/"+ts {
		t.Errorf("heard %+v", m)
	}
	x.Say(lab.Said{User: "U0ALICE", Channel: "C0OPS", Text: "the first of a thread", More: map[string]any{"thread_ts": "1.5", "ts": "1.5"}})
	if m := x.next(); m.Place != "#ops" || m.Past == 0 {
		t.Errorf("heard %+v", m)
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{"<@U0BOT> status loki", "@jarvis status loki"},
		{"<@U0BOT|anything> status", "@jarvis status"},
		{"<@U0EVE|jarvis> deploy", "@U0EVE deploy"},
		{"deploy <https://gist.github.com/912450>", "deploy https://gist.github.com/912450"},
		{"deploy <https://evil.example/x|https://gist.github.com/912450>", "deploy https://evil.example/x"},
		{"deploy <https://x.example/a|x.example/a>", "deploy https://x.example/a"},
		{"status <http://loki.websages.com|loki.websages.com>", "status loki.websages.com"},
		{"<mailto:a@example.org|a@example.org>", "a@example.org"},
		{"<#C012|ops> <#C012>", "#ops #C012"},
		{"<!channel> <!subteam^S1|@x>", "@channel @subteam^S1"},
		{"a &lt;b&gt; &amp;amp; &amp;lt;", "a <b> &amp; &lt;"},
		{"<https://x/?a=1&amp;b=2>", "https://x/?a=1&b=2"},
		{"unclosed <@U0BOT", "unclosed <@U0BOT"},
		{"", ""},
	} {
		if got := slack.ReadText(c.in, "U0BOT"); got != c.out {
			t.Errorf("read(%q) = %q, want %q", c.in, got, c.out)
		}
	}
	if got := slack.Escape("<!channel> & <@U1>\n\x1b[1m"); got != "&lt;!channel&gt; &amp; &lt;@U1&gt; " {
		t.Errorf("escape = %q", got)
	}
	for line, want := range map[string]bool{"say `retry loki` now": true, "a_b and c_d": false, "`a_b` and c": true, "`a` and *c*": false, "one ` alone": false, "no signs": false, "&gt; `x`": false} {
		if got := slack.Formatted(line); got != want {
			t.Errorf("formatted(%q) = %v", line, got)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"<@U0BOT> x", "<https://x|y>", "&lt;!channel&gt;", "<", ">", "<mailto:|>", "a\nb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := slack.Escape(s)
		if strings.ContainsAny(out, "<>") {
			t.Errorf("escape(%q) = %q calls somebody", s, out)
		}
		if again := slack.Escape(slack.ReadText(out, "U0BOT")); again != out {
			t.Errorf("%q becomes %q, and then %q", s, out, again)
		}
		if got := slack.ReadText(s, "U0BOT"); len(got) > len(s)+len("jarvis")*strings.Count(s, "<@U0BOT") {
			t.Errorf("read(%q) grows: %q", s, got)
		}
		for _, p := range slack.Posts([]string{s, s}) {
			if len(p) > slack.MaxPost {
				t.Errorf("a post of %d bytes", len(p))
			}
		}
	})
}

func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"type":"event_callback","team_id":"T","event":{"type":"message","user":"U1","channel":"C1","ts":"1.2","text":"x"}}`))
	f.Add([]byte(`{"type":"event_callback","event":{"type":"message","subtype":"message_changed","channel":"C1","message":{"user":"U1","ts":"1.2","edited":{"user":"U1","ts":"2"}}}}`))
	f.Add([]byte(`{"type":"block_actions","team":{"id":"T"},"user":{"id":"U1"},"channel":{"id":"C1"},"message":{"ts":"1"},"actions":[{"action_id":"jarvis:0","value":"v","action_ts":"1"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		key, ok := slack.ReadEvent(b)
		again, _ := slack.ReadEvent(b)
		if ok == (key == "") || key != again {
			t.Errorf("%q: key %q, %v", b, key, ok)
		}
	})
}
