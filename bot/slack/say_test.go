package slack_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/slack"
	"github.com/jarvisops/jarvis/lab"
)

// TestAnswersGoWhereTheyWereAsked: a thread, direct messages, a thread in them.
func TestAnswersGoWhereTheyWereAsked(t *testing.T) {
	x := start(t, fast(), nil)
	asked := x.Say(alice("a question"))
	x.next()
	for _, c := range []struct {
		name            string
		said            lab.Said
		channel, thread string
		private         bool
	}{
		{"a channel", alice("x"), "C0OPS", "", false},
		{"a thread", lab.Said{User: "U0ALICE", Channel: "C0OPS", Text: "x", Thread: asked}, "C0OPS", asked, false},
		{"a direct message", lab.Said{User: "U0BOB", Text: "x"}, "D0BOB", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			x.Say(c.said)
			m := x.next()
			if m.Private != c.private || m.Direct != c.said.User {
				t.Errorf("heard %+v", m)
			}
			x.f.Say(m.Place, []string{"to " + c.name})
			p, _, err := x.Wait("^to "+c.name+"$", 0, limit)
			if err != nil {
				t.Fatal(err, x.log)
			}
			if p.Channel != c.channel || p.Thread != c.thread {
				t.Errorf("said %+v", p)
			}
		})
	}
	ts := x.Say(lab.Said{User: "U0BOB", Text: "in private"})
	x.next()
	x.Say(lab.Said{User: "U0BOB", Text: "x", Thread: ts})
	m := x.next()
	x.f.Say(m.Place, []string{"in private, in a thread"})
	if p, _, err := x.Wait("in a thread", 0, limit); err != nil || p.Channel != "D0BOB" || p.Thread != ts {
		t.Error(p, err)
	}
	// Somebody who never wrote.
	if err := x.f.Deliver(t.Context(), bot.Notice{Place: "U0VICTOR", Line: "a notice"}); err != nil {
		t.Fatal(err)
	}
	if p, _, err := x.Wait("a notice", 0, limit); err != nil || p.Channel != "D0VICTOR" {
		t.Error(p, err)
	}
}

// TestANoticeIsSaidOnce: whatever becomes of the answer, it is there, and once.
func TestANoticeIsSaidOnce(t *testing.T) {
	for name, c := range map[string]struct {
		fault lab.SlackFault
		place string
	}{
		"the answer is lost":              {lab.SlackFault{Lost: true}, "#ops"},
		"the answer is lost, in a thread": {lab.SlackFault{Lost: true}, "#ops/THREAD"},
		"the answer is lost, in private":  {lab.SlackFault{Lost: true}, "U0ALICE"},
		"502":                             {lab.SlackFault{Status: 502}, "#ops"},
		"fatal_error":                     {lab.SlackFault{Error: "fatal_error"}, "#ops"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := start(t, fast(), nil)
			ts := x.Say(alice("a question"))
			x.next()
			place := strings.Replace(c.place, "THREAD", ts, 1)
			deliver := func(id int64) error {
				return x.f.Deliver(t.Context(), bot.Notice{ID: id, Place: place, Line: "the same words"})
			}
			if err := deliver(1); err != nil {
				t.Fatal(err)
			}
			x.Fail("chat.postMessage", 1, c.fault)
			if err := deliver(2); err == nil || errors.Is(err, bot.ErrRefused) {
				t.Errorf("without an answer nobody knows: %v", err)
			}
			if err := deliver(3); err != nil { // another notice of the same words is another one
				t.Errorf("another one: %v", err)
			}
			there := 2
			if c.fault.Lost {
				there = 3
			}
			if n := len(x.Posts()); n != there {
				t.Errorf("%d are there, want %d: the third is none of those before it", n, there)
			}
			if err := deliver(2); err != nil {
				t.Errorf("and then: %v", err)
			}
			if n := len(x.Posts()); n != 3 {
				t.Errorf("three notices of the same words are there %d times: %+v", n, x.Posts())
			}
			// An answer is tried by itself.
			x.Fail("chat.postMessage", 1, c.fault)
			x.f.Say(place, []string{"an answer"})
			x.f.Say(place, []string{"the end"})
			if _, _, err := x.Wait("the end", 0, limit); err != nil {
				t.Fatal(err)
			}
			if p := x.Posts(); len(p) != 5 || p[3].Text != "an answer" {
				t.Errorf("said %+v", p)
			}
		})
	}
}

// TestSlackSaysWait: only the channel waits of which Slack said so, in its order; nothing is lost.
func TestSlackSaysWait(t *testing.T) {
	o := fast()
	o.PostEvery, o.Burst = 50*time.Millisecond, 2
	x := start(t, o, nil)
	x.Say(lab.Said{User: "U0BOB", Text: "hi"})
	x.next()
	for _, l := range strings.Split("abcdefgh", "") {
		x.f.Say("#ops", []string{"line " + l})
	}
	x.f.Say("U0BOB", []string{"to bob"})
	if _, _, err := x.Wait("line h", 0, limit); err != nil {
		t.Fatal(err)
	}
	got, bob := "", -1
	for i, p := range x.Posts() {
		if p.Text == "to bob" {
			bob = i
		} else {
			got += strings.TrimPrefix(p.Text, "line ")
		}
	}
	if got != "abcdefgh" || bob < 0 || bob > 5 {
		t.Errorf("said %q, bob at %d", got, bob)
	}
}

// TestANoticeWaitsAsSlackSays: that is no failure.
func TestANoticeWaitsAsSlackSays(t *testing.T) {
	x := start(t, fast(), nil)
	x.Fail("chat.postMessage", 1, lab.SlackFault{RetryAfter: 1})
	began := time.Now()
	if err := x.f.Deliver(t.Context(), bot.Notice{Place: "#ops", Line: "a notice"}); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d < time.Second || len(x.Posts()) != 1 || x.Calls("conversations.history") != 0 {
		t.Errorf("after %s: %+v", d, x.Posts())
	}
}

// TestThePaceOfAChannel: without Slack having to say so.
func TestThePaceOfAChannel(t *testing.T) {
	o := fast()
	o.PostEvery, o.Burst = 50*time.Millisecond, 3
	x := start(t, o, func(c *slack.Config) { c.Rate = slack.Rate{Burst: 2, Interval: 60 * time.Millisecond} })
	for range 10 {
		x.f.Say("#ops", []string{"line"})
	}
	if err := x.Until("ten lines", limit, func() bool { return len(x.Posts()) == 10 }); err != nil {
		t.Fatal(err)
	}
	if n := x.Calls("chat.postMessage"); n != 10 {
		t.Errorf("it took %d calls", n)
	}
}

// TestButtons: who presses says the words; a press counts once, and the buttons go when they are chosen.
func TestButtons(t *testing.T) {
	x := start(t, fast(), nil)
	shown := make(chan bot.Post, 10)
	choices := bot.Choices{List: []bot.Choice{{Label: "Approve", Words: "approve 12"}, {Label: "Deny", Words: "deny 12"}}, Shown: func(p bot.Post) { shown <- p }}
	if err := x.f.Deliver(t.Context(), bot.Notice{Place: "#ops", Line: "loki & thor: `approve 12`", Choices: choices}); err != nil {
		t.Fatal(err)
	}
	x.f.SayChoices("U0BOB", []string{"a_b <c>"}, choices)
	private, _, err := x.Wait("a_b", 0, limit)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(private.Blocks, `"plain_text"`) || !strings.Contains(private.Blocks, `a_b \u003cc\u003e`) {
		t.Errorf("a text without formatting: %s", private.Blocks)
	}
	p := x.Posts()[0]
	if got := strings.Join(p.Buttons(), ", "); got != "approve 12, deny 12" || p.Text != "loki &amp; thor: `approve 12`" {
		t.Fatalf("%q %+v", got, p)
	}
	for _, c := range []struct{ user, account string }{{"alice", "U0ALICE"}, {"eve", ""}} {
		if err := x.Press(lab.SlackUser(c.user), p, "approve 12"); err != nil {
			t.Fatal(err)
		}
		m := x.next()
		if m.Choice.At != "#ops/"+p.TS || m.Choice.Text != p.Text || m.Nick != c.user || m.Account != c.account || m.Text != "@jarvis approve 12" || m.Place != "#ops/"+p.TS || m.Past != 0 || m.Private {
			t.Errorf("heard %+v", m)
		}
		if c.account == "" {
			continue
		}
		x.then()
		if at := <-shown; at != m.Choice {
			t.Errorf("the buttons stand at %+v, and are pressed at %+v", at, m.Choice)
		}
		if err := x.f.Settle(t.Context(), m.Choice, "Approved by <bob>."); err != nil {
			t.Error(err)
		}
		if err := x.Until("the buttons are gone", limit, func() bool { return len(x.Posts()[0].Buttons()) == 0 }); err != nil {
			t.Fatal(err, x.log)
		}
		if got := x.Posts()[0].Text; got != p.Text+"\nApproved by &lt;bob&gt;." {
			t.Errorf("the line is %q now", got)
		}
		if err := x.f.Deliver(t.Context(), bot.Notice{Place: "#ops", Line: "again", Choices: choices}); err != nil {
			t.Fatal(err)
		}
		p = x.Posts()[2]
	}
	if err := x.Press("U0BOB", private, "deny 12"); err != nil {
		t.Fatal(err)
	}
	if m := x.next(); !m.Private || m.Place != "U0BOB/"+private.TS || m.Account != "U0BOB" {
		t.Errorf("heard %+v", m)
	}
}

// TestStrangersWait: what strangers are told in private comes after all else.
func TestStrangersWait(t *testing.T) {
	x := start(t, fast(), func(c *slack.Config) { c.Rate = slack.Rate{Burst: 1, Interval: 30 * time.Millisecond} })
	for range 3 {
		x.f.Say("#ops", []string{"line"})
	}
	x.f.SayLater("U0MALLORY", []string{"go away"})
	for range 3 {
		x.f.Say("#ops", []string{"line"})
	}
	if err := x.Until("all is said", limit, func() bool { return len(x.Posts()) == 7 }); err != nil {
		t.Fatal(err)
	}
	if p := x.Posts(); p[6].Text != "go away" {
		t.Errorf("said %+v", p)
	}
}

// TestACheckTakesNoEvents: the settings by which it is tried open no socket, for a bot that is there would lose what
// comes to it.
func TestACheckTakesNoEvents(t *testing.T) {
	x := start(t, fast(), nil)
	f, err := conf(x.Slack).Beside("jarvis").Open("jarvis", slog.New(slog.NewTextHandler(x.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx, func(m bot.Message) { t.Errorf("heard %+v", m) }) }()
	for end := time.Now().Add(limit); !f.(bot.LinkChecker).Up(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(x.log)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := x.Opened(); n != 1 {
		t.Errorf("%d sockets", n)
	}
	if n := x.Calls("apps.connections.open"); n != 2 {
		t.Errorf("the app token was not tried: %d calls", n)
	}
}

func TestConfigSaysAllThatIsWrong(t *testing.T) {
	_, err := slack.Config{AppToken: "xoxb-1", BotToken: "xapp-1-A1-1", Channels: []string{"ops", "#Ops", "#ops", "C012AB"}, URL: "http://gateway.example/api/"}.Open("jarvis", slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err == nil {
		t.Fatal("it is taken")
	}
	for _, want := range []string{"chat.slack.app_token is no app-level token", "chat.slack.bot_token is no bot token", `"ops" is no channel`, `"#Ops" is no channel`, "chat.slack.url is"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %s: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "xoxb-1") {
		t.Errorf("it shows a token: %v", err)
	}
	for a, wrong := range map[slack.Account]bool{"U012AB3CD": false, "W012AB3CD": false, "": false, "u012ab3cd": true, "alice": true, "@alice": true, "U012 AB": true} {
		if got := a.Wrong() != ""; got != wrong {
			t.Errorf("account %q: %q", a, a.Wrong())
		}
	}
}

// When another server had the voice meanwhile, an answer that was to be said before is none any more.
func TestAnAnswerOfAnEarlierVoice(t *testing.T) {
	x := start(t, fast(), nil)
	x.end()
	x.f.Say("#ops", []string{"of then"})
	x.speak()
	if err := x.f.Deliver(t.Context(), bot.Notice{Place: "#ops", Line: "of now"}); err != nil {
		t.Fatal(err)
	}
	for _, p := range x.Posts() {
		if p.Text == "of then" {
			t.Error("it was said")
		}
	}
}
